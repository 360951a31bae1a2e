"""Sums of sites (`f64-partial`): what a site tells the fleet above, and how that fleet folds them.

A site's round is one leaf of the tree: the running sum of its accepted updates in order of ids. The
fleet above adds the leaves in order of its gateways' ids, divides once and rounds once, so its
model has the bytes of a fold over all the devices with those leaves, and those of `fl join`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from propeller.model.ids import Digest
from propeller.model.rounds import NO_BLOB, Blob, Fold, Part
from propeller.reconcile.learning import Gather
from propeller.registry.blobs import BlobStore

if TYPE_CHECKING:
    from propeller.fl.fold import Contribution, Vector
    from propeller.fl.layout import Layout
    from propeller.fl.partial import Partial


def sums(
    work: Gather, contributions: tuple[Contribution, ...], layout: Layout, blobs: BlobStore
) -> Blob:
    """The body of an `f64-partial` over the range of the cohort, kept. Raises Refusal."""
    from propeller.fl.partial import Range, fold_range

    first, last = work.range
    return _kept(fold_range(Range(first=first, last=last), contributions, layout.count), blobs)


def fold(
    work: Gather,
    parts: list[Part],
    blobs: BlobStore,
    start: tuple[Layout | None, Vector | None],
    known: Fold,
) -> Fold:
    """The next model out of sums of sites, added to what is `known`. Raises Refusal, WireError.

    One update is in memory at a time, beside the sum.
    """
    import numpy as np

    from propeller.fl.admit import LEAF
    from propeller.fl.errors import Refusal, Why
    from propeller.fl.layout import Layout
    from propeller.fl.model import write_model
    from propeller.fl.partial import MOST_SAMPLES, Partial, Range, from_body
    from propeller.fl.strategies.base import moved
    from propeller.wire.updates import unpack

    layout, base = start
    whole, total = np.zeros(0 if layout is None else layout.count, np.float64), 0
    for part in sorted(parts, key=lambda one: one.proplet.encode()):
        update = unpack(blobs.read(part.update.digest), max_body=part.update.size)
        if layout is None:
            layout, whole = Layout.flat(update.count), np.zeros(update.count, np.float64)
        if update.count != layout.count:
            return Fold(why=f"updates disagree: {update.count} numbers and {layout.count}")
        leaf = from_body(update.body, LEAF, layout.count)
        total += leaf.samples
        np.add(whole, leaf.sums, out=whole)
    if layout is None or not 0 < total <= MOST_SAMPLES:
        raise Refusal(Why.ZERO_WEIGHT, "no site carries any weight")
    model = moved(
        np.zeros(layout.count, np.float32) if base is None else base, whole / np.float64(total)
    )
    partial = NO_BLOB
    if work.range:
        first, last = work.range
        partial = _kept(
            Partial(range=Range(first=first, last=last), samples=total, sums=whole), blobs
        )
    return replace(
        known,
        model=_blob(write_model(layout, model), blobs),
        layout=work.layout or _blob(layout.to_json(), blobs),
        partial=partial,
    )


def _blob(data: bytes, blobs: BlobStore) -> Blob:
    return Blob(Digest(blobs.put(data)), len(data))


def _kept(partial: Partial, blobs: BlobStore) -> Blob:
    from propeller.fl.partial import to_body

    return _blob(to_body(partial), blobs)
