"""How long there was no word of the manager, by the device's own clock. Pure.

Owned by `agent`. A manager is there while the broker holds us and says that it is online: no
message has to come for that. Silence goes on over a reboot: what was saved is read back,
and where the clock is set the time without power counts too. Entries say how much of it they bear.
"""

from __future__ import annotations

from proplet.effects import Now
from proplet.records import Silence

PARTS = 16
"""A budget is kept to so exactly over a reboot: word and silence are saved this often in it."""
LEAST = 60_000
"""Ms between two such writes at least: flash wears."""


class Autonomy:
    """See the module. stored: what was saved last, None where nothing ever was.

    there: whether the manager is.
    """

    def __init__(self, stored: Silence | None) -> None:
        self._stored = stored
        self.there = False
        self._since: int | None = None
        self._before = 0
        self._saved: int | None = None
        self._last = stored or Silence()

    def booted(self, now: Now) -> None:
        """Nothing is heard yet: silence goes on from where it was."""
        stored = self._stored
        self._since, self._before = now.mono, 0
        if stored is None:
            self._last = Silence(word=now.wall if now.synced else 0)
            return
        self._last, self._before = stored, stored.elapsed
        if stored.word and now.synced:
            self._before = max(self._before, now.wall - stored.word)

    def contact(self, there: bool, now: Now) -> None:
        """Whether the manager is there now."""
        if there == self.there:
            return
        self.there = there
        if there:
            self._since, self._before, self._saved = None, 0, None
        else:
            self._since = now.mono
            self._last = Silence(word=now.wall if now.synced else 0)
            self._saved = None

    def silence(self, now: Now) -> int:
        """Ms without a word of the manager."""
        return 0 if self._since is None else self._before + now.mono - self._since

    def save(self, budget: int | None, now: Now) -> Silence | None:
        """What must be saved now, if anything; budget: the least that an entry has, None: none."""
        if budget is None:
            return None
        if self._saved is not None and now.mono < self._saved + max(LEAST, budget // PARTS):
            return None
        self._saved = now.mono
        if self._since is None:
            self._last = Silence(word=now.wall if now.synced else 0)
            return self._last
        return Silence(word=self._last.word, elapsed=self.silence(now))

    def due(self, budget: int | None) -> int | None:
        """When there is something to save (monotonic ms)."""
        if budget is None or self._saved is None:
            return None
        return self._saved + max(LEAST, budget // PARTS)
