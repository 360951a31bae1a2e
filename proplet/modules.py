"""What is known of the bytes that runs need: on disk, asked for, or given up for now. Pure.

Called by `runs` for every entry: its module, and in a round of federated learning the model and the
layout it starts from and what its peers say. A fetch that was given up is tried again when the
list changes, a manager comes online, or in a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from propeller.wire.messages import BlobRef, Entry
from proplet.effects import Effect, Fetch, Now, Purpose

FETCH_AGAIN, FETCH_CAP = 60_000, 3_600_000
"""Ms until a module that was given up is asked for again: doubling, capped."""


MODELS = 2
"""So many models of rounds that were started stay on disk, whatever else needs room."""


@dataclass(slots=True)
class Blob:
    """A module, model or layout. `failed`: words, once it was given up.

    tries: how often it was. due: monotonic ms to ask again, None while it is asked for.
    """

    present: bool = False
    failed: str = ""
    tries: int = 0
    due: int | None = None


def inputs(entry: Entry) -> tuple[BlobRef, ...]:
    """What a run needs on disk besides its module: its models, and in a round the model first."""
    files = tuple(model.blob for model in entry.models)
    if entry.fl is None:
        return files
    fl, secure = entry.fl, entry.fl.secure
    refs = (fl.model, fl.layout, fl.control, None if secure is None else secure.blob)
    return (*files, *(ref for ref in refs if ref is not None))


class Modules:
    """See the module; by digest."""

    def __init__(self) -> None:
        self._blobs: dict[str, Blob] = {}
        self._models: tuple[str, ...] = ()

    def want(self, entry: Entry, now: Now, emit: Callable[[Effect], None]) -> Blob:
        """How it stands with all the entry needs; what is missing is asked for if that is due.

        The answer is that of the first one that is missing, else that of the module.
        """
        blobs = [self._ask(entry.module.digest, entry.module.size, entry.module.image, now, emit)]
        model, image = (None, None) if entry.fl is None else (entry.fl.model, entry.fl.image)
        blobs += [
            self._ask(ref.digest, ref.size, image if ref is model else None, now, emit)
            for ref in inputs(entry)
        ]
        return next((blob for blob in blobs if not blob.present), blobs[0])

    def _ask(
        self, digest: str, size: int, image: str | None, now: Now, emit: Callable[[Effect], None]
    ) -> Blob:
        blob = self._blobs.get(digest)
        if blob is None or (blob.due is not None and now.mono >= blob.due):
            if blob is None:
                blob = self._blobs[digest] = Blob()
            blob.due = None
            emit(Fetch(digest, size, Purpose.MODULE, image))
        return blob

    @staticmethod
    def _all(entry: Entry) -> tuple[str, ...]:
        return entry.module.digest, *(ref.digest for ref in inputs(entry))

    def started(self, entry: Entry) -> None:
        """Its model is the newest now."""
        if entry.fl is not None and entry.fl.model is not None:
            newest = entry.fl.model.digest
            others = (each for each in self._models if each != newest)
            self._models = (*others, newest)[-MODELS:]

    def needed(self, entries: Iterable[Entry]) -> frozenset[str]:
        """What must stay on disk: all that these entries need, and the last models."""
        return frozenset(each for entry in entries for each in self._all(entry)).union(self._models)

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
