"""The links of a chain, stories that are equal told once, and what is in the way.

Pure. `chain` makes the links an object has of its own, `copychain` those of each copy; here they
become one answer. A chain of what is not Ready always has something in the way: where no link says
so, the Ready condition itself is the last link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from propeller.model.conditions import moment

OK, WAITS, BROKEN = "ok", "waits", "broken"

NAMED = 10
"""Copies of one story that are named; the count covers all."""

STORIES = 20
"""Stories told, those in trouble first; of the rest the number is said."""


@dataclass(frozen=True, slots=True)
class Link:
    """One step. state: ok, waits (it may come by itself) or broken (it will not).

    at: when it was so first (Unix ms), 0 where nobody knows. do: what a person can do. rule: one
    CamelCase word for what allowed or blocked it, "" where there is none. Links of two copies are
    alike when all but their words, their times and what to do are equal; like says more.
    """

    name: str
    state: str
    words: str
    at: int = 0
    do: str = ""
    rule: str = ""
    like: str = ""

    def data(self) -> dict[str, Any]:
        """As JSON; what is empty is left out."""
        found: dict[str, Any] = {"name": self.name, "state": self.state, "words": self.words}
        if self.at > 0:
            found["at"] = moment(self.at)
        if self.rule:
            found["rule"] = self.rule
        if self.do:
            found["do"] = self.do
        return found

    @property
    def story(self) -> tuple[str, str, str, str]:
        """What two copies must share to be told as one."""
        return (self.name, self.state, self.rule, self.like)


Links = tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Copies with one story. names: the first of `count`, sorted; links: those of the first."""

    names: tuple[str, ...]
    count: int
    links: Links

    @property
    def state(self) -> str:
        """The worst of its links."""
        states = {link.state for link in self.links}
        return next((one for one in (BROKEN, WAITS) if one in states), OK)

    @property
    def title(self) -> str:
        """`gateway-1`, or `gateway-1, gateway-2 and 98 more`."""
        shown = ", ".join(self.names[:3])
        more = self.count - len(self.names[:3])
        return f"{shown} and {more} more" if more else shown

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "count": self.count,
            "names": list(self.names),
            "links": [link.data() for link in self.links],
        }


@dataclass(frozen=True, slots=True)
class Ready:
    """What the Ready condition says. status: True, False or Unknown."""

    status: str
    reason: str
    message: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class InTheWay:
    """The first link that does not hold. on: the copies it is about, "" for all."""

    link: Link
    on: str

    @property
    def words(self) -> str:
        """`device on gateway-2: offline, silent for 4m`."""
        on = f" on {self.on}" if self.on else ""
        return f"{self.link.name}{on}: {self.link.words}"


@dataclass(frozen=True, slots=True)
class Chain:
    """Links every copy shares, and those of each group of copies. untold: copies not shown.

    what: how a copy is called: `on gateway-1` for objects, the object itself for a proplet.
    """

    object: str
    ready: Ready
    links: Links
    groups: tuple[Group, ...] = ()
    untold: int = 0
    what: str = "on"

    @property
    def in_the_way(self) -> InTheWay | None:
        """The first link that does not hold; None only where the object is Ready."""
        for link in self.links:
            if link.state != OK and link.name != LAST:
                return InTheWay(link, "")
        for state in (BROKEN, WAITS):
            for group in self.groups:
                for link in group.links if group.state == state else ():
                    if link.state == state:
                        return InTheWay(link, group.title)
        return next((InTheWay(one, "") for one in self.links if one.name == LAST), None)

    def data(self) -> dict[str, Any]:
        """As JSON."""
        found = self.in_the_way
        return {
            "kind": "Why",
            "object": self.object,
            "ready": self.ready.status,
            "reason": self.ready.reason,
            "message": self.ready.message,
            "links": [link.data() for link in self.links],
            "groups": [group.data() for group in self.groups],
            "untold": self.untold,
            "blocked": found.words if found is not None else None,
            "do": (found.link.do or None) if found is not None else None,
        }


LAST = "ready"
"""The link of the Ready condition, where no other says why it does not hold."""


def closed(
    object_: str,
    ready: Ready,
    links: Iterable[Link],
    groups: tuple[Group, ...] = (),
    *,
    untold: int = 0,
    what: str = "on",
    do: str = "",
) -> Chain:
    """The chain of these links, with the Ready condition as the last one where they all hold."""
    found = Chain(object_, ready, tuple(links), groups, untold, what)
    if ready.status == "True" or found.in_the_way is not None:
        return found
    state = BROKEN if ready.status == "False" else WAITS
    told = ready.message or ready.reason or "not looked at yet"
    last = Link(LAST, state, told, at=ready.at, do=do, rule=ready.reason)
    return replace(found, links=(*found.links, last))


def grouped(
    copies: Mapping[str, Links], *, tell: Callable[[str], Links] | None = None
) -> tuple[tuple[Group, ...], int]:
    """Copies with equal stories as one group each, those in trouble first; and how many are left.

    tell: the links of one copy in full, for those that are shown.
    """
    stories: dict[tuple[tuple[str, str, str, str], ...], list[str]] = {}
    for name in sorted(copies):
        stories.setdefault(tuple(link.story for link in copies[name]), []).append(name)
    groups = [
        Group(tuple(names[:NAMED]), len(names), copies[names[0]]) for names in stories.values()
    ]
    order = {BROKEN: 0, WAITS: 1, OK: 2}
    groups.sort(key=lambda one: (order[one.state], -one.count, one.names))
    shown, rest = groups[:STORIES], groups[STORIES:]
    if tell is not None:
        shown = [replace(one, links=tell(one.names[0])) for one in shown]
    return tuple(shown), sum(one.count for one in rest)
