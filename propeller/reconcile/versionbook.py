"""Which version each object's copies go to, in memory and in the store; and what a version means.

Part of `world`, which decides when something has to be looked at again. Every method that writes
must be called inside a store transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from propeller.model.checks import Reading
from propeller.model.ids import Digest, Uid
from propeller.model.inventory import Held
from propeller.model.module import Module, Resolved
from propeller.model.specs import Daemon, ModuleRef, Task, models_of
from propeller.model.versions import Course, Phase, Version
from propeller.model.withheld import Withheld
from propeller.plan.versions import graft, usable, version_of
from propeller.state.base import Store


class VersionBook:
    """See the module. courses, readings: live, read only to others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.courses: dict[Uid, Course] = {course.uid: course for course in store.courses()}
        self._newest = store.newest_versions()
        self.readings: dict[Uid, dict[str, Reading]] = {}
        for uid, name, reading in store.readings():
            self.readings.setdefault(uid, {})[name] = reading

    def put(self, course: Course) -> None:
        """What became of a course."""
        self._store.put_course(course)
        self.courses[course.uid] = course

    def drop(self, uid: Uid) -> None:
        """The object left the inventory."""
        if uid in self.courses or uid in self._newest:
            self._store.drop_course(uid)
            self.courses.pop(uid, None)
            self.readings.pop(uid, None)
            self._newest.pop(uid, None)

    def read(self, uid: Uid, name: str, reading: Reading) -> None:
        """What was measured outside for the check of that name."""
        self._store.put_reading(uid, name, reading)
        self.readings.setdefault(uid, {})[name] = reading

    def accept(self, uid: Uid, version: Version, now: int) -> None:
        """The version is good: remember it, to go back to."""
        if self._newest.get(uid) != version.digest:
            self._store.note_version(uid, version, now)
            self._newest[uid] = version.digest

    def accepted(self, uid: Uid) -> list[Version]:
        """The versions that were good, newest first."""
        return self._store.versions(uid)

    def modules(self) -> set[Digest]:
        """Blobs that may be needed to go back."""
        found = self._store.version_modules()
        for course in self.courses.values():
            for one in (course.good, course.target):
                found |= one.module.blobs if one is not None else frozenset()
        return found

    def models(self) -> set[Digest]:
        """Models of what may be gone back to."""
        found: set[Digest] = set()
        for course in self.courses.values():
            for one in (course.good, course.target):
                if one is not None:
                    found |= models_of(one.object)
        return found

    def meaning(
        self,
        held: Held,
        version: Digest,
        modules: Mapping[ModuleRef, Resolved],
        waiting: Withheld | None,
    ) -> tuple[Held, Module] | None:
        """The object and the module of a copy with that version, "" for what the spec says.

        waiting: what the object is while an edit of it waits for a window. None where the module is
        not resolved, or the version is one that was given up.
        """
        thing = held.object
        assert isinstance(thing, Task | Daemon)
        if not version and waiting is not None:
            if waiting.held is None:
                return None
            if waiting.module is not None:
                return waiting.held, waiting.module
            held, thing = waiting.held, waiting.held.object
            assert isinstance(thing, Task | Daemon)
        if not version:
            module = modules.get(thing.module)
            return (held, module) if isinstance(module, Module) else None
        course = self.courses.get(held.uid)
        for one in (course.good, course.target) if course is not None else ():
            if one is not None and one.digest == version and usable(one, thing):
                return self.grafted(held, one), one.module
        return None

    def grafted(self, held: Held, version: Version) -> Held:
        """The object as a copy with that version has it."""
        thing = held.object
        assert isinstance(thing, Task | Daemon)
        return replace(held, object=graft(thing, version))

    def candidates(self, held: Held, modules: Mapping[ModuleRef, Resolved]) -> list[Version]:
        """Versions that copies of an object which is steered may have, as far as is known."""
        thing = held.object
        if not isinstance(thing, Task | Daemon):
            return []
        course = self.courses.get(held.uid, Course(uid=held.uid))
        found = [course.good, course.target]
        module = modules.get(thing.module)
        if thing.rollout is not None and isinstance(module, Module):
            found.append(version_of(held, module))
        return [one for one in found if one is not None and usable(one, thing)]

    def begun(
        self, before: Held, after: Held, modules: Mapping[ModuleRef, Resolved]
    ) -> Course | None:
        """The course of an object that has been given a rollout: what it ran so far is good.

        None where it had one already, or nothing is known of what it ran.
        """
        old, new = before.object, after.object
        if not isinstance(new, Task | Daemon) or type(old) is not type(new):
            return None
        assert isinstance(old, Task | Daemon)
        if new.rollout is None or old.rollout is not None:
            return None
        course = self.courses.get(after.uid, Course(uid=after.uid))
        module = modules.get(old.module)
        if course.phase is Phase.ROLLED_BACK or not isinstance(module, Module):
            return None
        return replace(
            course, good=version_of(before, module), target=None, phase=Phase.SETTLED, step=0
        )
