"""Modules of plugins that are in registries: pulled by the workers that pull every other module.

Called by whoever reads a source, from its own thread and never from the loop. A reader waits a
bounded time; a pull that takes longer goes on, and the reader asks again at its next look. What
came of it is kept by reference, which says a digest, so it means the same for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from propeller.model.ids import Digest
from propeller.model.module import Module, Resolved
from propeller.model.signing import Rule
from propeller.model.specs import ModuleRef
from propeller.sources.images import Absent, Pulled

PATIENCE = 10.0
"""Seconds that one look at a source waits for all modules of its plugins."""

MOST = 1_000
"""Modules that are remembered; the oldest go first."""


class PluginImages:
    """See the module. Implements `sources.images.Images`.

    resolve: bring a module into the blob store (`registry.resolve`); blocks. read: bytes of a blob;
    raises OSError. submit: run this in a worker; raises RuntimeError once workers are stopped.
    """

    def __init__(
        self,
        resolve: Callable[[ModuleRef], Resolved],
        read: Callable[[Digest], bytes],
        submit: Callable[[Callable[[], None]], object],
        *,
        rules: tuple[Rule, ...] = (),
        patience: float = PATIENCE,
    ) -> None:
        self.rules = rules
        self._resolve = resolve
        self._read = read
        self._submit = submit
        self._patience = patience
        self._moved = threading.Condition()
        self._under_way: set[ModuleRef] = set()
        self._known: dict[ModuleRef, Module] = {}
        self._failed: dict[ModuleRef, Absent] = {}

    def fetch(self, refs: Sequence[ModuleRef]) -> Mapping[ModuleRef, Pulled | Absent]:
        """See `Images`."""
        ends = time.monotonic() + self._patience
        here = {ref: one for ref in refs if (one := self._here(ref)) is not None}
        with self._moved:
            for ref in refs:
                if ref not in here and ref not in self._under_way:
                    self._begin(ref)
            self._moved.wait_for(
                lambda: not self._under_way.intersection(refs), ends - time.monotonic()
            )
        return {ref: here.get(ref) or self._now(ref) for ref in refs}

    def forget(self, ref: ModuleRef) -> None:
        """See `Images`."""
        with self._moved:
            self._known.pop(ref, None)

    def _begin(self, ref: ModuleRef) -> None:
        self._failed.pop(ref, None)
        self._known.pop(ref, None)  # its bytes were collected
        try:
            self._submit(lambda: self._pull(ref))
        except RuntimeError:
            self._failed[ref] = Absent(f"{ref}: not pulled, the process is ending", again=True)
        else:
            self._under_way.add(ref)

    def _pull(self, ref: ModuleRef) -> None:
        found: Resolved | None = None
        try:
            found = self._resolve(ref)
        finally:
            with self._moved:
                self._under_way.discard(ref)
                if isinstance(found, Module):
                    self._known[ref] = found
                    while len(self._known) > MOST:
                        del self._known[next(iter(self._known))]
                elif found is not None:
                    self._failed[ref] = Absent(found.message, again=found.retry)
                self._moved.notify_all()

    def _now(self, ref: ModuleRef) -> Pulled | Absent:
        """What became of it by the end of our patience."""
        here = self._here(ref)
        if here is not None:
            return here
        with self._moved:
            waits = Absent(
                f"{ref} is not here after {self._patience:g} s and is still pulled", again=True
            )
            return waits if ref in self._under_way else self._failed.pop(ref, waits)

    def _here(self, ref: ModuleRef) -> Pulled | None:
        with self._moved:
            module = self._known.get(ref)
        if module is None:
            return None
        try:
            return Pulled(module, self._read(module.digest))
        except OSError:  # collected: only what scores proplets is in use after a revision was read
            return None
