"""`propeller fl verify NAME ROUND`: compute a round again from its updates and compare digests.

Reads the store and its blobs; what is computed goes to a folder that is removed. Exit: 0 everything
is as recorded, 3 something is not, 2 it cannot be told (updates that were not kept).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from propeller.cli.flfind import Found, add_name, opened
from propeller.cli.output import add_data, print_data
from propeller.cli.table import printable
from propeller.errors import PropellerError, UsageError
from propeller.model.ids import sha256_digest
from propeller.model.rounds import Blob, Part, Round
from propeller.registry.blobs import BlobStore

DIFFERS = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared."""

    what: str
    good: bool
    words: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl verify`."""
    parser.description = __doc__
    add_name(parser)
    parser.add_argument("round", type=int, metavar="ROUND", help="number of a committed round")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Compute and compare; returns the exit code."""
    with opened(args) as found:
        round_ = found.round(args.round)
        checks = list(verify(found, round_))
    good = all(one.good for one in checks)
    if args.output != "text":
        told = [{"check": one.what, "good": one.good, "words": one.words} for one in checks]
        print_data(
            args.output,
            {"object": str(found.key), "round": args.round, "verified": good, "checks": told},
        )
    else:
        for one in checks:
            print(f"{'ok ' if one.good else 'BAD'}  {one.what:<13} {printable(one.words)}")
        said = "is what its updates make" if good else "is NOT what its updates make"
        print(f"round {args.round} of {found.key} {said}")
    return 0 if good else DIFFERS


def verify(found: Found, round_: Round) -> Iterator[Check]:
    """Every comparison, in the order of what depends on what. Raises UsageError."""
    if round_.terms.noise is not None:
        raise UsageError(
            f"round {round_.number} has noise in it that nobody kept: it cannot be computed again",
            hint="`propeller fl lineage` still says what it came from",
        )
    blobs = BlobStore(found.state.blobs)
    yield record_check(round_)
    before = next((one for one in found.committed() if one.number == round_.number - 1), None)
    if before is not None and before.fold is not None:
        same = before.fold.model == round_.base
        yield Check("base", same, f"{round_.base.digest} of round {before.number}")
    parts = folded_parts(round_)
    bases = [one.base for one in round_.older]
    updates = [one.update for one in parts]
    needed = [round_.base, round_.layout, round_.state_before, *bases, *updates]
    if round_.terms.aggregator:
        needed.append(Blob(round_.terms.aggregator, 0))
    _all_here(found, round_, blobs, needed)
    for blob in needed:
        if blob and sha256_digest(blobs.read(blob.digest)) != blob.digest:
            yield Check("blob", False, f"{blob.digest} has other bytes than its name says")
            return
    wrong = [str(part.proplet) for part in parts if not _says(blobs, round_, part)]
    told = f"differ: {', '.join(wrong)}" if wrong else f"{round_.contributors} of {len(parts)}"
    yield Check("contributors", not wrong, told)
    yield from _again(round_, parts, blobs)


def record_check(round_: Round) -> Check:
    """Whether the record is that of the round as the store has it."""
    from propeller.plan.records import sealed

    return Check("record", sealed(round_).record == round_.record, str(round_.record))


def folded_parts(round_: Round) -> tuple[Part, ...]:
    """What was given to the fold: the accepted, and what only the fold refused."""
    refused = dict(round_.fold.refused) if round_.fold is not None else {}
    accepted = {part.proplet for part in round_.accepted}
    return tuple(
        part
        for name, part in sorted(round_.parts.items())
        if name in accepted or str(name) in refused
    )


def _all_here(found: Found, round_: Round, blobs: BlobStore, needed: list[Blob]) -> None:
    """Raises UsageError where something is not there to be compared."""
    if not round_.parts:
        raise UsageError(
            f"who took part in round {round_.number} is not in the store any more",
            hint="parts of the newest hundred rounds are kept",
        )
    gone = [one.digest for one in needed if one and not blobs.has(one.digest)]
    if not gone:
        return
    if not found.task.retain:
        raise UsageError(
            f"the updates of round {round_.number} were not kept, so it cannot be computed again",
            hint="spec.retainUpdates: Enabled keeps those of later rounds",
        )
    raise UsageError(f"{gone[0]} and {len(gone) - 1} more are not in the blob store any more")


def _says(blobs: BlobStore, round_: Round, part: Part) -> bool:
    """Whether the update is what the store says of it, how far behind it is included."""
    from propeller.wire.updates import unpack

    try:
        update = unpack(blobs.read(part.update.digest), max_body=part.update.size)
    except PropellerError:
        return False
    start = round_.origin(part.proplet)
    asked = (update.round, update.attempt, update.base)
    if asked != (start.number, start.attempt, start.base.digest):
        return False
    return update.body_digest == part.body and update.samples >= part.samples


def _again(round_: Round, parts: tuple[Part, ...], blobs: BlobStore) -> Iterator[Check]:
    from propeller.reconcile.learning import Gather, Gathered
    from propeller.reconcile.learningwork import Workshop, perform

    work = Gather(
        uid=round_.uid,
        job=round_.job,
        number=round_.number,
        attempt=round_.attempt,
        terms=round_.terms,
        base=round_.base,
        layout=round_.layout,
        state=round_.state_before,
        parts=parts,
        clients=len(round_.eligible),
        origins=tuple(
            round_.origins[part.proplet] for part in parts if part.proplet in round_.origins
        ),
    )
    with tempfile.TemporaryDirectory(prefix="propeller-verify-") as folder:
        scratch = _Scratch(Path(folder), blobs)
        answer = perform(work, Workshop(blobs=scratch, find=_nowhere, key_of=lambda _: None))
    assert isinstance(answer, Gathered)
    fold, recorded = answer.fold, round_.fold
    assert recorded is not None
    if fold.why:
        yield Check("model", False, fold.why)
        return
    same = fold.model == recorded.model
    yield Check("model", same, _compared(recorded.model, fold.model, same=same))
    if recorded.state or fold.state:
        same = fold.state == recorded.state
        yield Check("strategy state", same, _compared(recorded.state, fold.state, same=same))


def _compared(recorded: Blob, again: Blob, *, same: bool) -> str:
    return str(again.digest) if same else f"{again.digest}, recorded as {recorded.digest}"


def _nowhere(spec: object) -> bytes:
    raise UsageError(f"{spec}: nothing is fetched here")


class _Scratch(BlobStore):
    """Reads what the state has, writes elsewhere: a store that is only read stays as it is."""

    def __init__(self, directory: Path, behind: BlobStore) -> None:
        super().__init__(directory)
        self._behind = behind

    def read(self, digest: str, off: int = 0, length: int = -1) -> bytes:
        return self._behind.read(digest, off, length)
