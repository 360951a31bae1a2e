"""Modules of plugins that are in registries, for verbs that read a tree without a reconciler.

Nothing is asked before a tree names one; what came is kept for the time of the verb.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from propeller.cli.settings import Fleet
    from propeller.model.signing import Rule
    from propeller.model.specs import ModuleRef
    from propeller.sources.images import Absent, Pulled
    from propeller.state.layout import StateDir


class OfRegistries:
    """Implements `sources.images.Images`. fleet: the configuration, read when something is asked
    for. rules: those in it, from then on."""

    def __init__(self, fleet: Callable[[], Fleet], state: StateDir) -> None:
        self._fleet = fleet
        self._state = state
        self._known: dict[ModuleRef, Pulled] = {}
        self.rules: tuple[Rule, ...] = ()

    def fetch(self, refs: Sequence[ModuleRef]) -> Mapping[ModuleRef, Pulled | Absent]:
        """See `Images`. Raises UsageError for a configuration that cannot be used."""
        from propeller.cli.modulepolicies import signing_of
        from propeller.cli.settings import registries_of
        from propeller.model.module import Module
        from propeller.registry.blobs import BlobStore
        from propeller.registry.resolve import resolve
        from propeller.sources.images import Absent, Pulled

        fleet = self._fleet()
        self.rules, keys = signing_of(fleet)
        found: dict[ModuleRef, Pulled | Absent] = {
            ref: self._known[ref] for ref in refs if ref in self._known
        }
        with (
            tempfile.TemporaryDirectory(prefix="propeller-") as folder,
            registries_of(fleet, self._state) as registries,
        ):
            blobs = BlobStore(Path(folder))
            for ref in refs:
                if ref in found:
                    continue
                told = resolve(ref, registries=registries, blobs=blobs, keys=keys)
                if isinstance(told, Module):
                    found[ref] = self._known[ref] = Pulled(told, blobs.read(told.digest))
                else:
                    found[ref] = Absent(told.message, again=told.retry)
        return found

    def forget(self, ref: ModuleRef) -> None:
        """See `Images`."""
        self._known.pop(ref, None)
