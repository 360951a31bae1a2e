"""What waits for what: objects and Apps that name others in `dependsOn`.

A new run of an object begins only when everything it depends on is Ready at its current generation;
what already runs is left alone. An object waits for its own `dependsOn` and for that of its App and
the Apps around it; to depend on an App is to depend on all of its objects. `Links` answers who
waits (`waits`, asked by the planner) and who is to be looked at again when something became Ready
(`dependents`), so nobody polls. `circle` finds what could never begin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from propeller.model.ids import Key, Uid
from propeller.model.inventory import Held
from propeller.model.specs import App, Modular, Object, Task, Workflow

MAX_APPS_AROUND = 64
"""Apps around an App that are followed at most: a circle of owners ends here."""

SHOWN = 3
"""Dependencies named in a message."""


def needs(thing: Object) -> tuple[Key, ...]:
    """What the object itself names in `dependsOn`."""
    return thing.depends_on if isinstance(thing, App | Modular | Workflow) else ()


def is_step(thing: Object) -> bool:
    """A step of a Workflow waits for nothing by itself: its Workflow does."""
    return isinstance(thing, Task) and thing.step is not None


class _Web:
    """Objects by name, Apps by name, and the objects of each App."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.by_key: dict[Key, Object] = {}
        self.apps: dict[str, App] = {}
        self.members: dict[str, list[Object]] = {}
        self._around: dict[str, tuple[Key, ...]] = {}
        for thing in objects:
            self.by_key[thing.meta.key] = thing
            self.members.setdefault(thing.meta.app, []).append(thing)
            if isinstance(thing, App):
                self.apps[thing.meta.key.name] = thing

    def find(self, key: Key) -> Object | None:
        """An App is found by its name alone: it is the only one of that name."""
        return self.apps.get(key.name) if key.kind == "App" else self.by_key.get(key)

    def of_app(self, name: str) -> tuple[Key, ...]:
        """What an App and the Apps around it depend on: so does each of its objects."""
        known = self._around.get(name)
        if known is None:
            found: dict[Key, None] = {}
            app, steps = self.apps.get(name), 0
            while app is not None and steps < MAX_APPS_AROUND:
                found.update(dict.fromkeys(app.depends_on))
                app, steps = self.apps.get(app.meta.app), steps + 1
            known = self._around[name] = tuple(found)
        return known

    def all_needs(self, thing: Object) -> tuple[Key, ...]:
        """Everything an object waits for."""
        return tuple(dict.fromkeys((*needs(thing), *self.of_app(thing.meta.app))))

    def below(self, app: str) -> Iterator[Object]:
        """The objects of an App, and of the Apps in it."""
        waiting, seen = [app], {app}
        while waiting:
            for thing in self.members.get(waiting.pop(), ()):
                yield thing
                if isinstance(thing, App) and thing.meta.key.name not in seen:
                    seen.add(thing.meta.key.name)
                    waiting.append(thing.meta.key.name)


class Links:
    """The web of one inventory. Made anew when an object that takes part in it changes."""

    def __init__(self, objects: Mapping[Uid, Held]) -> None:
        held = [one for one in objects.values() if one.deleted_at is None]
        self._web = _Web(one.object for one in held)
        self._dependents: dict[Uid, set[Uid]] = {}
        self._needs: dict[Uid, tuple[Key, ...]] = {}
        for one in held:
            if not isinstance(one.object, Modular | Workflow) or is_step(one.object):
                continue
            wanted = self._web.all_needs(one.object)
            if not wanted:
                continue
            self._needs[one.uid] = wanted
            for key in wanted:
                for thing in self._meant(key):
                    self._dependents.setdefault(thing.meta.uid, set()).add(one.uid)

    def __bool__(self) -> bool:
        return bool(self._needs)

    def _meant(self, key: Key) -> Iterator[Object]:
        """The objects that must be ready for `key` to be."""
        thing = self._web.find(key)
        if thing is None:
            return
        yield thing
        if isinstance(thing, App):
            yield from self._web.below(key.name)

    def dependents(self, uid: Uid) -> frozenset[Uid] | set[Uid]:
        """The objects that may begin once this one is Ready."""
        return self._dependents.get(uid, frozenset())

    def waits(self, uid: Uid, objects: Mapping[Uid, Held], ready: Callable[[Uid], int]) -> str:
        """What the object still waits for, in words; "" when it may begin.

        ready: the generation at which an object is Ready now, 0 while it is not.
        """
        unmet = []
        for key in self._needs.get(uid, ()):
            why = self._unmet(key, objects, ready)
            if why:
                unmet.append(why)
        more = len(unmet) - SHOWN
        return "; ".join(unmet[:SHOWN]) + (f"; and {more} more" if more > 0 else "")

    def _unmet(self, key: Key, objects: Mapping[Uid, Held], ready: Callable[[Uid], int]) -> str:
        found = False
        for thing in self._meant(key):
            found = True
            held = objects[thing.meta.uid]
            at = ready(held.uid)
            if at == held.generation:
                continue
            if isinstance(thing, App):
                return f"App {key.name} is not ready"
            where = f" (in App {key.name})" if key.kind == "App" else ""
            if at:
                return f"{thing.meta.key}{where} is not ready at generation {held.generation} yet"
            return f"{thing.meta.key}{where} is not ready"
        return "" if found else f"there is no {key if key.kind != 'App' else f'App {key.name}'}"


def circle(objects: Iterable[Object]) -> tuple[Key, ...]:
    """A way that comes back to where it began: the first such, by the order of keys; () for none.

    The first and the last key are the same. An App stands for its objects, and an object for what
    its Apps depend on.
    """
    web = _Web(objects)
    if not any(needs(thing) for thing in web.by_key.values()):
        return ()
    done: set[Key] = set()
    for start in sorted(web.by_key):
        if start in done:
            continue
        way: list[Key] = [start]
        on_way = {start}
        steps = [_steps(web, start)]
        while steps:
            following = next(steps[-1], None)
            if following is None:
                steps.pop()
                left = way.pop()
                on_way.discard(left)
                done.add(left)
            elif following in on_way:
                return (*way[way.index(following) :], following)
            elif following not in done:
                way.append(following)
                on_way.add(following)
                steps.append(_steps(web, following))
    return ()


def _steps(web: _Web, key: Key) -> Iterator[Key]:
    thing = web.by_key[key]
    if isinstance(thing, App):
        yield from (one.meta.key for one in web.members.get(key.name, ()))
        return
    for wanted in web.all_needs(thing):
        found = web.find(wanted)
        if found is not None:
            yield found.meta.key
