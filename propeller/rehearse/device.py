"""A proplet of the simulation: the real pure agent, with guests and storage that only pretend.

Everything the agent asks to be persisted survives a kill; everything else is gone with it. The
ledger of starts is the judge of "at most once": it survives everything.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections import Counter
from collections.abc import Callable

from propeller.errors import WireError
from propeller.rehearse.disk import Disk
from propeller.rehearse.guests import Guests, Played
from propeller.transport.base import Connected, Disconnected, Event, Received, Will
from propeller.transport.memory import MemoryBroker, MemoryTransport
from propeller.wire.boxes import BoxKey, PointKey
from propeller.wire.codec import encode
from propeller.wire.frame import seal
from propeller.wire.messages import BlobGet, BlobPut, Entry, Hello, OpAnswer, Report, Status
from propeller.wire.signing import ED25519, P256, SigningKey, VerifyKey
from propeller.wire.topics import Channel, Kind
from proplet import effects as fx
from proplet.agent import Agent
from proplet.post import Post
from proplet.records import AgentConfig, Stored
from proplet.runtime.talk import Words
from proplet.seals import Seals, unsealed
from proplet.secure import Secure
from proplet.switchboard import Switchboard

Schedule = Callable[[int, Callable[[], None]], None]
"""Run a callable after so many ms."""

PURPOSES = {Report: "report", Hello: "hello", Status: "status", OpAnswer: "answer"}


class SimProplet:
    """See the module."""

    def __init__(
        self,
        proplet: str,
        *,
        client: str,
        broker: MemoryBroker,
        channel: Channel,
        root: VerifyKey,
        key: SigningKey,
        schedule: Schedule,
        clock: Callable[[], int],
        rng: random.Random,
        guests: Guests = Guests(),
        labels: tuple[tuple[str, str], ...] = (),
        imports: tuple[str, ...] = ("wasi_snapshot_preview1",),
        heartbeat: int = 10_000,
        max_payload: int = 1 << 20,
        mounts: tuple[str, ...] = (),
        points: tuple[str, ...] = (),
        memory: int = 1 << 30,
        max_module: int = 64 << 20,
        box: BoxKey | PointKey | None = None,
        encodings: tuple[str, ...] = ("json",),
        algs: tuple[str, ...] = ("ed25519",),
    ) -> None:
        self.id = proplet
        self.starts: Counter[tuple[str, str]] = Counter()
        self.refs: Counter[str] = Counter()
        self._client = client
        self.disk = Disk(inst=f"{rng.getrandbits(128):032x}")
        self._broker, self._channel, self._root, self._key = broker, channel, root, key
        self._schedule, self._clock, self._rng = schedule, clock, rng
        self.guests = guests
        self._labels, self.imports = labels, imports
        self._heartbeat, self._max_payload = heartbeat, max_payload
        self._mounts, self._memory, self._max_module = mounts, memory, max_module
        self._points = points
        self.box = box
        self._encodings, self._algs = encodings, algs
        self.secrets: dict[str, dict[str, str]] = {}
        """What guests were given of Secrets when they last began: ref -> variable -> value."""
        self.heard: dict[tuple[tuple[str, str], str], bytes] = {}
        self.metrics: Callable[[], tuple[tuple[str, int], ...]] = tuple
        self.alive = False
        self._life = 0
        self.running: dict[tuple[str, str], Entry] = {}
        self.once: set[tuple[str, str]] = set()
        self.listing: set[tuple[str, str]] = set()

    # -- life ---------------------------------------------------------------------------------

    def boot(self) -> None:
        """Power on."""
        assert not self.alive
        self.alive = True
        self._life += 1
        self.disk.boots += 1
        self._conn = 0
        self._wake_at: int | None = None
        self.running = {}
        self.secure = Secure(self.id, self._rng.randbytes)
        disk = self.disk
        hello = Hello(
            id=self.id,
            inst=disk.inst,
            boot=disk.boots,
            arch="x86_64",
            os="linux",
            runtime="pretend",
            runtime_version="1",
            agent="sim",
            memory=self._memory,
            storage=1 << 30,
            tasks=64,
            max_module=self._max_module,
            max_payload=self._max_payload,
            min_run_interval=0,
            heartbeat=self._heartbeat,
            imports=self.imports,
            components=any(name.startswith("wasi:") for name in self.imports),
            mounts=self._mounts,
            points=self._points,
            encodings=self._encodings,
            algs=self._algs,
            fetch=("mqtt",),
            labels=self._labels,
            key=self._key.public.text,
            box=self.box.public.text if self.box is not None else "",
        )
        stored = Stored(
            observed=disk.observed,
            iat=disk.iat,
            entries=disk.entries,
            runs=tuple(disk.runs.values()),
            trust=disk.trust,
            signer=disk.signer,
            releases=disk.releases,
            held=disk.held,
            uploads=tuple(disk.uploads.values()),
            silence=disk.silence,
            times=tuple(disk.times.items()),
        )
        self.agent = Agent(
            AgentConfig(hello=hello, disown=True), stored, seals=Seals(self._root), rng=self._rng
        )
        self._link: MemoryTransport = self._broker.client(self._client)
        self._post = Post(
            Switchboard(self.id, most=self._max_payload, stored=disk.outgoing.values()),
            kept=disk,
            transport=self._link,
            channel=self._channel,
            hand=self._hand,
            clock=self._clock,
        )
        self.heard = {}
        self._do(self.agent.boot(self._now()))
        self._link.start(self._event, self._will())

    def kill(self) -> None:
        """kill -9: guests die with the agent; only the disk stays."""
        assert self.alive
        self.alive = False
        self._life += 1
        self.running = {}
        self._link.abort()

    def wipe(self) -> None:
        """Format the storage of a proplet that is off."""
        assert not self.alive
        self.disk = Disk(inst=f"{self._rng.getrandbits(128):032x}")

    def _will(self) -> Will:
        status = self.agent.status("offline", self._conn + 1)
        return Will(self._channel.status(self.id), encode(status))

    def _now(self) -> fx.Now:
        return fx.Now(mono=self._clock(), wall=self._clock())

    def _later(self, ms: int, work: Callable[[], tuple[fx.Effect, ...]]) -> None:
        life = self._life

        def due() -> None:
            if self.alive and self._life == life:
                self._do(work())

        self._schedule(ms, due)

    # -- hearing ------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        if not self.alive:
            return
        match event:
            case Connected():
                self._conn += 1
                self._do(self.agent.connected(self._conn, self._now()))
                self._post.connected()
                self._deliver()
            case Disconnected():
                self._link.set_will(self._will())
                self._post.disconnected()
                self._do(self.agent.disconnected(self._now()))
            case Received():
                heard = self._channel.parse(event.topic)
                if heard is None:
                    self._post.heard(event.topic, event.payload)
                    return
                topic = _TOPICS.get(heard.kind)
                if topic is not None:
                    self._do(self.agent.hear(topic, event.payload, self._now()))

    # -- doing --------------------------------------------------------------------------------

    def _do(self, effects: tuple[fx.Effect, ...]) -> None:
        for effect in effects:
            self._one(effect)
        if any(isinstance(effect, fx.SaveDesired | fx.SaveRun) for effect in effects):
            self._post.grant(self.agent.holding())

    # -- messages of guests -------------------------------------------------------------------

    def publish(self, ref: str, name: str, data: bytes) -> None:
        """The guest of `ref`, which must run, publishes."""
        text = base64.b64encode(data).decode("ascii")
        self._post.talk(self._key_of(ref), {"event": "publish", "name": name, "data": text})
        self._deliver()

    def receive(self, ref: str, name: str) -> bytes | None:
        """The next message of the guest of `ref`, None while there is none."""
        key = self._key_of(ref)
        if (key, name) not in self.heard:
            self._post.talk(key, {"event": "receive", "name": name})
        return self.heard.pop((key, name), None)

    def dropped(self) -> dict[str, int]:
        """What of them was dropped since the last boot."""
        return dict(self._post.board.counts)

    def _key_of(self, ref: str) -> tuple[str, str]:
        return next(key for key, entry in self.running.items() if entry.ref == ref)

    def _hand(self, key: tuple[str, str], message: Words) -> bool:
        self.heard[key, str(message["name"])] = base64.b64decode(str(message["data"]))
        return True

    def _deliver(self) -> None:
        """Look at what was acknowledged for as long as something is on its way."""
        at = self._post.due()
        if at is not None:
            self._later(max(1, at - self._clock()), self._delivered)

    def _delivered(self) -> tuple[fx.Effect, ...]:
        self._post.tick()
        self._deliver()
        return ()

    def _one(self, effect: fx.Effect) -> None:  # noqa: PLR0915  one arm an effect
        disk = self.disk
        match effect:
            case fx.SaveDesired(observed, iat, entries, signer):
                disk.observed, disk.iat, disk.entries = observed, iat, entries
                disk.signer = signer
            case fx.SaveTimes(key, times):
                disk.keep_times(key, times)
            case fx.SaveSilence(silence):
                disk.silence = silence
            case fx.SaveRun(record):
                disk.runs[record.key] = record
            case fx.DropRun(key):
                disk.runs.pop(key, None)
            case fx.SaveTrust(frame):
                disk.trust = frame
            case fx.SaveReleases(frame, held):
                disk.releases, disk.held = frame, held
            case fx.SaveUpload(blob):
                disk.uploads[blob.digest] = blob
            case fx.DropUpload(digest):
                disk.uploads.pop(digest, None)
            case fx.Subscribe(topics, again):
                filters = tuple(self._filter(topic) for topic in topics)
                if again:
                    self._link.unsubscribe(filters)
                self._link.subscribe(filters)
            case fx.Publish(message, retain):
                self._publish(message, retain)
            case fx.SendChunk(digest, off, length, total):
                self._put(digest, off, length, total)
            case fx.Fetch(digest, size, purpose):
                self._later(1, lambda: self._fetch(digest, size, purpose))
            case fx.WriteChunk(digest, off, total, data):
                self._write(digest, off, total, data)
            case fx.KeepBlob(blob, data):
                disk.blobs[blob.digest] = data
            case fx.Prepare(entry):
                self._later(1, lambda: self._prepared(entry))
            case fx.Start(entry, _):
                self._start(entry)
            case fx.Stop(key):
                if key in self.running:
                    self._later(2, lambda: self._end(key, fx.Outcome(ok=False, error="stopped")))
            case fx.TailLog(op, key):
                text = f"log of {key[0]}"
                self._later(
                    1,
                    lambda: self.agent.log_piece(
                        op, self._now(), stream="stdout", text=text, last=True
                    ),
                )
            case fx.Wake(at):
                self._wake(at)
            case fx.FreeBlob(digest):
                disk.blobs.pop(digest, None)
            case fx.InUse() | fx.ForgetRun() | fx.Quit() | fx.Say():
                pass

    def _filter(self, topic: fx.Topic) -> str:
        channel = self._channel
        alg = ED25519 if "ed25519" in self._algs else P256
        return {
            fx.Topic.DESIRED: channel.desired(self.id),
            fx.Topic.OP: channel.op(self.id),
            fx.Topic.BLOB_DATA: channel.blob_data(self.id),
            fx.Topic.BLOB_ACK: channel.blob_ack(self.id),
            fx.Topic.TRUST: channel.trust(alg),
            fx.Topic.RELEASES: channel.releases(),
            fx.Topic.MANAGER: channel.manager_status(alg),
        }[topic]

    def _publish(self, message: Report | Status | Hello | OpAnswer | BlobGet, retain: bool) -> None:
        channel = self._channel
        if isinstance(message, BlobGet):
            self._link.publish(channel.blob_get(self.id), encode(message))
            return
        if isinstance(message, Report) and message.tasks is not None:
            self.listing = {(run.uid, run.run) for run in message.tasks}
        topic = {
            Report: channel.report(self.id),
            Hello: channel.hello(self.id),
            Status: channel.status(self.id),
        }.get(type(message))
        if topic is None:
            assert isinstance(message, OpAnswer)
            topic = channel.op_answer(self.id, message.op)
        frame = seal(PURPOSES[type(message)], encode(message), self._key)
        self._link.publish(topic, frame, retain=retain)

    def _put(self, digest: str, off: int, length: int, total: int) -> None:
        data = self.disk.blobs[digest][off : off + length]
        put = BlobPut(
            id=self.id, inst=self.disk.inst, digest=digest, off=off, total=total, data=data
        )
        self._link.publish(self._channel.blob_put(self.id), seal("put", encode(put), self._key))

    def _fetch(self, digest: str, size: int, purpose: fx.Purpose) -> tuple[fx.Effect, ...]:
        data = self.disk.blobs.get(digest)
        if data is None:
            have = len(self.disk.parts.get(digest, b""))
            return self.agent.fetch_from(digest, size, have, self._now())
        wanted = data if purpose is fx.Purpose.BODY else None
        return self.agent.fetched(digest, self._now(), wanted)

    def _write(self, digest: str, off: int, total: int, data: bytes) -> None:
        part = self.disk.parts.get(digest, b"")[:off] + data
        self.disk.parts[digest] = part
        if len(part) < total:
            return
        del self.disk.parts[digest]
        assert "sha256:" + hashlib.sha256(part).hexdigest() == digest
        self.disk.blobs[digest] = part
        self._later(1, lambda: self.agent.fetched(digest, self._now(), part))

    def _prepared(self, entry: Entry) -> tuple[fx.Effect, ...]:
        key = (entry.uid, entry.run)
        try:
            unsealed(entry, self.box, device=self.id, inst=self.disk.inst)
        except WireError as error:
            return self.agent.unfit(key, entry.digest, error.what, self._now())
        return self.agent.prepared(key, entry.digest, self._now())

    def _start(self, entry: Entry) -> None:
        key = (entry.uid, entry.run)
        assert key not in self.running, "the agent started what it already runs"
        self.starts[key] += 1
        self.refs[entry.ref] += 1
        self.running[key] = entry
        self._post.grant(self.agent.holding())
        self._post.board.began(key)
        if entry.sealed:
            opened = unsealed(entry, self.box, device=self.id, inst=self.disk.inst)
            self.secrets[entry.ref] = dict(opened)
        if entry.mode == "once":
            self.once.add(key)
            outcome = self._played().result(entry)
            if self.guests.traps(entry):
                outcome = fx.Outcome(ok=False, error="trap")
            elif self._rng.random() < self.guests.failing:
                outcome = fx.Outcome(ok=False, exit=3, error="exit status 3")
            self._later(self._rng.randint(*self.guests.run_ms), lambda: self._end(key, outcome))
        elif self.guests.traps(entry):
            self._later(200, lambda: self._end(key, fx.Outcome(ok=False, error="trap")))
        elif self._rng.random() < self.guests.dying:
            self._later(
                self._rng.randint(500, 5_000),
                lambda: self._end(key, fx.Outcome(ok=False, exit=1, error="exit status 1")),
            )

    def _played(self) -> Played:
        return Played(self.id, self._key, self.guests, self.disk, self.secure)

    def _end(self, key: tuple[str, str], outcome: fx.Outcome) -> tuple[fx.Effect, ...]:
        if self.running.pop(key, None) is None:
            return ()
        return self.agent.ended(key, outcome, self._now())

    def _wake(self, at: int) -> None:
        if self._wake_at is not None and self._clock() < self._wake_at <= at:
            return
        self._wake_at = at
        life = self._life

        def due() -> None:
            if self.alive and self._life == life and self._wake_at == at:
                self._wake_at = None
                self.agent.vitals(storage=1 << 30, metrics=self.metrics())
                self._do(self.agent.tick(self._now()))

        self._schedule(max(1, at - self._clock()), due)


_TOPICS = {
    Kind.DESIRED: fx.Topic.DESIRED,
    Kind.OP: fx.Topic.OP,
    Kind.BLOB_DATA: fx.Topic.BLOB_DATA,
    Kind.BLOB_ACK: fx.Topic.BLOB_ACK,
    Kind.TRUST: fx.Topic.TRUST,
    Kind.RELEASES: fx.Topic.RELEASES,
    Kind.MANAGER_STATUS: fx.Topic.MANAGER,
}
