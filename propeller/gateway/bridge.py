"""The reconciler process as the API sees it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from propeller.errors import UsageError
from propeller.model.revision import Revision
from propeller.reconcile.events import Event, SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.service import Service
from propeller.reconcile.sourcing import read_once
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.open import open_source
from propeller.sources.tree import Tree


class Bridge:
    """Implements `api.Loop` over a Service. Called from the API's threads."""

    def __init__(self, service: Service, *, domain: str, cache: Path) -> None:
        self._service = service
        self._domain = domain
        self._cache = cache

    def post(self, event: Event) -> None:
        """Hand over to the loop."""
        self._service.inbox.put(event)

    def look(self) -> None:
        """Look at the source now."""
        self._service.look()

    def apply(
        self, path: str, expect: str = "", overlay: str = ""
    ) -> SpecsTaken | SpecsRefused | SourceSilent:
        """Read `path` as the source; when it is good, follow it from now on.

        expect: the digest of the plan that was approved; raises Conflict when that has moved.
        """
        source = open_source(
            path, cache=self._cache, exclude=(self._cache.parent,), overlay=overlay
        )
        outcome = read_once(
            source,
            domain=self._domain,
            keep=self._service.blobs.put,
            images=self._service.plugin_images,
        )
        if isinstance(outcome, SpecsTaken):
            if expect:
                self._service.offer(outcome, expect)
            self._service.follow(source, known=outcome)
        return outcome

    def load(self, files: Mapping[str, bytes]) -> Revision:
        """Load a small tree that came with a request: plugins that bind Apps are asked about it.

        Raises SpecError, and Unavailable where one of them has to answer and was late.
        """
        tree = Tree(name="run", files=dict(files))
        return load(
            tree,
            domain=self._domain,
            keep=self._service.blobs.put,
            inspect=inspect,
            bound=self._service.bound(),
        )

    def keep(self, data: bytes) -> str:
        """Keep bytes; their digest."""
        return self._service.blobs.put(data)

    def kept(self, digest: str) -> bytes:
        """Bytes that were kept. Raises UsageError where there are none."""
        if not self._service.blobs.has(digest):
            raise UsageError(f"no blob {digest}")
        return self._service.blobs.read(digest)

    def health(self) -> Mapping[str, object]:
        """Numbers about the process."""
        reconciler = self._service.reconciler
        return {
            "fence": reconciler.fence,
            "revision": reconciler.specs.revision_name,
            "attempted": reconciler.specs.attempted_name,
            "trouble": reconciler.specs.trouble,
            "heard": reconciler.fleet.heard,
            "hold": reconciler.fleet.hold,
            "fencedOut": reconciler.fleet.fenced_out,
            "brokerConnected": reconciler.fleet.connected_now,
            "plans": reconciler.plans,
            "inboxDropped": self._service.inbox.dropped,
            "dropped": {
                **reconciler.fleet.hearing.dropped,
                **reconciler.world.history.refused,
            },
        }
