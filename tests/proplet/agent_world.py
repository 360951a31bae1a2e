"""A world for the pure agent: a disk that keeps what was persisted, a clock, and a hand that signs.

`World` carries out effects like the shell does, but at once and in memory. Guests and downloads end
when a test says so. `crash` keeps the disk and forgets everything else.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.keyring import trusted
from propeller.wire.messages import (
    BlobAck,
    BlobChunk,
    BlobRef,
    Desired,
    Entry,
    Hello,
    ManagerStatus,
    Op,
    OpAnswer,
    Report,
    RunReport,
    Trust,
    WireModule,
)
from propeller.wire.signing import SigningKey
from proplet.agent import Agent
from proplet.effects import (
    DropRun,
    DropUpload,
    Effect,
    Now,
    Outcome,
    Prepare,
    Publish,
    Quit,
    SaveDesired,
    SaveReleases,
    SaveRun,
    SaveTrust,
    SaveUpload,
    Start,
    Stop,
    Topic,
    Wake,
)
from proplet.records import AgentConfig, Key, RunRecord, Stored
from proplet.seals import Seals

T = TypeVar("T")

ROOT = SigningKey.from_seed(b"r" * 32)
MANAGER = SigningKey.from_seed(b"m" * 32)
GATEWAY = SigningKey.from_seed(b"g" * 32)
STRANGER = SigningKey.from_seed(b"s" * 32)
INST = "0" * 31 + "1"
MODULE = "sha256:" + "a" * 64
WALL = 1_800_000_000_000

HELLO = Hello(
    id="p1",
    inst=INST,
    boot=1,
    arch="x86_64",
    os="linux",
    runtime="wasmtime",
    runtime_version="1",
    agent="1",
    memory=64 << 20,
    storage=1 << 30,
    tasks=8,
    max_module=1 << 20,
    max_payload=1 << 18,
    min_run_interval=0,
    heartbeat=10_000,
    imports=("wasi_snapshot_preview1",),
    components=False,
    mounts=("data", "scratch:rw"),
    encodings=("json",),
    algs=("ed25519",),
    fetch=("mqtt",),
    labels=(),
    key=STRANGER.public.text,
)


def a_task(number: int = 1, **changes: object) -> Entry:
    """A once-run; `changes` by field."""
    entry = Entry(
        uid=f"00000000-0000-0000-0000-{number:012x}",
        ref=f"Task/default/t{number}",
        run=f"{number:032x}",
        cause="once",
        mode="once",
        digest="",
        module=WireModule(digest=MODULE, size=1000),
        entrypoint="_start",
    )
    entry = replace(entry, **changes)  # type: ignore[arg-type]  # fields by name, as a table
    return replace(entry, digest=codec.entry_digest(entry))


def a_daemon(number: int = 1, **changes: object) -> Entry:
    """A daemon that is always restarted."""
    return a_task(number, **{"mode": "daemon", "cause": "daemon", "restart": "Always", **changes})


def module(letter: str, size: int = 1000) -> WireModule:
    return WireModule(digest="sha256:" + letter * 64, size=size)


def a_document(*entries: Entry, gen: int = 1, **changes: object) -> Desired:
    document = Desired(
        to="p1",
        inst=INST,
        fence=100,
        gen=gen,
        iat=WALL,
        digest=codec.tasks_digest(entries),
        tasks=entries,
    )
    return replace(document, **changes)  # type: ignore[arg-type]  # fields by name, as a table


def signed(document: Desired, key: SigningKey = MANAGER) -> bytes:
    return seal("desired", codec.encode(document), key)


def trust(
    version: int = 1,
    *,
    manager: SigningKey = MANAGER,
    root: SigningKey = ROOT,
    release: SigningKey | None = None,
) -> bytes:
    keys = (trusted(manager.public, "manager"), trusted(GATEWAY.public, "gateway"))
    if release is not None:
        keys = (*keys, trusted(release.public, "release"))
    return seal("trust", codec.encode(Trust(version=version, keys=keys)), root)


@dataclass
class Disk:
    """What survives."""

    desired: SaveDesired | None = None
    runs: dict[Key, RunRecord] = field(default_factory=dict)
    trust: bytes = b""
    releases: SaveReleases | None = None
    uploads: dict[str, BlobRef] = field(default_factory=dict)

    def save(self, effect: Effect) -> None:
        match effect:
            case SaveDesired():
                self.desired = effect
            case SaveRun(record):
                self.runs[record.key] = record
            case DropRun(key):
                self.runs.pop(key, None)
            case SaveTrust(frame):
                self.trust = frame
            case SaveReleases():
                self.releases = effect
            case SaveUpload(blob):
                self.uploads[blob.digest] = blob
            case DropUpload(digest):
                self.uploads.pop(digest, None)
            case _:
                pass

    def stored(self) -> Stored:
        found = Stored(
            runs=tuple(self.runs.values()), trust=self.trust, uploads=tuple(self.uploads.values())
        )
        if self.releases is not None:
            found = replace(found, releases=self.releases.frame, held=self.releases.held)
        if self.desired is None:
            return found
        saved = self.desired
        return replace(
            found,
            observed=saved.observed,
            iat=saved.iat,
            entries=saved.entries,
            signer=saved.signer,
        )


class World:
    """See the module. `auto`: modules are there and fit as soon as they are asked for."""

    def __init__(self, *, auto: bool = True, hello: Hello = HELLO, trusting: bool = True) -> None:
        self.disk = Disk()
        self.auto = auto
        self.hello = hello
        self.mono, self.wall, self.synced = 1_000, WALL, True
        self.starts: Counter[tuple[Key, int]] = Counter()
        self.conn = 0
        self.n = 0
        self.boot()
        if trusting:
            self.hear(Topic.TRUST, trust())
            self.done.clear()

    # -- life ----------------------------------------------------------------------------------

    def boot(self) -> None:
        self.guests: dict[Key, Entry] = {}
        self.done: list[Effect] = []
        self.wake = 0
        self.conn = 0
        self.agent = Agent(
            AgentConfig(hello=self.hello, disown=True),
            self.disk.stored(),
            seals=Seals(ROOT.public),
            rng=random.Random(7),
        )
        self.do(self.agent.boot(self.now))

    def crash(self) -> None:
        """Power off and on."""
        self.hello = replace(self.hello, boot=self.hello.boot + 1)
        self.boot()

    @property
    def now(self) -> Now:
        return Now(self.mono, self.wall, self.synced)

    def do(self, effects: Iterable[Effect], *, cut: int | None = None) -> bool:
        """Persist everything, then do the first `cut` effects (all when None)."""
        effects = tuple(effects)
        for effect in effects:
            self.disk.save(effect)
        for effect in effects[:cut]:
            self.act(effect)
        return cut is None

    def act(self, effect: Effect) -> None:
        self.done.append(effect)
        match effect:
            case Start(entry, restarts):
                key = (entry.uid, entry.run)
                assert key not in self.guests, "a guest is started while it runs"
                self.guests[key] = entry
                self.starts[key, restarts] += 1
            case Stop(key, grace) if grace == 0 and self.auto:
                self.end(key, Outcome(ok=False, error="stopped"))
            case Prepare(entry) if self.auto:
                self.do(self.agent.prepared((entry.uid, entry.run), entry.digest, self.now))
            case Wake(at):
                self.wake = at
            case _:
                from proplet.effects import Fetch

                if isinstance(effect, Fetch) and self.auto:
                    self.do(self.agent.fetched(effect.digest, self.now))

    # -- what happens --------------------------------------------------------------------------

    def pass_(self, ms: int) -> None:
        """Time goes by; the agent is woken as it asked."""
        end = self.mono + ms
        while self.wake <= end and self.wake > self.mono:
            self.wall += self.wake - self.mono
            self.mono = self.wake
            self.do(self.agent.tick(self.now))
        self.wall += end - self.mono
        self.mono = end
        self.do(self.agent.tick(self.now))

    def connect(self) -> None:
        self.conn += 1
        self.do(self.agent.connected(self.conn, self.now))

    def hear(self, topic: Topic, payload: bytes) -> None:
        self.do(self.agent.hear(topic, payload, self.now))

    def want(self, *entries: Entry, gen: int = 1, **changes: object) -> None:
        self.hear(Topic.DESIRED, signed(a_document(*entries, gen=gen, **changes)))

    def manager(self, state: str = "online", *, fence: int = 100, conn: int = 1) -> None:
        status = ManagerStatus(state=state, fence=fence, src="m", conn=conn)
        self.hear(Topic.MANAGER, seal("manager", codec.encode(status), MANAGER))

    def end(self, key: Key, outcome: Outcome) -> None:
        if self.guests.pop(key, None) is not None:
            self.do(self.agent.ended(key, outcome, self.now))

    def op(self, verb: str, entry: Entry | None = None, **changes: object) -> list[OpAnswer]:
        """Send an op; the answers it got at once."""
        self.n += 1
        op = Op(
            id=f"op{self.n}",
            verb=verb,
            to="p1",
            inst=INST,
            boot=self.hello.boot,
            conn=self.conn,
            src="m",
            n=self.n,
            uid=entry.uid if entry else "",
            run=entry.run if entry else "",
        )
        op = replace(op, **changes)  # type: ignore[arg-type]  # fields by name, as a table
        before = len(self.published(OpAnswer))
        self.hear(Topic.OP, seal("op", codec.encode(op), MANAGER))
        return self.published(OpAnswer)[before:]

    def chunk(self, digest: str, off: int, total: int, req: int, data: bytes) -> None:
        piece = BlobChunk(digest=digest, off=off, total=total, req=req, data=data)
        self.hear(Topic.BLOB_DATA, codec.encode(piece))

    def ack(self, digest: str, have: int, state: str) -> None:
        ack = BlobAck(id="p1", digest=digest, have=have, state=state)
        self.hear(Topic.BLOB_ACK, seal("ack", codec.encode(ack), MANAGER))

    # -- what was done -------------------------------------------------------------------------

    def all(self, kind: type[T]) -> list[T]:
        return [effect for effect in self.done if isinstance(effect, kind)]

    def published(self, kind: type[T]) -> list[T]:
        return [e.message for e in self.all(Publish) if isinstance(e.message, kind)]

    def started(self) -> list[str]:
        return [effect.entry.run for effect in self.all(Start)]

    def report(self) -> Report:
        """The newest full report, after everything pending was told."""
        self.pass_(100)
        return [r for r in self.published(Report) if r.tasks is not None or r.body][-1]

    def run(self, entry: Entry) -> RunReport | None:
        tasks = self.report().tasks
        assert tasks is not None
        return next((run for run in tasks if (run.uid, run.run) == (entry.uid, entry.run)), None)

    def state(self, entry: Entry) -> str:
        run = self.run(entry)
        return run.state if run is not None else ""

    def quit(self) -> bool:
        return bool(self.all(Quit))


def key(entry: Entry) -> Key:
    return (entry.uid, entry.run)


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


WELL = Outcome(ok=True, exit=0, result="42")
BADLY = Outcome(ok=False, exit=3, error="exit 3")
