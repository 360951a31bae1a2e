"""Whether edits may reach devices now, and what an object is while they may not.

Called by `planner` before anything else is asked of an object. An edit that comes while a window is
closed waits as a whole: the object stays what it was let in as. What was let in goes on: schedules,
retries, moves away from silent proplets, and going back from a version that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from propeller.model.conditions import moment
from propeller.model.ids import PropletId, Uid
from propeller.model.inventory import Held
from propeller.model.module import Module
from propeller.model.specs import Daemon, Object, Proplet, Task
from propeller.model.windows import DEVICE, Window, WindowKind
from propeller.plan.schedule import slot_after, slot_before
from propeller.plan.types import Blocked, Snapshot

SHOWN = 3
"""Devices named in a message."""

MOST_EDGES = 2_000
"""Beginnings and ends looked at to find when a window opens; beyond, it is said that none does."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the planner may do about one object now.

    held: what to plan, None where nothing of it was let in yet. module: instead of what its
    reference is resolved to, None where that holds. closed: no edit may reach devices. opens: when
    one may again (Unix ms), None when never. waits: an edit does wait. lets_in: it waited, and
    need not any more.
    """

    held: Held | None
    module: Module | None = None
    closed: bool = False
    opens: int | None = None
    waits: bool = False
    lets_in: bool = False


def gate(held: Held, snapshot: Snapshot, now: int, is_there: Callable[[Uid], bool]) -> Gate:
    """The gate of any object. is_there: whether some device holds something of it.

    A new object that devices hold already is not new: it was let in before the store was lost.
    """
    waiting = snapshot.withheld.get(held.uid)
    lists = [one for one in windows_of(held.object, snapshot.policy.windows) if not is_local(one)]
    if waiting is None and not lists:
        return Gate(held)
    closed, opens = False, None
    if lists and snapshot.overrides.get(held.uid) != mark(held):
        closed = not all(is_open(windows, now) for windows in lists)
    if closed:
        opens = opens_at(lists, now)
    if waiting is None:
        return Gate(held, closed=closed, opens=opens)
    before = waiting.held
    if not closed or (before is None and is_there(held.uid)):
        return Gate(held, closed=closed, opens=opens, lets_in=True)
    if before is not None:
        before = replace(before, hold=held.hold, last_slot=held.last_slot)
    return Gate(before, module=waiting.module, closed=True, opens=opens, waits=True)


def windows_of(obj: Object, by_app: Mapping[str, tuple[Window, ...]]) -> list[tuple[Window, ...]]:
    """The lists that must all be open: the object's own, and its App's."""
    if not isinstance(obj, Task | Daemon):
        return []
    return [windows for windows in (obj.windows, by_app.get(obj.meta.app, ())) if windows]


def is_local(windows: Iterable[Window]) -> bool:
    """Whether this list is read in the time of each device."""
    return any(window.time_zone == DEVICE for window in windows)


@dataclass(slots=True)
class Local:
    """Windows in device time: which devices take a new version now.

    zones: what Proplets declare. opens: when the first of those that were held opens (Unix ms).
    held, lost: devices whose window is closed, and whose time zone nobody declared.
    """

    windows: tuple[Window, ...]
    zones: Mapping[PropletId, str]
    now: int
    opens: int | None = None
    held: list[PropletId] = field(default_factory=list)
    lost: list[PropletId] = field(default_factory=list)

    def shut(self, proplet: PropletId) -> bool:
        """Whether nothing new may reach that device now."""
        zone = self.zones.get(proplet)
        return zone is None or not is_open(self._at(zone), self.now)

    def hold(self, proplet: PropletId) -> None:
        """Note that it would have got something."""
        zone = self.zones.get(proplet)
        if zone is None:
            self.lost.append(proplet)
            return
        self.held.append(proplet)
        opens = opens_at([self._at(zone)], self.now)
        if opens is not None:
            self.opens = opens if self.opens is None else min(self.opens, opens)

    def _at(self, zone: str) -> tuple[Window, ...]:
        return tuple(
            replace(window, time_zone=zone) if window.time_zone == DEVICE else window
            for window in self.windows
        )

    def words(self) -> str:
        """Who waits, and for what; "" where nobody does."""
        said = []
        if self.held:
            opens = "never opens" if self.opens is None else f"opens {moment(self.opens)}"
            said.append(f"{_named(self.held)}: the window in device time is closed, and {opens}")
        if self.lost:
            said.append(f"{_named(self.lost)}: no time zone; declare spec.timeZone of the Proplet")
        return "; ".join(said)


def local_windows(held: Held, snapshot: Snapshot, now: int) -> Local | None:
    """The windows in device time that hold for an object, None where there are none."""
    obj = held.object
    if not isinstance(obj, Task | Daemon) or not is_local(obj.windows):
        return None
    if snapshot.overrides.get(held.uid) == mark(held):
        return None
    zones = {
        PropletId(one.object.meta.key.name): one.object.time_zone
        for one in snapshot.objects.values()
        if isinstance(one.object, Proplet) and one.object.time_zone and one.deleted_at is None
    }
    return Local(obj.windows, zones, now)


def _named(proplets: list[PropletId]) -> str:
    more = len(proplets) - SHOWN
    return ", ".join(proplets[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def mark(held: Held) -> str:
    """Names one edit of an object: what somebody lets through is this one and no other."""
    return f"{held.generation}" if held.deleted_at is None else f"{held.generation} deleted"


def is_open(windows: Iterable[Window], now: int) -> bool:
    """Whether this list lets edits through at `now` (Unix ms)."""
    allowed, allows = False, False
    for window in windows:
        begun = slot_before(window.cron, window.time_zone, now)
        active = begun is not None and now < begun + window.duration
        if window.kind is WindowKind.DENY:
            if active:
                return False
        else:
            allows = True
            allowed = allowed or active
    return allowed or not allows


def opens_at(lists: Iterable[Iterable[Window]], now: int) -> int | None:
    """The first moment after `now` at which all lists are open; None when none is found."""
    every = [tuple(windows) for windows in lists]
    at = now
    for _ in range(MOST_EDGES):
        edge = min(
            (edge for windows in every for window in windows for edge in _edges(window, at)),
            default=None,
        )
        if edge is None:
            return None
        at = edge
        if all(is_open(windows, at) for windows in every):
            return at
    return None


def _edges(window: Window, now: int) -> Iterable[int]:
    """The next beginning of a window, and its end if it is open."""
    begun = slot_before(window.cron, window.time_zone, now)
    if begun is not None and begun + window.duration > now:
        yield begun + window.duration
    upcoming = slot_after(window.cron, window.time_zone, now)
    if upcoming is not None:
        yield upcoming


def closed_block(held: Held, found: Gate, *, what: str = "") -> Blocked:
    """Why an edit, or `what`, has not reached devices."""
    if not what:
        what = "its removal" if held.deleted_at is not None else f"generation {held.generation}"
    opens = "never opens" if found.opens is None else f"opens {moment(found.opens)}"
    return Blocked(
        uid=held.uid,
        key=held.object.meta.key,
        reason="WindowClosed",
        message=f"{what} waits for a window, which {opens}",
    )
