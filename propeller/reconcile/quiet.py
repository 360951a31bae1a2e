"""When one pass of `reconcile --once` is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.reconcile.deliver import delivered
from propeller.reconcile.standing import of_reconciler

if TYPE_CHECKING:
    from propeller.reconcile.reconciler import Reconciler
    from propeller.reconcile.service import Service


class Quiet:
    """A pass is over when the source was read, the fleet heard, and nothing has moved since.

    linger: ms after which it is over in any case. silence: ms without anything moving.
    """

    def __init__(self, service: Service, *, start: int, linger: int, silence: int) -> None:
        self._service = service
        self._end = start + linger
        self._silence = silence
        self._moved_at = start
        self._before: tuple[object, ...] = ()

    def over(self, reconciler: Reconciler, now: int) -> bool:
        """Asked after every turn (at least every few seconds)."""
        if now >= self._end:
            return True
        blobs = self._service.blob_service
        moving = (
            reconciler.specs.revision_name,
            reconciler.specs.trouble,
            reconciler.plans,
            blobs.last_traffic,
            blobs.open_uploads(),
            tuple(sorted(self._undelivered(reconciler))),
            of_reconciler(reconciler),
        )
        if moving != self._before or blobs.open_uploads():
            self._before = moving
            self._moved_at = now
            return False
        looked = reconciler.specs.looked
        heard = reconciler.fleet.heard or reconciler.specs.trouble != ""
        return looked and heard and now >= self._moved_at + self._silence

    @staticmethod
    def _undelivered(reconciler: Reconciler) -> list[str]:
        world = reconciler.world
        return [
            str(seen.id)
            for seen in world.proplets.values()
            if not delivered(seen, world.asked.get(seen.id))
        ]
