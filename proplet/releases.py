"""Which modules may be started at all: the newest release list, and what was held before it ended.

Pure. Called by `agent` with every list and before any module is fetched, looked into or started.
Where the trust document gives no key the role `release`, everything may. A manager only chooses
among what is listed: the key that signs lists is kept offline.
"""

from __future__ import annotations

from collections.abc import Iterable

from propeller.errors import WireError
from propeller.wire.messages import Releases as ReleaseList
from proplet.effects import SaveReleases
from proplet.seals import Seals

NOT_RELEASED = "NotReleased"


class Releases:
    """See the module. `held`: digests of modules that stood in an accepted document by a good list.

    They may be started again after their list ended, as long as it names them.
    """

    def __init__(self, frame: bytes | None, held: tuple[str, ...] | None) -> None:
        self._frame = frame or b""
        self._list: ReleaseList | None = None
        self._names: frozenset[str] = frozenset()
        self._held = frozenset(held or ())
        self.required = False

    @property
    def version(self) -> int:
        """Of the list that counts, 0 where none does."""
        return 0 if self._list is None else self._list.version

    def trusted_anew(self, seals: Seals) -> None:
        """The keys that are believed have changed: a list by another key counts no longer."""
        self.required = seals.releasing
        self._list, self._names = None, frozenset()
        if not self._frame:
            return
        try:
            self._take(seals.releases(self._frame))
        except WireError:
            return  # its version counts no longer either: that is how a stolen key is replaced

    def hear(self, frame: bytes, seals: Seals) -> SaveReleases | None:
        """Take a list that is newer. Raises WireError, `stale` or `other_digest` among others."""
        fresh = seals.releases(frame)
        if fresh.version < self.version:
            raise WireError("stale", f"release list {fresh.version}, {self.version} is held")
        if self._list is not None and fresh.version == self._list.version:
            if fresh != self._list:
                raise WireError("other_digest", f"another release list {fresh.version}")
            return None
        self._take(fresh)
        self._frame = frame
        return self._saved()

    def hold(self, digests: Iterable[str], time: int) -> SaveReleases | None:
        """These stand in the accepted document now. time: Unix ms as far as is known."""
        if not self.required:
            return None
        ended = self._ended(time)
        held = frozenset(
            each for each in digests if each in self._held or (each in self._names and not ended)
        )
        if held == self._held:
            return None
        self._held = held
        return self._saved()

    def why_not(self, digest: str, time: int) -> str:
        """Why a module may not be started, in words; "" where it may."""
        if not self.required:
            return ""
        if self._list is None:
            return f"{NOT_RELEASED}: no release list has come that this fleet's keys signed"
        if digest not in self._names:
            return f"{NOT_RELEASED}: release list {self.version} does not name {digest}"
        if self._ended(time) and digest not in self._held:
            return f"{NOT_RELEASED}: release list {self.version} has ended, and {digest} is new"
        return ""

    def _ended(self, time: int) -> bool:
        end = None if self._list is None else self._list.not_after
        return end is not None and time > end

    def _take(self, fresh: ReleaseList) -> None:
        self._list, self._names = fresh, frozenset(fresh.modules)

    def _saved(self) -> SaveReleases:
        return SaveReleases(self._frame, tuple(sorted(self._held)))
