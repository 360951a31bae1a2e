"""Which copy a call goes to: who is connected, by its own word, and how much each has to do.

Used by `desk` only, which sends a call to one copy at a time and says here when it is there no
more. A call of an earlier process counts as well.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from propeller.gateway.calls import Copy, Place, Route
from propeller.wire.messages import Status


@dataclass(frozen=True, slots=True)
class Seat:
    """A connection of a proplet, as it said itself."""

    inst: str
    boot: int
    conn: int
    online: bool


class Seats:
    """See the module."""

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}
        self._load: dict[tuple[str, str], int] = {}
        self._turn = 0

    def find(self, proplet: str) -> Seat | None:
        """Its newest connection, over or not; None where it was never heard."""
        return self._seats.get(proplet)

    def online(self, proplet: str) -> Seat | None:
        """The connection it has now."""
        seat = self._seats.get(proplet)
        return seat if seat is not None and seat.online else None

    def hear(self, status: Status) -> bool | None:
        """Whether it is there anew; None where that is older than what is known."""
        seat = self._seats.get(status.id)
        back = status.state == "online"
        if seat is not None and seat.inst == status.inst:
            if (status.boot, status.conn) < (seat.boot, seat.conn):
                return None
            back = back and (status.boot, status.conn) > (seat.boot, seat.conn)
        online = status.state == "online"
        self._seats[status.id] = Seat(status.inst, status.boot, status.conn, online)
        return back

    def take(self, place: Place) -> None:
        """That copy has one call more."""
        slot = (place.proplet, place.run)
        self._load[slot] = self._load.get(slot, 0) + 1

    def leave(self, place: Place) -> None:
        """It has one less."""
        slot = (place.proplet, place.run)
        left = self._load.get(slot, 0) - 1
        if left > 0:
            self._load[slot] = left
        else:
            self._load.pop(slot, None)

    def choose(self, route: Route, size: int, but: Collection[str]) -> tuple[Copy | None, bool]:
        """The copy to ask, and whether one was passed over for having too much to do.

        size: bytes of the message. but: proplets that are not asked again. Those that have equally
        little to do take turns.
        """
        most = route.calls.concurrency + route.calls.queue
        best: tuple[int, int] | None = None
        chosen: Copy | None = None
        full = False
        self._turn += 1
        count = len(route.copies)
        for index, copy in enumerate(route.copies):
            if self.online(copy.proplet) is None or copy.proplet in but:
                continue
            if size > copy.max_payload:
                continue
            load = self._load.get((copy.proplet, copy.run), 0)
            if load >= most:
                full = True
                continue
            rank = (load, (index + self._turn) % count)
            if best is None or rank < best:
                best, chosen = rank, copy
        return chosen, full
