"""Ten thousand proplets on paper: what `scale` measures, in a process of its own.

    python -m bench.big_fleet build FOLDER PROPLETS TASKS    the real loop takes signed messages
    python -m bench.big_fleet measure FOLDER REPORTS         a fresh process takes the state up

The reconciler, its store, the spec reader and every signature are the real ones; the broker is a
list, and the clock is set by hand so that nothing waits. Answers one JSON object a line.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.plant import API, daemon_wasm, rss_mb
from propeller.model.ids import PropletId
from propeller.reconcile.collector import leave_alone
from propeller.reconcile.devices import DeviceKeys, FleetKeys
from propeller.reconcile.events import Event
from propeller.reconcile.reconciler import Reconciler
from propeller.reconcile.sourcing import read_once
from propeller.reconcile.standing import of_reconciler
from propeller.reconcile.statusfiles import StatusFiles
from propeller.reconcile.surroundings import Surroundings
from propeller.registry.blobs import BlobStore
from propeller.sources.load import Cache
from propeller.sources.open import open_source
from propeller.state.journal import FileJournal
from propeller.state.layout import StateDir
from propeller.state.sqlite import SqliteStore
from propeller.transport.base import Connected, Listener, Received, Stats, Will
from propeller.wire.codec import encode, inventory_digest
from propeller.wire.frame import seal
from propeller.wire.keyring import Keyring, trusted
from propeller.wire.messages import Free, Hello, Observed, Report, RunReport, Trust
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Kind

CHANNEL = Channel("plant", "fleet")
ROOT, MANAGER = SigningKey.from_seed(bytes([1]) * 32), SigningKey.from_seed(bytes([2]) * 32)
BATCH = 500
MINUTES_15 = 900_000


class Wire:
    """A Transport with nobody at the other end but what this bench answers itself."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.retained: Callable[[str], bytes | None] = lambda _topic: None
        self.published = 0

    def start(self, listener: Listener, will: Will | None = None) -> None:
        """Part of Transport."""

    def set_will(self, will: Will | None) -> None:
        """Part of Transport."""

    def subscribe(self, filters: Sequence[str]) -> None:
        """What is retained under these exact names comes back."""
        for name in filters:
            payload = self.retained(name)
            if payload is not None:
                self.heard.append(Received(name, payload, True))

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Part of Transport."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """The manager's own echo comes back at once."""
        self.published += 1
        if "/echo" in topic:
            self.heard.append(Received(topic, payload, False))
        return True

    def flush(self, timeout: float) -> bool:
        """Part of Transport."""
        return True

    def close(self) -> None:
        """Part of Transport."""

    def abort(self) -> None:
        """Part of Transport."""

    def stats(self) -> Stats:
        """Part of Transport."""
        return Stats()


class Clock:
    """Unix ms that move when told, and with real time while `running`: what is cut into slices by
    time is cut as it would be in a real loop."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.running: float | None = None

    def __call__(self) -> int:
        if self.running is None:
            return self.now
        return self.now + int((time.perf_counter() - self.running) * 1000)


class Fleet:
    """One reconciler on a state directory, driven by hand."""

    def __init__(self, folder: Path, *, now: int) -> None:
        self.clock = Clock(now)
        self.wire = Wire()
        self.cpu = 0.0
        state = StateDir(folder / "state")
        state.create()
        self.store = SqliteStore.open(state.database, clock=self.clock)
        self.blobs = BlobStore(state.blobs)
        trust = Trust(version=1, keys=(trusted(MANAGER.public, "manager"),))
        self.reconciler = Reconciler(
            Surroundings(
                store=self.store,
                journal=FileJournal(state.journal),
                transport=self.wire,
                channel=CHANNEL,
                key=MANAGER,
                devices=DeviceKeys(
                    FleetKeys(
                        manager=Keyring.of([MANAGER.public], "manager"),
                        trust=seal("trust", encode(trust), ROOT),
                        enrolled=lambda _proplet: None,
                    )
                ),
                blobs=self.blobs,
                status=StatusFiles(state.status),
                clock=self.clock,
                new_id=lambda: "0",
                resolve=lambda ref: None,
                domain=CHANNEL.domain,
                source_id="manager",
                keys_predate=False,
            )
        )

    def turn(self, events: Sequence[Event] = ()) -> float:
        """One turn; the seconds it took."""
        taken = [*self.wire.heard, *events]
        self.wire.heard.clear()
        began, busy = time.perf_counter(), time.process_time()
        self.clock.running = began
        self.due = self.reconciler.turn(taken)
        self.clock.now, self.clock.running = self.clock(), None
        self.cpu = time.process_time() - busy
        return time.perf_counter() - began

    def at_once(self) -> list[float]:
        """Turns for as long as there is something to do at once; the seconds of each."""
        took = [self.turn()]
        while self.due <= self.clock.now:
            took.append(self.turn())
        return took

    def settle(self) -> float:
        """Turns until nothing comes back any more and the fleet was heard; the seconds of all."""
        took = self.turn([Connected(1)])
        while self.wire.heard or not self.reconciler.fleet.heard:
            if not self.wire.heard:
                self.clock.now += 250
            took += self.turn()
        return took

    def later(self, ms: int) -> list[float]:
        """Time passes, and turns work off what was put off; the seconds of each."""
        self.clock.now += ms
        took = [self.turn()]
        projection = self.reconciler.projection
        while (due := projection.due()) is not None and due <= self.clock.now:
            took.append(self.turn())
        return took


def write_specs(folder: Path, proplets: int, tasks: int) -> None:
    """Proplets a hundred to a file, and `tasks` Daemons that run on each of them."""
    specs = folder / "specs"
    specs.mkdir(parents=True)
    (specs / "pump.wasm").write_bytes(daemon_wasm("one"))
    for start in range(0, proplets, 100):
        names = range(start, min(proplets, start + 100))
        text = "---\n".join(
            f"{API}\nkind: Proplet\nmetadata: {{name: p{n:05d}, labels: {{site: s{n % 50}}}}}\n"
            "spec: {heartbeat: 15m}\n"
            for n in names
        )
        (specs / f"proplets-{start:05d}.yaml").write_text(text)
    for n in range(tasks):
        (specs / f"daemon-{n}.yaml").write_text(
            f"{API}\nkind: Daemon\nmetadata: {{name: d{n}}}\nspec:\n"
            "  module: {file: pump.wasm}\n  placement: {perProplet: true}\n"
            f"  run: {{args: [--number, '{n}']}}\n  limits: {{memory: 1MiB}}\n"
        )


def key_of(proplet: str) -> SigningKey:
    """The device's key."""
    return SigningKey.from_seed(proplet.encode().ljust(32, b"."))


def hello(proplet: str) -> Received:
    """What a device says first."""
    key = key_of(proplet)
    words = Hello(
        id=proplet,
        inst=proplet.encode().hex().ljust(32, "0")[:32],
        boot=1,
        arch="aarch64",
        os="linux",
        runtime="wasmtime",
        runtime_version="30.0.0",
        agent="1",
        memory=1 << 30,
        storage=1 << 30,
        tasks=100,
        max_module=1 << 25,
        max_payload=1 << 16,
        min_run_interval=0,
        heartbeat=MINUTES_15,
        imports=("wasi_snapshot_preview1",),
        components=False,
        mounts=(),
        encodings=("json", "cbor"),
        algs=("ed25519",),
        fetch=("mqtt",),
        labels=(("zone", "hall"),),
        key=key.public.text,
    )
    return Received(CHANNEL.hello(proplet), seal("hello", encode(words), key), False)


def report(
    fleet: Fleet, proplet: PropletId, *, seq: int, full: bool = True, restarts: int = 0
) -> Received:
    """What a device that holds all it was asked reports; without the list it is a heartbeat."""
    world = fleet.reconciler.world
    asked = world.asked[proplet]
    runs = tuple(
        RunReport(
            uid=entry.uid,
            run=entry.run,
            digest=entry.digest,
            cause=entry.cause,
            state="Running",
            exit=None,
            result=None,
            result_blob=None,
            error="",
            restarts=restarts if number == 0 else 0,
            ready=True,
            started=1_800_000_000_000,
            ended=0,
        )
        for number, entry in enumerate(world.entries.wanted(proplet) or ())
    )
    words = Report(
        id=proplet,
        inst=world.proplets[proplet].inst,
        boot=1,
        seq=seq,
        conn=1,
        observed=Observed(fence=asked.fence, gen=asked.gen, digest=asked.digest),
        inventory=inventory_digest(runs),
        tasks=runs if full else None,
        refused=None,
        free=Free(memory=1 << 29, tasks=90, storage=1 << 29),
        metrics=(),
        clock="Synced",
    )
    frame = seal("report", encode(words), key_of(proplet))
    return Received(CHANNEL.report(proplet), frame, False)


def _batches(fleet: Fleet) -> Iterator[list[PropletId]]:
    names = sorted(fleet.reconciler.world.proplets)
    for start in range(0, len(names), BATCH):
        yield names[start : start + BATCH]


def build(folder: Path, proplets: int, tasks: int) -> None:
    """A fleet in which everything runs; says how fast messages were taken."""
    write_specs(folder, proplets, tasks)
    fleet = Fleet(folder, now=time.time_ns() // 1_000_000)
    source = open_source(str(folder / "specs"), cache=folder / "git")
    fleet.turn([read_once(source, domain=CHANNEL.domain, keep=fleet.blobs.put)])
    fleet.settle()
    took = 0.0
    for names in _batches(fleet):
        hellos = [hello(name) for name in names]
        fleet.clock.now += 20
        took += fleet.turn(hellos)
    _say(hellos_per_second=proplets / took)
    while not all(name in fleet.reconciler.world.asked for name in fleet.reconciler.world.proplets):
        fleet.clock.now += 20
        fleet.turn()
    took = 0.0
    for names in _batches(fleet):
        reports = [report(fleet, name, seq=1) for name in names]
        fleet.clock.now += 20
        took += fleet.turn(reports)
    fleet.later(15_000)
    _say(reports_per_second=proplets / took, dropped=dict(fleet.reconciler.fleet.hearing.dropped))
    standing = of_reconciler(fleet.reconciler)
    if standing.exit_code:
        raise SystemExit("\n".join(standing.lines()[:5]))
    fleet.store.close()
    (folder / "now").write_text(str(fleet.clock.now))


def measure(folder: Path, reports: int) -> None:
    """Take the state up as a restarted reconciler does, then pass, report and weigh."""
    import propeller.cli.running  # noqa: F401 - a real process has the API and its server loaded

    _say(empty_rss_mb=rss_mb(os.getpid()))
    began = time.perf_counter()
    fleet = Fleet(folder, now=int((folder / "now").read_text()) + 1_000)
    _say(load_seconds=time.perf_counter() - began, load_rss_mb=rss_mb(os.getpid()))
    began = time.perf_counter()
    source, cache = open_source(str(folder / "specs"), cache=folder / "git"), Cache()
    taken = read_once(source, domain=CHANNEL.domain, keep=fleet.blobs.put, cache=cache)
    _say(read_seconds=time.perf_counter() - began, read_rss_mb=rss_mb(os.getpid()))
    fleet.wire.retained = lambda topic: _retained(fleet, topic)
    began = time.perf_counter()
    fleet.turn([taken])
    fleet.settle()
    _say(settle_seconds=time.perf_counter() - began, settle_rss_mb=rss_mb(os.getpid()))
    del taken
    fleet.wire.retained = lambda _topic: None
    fleet.later(15_000)
    fleet.later(15_000)
    while fleet.reconciler.delivery.unfinished:
        fleet.turn()
    leave_alone()  # as `service` does once the fleet was heard
    reconciler = fleet.reconciler
    published = fleet.wire.published
    passes, busy = [], []
    for _ in range(5):
        reconciler.world.touched.everything = True
        passes.append(fleet.turn())
        busy.append(fleet.cpu)
    _say(full_pass_cpu=busy, full_pass_seconds=passes, published=fleet.wire.published - published)
    names = sorted(reconciler.world.proplets)
    step = max(1, len(names) // reports)
    chosen = names[::step][:reports]
    for kind, full, restarts, seq in (("heartbeat", False, 0, 2), ("changed", True, 1, 3)):
        messages = [report(fleet, name, seq=seq, full=full, restarts=restarts) for name in chosen]
        fleet.later(12_000)
        took, busy = [], []
        for message in messages:
            fleet.clock.now += 7
            took.append(fleet.turn([message]))
            busy.append(fleet.cpu)
        _say(**{f"{kind}_seconds": took, f"{kind}_cpu": busy})
        _say(**{f"{kind}_lazy_seconds": fleet.later(12_000)})
    batch = [report(fleet, name, seq=4, full=False, restarts=1) for name in chosen]
    fleet.later(12_000)
    _say(heartbeat_batch_per_second=len(batch) / fleet.turn(batch))
    _say(rss_mb=rss_mb(os.getpid()), dropped=dict(reconciler.fleet.hearing.dropped))
    gc.collect()
    reconciler.world.touched.statuses = set(reconciler.world.objects)
    _say(statuses_seconds=sum(fleet.later(12_000)))
    fleet.store.close()
    assert source is not None
    assert cache is not None


def _retained(fleet: Fleet, topic: str) -> bytes | None:
    """The document the broker holds: the one last asked, sealed again."""
    heard = CHANNEL.parse(topic)
    if heard is None or heard.kind is not Kind.DESIRED:
        return None
    body = fleet.store.asked_body(PropletId(heard.proplet))
    return seal("desired", body, MANAGER) if body else None


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        measure(Path(sys.argv[2]), int(sys.argv[3]))
