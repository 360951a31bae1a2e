"""The agent's loop: one thread that hears, asks the pure agent, and does what it says.

Everything arrives in the inbox or on a descriptor of the selector: the transport's thread and the
pull threads only hand over. All that one turn persists is on disk before anything else of the turn
is done; while the disk takes nothing, everything waits behind it.
"""

from __future__ import annotations

import logging
import os
import selectors
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import assert_never

from propeller.errors import Unavailable, WireError
from propeller.transport.base import Connected, Disconnected, Event, Received, Transport, Will
from propeller.wire import codec
from propeller.wire.call_messages import Call, CallAnswer
from propeller.wire.messages import BlobGet, BlobPut, Hello, Message, OpAnswer, Report, Status
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Kind
from proplet.agent import Agent
from proplet.blobs import Blobs
from proplet.calls import Calls
from proplet.effects import (
    DropRun,
    DropUpload,
    Effect,
    Fetch,
    ForgetRun,
    FreeBlob,
    InUse,
    KeepBlob,
    Outcome,
    Persist,
    Prepare,
    Publish,
    Quit,
    SaveDesired,
    SaveReleases,
    SaveRun,
    SaveSilence,
    SaveTimes,
    SaveTrust,
    SaveUpload,
    Say,
    SendChunk,
    Start,
    Stop,
    Subscribe,
    TailLog,
    Topic,
    Wake,
    WriteChunk,
)
from proplet.logs import LogReads
from proplet.post import Post
from proplet.pulls import Pull
from proplet.records import Key
from proplet.runtime.talk import Words
from proplet.seals import sealed
from proplet.store import Store
from proplet.supervisor import Supervisor
from proplet.switchboard import Switchboard
from proplet.timing import clock, mono
from proplet.transfers import Transfers
from proplet.vitals import Vitals
from proplet.witness import Witness

_log = logging.getLogger("proplet")

_TOPICS = {
    Kind.DESIRED: Topic.DESIRED,
    Kind.OP: Topic.OP,
    Kind.BLOB_DATA: Topic.BLOB_DATA,
    Kind.BLOB_ACK: Topic.BLOB_ACK,
    Kind.TRUST: Topic.TRUST,
    Kind.RELEASES: Topic.RELEASES,
    Kind.MANAGER_STATUS: Topic.MANAGER,
}
DISK_RETRY = 1000
_REGRANTING = (SaveDesired, SaveRun, SaveTimes, ForgetRun)
"""After these other guests than before may publish and hear."""


class Shell:
    """See the module. `make_supervisor` is given the answers' receiver and the selector.

    open_call: what `Seals.call` does. board: messages of guests. witness: told what happens.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        hello: Hello,
        store: Store,
        blobs: Blobs,
        key: SigningKey,
        channel: Channel,
        transport: Transport,
        board: Switchboard,
        pull: Pull | None,
        open_call: Callable[[bytes], Call],
        make_supervisor: Callable[[Shell, selectors.BaseSelector], Supervisor],
        witness: Witness,
    ) -> None:
        self._witness = witness
        self._agent = agent
        self._hello = hello
        self._store = store
        self._blobs = blobs
        self._key = key
        self._channel = channel
        self._transport = transport
        self._selector = selectors.DefaultSelector()
        self._inbox: deque[Event | Callable[[], None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._bell, selectors.EVENT_READ, self._heard_bell)
        self._supervisor = make_supervisor(self, self._selector)
        self._post = Post(
            board,
            kept=store,
            transport=transport,
            channel=channel,
            hand=self._supervisor.hand,
            clock=mono,
        )
        self._calls = Calls(
            hello,
            open_call=open_call,
            find=self._supervisor.pools.find,
            clock=mono,
            send=self._return,
            traced=witness.called,
        )
        self._transfers = Transfers(
            self, agent, blobs=blobs, hello=hello, pull=pull, witness=witness
        )
        self._logs = LogReads(agent.alive)
        self._vitals = Vitals(blobs)
        self._backlog: deque[Effect] = deque()
        self._retry: int | None = None
        self._wake = 0
        self._connected = False
        self._draining = 0
        self._over = False
        self._filters = {
            Topic.DESIRED: channel.desired(hello.id),
            Topic.OP: channel.op(hello.id),
            Topic.BLOB_DATA: channel.blob_data(hello.id),
            Topic.BLOB_ACK: channel.blob_ack(hello.id),
            Topic.TRUST: channel.trust(),
            Topic.RELEASES: channel.releases(),
            Topic.MANAGER: channel.manager_status(),
        }

    # -- from other threads and signals --------------------------------------------------------

    def post(self, what: Event | Callable[[], None]) -> None:
        """Hand something over to the loop. Any thread."""
        self._inbox.append(what)
        with suppress(OSError):  # a pull that ends after us
            os.eventfd_write(self._bell, 1)

    def drain(self) -> None:
        """Stop guests, tell it, and leave; asked a second time, leave at once."""
        self._draining += 1
        if self._draining == 1:
            self.post(lambda: self.do(self._agent.drain(clock())))
        else:
            self._over = True
            os.eventfd_write(self._bell, 1)

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Until drained. Guests of the store are started before any broker is there."""
        try:
            self.do(self._agent.boot(clock()))
            self._post.grant(self._agent.holding())
            self._transport.start(self.post, self._will(1))
            while not self._over:
                self._turn()
            self._transport.flush(2.0)
        finally:
            self._transport.close()
            self._supervisor.close()
            self._selector.close()
            os.close(self._bell)
            self._store.close()

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            key.data()
        while self._inbox and not self._over:
            self._take(self._inbox.popleft())
        if self._retry is not None and mono() >= self._retry:
            self._flush()
        self._supervisor.tick()
        self._post.tick()
        for piece in self._logs.poll(mono()):
            self.do(
                self._agent.log_piece(
                    piece.op,
                    clock(),
                    stream=piece.stream,
                    text=piece.text,
                    dropped=piece.dropped,
                    last=piece.last,
                )
            )
        if mono() >= self._wake:
            if self._vitals.stale(mono()):
                metrics = (
                    *self._vitals.read(mono()),
                    *self._post.board.gauges(),
                    *self._supervisor.gauges(),
                )
                storage = self._blobs.left()
                self._witness.looked(metrics, storage=storage)
                self._agent.vitals(storage=storage, metrics=metrics)
            self.do(self._agent.tick(clock()))

    def _pause(self) -> float:
        times = [self._wake, self._supervisor.due(), self._logs.due(), self._retry]
        times.append(self._post.due())
        at = min(time_ for time_ in times if time_ is not None)
        return max(0.0, (at - mono()) / 1000) if not self._inbox else 0.0

    def _heard_bell(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)

    def _take(self, what: Event | Callable[[], None]) -> None:
        match what:
            case Received(topic, payload, _):
                heard = self._channel.parse(topic)
                known = None if heard is None else _TOPICS.get(heard.kind)
                if heard is not None and heard.kind is Kind.CALL:
                    self._calls.hear(payload)
                elif heard is None:
                    self._post.heard(topic, payload)
                elif known is not None:
                    if known is Topic.DESIRED:
                        self._witness.heard()
                    self.do(self._agent.hear(known, payload, clock()))
            case Connected(connects):
                self._connected = True
                self._witness.connected(True)
                self._transport.set_will(self._will(connects + 1))
                _log.info("connected (%d)", connects)
                self._calls.connected(connects)
                self._transport.subscribe([self._channel.call(self._hello.id)])
                self.do(self._agent.connected(connects, clock()))
                self._post.connected()
            case Disconnected(reason):
                self._connected = False
                self._witness.connected(False)
                _log.warning("lost the broker: %s", reason)
                self._post.disconnected()
                self.do(self._agent.disconnected(clock()))
            case _:
                what()

    def _will(self, conn: int) -> Will:
        payload = codec.encode(self._agent.status("offline", conn))
        return Will(self._channel.status(self._hello.id), payload, retain=True)

    # -- what the supervisor answers -----------------------------------------------------------

    def prepared(self, key: Key, digest: str) -> None:
        """Part of `Answers`."""
        self._witness.prepared(key)
        self.post(lambda: self.do(self._agent.prepared(key, digest, clock())))

    def unfit(self, key: Key, digest: str, words: str) -> None:
        """Part of `Answers`."""
        self._witness.prepared(key, words)
        self.post(lambda: self.do(self._agent.unfit(key, digest, words, clock())))

    def ended(self, key: Key, outcome: Outcome) -> None:
        """Part of `Answers`."""
        self.post(lambda: self.do(self._agent.ended(key, outcome, clock())))

    def talk(self, key: Key, message: Words) -> None:
        """A guest has a message, or asks for one."""
        self._post.talk(key, message)

    # -- doing ---------------------------------------------------------------------------------

    def do(self, effects: Iterable[Effect]) -> None:
        """Persist, then act. What cannot be persisted holds back everything after it."""
        self._backlog.extend(effects)
        if self._retry is None:
            self._flush()

    def _flush(self) -> None:
        effects, self._backlog = list(self._backlog), deque()
        persist = [effect for effect in effects if isinstance(effect, Persist)]
        try:
            self._store.save(persist)
        except Unavailable as error:
            _log.error("nothing is done until this can be written: %s", error)
            self._backlog.extendleft(reversed(effects))
            self._retry = mono() + DISK_RETRY
            return
        self._retry = None
        for effect in effects:
            self._act(effect)
        if any(isinstance(effect, _REGRANTING) for effect in effects):
            self._post.grant(self._agent.holding())

    def _act(self, effect: Effect) -> None:
        self._witness.saw(effect, self._agent.trace)
        match effect:
            case SaveDesired() | SaveRun() | DropRun() | SaveTrust() | SaveReleases():
                pass
            case SaveUpload() | DropUpload() | SaveSilence() | SaveTimes():
                pass
            case Subscribe(topics, again):
                filters = [self._filters[topic] for topic in topics]
                if again:
                    self._transport.unsubscribe(filters)
                self._transport.subscribe(filters)
            case Publish(message, retain):
                self.publish(message, retain=retain)
            case SendChunk():
                self._transfers.put(effect)
            case Fetch():
                self._transfers.fetch(effect)
            case WriteChunk():
                self._transfers.write(effect)
            case KeepBlob(_, data):
                with suppress(Unavailable):  # it stays unsent; the next report tries again
                    self._blobs.keep(data)
            case FreeBlob(digest):
                self._blobs.free(digest)
                self._supervisor.forget_native()
            case InUse(digests):
                self._blobs.spare(digests)
                self._transfers.spare(digests)
                self._supervisor.forget_native()
            case Prepare(entry):
                self._supervisor.prepare(entry)
            case Start(entry, _):
                self._post.grant(self._agent.holding())
                self._post.board.began((entry.uid, entry.run))
                self._supervisor.start(entry)
                self._witness.started(entry)
            case Stop(key, grace):
                self._supervisor.stop(key, grace)
            case ForgetRun(key):
                self._supervisor.forget(key)
            case TailLog():
                self._logs.begin(effect, self._supervisor.logs(effect.key), mono())
            case Wake(at):
                self._wake = at
            case Quit():
                self._over = True
            case Say(level, text):
                _log.log(logging.getLevelName(level.upper()), "%s", text)
            case _:
                assert_never(effect)

    def publish(self, message: Message, *, retain: bool = False) -> None:
        """Sign it and say it."""
        id_ = self._hello.id
        match message:
            case Report():
                topic = self._channel.report(id_)
            case Hello():
                topic = self._channel.hello(id_)
            case Status():
                topic = self._channel.status(id_)
            case OpAnswer(op=op):
                topic = self._channel.op_answer(id_, op)
            case BlobGet():
                topic = self._channel.blob_get(id_)
            case BlobPut():
                topic = self._channel.blob_put(id_)
            case _:
                raise AssertionError(f"an agent does not send {type(message).__name__}")
        try:
            payload = sealed(message, self._key)
        except WireError as error:  # a bug of ours must not end the agent
            _log.error("not sent: %s", error)
            return
        taken = self._transport.publish(topic, payload, retain=retain)
        self._witness.told(message)
        if not taken and self._connected and isinstance(message, Report):
            self.post(lambda: self.do(self._agent.untold(clock())))

    def _return(self, src: str, answer: CallAnswer) -> None:
        """The answer of a call, to the gateway that asked. One that is lost is asked for again."""
        try:
            payload = sealed(answer, self._key)
        except WireError as error:
            _log.error("an answer is not sent: %s", error)
            return
        self._transport.publish(self._channel.call_answer(self._hello.id, src), payload)
