"""Carrying calls: the gateway's own connection, its key, and what it must not forget.

A thread beside the reconciler's loop, which it never waits for and never holds up. `desk` decides;
this signs, publishes, verifies, writes down and tells whoever waits. A call that was promised to
outlive us is on disk before it is sent, and asked for again after a restart.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from propeller.errors import Conflict, PropellerError, Unavailable, WireError
from propeller.gateway.calltraces import CallTraces
from propeller.gateway.desk import (
    Desk,
    Effect,
    End,
    Ended,
    Logged,
    Outcome,
    Place,
    Request,
    Route,
    Send,
)
from propeller.gateway.routes import routes_of
from propeller.gateway.triggers import Triggers
from propeller.state.calls import CallRow, CallStore
from propeller.state.sqlite import SqliteStore
from propeller.telemetry.spans import Send as SendSpan
from propeller.transport.base import Connected, Disconnected, Event, Received, Transport
from propeller.wire import codec
from propeller.wire.call_messages import MAX_MESSAGE, CallAnswer
from propeller.wire.frame import is_framed, open_frame, seal
from propeller.wire.keyring import Keyring
from propeller.wire.messages import Status
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.wire.topics import Channel, Kind

log = logging.getLogger("propeller.gateway")

LOOK = 0.05
"""Seconds between two looks whether the store moved."""
PRUNE_EVERY = 60_000
ASK_EVERY = 1_000
"""ms between two words about calls that wait for a first copy."""
MOST_TAKEN = 1_000
"""Asynchronous calls that have not ended."""
MOST_EARLY, MOST_EARLY_BYTES = 4_096, 4_096
"""Statuses kept that cannot be believed yet, and how long one may be."""


def _no_time() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Ticket:
    """A call that was taken. again: it is the same one that came before under its key."""

    id: str
    future: Future[Outcome]
    again: bool = False


def _nobody_listens(_uid: str, _calls: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a Carrier stands on. key_of: the key a proplet is known by. src: our name to devices.

    trace: takes spans of calls, whose times are of `micros` (Unix microseconds); None: no spans.
    """

    channel: Channel
    key: SigningKey
    key_of: Callable[[str], VerifyKey | None]
    transport: Transport
    database: Path
    calls: Path
    src: str
    clock: Callable[[], int]
    new_id: Callable[[], str]
    trace: SendSpan | None = None
    micros: Callable[[], int] = _no_time
    want: Callable[[str, int], None] = _nobody_listens
    """Told again and again while calls wait for a first copy: the uid, and how many."""


Listen = Callable[[str, int], None]
"""Told what a call's guest logged, and how many bytes before that are lost. From any thread."""


@dataclass(slots=True)
class FirstCalls:
    """Calls that waited for a first copy and got it. total, longest: ms."""

    count: int = 0
    total: int = 0
    longest: int = 0


@dataclass(slots=True)
class Counts:
    """What happened to calls since this process began, by Function."""

    calls: dict[str, int] = field(default_factory=dict)
    ends: dict[tuple[str, str], int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, FirstCalls] = field(default_factory=dict)


class Carrier:
    """See the module. Any thread may call the methods."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._desk = Desk(ground.src)
        self._lock = threading.Lock()
        self._wire = threading.Lock()
        self._n = 0
        self._book = threading.Lock()
        self._calls = CallStore(ground.calls)
        self._futures: dict[str, Future[Outcome]] = {}
        self._names: dict[str, str] = {}
        self._listeners: dict[str, Listen] = {}
        self._rows: dict[str, CallRow] = {}
        self._rings: dict[str, Keyring] = {}
        self._early: dict[str, bytes] = {}
        """The newest status of proplets whose key is not known yet. A new device says it is online
        before the reconciler has taken its hello, and says it once: the broker keeps it, and tells
        nobody again who heard it."""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self._triggers = Triggers(self, ground.channel)
        self._traces = CallTraces(ground.trace, ground.micros)
        self._asked: dict[str, int] = {}
        self.counts = Counts()

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and take up what an earlier process left."""
        self._ground.transport.start(self._from_broker)
        self._thread.start()

    def stop(self) -> None:
        """Calls under way are left to their fate: what is durable is taken up again."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._ground.transport.close()
        with self._lock:
            futures, self._futures = list(self._futures.values()), {}
        for future in futures:
            words = "the gateway is going down; the call may have run"
            _tell(future, Outcome(end=End.UNKNOWN, cause="interrupted", error=words))
        with self._book:
            self._calls.close()

    # -- calls -----------------------------------------------------------------------------------

    def route(self, name: str) -> Route | None:
        """The Function of that namespace/name."""
        with self._lock:
            return self._desk.route(name)

    def call(
        self,
        name: str,
        request: Request,
        *,
        key: str | None = None,
        later: bool = False,
        listen: Listen | None = None,
    ) -> Ticket:
        """Call a Function. later: the caller asks for the answer another time. listen: hears what
        its guest logs, where the request asks for that.

        key: what the caller names it by; the same one again is the same call. Raises Conflict where
        it names another request, Unavailable where a promise cannot be kept on disk.
        """
        id_ = self._ground.new_id()
        if listen is not None:
            with self._lock:
                self._listeners[id_] = listen
        try:
            return self._call(id_, name, request, key, later=later)
        finally:
            with self._lock:
                if id_ not in self._futures:  # it is over, or another call is meant
                    self._listeners.pop(id_, None)

    def _call(
        self, id_: str, name: str, request: Request, key: str | None, *, later: bool
    ) -> Ticket:
        if key is None and not later:
            return self._begin(id_, name, request, None)
        digest = _digest(request)
        with self._book:
            known = self._calls.by_key(name, key) if key is not None else None
            if known is not None:
                return self._again(known, digest)
            route = self.route(name)
            row = None
            if route is not None and not route.shut:
                row = self._note(id_, route, request, key, digest)
        return self._begin(id_, name, request, row, later=later)

    def _note(
        self, id_: str, route: Route, request: Request, key: str | None, digest: str
    ) -> CallRow:
        if len(self._rows) >= MOST_TAKEN:
            raise Unavailable(f"{MOST_TAKEN} calls that were promised an answer are under way")
        now = self._ground.clock()
        row = CallRow(
            id=id_,
            function=route.name,
            key=key,
            digest=digest,
            at=now,
            expires=now + route.calls.keep,
            request=_plain(request),
        )
        self._calls.put(row)
        self._rows[id_] = row
        return row

    def _again(self, known: CallRow, digest: str) -> Ticket:
        if known.digest != digest:
            raise Conflict("this idempotency key was used for another request")
        future: Future[Outcome] = Future()
        if known.outcome is not None:
            future.set_result(outcome_of(known.outcome))
            return Ticket(known.id, future, again=True)
        with self._lock:
            return Ticket(known.id, self._futures.setdefault(known.id, future), again=True)

    def _begin(
        self, id_: str, name: str, request: Request, row: CallRow | None, *, later: bool = False
    ) -> Ticket:
        future: Future[Outcome] = Future()
        now = self._ground.clock()
        with self._lock:
            self._futures[id_] = future
            self._names[id_] = name
            self._traces.begin(id_, name, request)
            self.counts.calls[name] = self.counts.calls.get(name, 0) + 1
            patient = row.expires - row.at if row is not None and later else 0
            effects = self._desk.begin(
                id_, name, request, now, patient=patient, durable=row is not None
            )
        self._do(effects)
        if not effects:
            self._wake.set()  # it waits: perhaps for a copy that somebody has to be asked for
        return Ticket(id_, future)

    def find(self, id_: str) -> CallRow | None:
        """A call that was promised an answer."""
        with self._book:
            return self._calls.find(id_)

    def cancel(self, id_: str) -> bool:
        """End a call. False where it is not under way."""
        with self._lock:
            effects = self._desk.cancel(id_)
        if effects is None:
            return False
        self._do(effects)
        return True

    def begin_for(self, name: str, request: Request, *, key: str | None) -> Future[Outcome]:
        """A trigger's call; one with a key may wait for a copy."""
        return self.call(name, request, key=key, later=key is not None).future

    def subscribe(self, filters: list[str]) -> None:
        """Hear topics that are none of ours."""
        self._ground.transport.subscribe(filters)

    def unsubscribe(self, filters: list[str]) -> None:
        """Hear them no more."""
        self._ground.transport.unsubscribe(filters)

    def slot(self, trigger: str) -> int | None:
        """The newest time of a schedule that was used up."""
        with self._book:
            return self._calls.slot(trigger)

    def put_slot(self, trigger: str, at: int) -> None:
        """It is used up."""
        with self._book:
            self._calls.put_slot(trigger, at)

    def publish(self, topic: str, payload: bytes) -> None:
        """A message that is none of ours: the answer of a trigger."""
        self._ground.transport.publish(topic, payload)

    # -- doing -----------------------------------------------------------------------------------

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(effect)
                case Ended(id_, outcome):
                    self._ended(id_, outcome)
                case Logged(id_, text, lost):
                    with self._lock:
                        listen = self._listeners.get(id_)
                    if listen is not None:
                        listen(text, lost)

    def _send(self, send: Send) -> None:
        if send.durable and not self._placed(send.id, send.place):
            return
        ground = self._ground
        with self._wire:
            self._n += 1
            call = replace(send.call, n=self._n, trace=self._traces.header(send.id))
            payload = seal("call", codec.encode(call), ground.key)
            ground.transport.publish(ground.channel.call(call.to), payload)

    def _placed(self, id_: str, place: Place) -> bool:
        """Write down where it goes before it goes there. False, and it waits, where that fails."""
        with self._book:
            row = self._rows.get(id_)
            if row is None:
                return True
            row = self._rows[id_] = replace(row, state="sent", place=asdict(place))
            try:
                self._calls.put(row)
            except Unavailable as error:
                log.error("a call is not sent before this can be written: %s", error)
                return False
        return True

    def _ended(self, id_: str, outcome: Outcome) -> None:
        with self._book:
            row = self._rows.pop(id_, None)
            if row is not None:
                self._write_end(row, outcome)
        with self._lock:
            future = self._futures.pop(id_, None)
            name = self._names.pop(id_, "")
            self._listeners.pop(id_, None)
            self._traces.end(id_, outcome)
            end = (name, str(outcome.end.value))
            self.counts.ends[end] = self.counts.ends.get(end, 0) + 1
            if outcome.held is not None:
                first = self.counts.first.setdefault(name, FirstCalls())
                first.count += 1
                first.total += outcome.held
                first.longest = max(first.longest, outcome.held)
        if future is not None:
            _tell(future, outcome)

    def _write_end(self, row: CallRow, outcome: Outcome) -> None:
        try:
            if outcome.end is End.REFUSED and row.key is not None:
                self._calls.drop(row.id)  # it never began: its key may be used again
                return
            now = self._ground.clock()
            keep = row.expires - row.at
            self._calls.put(
                replace(row, state="ended", expires=now + keep, outcome=_plain(outcome))
            )
        except Unavailable as error:
            log.error("what became of a call cannot be written: %s", error)

    # -- the broker ------------------------------------------------------------------------------

    def _from_broker(self, event: Event) -> None:
        match event:
            case Connected():
                ground = self._ground
                ground.transport.subscribe(ground.channel.call_filters(ground.src))
                self._triggers.connected()
                with self._lock:
                    effects = self._desk.connected(ground.clock())
                self._do(effects)
                self._wake.set()
            case Disconnected(reason):
                log.warning("lost the broker: %s", reason)
            case Received(topic, payload, retained):
                try:
                    self._hear(topic, payload, retained=retained)
                except WireError as error:
                    dropped = self.counts.dropped
                    dropped[error.reject] = dropped.get(error.reject, 0) + 1

    def _hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        ground = self._ground
        heard = ground.channel.parse(topic)
        if heard is None:
            self._triggers.hear(topic, payload, retained=retained)
            return
        match heard.kind:
            case Kind.CALL_ANSWER:
                body = open_frame("return", payload, self._ring(heard.proplet)).body
                answer = codec.decode(CallAnswer, body, limit=MAX_MESSAGE)
                if answer.id != heard.proplet:
                    raise WireError("bad_id", "an answer in another's name")
                with self._lock:
                    effects = self._desk.hear(answer, ground.clock())
            case Kind.STATUS if payload:
                self._hear_status(heard.proplet, payload)
                return
            case _:
                return
        self._do(effects)

    def _hear_status(self, proplet: str, payload: bytes) -> None:
        with self._lock:
            self._early.pop(proplet, None)
        try:
            status = self._status(proplet, payload)
        except WireError as error:
            if error.reject == "unknown_kid" and len(payload) <= MOST_EARLY_BYTES:
                with self._lock:
                    if len(self._early) < MOST_EARLY:
                        self._early[proplet] = payload
            raise
        with self._lock:
            effects = self._desk.hear_status(status, self._ground.clock())
        self._do(effects)

    def _status(self, proplet: str, payload: bytes) -> Status:
        if is_framed(payload):
            body = open_frame("status", payload, self._ring(proplet)).body
            status = codec.decode(Status, body)
        else:
            status = codec.decode(Status, payload)
            if status.state != "offline":
                raise WireError("not_framed", "an unsigned online")
        if status.id != proplet:
            raise WireError("bad_id", "a status in another's name")
        return status

    def _ring(self, proplet: str) -> Keyring:
        ring = self._rings.get(proplet)
        if ring is None:
            key = self._ground.key_of(proplet)
            if key is None:
                raise WireError("unknown_kid", f"no key is known for {proplet}")
            ring = self._rings[proplet] = Keyring.of_device(key)
        return ring

    # -- our thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        store: SqliteStore | None = None
        serial, pruned, resumed = -1, 0, False
        try:
            while not self._stop.is_set():
                try:
                    if store is None:
                        store = SqliteStore.open(self._ground.database, readonly=True)
                    found = store.serial()
                    if found != serial:
                        self._learn(routes_of(store, self._ground.clock()))
                        serial = found
                    if not resumed:
                        self._resume()
                        resumed = True
                    now = self._ground.clock()
                    self._triggers.tick(now)
                    with self._lock:
                        effects = self._desk.tick(now)
                        hungry = self._desk.hungry()
                    self._do(effects)
                    self._ask_for_copies(hungry, now)
                    if now >= pruned + PRUNE_EVERY:
                        pruned = now
                        with self._book:
                            self._calls.prune(now)
                except PropellerError as error:
                    log.warning("cannot look at the store: %s", error)
                    if store is not None:
                        store.close()
                        store = None
                    self._stop.wait(1.0)
                except Exception:
                    log.exception("a turn of the gateway failed")
                    self._stop.wait(1.0)
                self._wake.wait(LOOK)
                self._wake.clear()
        finally:
            if store is not None:
                store.close()

    def _ask_for_copies(self, hungry: Mapping[str, int], now: int) -> None:
        """Again every second: a word may be lost, and who hears it may begin anew."""
        self._asked = {uid: at for uid, at in self._asked.items() if uid in hungry}
        for uid, calls in hungry.items():
            if now - self._asked.get(uid, now - ASK_EVERY) >= ASK_EVERY:
                self._asked[uid] = now
                self._ground.want(uid, calls)

    def _learn(self, routes: Mapping[str, Route]) -> None:
        self._rings.clear()
        with self._lock:
            effects = self._desk.learn(routes, self._ground.clock())
            early = dict(self._early)
        self._triggers.learn(routes)
        self._do(effects)
        for proplet, payload in early.items():
            with self._lock:
                if self._early.get(proplet) is not payload:
                    continue  # a newer word came meanwhile
            with suppress(WireError):  # its key is not known yet, or it signed with another
                self._hear_status(proplet, payload)

    def _resume(self) -> None:
        """Take up what an earlier process promised."""
        with self._book:
            rows = self._calls.open()
            self._rows.update({row.id: row for row in rows})
        for row in rows:
            request = request_of(row.request)
            now = self._ground.clock()
            with self._lock:
                self._names[row.id] = row.function
                self._futures.setdefault(row.id, Future())
                if row.place is None:
                    patient = max(0, row.expires - now)
                    effects = self._desk.begin(
                        row.id, row.function, request, now, patient=patient, durable=True
                    )
                else:
                    place = place_of(row.place)
                    effects = self._desk.resume(row.id, row.function, request, place, now)
            self._do(effects)


def _tell(future: Future[Outcome], outcome: Outcome) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(outcome)


def _digest(request: Request) -> str:
    """Of what makes it another request: not of headers, which change on the way."""
    told = [request.method, request.path, request.query, request.body]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _plain(thing: Request | Outcome) -> dict[str, Any]:
    told = asdict(thing)
    if isinstance(thing, Outcome):
        told["end"] = thing.end.value
    return told


def place_of(told: Mapping[str, Any]) -> Place:
    """The inverse of how a place is written down."""
    return Place(**told)


def request_of(told: Mapping[str, Any]) -> Request:
    """The inverse of how a request is written down."""
    headers = tuple((name, value) for name, value in told["headers"])
    return Request(**{**told, "headers": headers})


def outcome_of(told: Mapping[str, Any]) -> Outcome:
    """The inverse of how an outcome is written down."""
    headers = tuple((name, value) for name, value in told["headers"])
    return Outcome(**{**told, "headers": headers, "end": End(told["end"])})
