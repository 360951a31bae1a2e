"""What is known of modules' bytes: on disk, asked for, or given up for now. Pure.

Called by `runs` for every entry that needs one. A fetch that was given up is tried again when the
list changes, a manager comes online, or in a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from propeller.wire.messages import Entry
from proplet.effects import Effect, Fetch, Now, Purpose

FETCH_AGAIN, FETCH_CAP = 60_000, 3_600_000
"""Ms until a module that was given up is asked for again: doubling, capped."""


@dataclass(slots=True)
class Blob:
    """One module. `failed`: words, once it was given up.

    tries: how often it was. due: monotonic ms to ask again, None while it is asked for.
    """

    present: bool = False
    failed: str = ""
    tries: int = 0
    due: int | None = None


class Modules:
    """See the module; by digest."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}

    def want(self, entry: Entry, now: Now, emit: Callable[[Effect], None]) -> Blob:
        """How it stands with the entry's module, which is asked for if that is due."""
        module = entry.module
        blob = self._blobs.get(module.digest)
        if blob is None or (blob.due is not None and now.mono >= blob.due):
            if blob is None:
                blob = self._blobs[module.digest] = Blob()
            blob.due = None
            emit(Fetch(module.digest, module.size, Purpose.MODULE, module.image))
        return blob

    def fetched(self, digest: str) -> None:
        """It is on disk, verified."""
        self._blobs[digest] = Blob(present=True)

    def gave_up(self, digest: str, words: str, now: Now) -> None:
        """It could not be had, and why."""
        known = self._blobs.get(digest)
        tries = known.tries + 1 if known is not None else 1
        self._blobs[digest] = Blob(
            failed=f"ArtifactFetchFailed: {words}",
            tries=tries,
            due=now.mono + min(FETCH_CAP, FETCH_AGAIN << min(tries - 1, 20)),
        )

    def retry(self) -> None:
        """Forget which fetches were given up."""
        for digest in [digest for digest, blob in self._blobs.items() if blob.failed]:
            del self._blobs[digest]

    def keep_only(self, used: frozenset[str]) -> None:
        """Others may be evicted from now on, so they are asked for anew."""
        for digest in [digest for digest in self._blobs if digest not in used]:
            del self._blobs[digest]

    def due(self) -> int | None:
        """When one is asked for again (monotonic ms)."""
        return min(
            (blob.due for blob in self._blobs.values() if blob.due is not None), default=None
        )
