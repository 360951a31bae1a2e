"""Which modules are meant: references handed to a worker, asked again, and doubted for signatures.

Owned by `specs`, within the transactions of the loop. A worker answers with `ModuleResolved`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propeller.model.ids import Key
from propeller.model.module import Module, ModuleProblem, Resolved
from propeller.model.signing import keys_of
from propeller.model.specs import Modular, ModuleRef
from propeller.plan.admission import UNSIGNED, opinions
from propeller.reconcile.events import ModuleResolved
from propeller.reconcile.world import World
from propeller.state.records import Event

if TYPE_CHECKING:
    from propeller.reconcile.surroundings import Surroundings

RETRY_BASE, RETRY_CAP = 5_000, 300_000
"""ms between attempts to resolve a module whose registry did not answer: doubling, capped."""
LOOK_AGAIN = 60_000
"""ms until signatures are looked for again where a rule misses one."""


class ModuleBook:
    """See the module."""

    def __init__(self, world: World, around: Surroundings) -> None:
        self._world = world
        self._around = around
        self._attempts: dict[ModuleRef, int] = {}
        self._retry_at: dict[ModuleRef, int] = {}
        self._resolving: set[ModuleRef] = set()
        self._looked_for_keys = not around.signing

    def resolve(self, *, every: bool) -> None:
        """Hand references to the worker: all unpinned ones once a revision, else the missing."""
        for ref in sorted(self._wanted_refs(), key=str):
            known = self._world.modules.get(ref)
            stale = every and ref.file is None and (ref.digest is None or ref.aot)
            stale = stale or self._needs_looking(ref, known)
            if ref in self._resolving or (known is not None and not stale):
                continue
            self._resolving.add(ref)
            self._around.resolve(ref)

    def _wanted_refs(self) -> set[ModuleRef]:
        return {
            held.object.module
            for held in self._world.objects.values()
            if isinstance(held.object, Modular) and held.deleted_at is None
        }

    def _needs_looking(self, ref: ModuleRef, known: Resolved | None) -> bool:
        """Whether the signatures of a module were not looked for with the keys there are now."""
        rules = self._around.signing
        if not rules or ref.image is None or not isinstance(known, Module):
            return False
        if known.signed is None or known.signed.looked != keys_of(rules):
            return True
        return not self._looked_for_keys and bool(self._doubts(ref, known))

    def _doubts(self, ref: ModuleRef, module: Module) -> dict[str, Key]:
        """What rules say against a module, and of which object."""
        words: dict[str, Key] = {}
        for held in self._world.objects.values():
            if isinstance(held.object, Modular) and held.object.module == ref:
                for one in opinions(held, module, self._around.signing):
                    if one.words:
                        words.setdefault(one.words, held.object.meta.key)
        return words

    def _opinions(self, ref: ModuleRef, module: Module, now: int) -> None:
        """Tell what rules say against a module, and look again in a while."""
        words = self._doubts(ref, module)
        if words and ref.image is not None:
            self._retry_at[ref] = now + LOOK_AGAIN
        if self._world.modules.get(ref) == module:
            return
        for text, key in sorted(words.items()):
            self._world.store.add_event(
                Event(at=now, severity="Warning", reason=UNSIGNED, message=text, key=key)
            )

    def resolved(self, event: ModuleResolved, now: int) -> None:
        """A worker is done with a reference."""
        ref, resolved = event.ref, event.resolved
        self._resolving.discard(ref)
        if isinstance(resolved, ModuleProblem) and resolved.retry:
            attempt = self._attempts[ref] = self._attempts.get(ref, 0) + 1
            delay = min(RETRY_CAP, RETRY_BASE * 2 ** min(attempt - 1, 10))
            self._retry_at[ref] = now + delay
            known = self._world.modules.get(ref)
            if known is not None and not isinstance(known, ModuleProblem):
                return  # a registry that is down does not take away what was resolved before
        else:
            self._attempts.pop(ref, None)
            self._retry_at.pop(ref, None)
        if isinstance(resolved, ModuleProblem) and self._world.modules.get(ref) != resolved:
            self._world.store.add_event(
                Event(
                    at=now,
                    severity="Warning",
                    reason=resolved.reason,
                    message=f"{ref}: {resolved.message}",
                )
            )
        if isinstance(resolved, Module) and self._around.signing:
            self._opinions(ref, resolved, now)
        self._world.put_module(ref, resolved)

    def drop_unused(self) -> None:
        """Forget what no object means any more."""
        used = {
            held.object.module
            for held in self._world.objects.values()
            if isinstance(held.object, Modular)
        }
        for ref in [ref for ref in self._world.modules if ref not in used]:
            self._world.store.drop_module(ref)
            del self._world.modules[ref]

    def tick(self, now: int) -> None:
        """Try again what a registry did not answer, and what a rule misses a signature of."""
        if not self._looked_for_keys:
            self.resolve(every=False)
            self._looked_for_keys = True
        due = [ref for ref, at in self._retry_at.items() if at <= now]
        for ref in due:
            del self._retry_at[ref]
            if ref in self._wanted_refs() and ref not in self._resolving:
                self._resolving.add(ref)
                self._around.resolve(ref)

    def due(self) -> int | None:
        """When `tick` has something to do (Unix ms)."""
        return min(self._retry_at.values(), default=None)
