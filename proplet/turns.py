"""Which guests a report tells of, when it has no room for all of them. Pure.

Owned by `agent`. A report has room for so many named integers; the device's own come first, then
whole guests in turn, each report going on where the last one ended. What a guest tells of itself
(`g/1a2b3c4d/name`) takes turns likewise, a few names a report. So none is left out for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

MOST_NAMES = 64
"""Named integers in a report."""
MOST_OF_ONE = 8
"""Of one guest, what it tells of itself left out."""
MOST_TOLD = 4
"""Numbers a guest tells of itself, in one report."""

MOST_DROPPED = 32
"""Reasons of dropped messages that a report counts."""

Named = tuple[tuple[str, int], ...]


class Turns:
    """Remembers whose turn it was, and of each guest which name."""

    def __init__(self) -> None:
        self._last = ""
        self._names: dict[str, str] = {}

    def numbers(self, vitals: Named, dropped: Mapping[str, int]) -> Named:
        """What the next report says of what was measured, and of messages dropped by reason."""
        counts = tuple((f"dropped.{reason}", count) for reason, count in sorted(dropped.items()))
        own = tuple(one for one in vitals if "/" not in one[0])
        guests = tuple(one for one in vitals if "/" in one[0])
        return self.pick(own, guests, counts[:MOST_DROPPED])

    def pick(self, own: Named, guests: Named, dropped: Named) -> Named:
        """What the next report says. guests: names like `cpu/1a2b3c4d`, in any order."""
        told = (*own, *dropped)[:MOST_NAMES]
        room = MOST_NAMES - len(told)
        by_guest: dict[str, dict[str, int]] = {}
        for name, value in guests:
            by_guest.setdefault(name.split("/", 2)[1], {})[name] = value
        self._names = {mark: name for mark, name in self._names.items() if mark in by_guest}
        chosen: list[tuple[str, int]] = []
        for mark in _in_turn(by_guest, self._last):
            rows = by_guest[mark]
            base = sorted(name for name in rows if not name.startswith("g/"))[:MOST_OF_ONE]
            own_words = [name for name in rows if name.startswith("g/")]
            some = _in_turn(own_words, self._names.get(mark, ""))[:MOST_TOLD]
            if len(chosen) + len(base) + len(some) > room:
                break
            chosen += ((name, rows[name]) for name in (*base, *some))
            self._last = mark
            if some:
                self._names[mark] = some[-1]
        return (*told, *sorted(chosen))


def _in_turn(names: Iterable[str], last: str) -> list[str]:
    """Those after the one that was told last, then the others."""
    ordered = sorted(names)
    return [one for one in ordered if one > last] + [one for one in ordered if one <= last]
