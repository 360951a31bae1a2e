"""What a worker does for a federated job: have a model at hand, look at an update, fold updates.

`perform` is called on a worker thread; it reads and writes blobs and touches nothing else, so its
answer depends on the work alone (federated.md 4.9) and the same work may be done twice; only noise
is drawn anew, from entropy that is given. numpy and
`propeller.fl` are imported when the first federated job is worked for, not when Propeller starts.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, assert_never

from propeller.errors import PropellerError, WireError
from propeller.model.federated import SUMS, ModelSpec, Pairs
from propeller.model.ids import Digest, PropletId, sha256_digest
from propeller.model.rounds import NO_BLOB, Blob, Fold, Origin, Part, Step
from propeller.reconcile import securework, sitesums
from propeller.reconcile.learning import (
    Answer,
    Gather,
    Gathered,
    Look,
    Looked,
    Prepare,
    Prepared,
    Relay,
    Relayed,
    Work,
)
from propeller.reconcile.noisework import next_bound, noised_mean
from propeller.reconcile.running import Running
from propeller.registry.blobs import BlobStore
from propeller.wire.signing import VerifyKey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from propeller.fl.fold import Contribution
    from propeller.fl.layout import Layout
    from propeller.wire.updates import Update

    Vector = NDArray[np.float32]

log = logging.getLogger("propeller.reconcile")

MAX_COUNT = 1 << 28
"""Numbers of one model."""
RESERVED = "@"
"""How names in the meta of an update begin that are no metrics."""
MAX_METRICS = 16
"""Metrics taken from one proplet; the rest is dropped."""
MAX_DIGITS = 40
MAX_UPDATE = 64 << 20
"""Bytes of one update; uploads have a limit of their own."""
MAX_MEASUREMENT = 8 * 1024
"""Bytes of a measurement that came as a blob."""
GREATEST = 1e300
"""Of a metric: what is beyond means nothing and would make sums infinite."""

Find = Callable[[ModelSpec], bytes]
"""Bytes of a model in a registry. Raises PropellerError."""
KeyOf = Callable[[PropletId], VerifyKey | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What a worker is given. key_of: by which updates of a proplet are signed, None where not.

    entropy: so many bytes of the system's; noise is made of them and they are kept nowhere.
    running: where the processes of aggregator modules are noted.
    """

    blobs: BlobStore
    find: Find
    key_of: KeyOf
    entropy: Callable[[int], bytes] = os.urandom
    running: Running = field(default_factory=Running)


def perform(work: Work, shop: Workshop) -> Answer:
    """Do it. Never raises: the loop waits for an answer, and a fault of ours is one too."""
    try:
        match work:
            case Prepare():
                return _prepare(work, shop)
            case Look():
                return _look(work, shop)
            case Relay():
                return _relay(work, shop)
            case Gather():
                return _gather(work, shop)
            case _:
                assert_never(work)
    except Exception as error:
        log.exception("work for a federated job failed")
        return _failed(work, f"internal error: {type(error).__name__}")


def _failed(work: Work, why: str) -> Answer:
    match work:
        case Prepare():
            return Prepared(work=work, trouble=why, again=True)
        case Look():
            return Looked(work=work, why=why)
        case Relay():
            return Relayed(work=work, why=why)
        case Gather():
            return Gathered(work=work, fold=Fold(why=why))
        case _:
            assert_never(work)


# -- the model a job starts from ------------------------------------------------------------------


def _prepare(work: Prepare, shop: Workshop) -> Prepared:
    from propeller.fl.layout import Layout, Tensor
    from propeller.fl.model import read_model

    spec = work.model
    if spec is None:
        return Prepared(work=work)
    try:
        if spec.initial is None:
            rows = (Tensor(tensor.name, tensor.shape) for tensor in spec.layout)
            layout = Layout.of(*rows)
            return Prepared(work=work, layout=_keep(shop.blobs, layout.to_json()))
        data = shop.blobs.read(spec.initial) if shop.blobs.has(spec.initial) else shop.find(spec)
        if sha256_digest(data) != spec.initial:
            words = f"the model is {sha256_digest(data)}, the spec says {spec.initial}"
            return Prepared(work=work, trouble=words)
        layout, _ = read_model(data, max_count=MAX_COUNT)
    except WireError as error:
        return Prepared(work=work, trouble=f"the model cannot be used: {error}")
    except (PropellerError, OSError) as error:
        return Prepared(work=work, trouble=f"the model cannot be had: {error}", again=True)
    return Prepared(
        work=work,
        model=_keep(shop.blobs, data),
        layout=_keep(shop.blobs, layout.to_json()),
    )


def _keep(blobs: BlobStore, data: bytes) -> Blob:
    return Blob(blobs.put(data), len(data))


def model_before(
    blobs: BlobStore, model: Blob, layout: Blob
) -> tuple[Layout | None, Vector | None]:
    """Layout and weights a round starts from; (None, None) where round 1 has to say the layout."""
    from propeller.fl.layout import Layout
    from propeller.fl.model import read_model

    known = Layout.parse(blobs.read(layout.digest)) if layout else None
    if not model:
        return known, None
    found, weights = read_model(blobs.read(model.digest), max_count=MAX_COUNT)
    return known or found, weights


# -- one update -----------------------------------------------------------------------------------


def _look(work: Look, shop: Workshop) -> Looked:
    try:
        if work.step is Step.EVALUATE:
            return _measurement(work, shop)
        if work.step is not Step.TRAIN:
            return securework.look(work, shop.blobs)
        return _update(work, shop)
    except WireError as error:
        return Looked(work=work, why=str(error)[:200])
    except (OSError, PropellerError) as error:
        return Looked(work=work, why=f"it could not be read: {error}"[:200])


def _update(work: Look, shop: Workshop) -> Looked:
    from propeller.fl.admit import MAX_SAMPLES, Assignment, admit, admit_masked, admit_sums
    from propeller.fl.errors import Refusal, Why
    from propeller.fl.layout import Layout
    from propeller.fl.strategies.base import Trait
    from propeller.fl.strategies.registry import strategy
    from propeller.wire.updates import unpack

    size = shop.blobs.size(work.update.digest)
    if size != work.update.size or size > MAX_UPDATE:
        return Looked(work=work, why=f"{size} bytes, at most {MAX_UPDATE} and as reported")
    data = shop.blobs.read(work.update.digest)
    start = work.origin or Origin(work.proplet, work.number, work.attempt, work.base)
    layout, base = model_before(shop.blobs, start.base, work.layout)
    if layout is None:  # the first round of a job without a model: its shape is what comes
        update = unpack(data, max_body=len(data))
        if not 0 < update.count <= MAX_COUNT:
            return Looked(work=work, why=f"{update.count} numbers, at most {MAX_COUNT}")
        layout = Layout.flat(update.count)
    key = shop.key_of(work.proplet)
    asked = Assignment(
        job=work.job,
        round=start.number,
        attempt=start.attempt,
        nonce=work.nonce,
        base=start.base.digest,
        layout=work.layout.digest,
        encoding=work.terms.format,
        most_samples=MAX_SAMPLES,
        signed_by=None if key is None else key.verify,
    )
    if work.terms.secure:
        masked = admit_masked(data, asked, layout)
        _unclipped(work, masked)
        return Looked(work=work, samples=masked.samples, body=Digest(masked.body_digest))
    chosen = strategy(work.terms.strategy, dict(work.terms.parameters))
    if Trait.CONTROL in chosen.traits:
        layout, base = Layout.flat(2 * layout.count), None
    if work.terms.format == SUMS:
        found = admit_sums(data, asked, layout)
    else:
        found = admit(data, asked, layout, base)
    _unclipped(work, found.update)
    if Trait.STEPS in chosen.traits and found.update.steps < 1:
        return Looked(work=work, why=str(Refusal(Why.NO_STEPS, "it does not say its local steps")))
    metrics = {
        name: value
        for name, value in found.update.meta.items()
        if not name.startswith(RESERVED) and isinstance(value, str) and _is_number(value)
    }
    most = work.terms.samples
    return Looked(
        work=work,
        samples=found.update.samples if most is None else min(found.update.samples, most),
        metrics=_metrics(metrics),
        body=Digest(found.update.body_digest),
        norm=repr(found.norm),
    )


def _unclipped(work: Look, update: Update) -> None:
    """Raises Refusal where a device did not do what the round asked it to do first."""
    from propeller.fl.errors import Refusal, Why
    from propeller.wire.updates import Flag

    if work.terms.local is not None and not update.flags & Flag.CLIPPED:
        raise Refusal(Why.UNCLIPPED, "the device did not shorten it")


def _measurement(work: Look, shop: Workshop) -> Looked:
    """`{"metrics": {name: decimal text}, "samples": int}` (docs/reference/protocol.md)."""
    if work.inline is not None:
        text = work.inline.encode()
    elif shop.blobs.size(work.update.digest) > MAX_MEASUREMENT:
        return Looked(work=work, why=f"more than {MAX_MEASUREMENT} bytes are no measurement")
    else:
        text = shop.blobs.read(work.update.digest)
    try:
        found = json.loads(text)
        samples, metrics = found["samples"], found["metrics"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Looked(work=work, why="it is no measurement")
    if type(samples) is not int or not 1 <= samples <= 1 << 40 or not isinstance(metrics, dict):
        return Looked(work=work, why="it is no measurement of at least one sample")
    if not all(isinstance(value, str) and _is_number(value) for value in metrics.values()):
        return Looked(work=work, why="its metrics are not all decimal text")
    return Looked(
        work=work,
        samples=samples,
        metrics=_metrics(metrics),
        body=sha256_digest(text),
    )


def _metrics(found: dict[str, str]) -> Pairs:
    named = sorted((name, value) for name, value in found.items() if len(name) <= 64)
    return tuple(named[:MAX_METRICS])


def _is_number(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return len(text) <= MAX_DIGITS and math.isfinite(value) and abs(value) < GREATEST


# -- folding --------------------------------------------------------------------------------------


def _relay(work: Relay, shop: Workshop) -> Relayed:
    try:
        return securework.relay(work, shop.blobs)
    except (PropellerError, OSError) as error:
        return Relayed(work=work, why=str(error)[:200])


def _gather(work: Gather, shop: Workshop) -> Gathered:
    try:
        return Gathered(work=work, fold=_fold(work, shop))
    except (PropellerError, OSError) as error:
        return Gathered(work=work, fold=Fold(why=str(error)[:200]))


def _fold(work: Gather, shop: Workshop) -> Fold:
    from propeller.fl.admit import far_out
    from propeller.fl.errors import Why
    from propeller.fl.strategies.base import Trait
    from propeller.reconcile.aggregator import strategy_of

    # Under noise nobody is left out for what the others sent: the price would not cover that.
    noised = work.terms.noise is not None
    blind = noised or work.terms.secure
    far = far_out({} if blind else {part.proplet: float(part.norm) for part in work.parts})
    parts = [part for part in work.parts if part.proplet not in far]
    refused = tuple((str(name), Why.HUGE_NORM.value) for name in sorted(far))
    if len(parts) < work.terms.least:
        words = f"{len(parts)} updates are left without those far too long"
        return Fold(why=f"{words}, needs {work.terms.least}", refused=refused)
    layout, base = model_before(shop.blobs, work.base, work.layout)
    if work.terms.secure:
        assert layout is not None, "a secure round has a model"
        summed, weight = securework.unmasked(work, shop.blobs, layout)
        known = Fold(refused=refused, notes=(("samples", str(weight)),))
        return _stepped(work, shop, (layout, base), (summed,), known)
    if work.terms.format == SUMS:
        return sitesums.fold(work, parts, shop.blobs, (layout, base), Fold(refused=refused))
    with TemporaryFile(dir=shop.blobs.directory) as file:
        chosen = strategy_of(work.terms, shop.blobs, shop.running)
        halves = 2 if Trait.CONTROL in chosen.traits else 1
        spooled = Spool(file, "" if noised else work.bound or work.terms.clip, halves)
        older = {one.proplet: one for one in work.origins}
        for part in parts:
            one = older.get(part.proplet)
            own = base if one is None else model_before(shop.blobs, one.base, work.layout)[1]
            behind = 0 if one is None else work.number - one.number
            wrong = spooled.add(part, shop.blobs, layout, own, behind)
            if wrong:
                return Fold(why=wrong)
        layout = spooled.layout
        assert layout is not None, "a round is folded only with updates"
        contributions = tuple(spooled.contributions)
        if work.range:
            known = Fold(
                refused=refused, partial=sitesums.sums(work, contributions, layout, shop.blobs)
            )
            return _stepped(work, shop, (layout, base), contributions, known)
        if noised:
            contributions = (noised_mean(work, contributions, layout.count, shop.entropy),)
        return _stepped(work, shop, (layout, base), contributions, Fold(refused=refused))


def _stepped(
    work: Gather,
    shop: Workshop,
    start: tuple[Layout, Vector | None],
    contributions: tuple[Contribution, ...],
    known: Fold,
) -> Fold:
    """What the strategy makes of the contributions, as blobs, added to what is `known`. Raises
    Refusal."""
    import numpy as np

    from propeller.fl.model import write_model
    from propeller.fl.strategies.base import Round
    from propeller.reconcile.aggregator import strategy_of

    layout, base = start
    if base is None:
        base = np.zeros(layout.count, np.float32)
    step = strategy_of(work.terms, shop.blobs, shop.running).step(
        Round(
            base=base,
            contributions=contributions,
            state=shop.blobs.read(work.state.digest) if work.state else None,
            clients=work.clients,
        )
    )
    return replace(
        known,
        model=_keep(shop.blobs, write_model(layout, step.model)),
        layout=work.layout or _keep(shop.blobs, layout.to_json()),
        state=NO_BLOB if step.state is None else _keep(shop.blobs, step.state),
        notes=tuple(sorted({**step.notes, **dict(known.notes)}.items())),
        bound=next_bound(work, shop.entropy),
    )


class Spool:
    """The deltas of a round in one file, so that memory holds one of them at a time."""

    def __init__(self, file: IO[bytes], clip: str, halves: int = 1) -> None:
        """clip: largest L2 norm as text, "" for any. halves: vectors as long as the model in one
        update."""
        self._halves = halves
        self._file = file
        self._clip = float(clip) if clip else None
        self._end = 0
        self.layout: Layout | None = None
        self.contributions: list[Contribution] = []

    def add(
        self,
        part: Part,
        blobs: BlobStore,
        layout: Layout | None,
        base: Vector | None,
        behind: int = 0,
    ) -> str:
        """One more; what is wrong with it, "" when nothing is. Raises WireError.

        base: what it was trained from, `behind` rounds ago.
        """
        from propeller.fl.encodings import decode
        from propeller.fl.fold import Contribution, Spooled
        from propeller.fl.layout import Layout
        from propeller.fl.privacy.clipping import clipped
        from propeller.wire.updates import unpack

        update = unpack(blobs.read(part.update.digest), max_body=part.update.size)
        layout = self.layout = layout or self.layout or Layout.flat(update.count)
        if self._halves > 1:
            layout, base = Layout.flat(self._halves * layout.count), None
        if update.count != layout.count:
            return f"updates disagree: {update.count} numbers and {layout.count}"
        delta = decode(update.encoding, update.body, layout=layout, base=base)
        if self._clip is not None:
            delta = clipped(delta, self._clip)
        data = delta.astype("<f4", copy=False).tobytes()
        self._file.write(data)
        self._file.flush()
        self.contributions.append(
            Contribution(
                proplet=part.proplet,
                samples=part.samples,
                deltas=Spooled(partial(os.pread, self._file.fileno()), self._end),
                body=part.body,
                steps=update.steps,
                staleness=behind,
            )
        )
        self._end += len(data)
        return ""
