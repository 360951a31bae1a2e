"""What has to be swept now and then so that nothing a device can fill grows for ever.

Called by the reconciler once a minute at most, inside a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from propeller.errors import WireError
from propeller.model.binding import Binding
from propeller.model.federated import FederatedTask
from propeller.model.ids import Digest
from propeller.model.module import Module
from propeller.model.seen import Presence, Seen
from propeller.model.specs import models_of
from propeller.reconcile.world import World
from propeller.wire.codec import decode
from propeller.wire.messages import Desired

if TYPE_CHECKING:
    from propeller.reconcile.deliver import Delivery
    from propeller.reconcile.surroundings import Surroundings

TABLES_EVERY = 60_000
BLOBS_EVERY = 3_600_000
FORGET_AFTER = 7 * 86_400_000
"""ms of silence after which an undeclared proplet that holds nothing is forgotten."""


class Housekeeping:
    """Remembers when what was last swept."""

    def __init__(
        self,
        world: World,
        around: Surroundings,
        delivery: Delivery,
        now: int,
        binding: Callable[[], Binding],
    ) -> None:
        """binding: plugins that bind the sources of Apps now; their modules are in use."""
        self._binding = binding
        self._world = world
        self._around = around
        self._delivery = delivery
        self._tables_at = now + TABLES_EVERY
        self._blobs_at = now + BLOBS_EVERY

    def tick(self, now: int) -> None:
        """Sweep what is due."""
        if now >= self._tables_at:
            self._tables_at = now + TABLES_EVERY
            self._world.store.prune_history(now)
            self._forget_strangers(now)
        if now >= self._blobs_at:
            self._blobs_at = now + BLOBS_EVERY
            self._around.blobs.collect(self._wanted_blobs(), now=now / 1000)

    def due(self) -> int:
        """When `tick` has something to do (Unix ms)."""
        return min(self._tables_at, self._blobs_at)

    def _forget_strangers(self, now: int) -> None:
        for seen in list(self._world.proplets.values()):
            if self._is_gone_stranger(seen, now):
                self._delivery.clear_gone(seen.id, now)
                self._world.drop_seen(seen.id)

    def _is_gone_stranger(self, seen: Seen, now: int) -> bool:
        return (
            not seen.declared
            and seen.presence is Presence.OFFLINE
            and now - seen.last_heard > FORGET_AFTER
            and not self._world.holders.get(seen.id)
        )

    def _wanted_blobs(self) -> set[Digest]:
        """Modules of the inventory, documents that travel as blobs, results of known runs."""
        wanted: set[Digest] = set()
        for module in self._world.modules.values():
            wanted |= module.blobs if isinstance(module, Module) else frozenset()
        wanted |= self._world.versions.modules()
        waiting = self._world.windows.withheld.values()
        for one in waiting:
            wanted |= one.module.blobs if one.module is not None else frozenset()
        for held in self._world.objects.values():
            thing = held.object
            if isinstance(thing, FederatedTask) and thing.model and thing.model.initial:
                wanted.add(thing.model.initial)  # another job of it starts there again
            wanted |= models_of(thing)
        wanted |= self._world.versions.models()
        wanted |= {one.digest for one in self._binding().plugins}
        for one in waiting:
            if one.held is not None:
                wanted |= models_of(one.held.object)
        for asked in self._world.asked.values():
            wanted.add(Digest(asked.digest))
            try:
                body = decode(Desired, self._world.store.asked_body(asked.proplet)).body
            except WireError:
                continue
            if body is not None:
                wanted.add(Digest(body.digest))
        store = self._world.store
        return wanted | store.result_digests() | store.learning_blobs()
