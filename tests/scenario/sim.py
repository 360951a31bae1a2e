"""A whole fleet on a fake clock: the real reconciler and the real agents over the lossy broker.

One thread, one heap, one seeded generator: the same seed gives the same trace, event by event.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from propeller.model.module import Module
from propeller.model.specs import ModuleRef
from propeller.reconcile.blobservice import BlobService, BlobWork
from propeller.reconcile.devices import DeviceKeys, FleetKeys
from propeller.reconcile.events import Event, ModuleResolved, SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.reconciler import Reconciler, Surroundings
from propeller.reconcile.sourcing import read_once
from propeller.reconcile.standing import of_reconciler
from propeller.reconcile.statusfiles import StatusFiles
from propeller.registry.blobs import BlobStore
from propeller.registry.spool import Spool
from propeller.sources.open import open_source
from propeller.state.journal import FileJournal
from propeller.state.layout import StateDir
from propeller.state.sqlite import SqliteStore
from propeller.transport.base import Connected, Disconnected, Received
from propeller.transport.memory import MemoryBroker
from propeller.wire.codec import encode
from propeller.wire.frame import seal
from propeller.wire.keyring import Keyring, trusted
from propeller.wire.messages import Trust
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel
from simproplet import Guests, SimProplet

START = 1_800_000_000_000
CHANNEL = Channel("plant", "fleet")
STEP = 20
"""ms between two looks of the reconciler at its inbox: what batching in a real process does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad the network is."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: tuple[int, int] = (1, 5)


class Manager:
    """One life of a reconciler process: its memory goes with `kill`, its state directory stays."""

    def __init__(self, fleet: Sim) -> None:
        self.inbox: list[Event] = []
        self._fleet = fleet
        state = fleet.state
        state.create()
        self.store = SqliteStore.open(state.database, clock=fleet.clock)
        blobs = BlobStore(state.blobs)
        devices = DeviceKeys(
            FleetKeys(
                manager=Keyring.of([fleet.manager_key.public], "manager"),
                trust=fleet.trust_frame,
                enrolled=lambda proplet: fleet.device_key(proplet).public,
            )
        )
        self._control = fleet.broker.client("manager")
        self._blob_link = fleet.broker.client("manager-blobs")
        self.reconciler = Reconciler(
            Surroundings(
                store=self.store,
                journal=FileJournal(state.journal),
                transport=self._control,
                channel=CHANNEL,
                key=fleet.manager_key,
                devices=devices,
                blobs=blobs,
                status=StatusFiles(state.status),
                clock=fleet.clock,
                new_id=lambda: f"{fleet.rng.getrandbits(64):016x}",
                resolve=self._resolve,
                domain=CHANNEL.domain,
                source_id="manager",
                keys_predate=fleet.keys_predate,
            )
        )
        fleet.keys_predate = True
        self.keep = blobs.put
        self.blob_service = BlobService(
            BlobWork(
                channel=CHANNEL,
                key=fleet.manager_key,
                blobs=blobs,
                spool=Spool(state.path / "uploads", blobs),
                grants=lambda proplet: self.reconciler.world.grants.get(proplet, frozenset()),
                open_put=lambda proplet, payload: devices.open_signed(
                    "put", proplet, payload, self.reconciler.world
                ),
                post=self.inbox.append,
                clock=fleet.clock,
            ),
            self._blob_link,
        )
        self.due = fleet.now
        self.blob_due: int | None = None
        self.turns = 0
        self._control.start(self._hear, self.reconciler.fleet.will())
        self._blob_link.start(self._hear_blobs)
        self.read()

    def _hear(self, event: Received | Connected | Disconnected) -> None:
        if isinstance(event, Disconnected):
            self._control.set_will(self.reconciler.fleet.will())
        self.inbox.append(event)

    def _hear_blobs(self, event: Received | Connected | Disconnected) -> None:
        if isinstance(event, Connected):
            self.blob_service.connected()
        elif isinstance(event, Received):
            self.blob_service.hear(event)
        self.blob_due = self._fleet.now

    def read(self) -> SpecsTaken | SpecsRefused | SourceSilent:
        """Look at the source, as the reader thread would."""
        outcome = read_once(
            open_source(str(self._fleet.specs), cache=self._fleet.state.git),
            domain=CHANNEL.domain,
            keep=self.keep,
        )
        self.inbox.append(outcome)
        return outcome

    def _resolve(self, ref: ModuleRef) -> None:
        resolved = self._fleet.images[str(ref)]
        self.inbox.append(ModuleResolved(ref, resolved))

    def turn(self) -> None:
        """One look at the inbox, if there is a reason for one."""
        now = self._fleet.now
        if self.blob_due is not None and self.blob_due <= now:
            self.blob_due = self.blob_service.turn()
        if self.inbox or self.due <= now:
            events, self.inbox[:] = list(self.inbox), []
            self.due = self.reconciler.turn(events)
            self.turns += 1

    def kill(self) -> None:
        """kill -9."""
        self._control.abort()
        self._blob_link.abort()
        self.store.close()


class Sim:
    """The world of one scenario. Times are Unix ms on the fake clock."""

    def __init__(self, folder: Path, *, seed: int, weather: Weather = Weather()) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.trace: list[tuple[object, ...]] = []
        self.broker = MemoryBroker(
            random.Random(self.rng.getrandbits(64)),
            loss=weather.loss,
            duplicate=weather.duplicate,
            reorder=weather.reorder,
            delay=weather.delay,
            now=START,
            trace=self.trace,
        )
        self.specs = folder / "specs"
        self.specs.mkdir(parents=True)
        self.state = StateDir(folder / "state")
        self.images: dict[str, Module] = {}
        self.keys_predate = False
        self.root = SigningKey.from_seed(bytes([1]) * 32)
        self.manager_key = SigningKey.from_seed(bytes([2]) * 32)
        trust = Trust(version=1, keys=(trusted(self.manager_key.public, "manager"),))
        self.trust_frame = seal("trust", encode(trust), self.root)
        self.proplets: dict[str, SimProplet] = {}
        self.manager: Manager | None = None
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._keys: dict[str, SigningKey] = {}

    def clock(self) -> int:
        """Now."""
        return self.now

    def device_key(self, proplet: str) -> SigningKey:
        """The key of a device: the same in every life."""
        key = self._keys.get(proplet)
        if key is None:
            seed = proplet.encode().ljust(32, b".")[:32]
            key = self._keys[proplet] = SigningKey.from_seed(seed)
        return key

    def after(self, ms: int, work: Callable[[], None]) -> None:
        """Run `work` when `ms` have passed."""
        heapq.heappush(self._heap, (self.now + ms, next(self._order), work))

    def add(self, proplet: str, *, guests: Guests = Guests(), **hello: object) -> SimProplet:
        """A proplet that is switched on now."""
        one = self.proplets[proplet] = SimProplet(
            proplet,
            broker=self.broker,
            channel=CHANNEL,
            root=self.root.public,
            key=self.device_key(proplet),
            schedule=self.after,
            clock=self.clock,
            rng=random.Random(self.rng.getrandbits(64)),
            guests=guests,
            **hello,  # type: ignore[arg-type] - keyword facts of SimProplet
        )
        one.boot()
        return one

    def start_manager(self) -> Manager:
        """A reconciler process begins."""
        assert self.manager is None
        self.manager = Manager(self)
        return self.manager

    def kill_manager(self) -> None:
        """kill -9 of the reconciler."""
        assert self.manager is not None
        self.manager.kill()
        self.manager = None

    def write(self, name: str, text: str) -> None:
        """Save a spec file; the manager looks at once if it runs."""
        path = self.specs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if self.manager is not None:
            self.manager.read()

    def remove(self, name: str) -> None:
        """Remove a spec file."""
        (self.specs / name).unlink()
        if self.manager is not None:
            self.manager.read()

    # -- time ---------------------------------------------------------------------------------

    def run(self, ms: int, *, until: Callable[[], bool] | None = None) -> bool:
        """Let `ms` pass, or less when `until` holds. Returns whether it held (True without one)."""
        end = self.now + ms
        while self.now < end:
            self._step(end)
            if until is not None and until():
                return True
        return until is None

    def _step(self, end: int) -> None:
        following = min(self._next_at(), end)
        self.now = max(self.now + 1, min(end, -(-following // STEP) * STEP))
        target = self.now
        while True:
            broker_at, mine_at = self.broker.next_at(), self._heap[0][0] if self._heap else None
            soonest = min((at for at in (broker_at, mine_at) if at is not None), default=None)
            if soonest is None or soonest > target:
                break
            if mine_at is not None and mine_at == soonest:
                self.now = max(mine_at, self.now if mine_at > target else mine_at)
                _, _, work = heapq.heappop(self._heap)
                work()
            else:
                self.now = soonest
                self.broker.advance(soonest)
        self.now = target
        self.broker.advance(target)
        if self.manager is not None:
            self.manager.turn()

    def _next_at(self) -> int:
        dues = [self.broker.next_at()]
        if self._heap:
            dues.append(self._heap[0][0])
        if self.manager is not None:
            dues.append(self.now + 1 if self.manager.inbox else self.manager.due)
            dues.append(self.manager.blob_due)
        return min((due for due in dues if due is not None), default=self.now + 1_000)

    # -- judging ------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether everything the specs want is Ready."""
        if self.manager is None or self.manager.inbox:
            return False
        standing = of_reconciler(self.manager.reconciler)
        return standing.total > 0 and standing.settled and not standing.failed

    def settled(self) -> bool:
        """Whether nothing will move by itself (some may have failed)."""
        if self.manager is None or self.manager.inbox:
            return False
        standing = of_reconciler(self.manager.reconciler)
        return standing.total > 0 and standing.settled

    def what_is_not(self) -> list[str]:
        """For the message of a failed assertion."""
        assert self.manager is not None
        return of_reconciler(self.manager.reconciler).lines()

    def started_twice(self) -> list[tuple[str, tuple[str, str]]]:
        """Once-runs that were started more than once anywhere: must be empty, whatever happened."""
        return [
            (proplet.id, key)
            for proplet in self.proplets.values()
            for key, times in proplet.starts.items()
            if key in proplet.once and times > 1
        ]

    def running(self) -> dict[str, list[str]]:
        """What runs where now: ref -> proplets."""
        found: dict[str, list[str]] = {}
        for proplet in self.proplets.values():
            for entry in proplet.running.values():
                found.setdefault(entry.ref, []).append(proplet.id)
        return {ref: sorted(where) for ref, where in sorted(found.items())}


def proplet_yaml(names: Iterable[str], **labels: str) -> str:
    """Declarations of proplets, one document each."""
    text = "".join(f", {name}: {value}" for name, value in labels.items())
    return "".join(
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Proplet\n"
        f"metadata: {{name: {name}, labels: {{id: {name}{text}}}}}\n"
        "spec: {heartbeat: 10s}\n"
        for name in names
    )


WAT = '(module (func (export "run") (result i32) (i32.const 42)) (func (export "_start")))'


def task_yaml(name: str, spec: str = "") -> str:
    """A Task that runs `run` of `m.wat`."""
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Task\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  module: {{file: m.wat}}\n  run: {{entrypoint: run}}\n{spec}"
    )


def daemon_yaml(name: str, spec: str = "") -> str:
    """A Daemon that runs `_start` of `m.wat`."""
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Daemon\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  module: {{file: m.wat}}\n{spec}"
    )
