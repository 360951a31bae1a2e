"""Calls under way: which copy gets one, and what becomes of it. Pure: time and ids come in.

Owned by `carrier`, which holds a lock around it and does what it answers. A call is sent to one
copy at a time. One that never began (the copy says so) goes to another; one that may have begun is
made again only where the Function says that this does no harm; else its fate is told as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from propeller.gateway.calls import (
    Copy,
    End,
    Outcome,
    Place,
    Request,
    Route,
    come_again,
    done_of,
    failed_of,
    refusal_of,
    size_of,
)
from propeller.gateway.holding import Holding
from propeller.gateway.seats import Seats
from propeller.model.functions import Calls
from propeller.wire.call_messages import Call, CallAnswer
from propeller.wire.messages import Status

MARGIN = 1_500
"""ms past its limit that an answer may take to come."""
PATIENCE = 2_000
"""ms that a call which no copy took waits for one, while copies come and go."""
RECENT = 5_000
"""ms since a copy was up, within which another one is probably about to be."""
AGAIN = 100
"""ms until a waiting call is offered again."""
MOST_OPEN = 4_096
"""Calls at one time: more are told to come later."""
_NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class _Open:
    """A call that has not ended. patient: ms it may wait for a copy; due: when to look again.

    piece: the newest of its log that came. lost: what became of an attempt of which nobody knows
    whether it ran, "" while there is none.
    held: it came while there was no copy of a Function that may have none. waited: ms until it
    was sent then.
    """

    id: str
    route: Route
    request: Request
    came: int
    ends: int
    patient: int
    durable: bool
    place: Place | None = None
    sent_at: int = 0
    attempts: int = 0
    tried: set[str] = field(default_factory=set)
    why: Outcome | None = None
    due: int = 0
    cancelled: bool = False
    lost: str = ""
    held: bool = False
    waited: int | None = None
    piece: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Publish this. durable: note where it goes first, so that a restart knows."""

    id: str
    call: Call
    place: Place
    durable: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """Tell whoever waits."""

    id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Logged:
    """Tell whoever follows: what the guest logged, and how many bytes before that are lost."""

    id: str
    text: str
    lost: int


Effect = Send | Ended | Logged


class Desk:
    """See the module. src: our name to devices."""

    def __init__(self, src: str) -> None:
        self._src = src
        self._routes: Mapping[str, Route] = {}
        self._seats = Seats()
        self._open: dict[str, _Open] = {}
        self._wires: dict[str, str] = {}
        self._up: dict[str, int] = {}
        self._holding = Holding()

    # -- what is known ---------------------------------------------------------------------------

    def route(self, name: str) -> Route | None:
        """The Function of that namespace/name."""
        return self._routes.get(name)

    def routes(self) -> Iterable[Route]:
        """Every Function."""
        return self._routes.values()

    @property
    def open(self) -> int:
        """Calls that have not ended."""
        return len(self._open)

    def hungry(self) -> dict[str, int]:
        """By uid, how many calls wait for a first copy."""
        found: dict[str, int] = {}
        for one in self._open.values():
            if one.place is None and one.route.hold and not one.route.copies:
                found[one.route.uid] = found.get(one.route.uid, 0) + 1
        return found

    def learn(self, routes: Mapping[str, Route], now: int) -> list[Effect]:
        """Functions and their copies as they are now."""
        self._up.update({name: now for name, route in self._routes.items() if route.copies})
        self._up = {name: at for name, at in self._up.items() if name in routes}
        self._routes = routes
        for one in self._open.values():
            if one.place is None:
                one.due = 0
        return self.tick(now)

    def hear_status(self, status: Status, now: int) -> list[Effect]:
        """A word about a proplet's connection; older ones change nothing."""
        came_back = self._seats.hear(status)
        if came_back is None:
            return []
        online = status.state == "online"
        effects: list[Effect] = []
        for one in list(self._open.values()):
            place = one.place
            if place is None:
                one.due = 0
            elif place.proplet == status.id:
                gone = (place.inst, place.boot) != (status.inst, status.boot)
                if gone or (not online and one.route.calls.retries > one.attempts - 1):
                    effects += self._lost(one, f"proplet {status.id} went away", now)
                elif came_back:
                    effects += self._ask(one, "recall")
        return effects + self.tick(now)

    def connected(self, now: int) -> list[Effect]:
        """We are connected anew: answers may have been missed, so ask for them."""
        effects: list[Effect] = []
        for one in self._open.values():
            if one.place is not None:
                effects += self._ask(one, "recall")
        return effects + self.tick(now)

    # -- calls -----------------------------------------------------------------------------------

    def begin(
        self, id_: str, name: str, request: Request, now: int, *, patient: int = 0, durable: bool
    ) -> list[Effect]:
        """Take a call. patient: ms it may wait for a copy that is free."""
        route = self._routes.get(name)
        wrong = self._why_not(name, route)
        if wrong is not None:
            return [Ended(id_, wrong)]
        assert route is not None
        timeout = min(request.timeout or route.timeout, route.timeout)
        one = _Open(id_, route, request, now, now + timeout, patient, durable)
        self._open[id_] = one
        return self._offer(one, now)

    def resume(self, id_: str, name: str, request: Request, place: Place, now: int) -> list[Effect]:
        """Take up a call that an earlier process sent: its proplet may know what became of it."""
        route = self._routes.get(name) or Route(uid="", name=name, timeout=60_000, calls=Calls())
        one = _Open(id_, route, request, now, now + route.timeout, 0, durable=True)
        one.place, one.attempts, one.sent_at = place, 1, now
        self._open[id_] = one
        self._wires[place.wire] = id_
        self._seats.take(place)
        seat = self._seats.find(place.proplet)
        if seat is not None and (seat.inst, seat.boot) != (place.inst, place.boot):
            return self._lost(one, f"proplet {place.proplet} was started anew", now)
        return self._ask(one, "recall")

    def _why_not(self, name: str, route: Route | None) -> Outcome | None:
        if route is None:
            return Outcome(end=End.REFUSED, cause="notFound", error=f"there is no Function {name}")
        if route.shut:
            return Outcome(end=End.REFUSED, cause="absent", error=route.shut)
        if len(self._open) >= MOST_OPEN:
            words = f"{MOST_OPEN} calls are under way"
            return Outcome(end=End.REFUSED, cause="busy", error=words, retry_after=1)
        return None

    def cancel(self, id_: str) -> list[Effect] | None:
        """End a call. None where it is not under way."""
        one = self._open.get(id_)
        if one is None:
            return None
        one.cancelled = True
        if one.place is None:
            words = "was cancelled before it began"
            return self._end(one, Outcome(end=End.REFUSED, cause="cancelled", error=words))
        return self._ask(one, "cancel")

    def hear(self, answer: CallAnswer, now: int) -> list[Effect]:
        """What a proplet says of a call. The caller saw to it that it is that proplet's word."""
        one = self._open.get(self._wires.get(answer.call, ""))
        if one is None or one.place is None or one.place.wire != answer.call:
            return []
        place = one.place
        if (answer.id, answer.inst, answer.boot) != (place.proplet, place.inst, place.boot):
            return []
        match answer.state:
            case "running":
                if not one.request.follow or answer.n <= one.piece:
                    return []  # nobody asked, or it came twice
                one.piece = answer.n
                return [Logged(one.id, answer.log, answer.lost)]
            case "done":
                return self._end(one, done_of(answer))
            case "failed" if answer.cause == "interrupted":
                return self._lost(one, answer.error or "was cut short", now)
            case "failed":
                return self._end(one, failed_of(answer))
            case "refused":
                return self._refused(one, answer, now)
            case _:
                return self._lost(one, f"proplet {answer.id} knows nothing of it", now)

    # -- time ------------------------------------------------------------------------------------

    def tick(self, now: int) -> list[Effect]:
        """Offer what waits; give up on what was not answered in time."""
        effects: list[Effect] = []
        for one in list(self._open.values()):
            if one.place is not None:
                if now >= one.ends + MARGIN:
                    effects += self._ask(one, "cancel")
                    effects += self._late(one)
            elif now >= one.due:
                effects += self._offer(one, now)
        return effects

    def due(self) -> int | None:
        """When that is (Unix ms)."""
        times = [one.due if one.place is None else one.ends + MARGIN for one in self._open.values()]
        return min(times, default=None)

    # -- one call --------------------------------------------------------------------------------

    def _offer(self, one: _Open, now: int) -> list[Effect]:
        """Send it to the copy that has least to do, or let it wait, or say that nobody takes it."""
        route = one.route = self._routes.get(one.route.name, one.route)
        copy, full = self._seats.choose(route, size_of(one.request), one.tried)
        if copy is not None:
            return self._send(one, route, copy, now)
        refused = self._hold(one, route, now)
        if refused is not None:
            return self._end(one, refused)
        between = now - self._up.get(route.name, -RECENT) < RECENT and not full
        patient = max(one.patient, PATIENCE if between else 0)
        if now < one.came + patient and not route.shut and (one.durable or one.held or not full):
            one.due = now + AGAIN
            one.tried.clear()
            return []
        if one.why is not None:
            return self._end(one, one.why)
        if one.held and not route.copies and not route.shut:
            words = f"no copy of it came up within {patient / 1000:g} s"
            return self._end(one, come_again(words))
        return self._end(one, self._nobody(route, full=full))

    def _hold(self, one: _Open, route: Route, now: int) -> Outcome | None:
        """Let it wait for the first copy, where there is none; or say that too many do already."""
        if one.held or route.copies or not route.hold or route.shut:
            return None
        if not one.durable:  # those are on disk, and bounded there
            full = self._holding.take(route, size_of(one.request))
            if full is not None:
                return full
        one.held = True
        hold = min(route.hold, one.request.timeout or route.hold)
        one.patient = max(one.patient, now - one.came + hold)
        return None

    def _hold_no_more(self, one: _Open) -> None:
        """It was sent, or is over."""
        if one.held and not one.durable and one.waited is None:
            self._holding.leave(one.route.name, size_of(one.request))

    def _nobody(self, route: Route, *, full: bool) -> Outcome:
        if full:
            words = "every copy has as many calls as it takes"
            return Outcome(end=End.REFUSED, cause="busy", error=words, retry_after=1)
        if route.copies and all(self._seats.online(copy.proplet) for copy in route.copies):
            words = "no copy takes a request of that size, or none took it"
            return Outcome(end=End.REFUSED, cause="absent", error=words, retry_after=1)
        words = "no copy of it is up now"
        return Outcome(end=End.REFUSED, cause="absent", error=words, retry_after=2)

    def _send(self, one: _Open, route: Route, copy: Copy, now: int) -> list[Effect]:
        seat = self._seats.online(copy.proplet)
        assert seat is not None
        one.attempts += 1
        wire = one.id if one.attempts == 1 else f"{one.id}-{one.attempts}"
        one.place = Place(copy.proplet, copy.run, seat.inst, seat.boot, wire)
        one.piece = 0
        one.sent_at = now
        if one.held and one.waited is None:
            self._hold_no_more(one)
            one.waited = now - one.came
        if one.durable or one.held:  # its time begins when somebody is asked
            one.ends = now + min(one.request.timeout or route.timeout, route.timeout)
        self._wires[wire] = one.id
        self._seats.take(one.place)
        return self._ask(one, "run", timeout=max(1, one.ends - now))

    def _ask(self, one: _Open, verb: str, *, timeout: int = 0) -> list[Effect]:
        place = one.place
        assert place is not None
        seat = self._seats.online(place.proplet)
        if seat is None:
            return []  # it is asked when it is back
        request = one.request if verb == "run" else Request()
        call = Call(
            id=place.wire,
            verb=verb,
            to=place.proplet,
            inst=place.inst,
            boot=place.boot,
            conn=seat.conn,
            src=self._src,
            n=0,  # given when it is published, in that order
            uid=one.route.uid or _NOBODY,
            run=place.run,
            timeout=timeout,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            follow=request.follow,
        )
        return [Send(one.id, call, place, one.durable and verb == "run")]

    def _leave(self, one: _Open) -> None:
        """It is not with that copy any more."""
        place = one.place
        if place is None:
            return
        one.place = None
        self._wires.pop(place.wire, None)
        self._seats.leave(place)

    def _end(self, one: _Open, outcome: Outcome) -> list[Effect]:
        self._leave(one)
        self._hold_no_more(one)
        self._open.pop(one.id, None)
        if one.held:
            outcome = replace(outcome, held=one.waited)
        if one.lost and outcome.end is End.REFUSED:  # this attempt never began; an earlier one may
            words = f"{one.lost} while it may have been running it; then {outcome.error}"
            outcome = Outcome(end=End.UNKNOWN, cause="interrupted", error=words)
        return [Ended(one.id, outcome)]

    def _refused(self, one: _Open, answer: CallAnswer, now: int) -> list[Effect]:
        """It never began there: another copy may take it, or the same one later."""
        if answer.cause in ("request", "cancelled"):
            return self._end(one, refusal_of(answer))
        one.why = refusal_of(answer)
        one.tried.add(answer.id)
        self._leave(one)
        if answer.cause != "busy":
            one.patient = max(one.patient, PATIENCE)
        return self._offer(one, now)

    def _lost(self, one: _Open, words: str, now: int) -> list[Effect]:
        """It may have begun, and what became of it cannot be told."""
        proplet = one.place.proplet if one.place is not None else ""
        if one.cancelled or one.attempts > one.route.calls.retries or now >= one.ends:
            error = f"{words} while it may have been running it"
            outcome = Outcome(end=End.UNKNOWN, cause="interrupted", error=error, proplet=proplet)
            return self._end(one, outcome)
        self._leave(one)
        one.lost = words
        one.tried = {proplet}
        one.patient = max(one.patient, now - one.came + PATIENCE)
        return self._offer(one, now)

    def _late(self, one: _Open) -> list[Effect]:
        proplet = one.place.proplet if one.place is not None else ""
        words = f"proplet {proplet} did not answer in time; it may have run"
        return self._end(
            one, Outcome(end=End.UNKNOWN, cause="timeout", error=words, proplet=proplet)
        )
