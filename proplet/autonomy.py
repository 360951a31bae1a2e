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
        self._elapsed = 0
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
            self._elapsed = 0
        else:
            self._since = now.mono
            self._last = Silence(word=now.wall if now.synced else 0)
            self._saved = None

    def silence(self, now: Now) -> int:
        """Ms without a word of the manager."""
        return 0 if self._since is None else self._before + now.mono - self._since

    def save(self, budgets: tuple[int, int] | None, now: Now) -> Silence | None:
        """What must be saved now, if anything. budgets: the least and the greatest that an entry
        has, None: none has. Nothing once the greatest is spent."""
        at = self.due(budgets)
        if budgets is None or (self._saved is not None and (at is None or now.mono < at)):
            return None
        self._saved = now.mono
        if self._since is None:
            self._last = Silence(word=now.wall if now.synced else 0)
            return self._last
        self._elapsed = self.silence(now)
        return Silence(word=self._last.word, elapsed=self._elapsed)

    def due(self, budgets: tuple[int, int] | None) -> int | None:
        """When there is something to save (monotonic ms)."""
        if budgets is None or self._saved is None:
            return None
        least, greatest = budgets
        if self._since is not None and self._elapsed >= greatest:
            return None
        return self._saved + max(LEAST, least // PARTS)
