"""A site's committed round as one update of encoding 10 (`propeller.fl.sites`).

Called by `propeller fl fold`, with a store and blobs that are only read. The fold is over the very
updates that the round was committed with, shortened and capped as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from propeller.errors import UsageError
from propeller.model.federated import MEANS, SUMS, Mode
from propeller.model.rounds import Round
from propeller.reconcile.learningwork import Spool, model_before
from propeller.registry.blobs import BlobStore

if TYPE_CHECKING:
    from propeller.fl.partial import Range


def why_not(round_: Round) -> str:
    """Why a round cannot be one of several that are joined, "" where it can."""
    terms = round_.terms
    if terms.mode is not Mode.TRAIN:
        return "it only measured a model"
    if terms.secure:
        return "its updates are only seen as a sum, by its own reconciler"
    if terms.format == SUMS:
        return "its updates are sums of sites already"
    if terms.noise is not None:
        return "it is held under a privacy budget, which a sum without noise would break"
    if terms.strategy not in MEANS:
        return (
            f"{terms.strategy} makes more of updates than their mean; {' and '.join(MEANS)} do not"
        )
    rate = dict(terms.parameters).get("serverLearningRate", "1")
    if float(rate) != 1.0:
        return f"its serverLearningRate is {rate}, and sites are joined with 1"
    return ""


def told_above(round_: Round) -> tuple[str, ...]:
    """The first and last id of a cohort whose sums the fleet above is told, () where it is not."""
    if round_.order is None or round_.terms.mode is not Mode.TRAIN:
        return ()
    ids = sorted(round_.parts, key=str.encode)
    return str(ids[0]), str(ids[-1])


def site_update(
    round_: Round, blobs: BlobStore, *, range_: Range, sign: Callable[[bytes], bytes]
) -> bytes:
    """The file of it. Raises UsageError where it cannot be joined, Refusal where it cannot be
    folded (a proplet outside of the range, a sum that is not finite)."""
    from propeller.fl.partial import fold_range
    from propeller.fl.sites import Folded, packed

    why = why_not(round_)
    if why:
        raise UsageError(f"round {round_.number} cannot be folded for a join: {why}")
    fold = round_.fold
    assert fold is not None, "a committed round that trained was folded"
    layout, base = model_before(blobs, round_.base, fold.layout)
    assert layout is not None, "a committed round has a layout"
    with TemporaryFile() as file:
        spool = Spool(file, round_.bound or round_.terms.clip)
        for part in round_.accepted:
            wrong = spool.add(part, blobs, layout, base)
            if wrong:
                raise UsageError(f"round {round_.number} cannot be folded: {wrong}")
        partial = fold_range(range_, spool.contributions, layout.count)
    return packed(
        Folded(
            job=round_.job,
            round=round_.number,
            attempt=round_.attempt,
            base=round_.base.digest,
            layout=fold.layout.digest,
            partial=partial,
            members=len(round_.accepted),
            contributors=round_.contributors,
            record=round_.record,
        ),
        sign,
    )
