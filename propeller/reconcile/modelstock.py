"""Models that specs take from a registry (`run.models[].image`), brought into the blob store.

Devices ask us for them by digest, like for everything. Looked at with every revision, and again in
a while as long as one is missing; workers fetch, the loop only asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.model.specs import Daemon, Task
from propeller.reconcile.world import World

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

AGAIN = 15_000
"""ms until what is still missing is asked for again."""


class ModelStock:
    """See the module. Owned by the loop."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._revision: str | None = None
        self._again_at: int | None = None

    def ask(self, revision: str, now: int) -> None:
        """Have workers fetch what is missing, if it is time to look."""
        late = self._again_at is not None and now >= self._again_at
        if revision == self._revision and not late:
            return
        self._revision, self._again_at = revision, None
        for held in self._world.objects.values():
            thing = held.object
            if not isinstance(thing, Task | Daemon) or held.deleted_at is not None:
                continue
            for model in thing.run.models:
                if model.image is not None and not self._around.blobs.has(model.digest):
                    self._again_at = now + AGAIN
                    self._around.stock(thing.meta.key, model)

    def due(self) -> int | None:
        """When `ask` has something to do (Unix ms)."""
        return self._again_at
