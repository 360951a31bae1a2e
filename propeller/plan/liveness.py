"""Who has fallen silent, and whether it is they or we.

Called by the loop whenever `Verdict.due` has come or a will has arrived; a report only moves a
deadline later and needs no call. Silence accrues only while the manager's own self-addressed echo
works, and every deadline begins anew when it works again (protocol rule h). A proplet that is
heard is Online at once; that is noted where it is heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from propeller.model.ids import PropletId
from propeller.model.seen import Presence, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long silence is borne (ms).

    will: from a proplet's last will to offline. heartbeats: how many may be missed. echo: how old
    the manager's own last echo may be. window: offline this close together is falling silent
    together. fleet: with fewer proplets than this, nothing is a fleet falling silent. site: the
    same for a site. sites: labels whose values are sites.
    """

    will: int = 30_000
    heartbeats: int = 3
    echo: int = 35_000
    window: int = 60_000
    fleet: int = 5
    site: int = 3
    sites: tuple[str, ...] = ("site", "zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The manager's own way to itself through the broker (Unix ms).

    since: the echo works from here on, None while it does not. last: the last one heard.
    """

    since: int | None = None
    last: int = 0

    def heard(self, now: int, patience: Patience = Patience()) -> Path:
        """An echo came back. After a gap, silence begins to count anew."""
        gap = self.since is None or now - self.last > patience.echo
        return Path(since=now if gap else self.since, last=now)

    def reconnected(self, now: int) -> Path:
        """A new connection: nothing counts until its first echo."""
        return Path(since=None, last=now)

    def lost(self, now: int) -> Path:
        """No connection: nothing counts."""
        return Path(since=None, last=now)

    def works_since(self, now: int, patience: Patience = Patience()) -> int | None:
        """From when silence counts, None while it does not."""
        return None if self.since is None or now - self.last > patience.echo else self.since


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What silence means now.

    changes: the new presence and `offline_since` of proplets that fell silent. fleet_silent: more
    than a fifth fell silent together, so nothing is moved. together: how many, of how many.
    sites: of which more than half fell silent together (`site=north`), how many, of how many; held:
    proplets of such a site that are silent, by that name: what they have is moved nowhere.
    due: when silence may mean more (Unix ms), None while nobody's does.
    """

    changes: Mapping[PropletId, tuple[Presence, int | None]] = field(default_factory=dict)
    fleet_silent: bool = False
    together: tuple[int, int] = (0, 0)
    sites: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    held: Mapping[PropletId, str] = field(default_factory=dict)
    due: int | None = None


def judge(
    proplets: Mapping[PropletId, Seen],
    path: Path,
    *,
    now: int,
    patience: Patience = Patience(),
    confirmed: int = 0,
) -> Verdict:
    """Judge the silence of every proplet.

    confirmed: an operator knows of what fell silent up to then (Unix ms); it holds up nothing.
    """
    since = path.works_since(now, patience)
    changes: dict[PropletId, tuple[Presence, int | None]] = {}
    due: int | None = None
    if since is not None:
        online = Presence.ONLINE
        for proplet, seen in proplets.items():
            if seen.presence is not online:
                continue
            limit = offline_at(seen, since, patience)
            if limit <= now:
                changes[proplet] = (Presence.OFFLINE, _silent_from(seen))
            elif due is None or limit < due:
                due = limit
    together = _together(proplets.values(), changes, patience, confirmed)
    sites, held = _sites(proplets, changes, patience, confirmed)
    return Verdict(
        changes=dict(sorted(changes.items())),
        fleet_silent=together[0] * 5 > together[1],
        together=together,
        sites=sites,
        held=held,
        due=due,
    )


def offline_at(seen: Seen, since: int, patience: Patience = Patience()) -> int:
    """When an online proplet counts as offline if nothing is heard of it until then (Unix ms).

    One that sleeps does when it is late: past its wake interval and the heartbeats it may miss.
    """
    limit = max(seen.last_heard, since) + patience.heartbeats * seen.heartbeat
    if seen.wake:
        return limit + seen.wake  # asleep it says nothing, and its connection may end
    if seen.will_at is not None:
        limit = min(limit, max(seen.will_at, since) + patience.will)
    return limit


def _silent_from(seen: Seen) -> int:
    """Its silence began with its will, else with the last word heard of it."""
    return seen.will_at if seen.will_at is not None else seen.last_heard


def _together(
    proplets: Iterable[Seen],
    changes: Mapping[PropletId, tuple[Presence, int | None]],
    patience: Patience,
    confirmed: int,
) -> tuple[int, int]:
    """The worst window: how many are offline that fell silent in it, of how many there were.

    (0, those online) where fewer were there than make a fleet. Looks at what is so, not at what
    happened: it holds while they stay away and ends when enough are back.
    """
    online = 0
    starts = []
    for seen in proplets:
        change = changes.get(seen.id)
        if change is not None:
            starts.append(change[1] or 0)
        elif seen.presence is Presence.ONLINE:
            online += 1
        elif seen.presence is Presence.OFFLINE and seen.offline_since is not None:
            starts.append(seen.offline_since)
    starts = sorted(start for start in starts if start > confirmed)
    worst = (0, online)
    first = 0
    for last, start in enumerate(starts):
        while start - starts[first] > patience.window:
            first += 1
        gone = last - first + 1
        there = online + len(starts) - first  # all that had not fallen silent before the window
        worse = worst[0] == 0 or gone * worst[1] > worst[0] * there
        if worse and there >= patience.fleet:
            worst = (gone, there)
    return worst


def _sites(
    proplets: Mapping[PropletId, Seen],
    changes: Mapping[PropletId, tuple[Presence, int | None]],
    patience: Patience,
    confirmed: int,
) -> tuple[dict[str, tuple[int, int]], dict[PropletId, str]]:
    """Sites that fell silent as one: a line that is cut, a room without power.

    A site may be too small a part of the fleet for that to be the fleet's silence, and yet all it
    has would be started elsewhere at once, and be there twice when the line is back.
    """
    silent = {
        proplet: seen
        for proplet, seen in proplets.items()
        if proplet in changes or seen.presence is Presence.OFFLINE
    }
    named = {
        (key, seen.labels[key])
        for seen in silent.values()
        for key in patience.sites
        if key in seen.labels
    }
    rule = replace(patience, fleet=patience.site)
    found: dict[str, tuple[int, int]] = {}
    held: dict[PropletId, str] = {}
    for key, value in sorted(named):
        members = [seen for seen in proplets.values() if seen.labels.get(key) == value]
        gone, there = _together(members, changes, rule, confirmed)
        if gone < patience.site or gone * 2 <= there:
            continue
        name = f"{key}={value}"
        found[name] = (gone, there)
        for seen in members:
            if seen.id in silent:
                held.setdefault(seen.id, name)
    return found, dict(sorted(held.items()))
