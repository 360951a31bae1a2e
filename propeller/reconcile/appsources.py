"""What is known of each source, and which Apps have one of their own.

Called by `specs`, which owns it, and by whoever follows sources (`readers`), which asks `wanted`.
A source that is bad or silent is said by its App; the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from propeller.model.binding import Binding, binding_of, binding_text
from propeller.model.ids import Uid
from propeller.model.revision import Revision
from propeller.model.specs import App
from propeller.plan.apps import TREE, apps_of, source_of
from propeller.plan.types import Blocked
from propeller.reconcile.sourcestory import SourceStory
from propeller.reconcile.world import World

_AWAIT = "await-apps"
_BINDING = "binding-plugins"


@dataclass(slots=True)
class Known:
    """One source. name, digest: of the revision accepted last. attempted: what was read last.

    trouble: why that is not the same, with its reason in one word; "" when nothing is wrong.
    """

    app: str
    name: str = ""
    digest: str = ""
    attempted: str = ""
    trouble: str = ""
    reason: str = ""


class Sources:
    """See the module. Owned by the loop; `wanted` may be read from other threads.

    binding: plugins of the tree that every App's source is asked about.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[str, Known] = {}
        self._wanted: Mapping[str, App] = {}
        self._apps: Mapping[str, App] = {}
        self.blocked: dict[Uid, Blocked] = {}
        self.story = SourceStory(world.store)
        self._awaiting = bool(world.store.meta(_AWAIT))
        name = world.store.meta("revision") or ""
        self.tree = self._known[TREE] = Known(
            TREE, name, world.store.meta("revision-digest") or "", name
        )
        self.binding = binding_of(world.store.meta(_BINDING) or "")
        self.follow()

    def every(self) -> Iterable[Known]:
        """All sources there are."""
        return self._known.values()

    def bind(self, binding: Binding) -> None:
        """The tree was accepted, with these plugins that bind the sources of Apps."""
        if binding != self.binding:
            self.binding = binding
            self._world.store.set_meta(_BINDING, binding_text(binding))

    def behind(self, app: str) -> str:
        """The App whose source the objects of `app` come from, "" for the tree."""
        return source_of(app, self._apps) if self._wanted else TREE

    def wanted(self) -> Mapping[str, App]:
        """The Apps with a source of their own, by name. A new mapping whenever one changes."""
        return self._wanted

    def of(self, app: str) -> Known:
        """What is known of the source of an App, of the tree for ""."""
        known = self._known.get(app)
        if known is None:
            stored = self._world.store.meta(_meta(app))
            name, digest = json.loads(stored) if stored else ("", "")
            known = self._known[app] = Known(app, name, digest, name)
        return known

    def await_all(self) -> None:
        """After a lost store: nothing may be planned before every App's source was read.

        Else what devices run for an App would be taken off them, because nobody wants it yet.
        """
        self._world.store.set_meta(_AWAIT, "yes")
        self._awaiting = True

    def await_none(self) -> None:
        """All were read, or a person said to go on."""
        if self._awaiting:
            self._world.store.set_meta(_AWAIT, "")
            self._awaiting = False

    @property
    def missing(self) -> list[str]:
        """The Apps that are still waited for after a lost store."""
        if not self._awaiting:
            return []
        return sorted(name for name in self._wanted if not self.of(name).name)

    def follow(self) -> None:
        """Apps may have come, gone, or moved to another source."""
        apps = self._apps = apps_of(self._world.objects.values())
        wanted = {name: app for name, app in apps.items() if app.address}
        if wanted == self._wanted:
            return
        self.story.keep(wanted)
        for name in self._known.keys() - wanted.keys() - {TREE}:
            del self._known[name]
            self._world.store.set_meta(_meta(name), "")
        before, self._wanted = self._wanted, wanted
        self.blocked = {}
        for name, app in wanted.items():
            known = self.of(name)
            if name in before and before[name].address != app.address:
                known.trouble = known.reason = ""
            self._tell(known)

    def good(self, known: Known, revision: Revision, source: str, now: int) -> None:
        """A revision was accepted."""
        store = self._world.store
        known.attempted, known.trouble, known.reason = revision.name, "", ""
        if (known.name, known.digest) != (revision.name, revision.digest):
            known.name, known.digest = revision.name, revision.digest
            if known.app:
                store.set_meta(_meta(known.app), json.dumps([known.name, known.digest]))
            else:
                store.set_meta("revision", known.name)
                store.set_meta("revision-digest", known.digest)
        if self._awaiting and known.app and not self.missing:
            self.await_none()
        if not known.app and store.meta("revision-source") != source:
            store.set_meta("revision-source", source)
        self.story.good(known.app, revision, source, now)
        self._tell(known)

    def bad(
        self, known: Known, reason: str, trouble: str, *, now: int, attempted: str = ""
    ) -> bool:
        """It could not be taken, or not be read. Returns whether that is news."""
        known.attempted = attempted or known.attempted
        if known.trouble == trouble:
            return False
        known.trouble, known.reason = trouble, reason
        self.story.bad(known.app, reason, trouble, attempted, now)
        self._tell(known)
        return True

    def _tell(self, known: Known) -> None:
        app = self._wanted.get(known.app)
        if app is None:
            return
        uid, key = app.meta.uid, app.meta.key
        before = self.blocked.pop(uid, None)
        if known.trouble:
            first, *more = known.trouble.split("\n")
            told = f"{first} (and {len(more)} more)" if more else first
            self.blocked[uid] = Blocked(uid=uid, key=key, reason=known.reason, message=told)
        elif not known.name:
            message = f"{app.address} has not been read yet"
            self.blocked[uid] = Blocked(
                uid=uid, key=key, reason="SourceUnavailable", message=message
            )
        if self.blocked.get(uid) != before:
            self._world.touched.statuses.add(uid)


def _meta(app: str) -> str:
    return f"revision-of:{app}"
