"""What a site tells the fleet above of a round: the sums of its accepted updates, as one leaf.

Called by a worker while it folds, with the very contributions that make the site's own model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.model.rounds import Blob
from propeller.reconcile.learning import Gather
from propeller.registry.blobs import BlobStore

if TYPE_CHECKING:
    from propeller.fl.fold import Contribution
    from propeller.fl.layout import Layout


def sums(
    work: Gather, contributions: tuple[Contribution, ...], layout: Layout, blobs: BlobStore
) -> Blob:
    """The body of an `f64-partial` over the range of the cohort, kept. Raises Refusal."""
    from propeller.fl.partial import Range, fold_range, to_body

    first, last = work.range
    body = to_body(fold_range(Range(first=first, last=last), contributions, layout.count))
    return Blob(blobs.put(body), len(body))
