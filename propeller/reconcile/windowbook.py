"""What waits for a window, in memory and in the store.

Part of `world`. Every method that writes must be called inside a store transaction. Whether a
window is open is not its business: an edit of an object that has windows is always written down
here first, and the planner lets it in, at once if it may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from propeller.model.ids import Uid
from propeller.model.inventory import Held
from propeller.model.module import Module, Resolved
from propeller.model.specs import App, Daemon, ModuleRef, Task
from propeller.model.windows import Window
from propeller.model.withheld import Override, Withheld
from propeller.state.base import Store

_UNSEEN = frozenset(
    {"windows", "rollout", "drift", "ignoreDrift", "readyWhen", "prune", "dependsOn"}
)
"""Fields that change nothing on any device by themselves."""


class WindowBook:
    """See the module. withheld, marks: live, read only to others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.withheld: dict[Uid, Withheld] = {one.uid: one for one in store.withheld()}
        self.marks: dict[Uid, str] = {one.uid: one.mark for one in store.overrides()}
        self._by_app: dict[str, tuple[Window, ...]] | None = None

    def by_app(self, objects: Iterable[Held]) -> Mapping[str, tuple[Window, ...]]:
        """The windows of Apps that have some."""
        if self._by_app is None:
            self._by_app = {
                held.object.meta.key.name: held.object.windows
                for held in objects
                if isinstance(held.object, App) and held.object.windows and held.deleted_at is None
            }
        return self._by_app

    def apps_changed(self) -> None:
        """An App came, went or was edited."""
        self._by_app = None

    def edited(
        self,
        before: Held | None,
        after: Held,
        objects: Iterable[Held],
        modules: Mapping[ModuleRef, Resolved],
    ) -> None:
        """An object changed: if it has windows, that waits until the planner lets it in.

        Fields that no device sees wait for nothing. In the first revision of a store nothing
        waits: nothing was let in before, or the store was lost and what is written is what runs.
        """
        thing = after.object
        if not isinstance(thing, Task | Daemon) or not _reaches_devices(before, after):
            return
        waiting = self.withheld.get(after.uid)
        if waiting is not None:
            if _is_back(waiting, after, modules):
                self.drop(after.uid)
            return
        windows = thing.windows or self.by_app(objects).get(thing.meta.app, ())
        if not windows or self._is_first():
            return
        alive = before if before is not None and before.deleted_at is None else None
        module = modules.get(_ref(alive)) if alive is not None else None
        known = module if isinstance(module, Module) else None
        self.put(Withheld(uid=after.uid, held=alive, module=known))

    def _is_first(self) -> bool:
        """Whether no revision was accepted before the one that is being taken."""
        taken = [one for one in self._store.revisions(50) if one.outcome == "accepted"]
        return len(taken) <= 1

    def resolved_anew(self, held: Held, module: Module, objects: Iterable[Held]) -> None:
        """A reference of the object means another module now: that waits as well."""
        thing = held.object
        assert isinstance(thing, Task | Daemon)
        windows = thing.windows or self.by_app(objects).get(thing.meta.app, ())
        if windows and held.uid not in self.withheld and held.deleted_at is None:
            self._unmark(held.uid)
            self.put(Withheld(uid=held.uid, held=held, module=module))

    def put(self, withheld: Withheld) -> None:
        """It waits."""
        self._store.put_withheld(withheld)
        self.withheld[withheld.uid] = withheld

    def drop(self, uid: Uid) -> None:
        """It waits no longer."""
        if self.withheld.pop(uid, None) is not None:
            self._store.drop_withheld(uid)

    def override(self, override: Override) -> None:
        """Somebody lets this edit through."""
        self._store.put_override(override)
        self.marks[override.uid] = override.mark

    def forget(self, uid: Uid) -> None:
        """The object left the inventory."""
        self.drop(uid)
        self._unmark(uid)

    def _unmark(self, uid: Uid) -> None:
        if self.marks.pop(uid, None) is not None:
            self._store.drop_override(uid)


def _reaches_devices(before: Held | None, after: Held) -> bool:
    if before is None or (before.deleted_at is None) != (after.deleted_at is None):
        return True
    return before.generation != after.generation and _seen(before) != _seen(after)


def _seen(held: Held) -> Mapping[str, object]:
    """The part of a spec that reaches devices."""
    return {name: value for name, value in held.object.meta.spec.items() if name not in _UNSEEN}


def _ref(held: Held) -> ModuleRef:
    assert isinstance(held.object, Task | Daemon)
    return held.object.module


def _is_back(waiting: Withheld, after: Held, modules: Mapping[ModuleRef, Resolved]) -> bool:
    """Whether the object is again what it was let in as."""
    held = waiting.held
    if held is None:
        return after.deleted_at is not None
    same = _seen(held) == _seen(after)
    known = waiting.module is None or modules.get(_ref(after)) == waiting.module
    return same and known and after.deleted_at is None
