"""Carrying calls: the gateway's own connection, its key, and what it must not forget.

A thread beside the reconciler's loop, which it never waits for and never holds up. `desk` decides;
this signs, publishes, verifies, writes down and tells whoever waits. A call that was promised to
outlive us is on disk before it is sent, and asked for again after a restart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from propeller.errors import Conflict, PropellerError, WireError
from propeller.gateway.callbook import CallBook, digest_of, outcome_of, place_of, request_of
from propeller.gateway.callcounts import Counts
from propeller.gateway.calls import End, Outcome, Request, Route
from propeller.gateway.calltraces import CallTraces
from propeller.gateway.desk import Desk, Effect, Ended, Logged, Send
from propeller.gateway.routes import routes_of
from propeller.gateway.triggers import Triggers
from propeller.gateway.voices import Voices
from propeller.state.calls import CallRow
from propeller.state.sqlite import SqliteStore
from propeller.telemetry.spans import Send as SendSpan
from propeller.transport.base import Connected, Disconnected, Event, Received, Transport
from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.wire.topics import Channel, Kind

log = logging.getLogger("propeller.gateway")

LOOK = 0.05
"""Seconds between two looks whether the store moved."""
PRUNE_EVERY = 60_000
ASK_EVERY = 1_000
"""ms between two words about calls that wait for a first copy."""


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


class Carrier:
    """See the module. Any thread may call the methods."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._desk = Desk(ground.src)
        self._lock = threading.Lock()
        self._wire = threading.Lock()
        self._n = 0
        self._book = CallBook(ground.calls, ground.clock)
        self._voices = Voices(ground.key_of)
        self._futures: dict[str, Future[Outcome]] = {}
        self._names: dict[str, str] = {}
        self._listeners: dict[str, Listen] = {}
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
        self._book.close()

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
        known, row = self._book.take(id_, name, self.route(name), request, key)
        if known is not None:
            return self._again(known, digest_of(request))
        return self._begin(id_, name, request, row, later=later)

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
            self.counts.began(name)
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
        return self._book.find(id_)

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
        return self._book.slot(trigger)

    def put_slot(self, trigger: str, at: int) -> None:
        """It is used up."""
        self._book.put_slot(trigger, at)

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
        if send.durable and not self._book.placed(send.id, send.place):
            return
        ground = self._ground
        with self._wire:
            self._n += 1
            call = replace(send.call, n=self._n, trace=self._traces.header(send.id))
            payload = seal("call", codec.encode(call), ground.key)
            ground.transport.publish(ground.channel.call(call.to), payload)

    def _ended(self, id_: str, outcome: Outcome) -> None:
        self._book.ended(id_, outcome)
        with self._lock:
            future = self._futures.pop(id_, None)
            name = self._names.pop(id_, "")
            self._listeners.pop(id_, None)
            self._traces.end(id_, outcome)
            self.counts.ended(name, outcome)
        if future is not None:
            _tell(future, outcome)

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
                    self.counts.lost(error.reject)

    def _hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        ground = self._ground
        heard = ground.channel.parse(topic)
        if heard is None:
            self._triggers.hear(topic, payload, retained=retained)
            return
        match heard.kind:
            case Kind.CALL_ANSWER:
                answer = self._voices.answer(heard.proplet, payload)
                with self._lock:
                    effects = self._desk.hear(answer, ground.clock())
            case Kind.STATUS if payload:
                self._hear_status(heard.proplet, payload)
                return
            case _:
                return
        self._do(effects)

    def _hear_status(self, proplet: str, payload: bytes) -> None:
        status = self._voices.status(proplet, payload)
        with self._lock:
            effects = self._desk.hear_status(status, self._ground.clock())
        self._do(effects)

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
                        self._book.prune(now)
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
        self._voices.forget_keys()
        with self._lock:
            effects = self._desk.learn(routes, self._ground.clock())
        self._triggers.learn(routes)
        self._do(effects)
        for proplet, payload in self._voices.early():
            with suppress(WireError):  # its key is not known yet, or it signed with another
                self._hear_status(proplet, payload)

    def _resume(self) -> None:
        """Take up what an earlier process promised."""
        for row in self._book.left():
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
