"""A whole fleet on a fake clock: the real reconciler and the real agents over the lossy broker.

One thread, one heap, one seeded generator: the same seed gives the same trace, event by event.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from propeller.model.checks import Probe, Reading
from propeller.model.ids import PropletId, Uid
from propeller.model.module import Resolved
from propeller.model.promotion import Proposal
from propeller.model.seen import RunState, Seen
from propeller.model.specs import Task
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.control import Manager
from propeller.rehearse.device import SimProplet
from propeller.rehearse.guests import Guests
from propeller.secrets.age import Identities
from propeller.sources.images import NOWHERE, Images
from propeller.state.layout import StateDir
from propeller.telemetry.spans import Send
from propeller.transport.memory import MemoryBroker, MemoryTransport
from propeller.wire.boxes import BoxPublic
from propeller.wire.codec import encode
from propeller.wire.frame import seal
from propeller.wire.keyring import trusted
from propeller.wire.messages import Trust
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel

START = 1_800_000_000_000
CHANNEL = Channel("plant", "fleet")
STEP = 20
"""ms between two looks of the reconciler at its inbox: what batching in a real process does."""

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad the network is."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: tuple[int, int] = (1, 5)


CALM = Weather()
STORM = Weather(loss=0.3, duplicate=0.1, reorder=0.1, delay=(1, 80))


@dataclass(frozen=True, slots=True)
class P256Side:
    """The fleet's keys for devices that know only P-256. Their signatures are chance, so a fleet
    that has them leaves another trace each time."""

    root: SigningKey
    manager: SigningKey


class Sim:
    """The world of one scenario. Times are Unix ms on the fake clock.

    files: whether status files are written. enrolled: whether device keys are in the key directory
    (else they are pinned at the first hello).
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        weather: Weather = CALM,
        files: bool = True,
        enrolled: bool = True,
        retained_cap: int | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.trace: list[tuple[object, ...]] = []
        self.broker = MemoryBroker(
            random.Random(self.rng.getrandbits(64)),
            retained_cap=retained_cap,
            now=START,
            trace=self.trace,
        )
        self.set_weather(weather)
        self.channel = CHANNEL
        self.specs = folder / "specs"
        self.specs.mkdir(parents=True)
        self.state = StateDir(folder / "state")
        self.files, self.enrolled = files, enrolled
        self.images: dict[str, Resolved] = {}
        self.plugin_images: Images = NOWHERE
        self.models: dict[str, bytes] = {}
        self.work_ms = 5
        """How long a worker takes for anything."""
        self.keys_predate = False
        self.identities = Identities()
        self.take_span: Send | None = None
        self.enrolled_boxes: dict[PropletId, BoxPublic] = {}
        self.root = SigningKey.from_seed(bytes([1]) * 32)
        self.manager_key = SigningKey.from_seed(bytes([2]) * 32)
        self.trust_frame = self.trust(1)
        self.p256: P256Side | None = None
        """Set before a manager starts, where devices that know no Ed25519 take part."""
        self.proplets: dict[str, SimProplet] = {}
        self.propose: Callable[[Manager, Uid, Proposal | None], None] = lambda *_: None
        """What becomes of a promotion: in a rehearsal nothing."""
        self.outside: Callable[[Probe], Reading | None] = lambda _probe: None
        self.managers: list[Manager] = []
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._keys: dict[str, SigningKey] = {}
        self._hand: MemoryTransport | None = None

    def clock(self) -> int:
        """Now."""
        return self.now

    def trust(self, version: int, *keys: SigningKey) -> bytes:
        """A trust document for these manager keys (ours when none is given)."""
        manager = keys or (self.manager_key,)
        document = Trust(
            version=version, keys=tuple(trusted(key.public, "manager") for key in manager)
        )
        return seal("trust", encode(document), self.root)

    def trust_p256(self) -> bytes | None:
        """The same for devices that know only P-256."""
        if self.p256 is None:
            return None
        key = trusted(self.p256.manager.public, "manager")
        return seal("trust", encode(Trust(version=1, keys=(key,))), self.p256.root)

    def set_weather(self, weather: Weather) -> None:
        """From now on."""
        broker = self.broker
        broker.loss, broker.duplicate = weather.loss, weather.duplicate
        broker.reorder, broker.delay = weather.reorder, weather.delay

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

    # -- who takes part -----------------------------------------------------------------------

    def make(self, proplet: str, *, client: str = "", **more: Any) -> SimProplet:
        """A proplet that is off. `client`: another client id than its own."""
        return SimProplet(
            proplet,
            client=client or proplet,
            broker=self.broker,
            channel=CHANNEL,
            root=more.pop("root", self.root.public),
            key=more.pop("key", self.device_key(proplet)),
            schedule=self.after,
            clock=self.clock,
            rng=random.Random(self.rng.getrandbits(64)),
            **more,
        )

    def add(self, proplet: str, *, guests: Guests = Guests(), **more: Any) -> SimProplet:
        """A proplet that is switched on now."""
        one = self.proplets[proplet] = self.make(proplet, guests=guests, **more)
        one.boot()
        return one

    @property
    def manager(self) -> Manager:
        """The reconciler that was started last."""
        assert self.managers, "no reconciler runs"
        return self.managers[-1]

    def start_manager(self, **more: Any) -> Manager:
        """A reconciler process begins. `state`, `name`, `client`, `key` as in Manager."""
        self.managers.append(Manager(self, state=more.pop("state", self.state), **more))
        return self.manager

    def kill_manager(self) -> None:
        """kill -9 of the reconciler that was started last."""
        self.managers.pop().kill()

    def restart_manager(self, *, away: int = 0) -> Manager:
        """kill -9, and again."""
        self.kill_manager()
        self.run(away)
        return self.start_manager()

    def delete_database(self) -> None:
        """What `rm propeller.db*` does. No reconciler may run."""
        assert not self.managers
        for path in self.state.path.glob("propeller.db*"):
            path.unlink()

    def delete_status(self) -> None:
        """Status files are a projection: anyone may remove them."""
        shutil.rmtree(self.state.status)
        self.state.status.mkdir()

    def write(self, name: str, text: str) -> None:
        """Save a spec file; every reconciler that runs looks at once."""
        path = self.specs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self._look()

    def remove(self, name: str) -> None:
        """Remove a spec file."""
        (self.specs / name).unlink()
        self._look()

    def _look(self) -> None:
        for manager in self.managers:
            manager.read()

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Somebody publishes something."""
        if self._hand is None:
            self._hand = self.broker.client("hand")
            self._hand.start(lambda _event: None)
            self.run(10 * STEP)
        assert self._hand.publish(topic, payload, retain=retain)

    # -- time ---------------------------------------------------------------------------------

    def run(self, ms: int, *, until: Callable[[], bool] | None = None, every: int = STEP) -> bool:
        """Let `ms` pass, or less when `until` holds, asked every `every` ms.

        Returns whether it held (True without one).
        """
        end, asked = self.now + ms, self.now
        while self.now < end:
            self._step(end)
            if until is not None and (self.now >= asked + every or self.now >= end):
                asked = self.now
                if until():
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
                self.now = mine_at
                _, _, work = heapq.heappop(self._heap)
                work()
            else:
                self.now = soonest
                self.broker.advance(soonest)
        self.now = target
        self.broker.advance(target)
        for manager in self.managers:
            manager.turn()

    def _next_at(self) -> int:
        dues = [self.broker.next_at()]
        if self._heap:
            dues.append(self._heap[0][0])
        dues += [manager.next_at() for manager in self.managers]
        return min((due for due in dues if due is not None), default=self.now + 1_000)

    # -- judging ------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether everything the specs want is Ready."""
        if self.manager.inbox:
            return False
        standing = of_reconciler(self.manager.reconciler)
        return standing.total > 0 and standing.settled and not standing.failed

    def settled(self) -> bool:
        """Whether nothing will move by itself (some may have failed)."""
        if self.manager.inbox:
            return False
        standing = of_reconciler(self.manager.reconciler)
        return standing.total > 0 and standing.settled

    def what_is_not(self) -> list[str]:
        """For the message of a failed assertion."""
        return of_reconciler(self.manager.reconciler).lines()[:20]

    def as_wanted(self) -> int:
        """Copies the manager knows to be what they should: done, or running and ready."""
        world = self.manager.reconciler.world
        good = 0
        for uid, copies in world.assignments.items():
            task = isinstance(world.objects[uid].object, Task)
            for proplet, copy in copies.items():
                run = world.proplets[proplet].runs.get((uid, copy.run))
                if run is None or copy.releasing:
                    continue
                done = run.state is RunState.SUCCEEDED
                good += done if task else run.state is RunState.RUNNING and run.ready
        return good

    def seen(self, proplet: str) -> Seen:
        """What the reconciler thinks of a proplet."""
        return self.manager.reconciler.world.proplets[PropletId(proplet)]

    def started_twice(self) -> list[tuple[str, tuple[str, str]]]:
        """Once-runs that were started more than once anywhere: must be empty, whatever happened."""
        return [
            (proplet.id, key)
            for proplet in self.proplets.values()
            for key, times in proplet.starts.items()
            if key in proplet.once and times > 1
        ]

    def started(self, name: str) -> dict[str, int]:
        """How often once-runs of Task `name` were started, by proplet."""
        ref = f"Task/default/{name}"
        counted = {one.id: one.refs[ref] for one in self.proplets.values()}
        return {proplet: times for proplet, times in counted.items() if times}

    def running(self) -> dict[str, list[str]]:
        """What runs where now: ref -> proplets."""
        found: dict[str, list[str]] = {}
        for proplet in self.proplets.values():
            for entry in proplet.running.values():
                found.setdefault(entry.ref, []).append(proplet.id)
        return {ref: sorted(where) for ref, where in sorted(found.items())}

    def trace_digest(self) -> str:
        """One name for everything that went over the broker."""
        digest = hashlib.sha256()
        for line in self.trace:
            digest.update(repr(line).encode())
        return digest.hexdigest()
