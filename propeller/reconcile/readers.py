"""A reader for each App with a source of its own, started and stopped as Apps come and go.

Owned by `service`, which calls `follow` after every turn. Opening a source, waiting for it and
reading it happen in the reader's threads; what came of it is posted to the loop. A reader that was
replaced says nothing any more.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from propeller.errors import Unavailable, UsageError
from propeller.model.ids import Digest
from propeller.model.specs import App, Missed, Overlap, Schedule
from propeller.plan.schedule import next_slot
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.sourcing import RECHECK, SourceReader
from propeller.sources.images import NOWHERE, Images
from propeller.sources.open import Source
from propeller.sources.plugins import FREE, Bound
from propeller.sources.tree import Tree

SHORTEST = 1.0
"""Seconds between two looks at least."""

Outcome = SpecsTaken | SpecsRefused | SourceSilent


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What readers need. open: the source an address means; raises UsageError. images: who has
    modules of plugins."""

    open: Callable[[str], Source]
    domain: str
    keep: Callable[[bytes], Digest]
    post: Callable[[Outcome], None]
    clock: Callable[[], int]
    rng: random.Random
    images: Images = NOWHERE


class LateSource:
    """A source that is opened when it is first asked: what an App names may come later.

    Until then it is Unavailable, with what is wrong with the address.
    """

    def __init__(self, address: str, opener: Callable[[str], Source]) -> None:
        self.name = address
        self._opener = opener
        self._from: str | None = None
        self._source: Source | None = None

    def _opened(self) -> Source:
        if self._source is None:
            try:
                source = self._opener(self.name)
            except UsageError as error:
                raise Unavailable(error.what, hint=error.hint) from error
            if self._from is not None:
                source.trusted_from(self._from)
            self._source = source
        return self._source

    def head(self) -> str:
        return self._opened().head()

    def read(self, head: str | None = None) -> Tree:
        return self._opened().read(head)

    def accepted(self, tree: Tree) -> None:
        self._opened().accepted(tree)

    def trusted_from(self, revision: str) -> None:
        self._from = revision

    def watch(self, on_change: Callable[[], None], stop: threading.Event) -> None:
        self._opened().watch(on_change, stop)


class AppReaders:
    """See the module. One thread at a time."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._seen: Mapping[str, App] = {}
        self._bound = FREE
        self._readers: dict[str, tuple[object, SourceReader]] = {}

    def follow(
        self, wanted: Mapping[str, App], revision: Callable[[str], str], bound: Bound = FREE
    ) -> None:
        """Read what is wanted now and nothing else.

        wanted: Apps by name, the same mapping while none changed. revision: of an App, the one
        accepted last. bound: plugins of the tree that are asked about all of them.
        """
        if wanted is self._seen and bound.binding == self._bound.binding:
            return
        self._seen, self._bound = wanted, bound
        for name in [name for name in self._readers if name not in wanted]:
            self._readers.pop(name)[1].halt()
        for name, app in sorted(wanted.items()):
            what = (bound.binding.name, _what(app))
            before = self._readers.get(name)
            if before is not None and before[0] == what:
                continue
            if before is not None:
                self._readers.pop(name)[1].halt()
            reader = self._reader(app, revision(name))
            self._readers[name] = (what, reader)
            reader.start()

    def _reader(self, app: App, revision: str) -> SourceReader:
        name = app.meta.key.name
        library = self._library
        source = LateSource(app.address, library.open)
        source.trusted_from(revision)

        def post(outcome: Outcome) -> None:
            current = self._readers.get(name)
            if current is not None and current[1] is reader:
                library.post(outcome)

        def pause() -> float:
            return pause_of(app, library.clock(), library.rng.uniform(-1.0, 1.0))

        reader = SourceReader(
            source,
            domain=library.domain,
            keep=library.keep,
            post=post,
            app=app,
            pause=pause if app.cron or app.interval is not None else None,
            images=library.images,
            bound=self._bound,
        )
        return reader

    def look(self, *, again: bool = False) -> None:
        """Look at every source now. `again`: post what is there even where the head is known."""
        for _, reader in list(self._readers.values()):
            reader.look(again=again)

    def stop(self) -> None:
        """Stop all of them, and wait a little for their threads."""
        readers, self._readers = self._readers, {}
        for _, reader in readers.values():
            reader.halt()
        for _, reader in readers.values():
            reader.stop()


def pause_of(app: App, now: int, chance: float) -> float:
    """Seconds until the next look at the App's source. now: Unix ms. chance: from -1 to 1."""
    if app.cron:
        schedule = Schedule(
            cron=app.cron,
            time_zone=app.time_zone,
            missed=Missed.SKIP,
            overlap=Overlap.FORBID,
            starting_deadline=0,
        )
        slot = next_slot(schedule, now)
        return RECHECK if slot is None else max(SHORTEST, (slot - now) / 1000)
    if app.interval is None:
        return RECHECK
    return max(SHORTEST, app.interval / 1000 * (1 + chance * app.jitter / 100))


def _what(app: App) -> object:
    """What a reader is made for: another one is needed when this changes."""
    return (
        app.address,
        app.namespace,
        app.prune,
        app.ceilings,
        app.interval,
        app.jitter,
        app.cron,
        app.time_zone,
    )
