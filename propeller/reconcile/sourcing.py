"""Reading the source beside the loop: one thread that watches, one that reads.

Both only ever mean "look again": the watcher sets a flag, the reader asks the source for its head
and, when that moved, reads it whole and posts what came of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from propeller.errors import SpecError, Unavailable
from propeller.model.ids import Digest
from propeller.model.specs import App, Prune
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.registry.wasm import inspect
from propeller.sources.apps import IMPLICIT, Claim
from propeller.sources.images import NOWHERE, Images
from propeller.sources.load import Cache, load
from propeller.sources.open import Source
from propeller.sources.plugins import FREE, Bound
from propeller.sources.trust import Distrusted

RECHECK = 60.0
"""Seconds after which the head is asked for though nobody said it moved."""

RETRY = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts while the source does not answer."""

Post = Callable[[SpecsTaken | SpecsRefused | SourceSilent], None]


def read_once(
    source: Source,
    *,
    domain: str,
    keep: Callable[[bytes], Digest],
    head: str | None = None,
    cache: Cache | None = None,
    app: App | None = None,
    images: Images = NOWHERE,
    bound: Bound = FREE,
) -> SpecsTaken | SpecsRefused | SourceSilent:
    """One look at the source, whole or not at all. Never raises for what a source can be.

    app: whose own source it is, None for the tree that is followed. images: who has modules of
    plugins. bound: who binds it besides its own plugins.
    """
    owner, name = (owner_of(app), app.meta.key.name) if app is not None else (IMPLICIT, "")
    try:
        tree = source.read(head)
        revision = load(
            tree,
            domain=domain,
            keep=keep,
            inspect=inspect,
            cache=cache,
            owner=owner,
            images=images,
            bound=bound,
        )
        source.accepted(tree)
    except Distrusted as error:
        return SpecsRefused(source.name, head or "", error.faults, again=True, app=name)
    except SpecError as error:
        return SpecsRefused(source.name, head or "", error.faults, app=name)
    except Unavailable as error:
        return SourceSilent(source.name, str(error), app=name)
    return SpecsTaken(revision, source.name, app=name, bound=bound.binding.name)


def owner_of(app: App) -> Claim:
    """The App as the owner of all files of its source that no App in there claims."""
    keeps = app.prune is Prune.NEVER
    return Claim(app.meta.key.name, "", 0, ".", app.namespace, keeps, app.ceilings)


class SourceReader:
    """Follows one source until stopped.

    app: whose own source it is. pause: seconds until the next look, asked after each; the source is
    not watched then.
    """

    def __init__(
        self,
        source: Source,
        *,
        domain: str,
        keep: Callable[[bytes], Digest],
        post: Post,
        app: App | None = None,
        pause: Callable[[], float] | None = None,
        images: Images = NOWHERE,
        bound: Bound = FREE,
    ) -> None:
        self._source = source
        self._app = app
        self._pause = pause
        self._images = images
        self._bound = bound
        self._name = app.meta.key.name if app is not None else ""
        self._domain = domain
        self._keep = keep
        self._post = post
        self._look = threading.Event()
        self._stop = threading.Event()
        self._again = False
        self._cache = Cache()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to follow."""
        jobs = [("specs-read", self._read)]
        if self._pause is None:
            jobs.insert(0, ("specs-watch", self._watch))
        for name, work in jobs:
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def look(self, *, again: bool = False) -> None:
        """Look now. `again`: post what is there even when the head did not move."""
        self._again = self._again or again
        self._look.set()

    def halt(self) -> None:
        """Stop, and wait for nothing."""
        self._stop.set()
        self._look.set()

    def stop(self) -> None:
        """Stop and wait a little for the threads."""
        self.halt()
        for thread in self._threads:
            thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self._source.watch(self._look.set, self._stop)
            except Unavailable:
                self._look.set()  # the reader says what is wrong
            self._stop.wait(RETRY[0])

    def _read(self) -> None:
        head: str | None = None
        failures = 0
        while not self._stop.is_set():
            self._look.clear()
            if self._again:
                self._again, head = False, None
            head, failures = self._one(head, failures)
            self._look.wait(self._wait(failures))

    def _wait(self, failures: int) -> float:
        if failures:
            return RETRY[min(failures - 1, len(RETRY) - 1)]
        return RECHECK if self._pause is None else self._pause()

    def _one(self, known: str | None, failures: int) -> tuple[str | None, int]:
        try:
            head = self._source.head()
        except Unavailable as error:
            self._post(SourceSilent(self._source.name, str(error), app=self._name))
            return known, failures + 1
        if head == known and not failures:
            return known, 0
        began = time.monotonic()
        outcome = read_once(
            self._source,
            domain=self._domain,
            keep=self._keep,
            head=head,
            cache=self._cache,
            app=self._app,
            images=self._images,
            bound=self._bound,
        )
        if isinstance(outcome, SpecsTaken):
            outcome = replace(outcome, took=int((time.monotonic() - began) * 1000))
        self._post(outcome)
        if isinstance(outcome, SourceSilent):
            return known, failures + 1
        if isinstance(outcome, SpecsTaken) and outcome.revision.absent:
            return None, failures + 1  # a plugin that may come later: it is asked when it is here
        if isinstance(outcome, SpecsRefused) and outcome.again:
            return None, 0  # so that the way back to the last good head is news as well
        return head, 0
