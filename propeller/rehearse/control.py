"""One life of a reconciler process in the simulation: memory goes with `kill`, the state stays.

The real Reconciler, store, journal, blob service and loader; threads and processes are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from propeller.errors import Unavailable
from propeller.model.checks import Probe
from propeller.model.federated import ModelSpec
from propeller.model.ids import Digest, Key, PropletId
from propeller.model.plugins import Answer
from propeller.model.scoring import Asking
from propeller.model.specs import ModuleRef, Proplet
from propeller.plan.planner import plan
from propeller.plan.types import Action
from propeller.reconcile.blobservice import BlobService, BlobWork
from propeller.reconcile.devices import DeviceKeys, FleetKeys
from propeller.reconcile.events import (
    Event,
    Learned,
    Measured,
    ModuleResolved,
    Reply,
    Request,
    Scored,
    SourceSilent,
    SpecsRefused,
    SpecsTaken,
)
from propeller.reconcile.learning import Work
from propeller.reconcile.learningwork import Workshop, perform
from propeller.reconcile.readers import LateSource
from propeller.reconcile.reconciler import Reconciler
from propeller.reconcile.scorework import ScoreWork
from propeller.reconcile.sourcing import read_once
from propeller.reconcile.statusfiles import StatusFiles
from propeller.reconcile.surroundings import Surroundings
from propeller.registry.blobs import BlobStore
from propeller.registry.spool import Spool
from propeller.secrets.vault import Vault
from propeller.sources.open import open_source
from propeller.sources.plugins import Bound
from propeller.state.journal import FileJournal
from propeller.state.layout import StateDir
from propeller.state.sqlite import SqliteStore
from propeller.transport.base import Connected, Disconnected, Received
from propeller.transport.memory import MemoryTransport
from propeller.wire.keyring import Keyring
from propeller.wire.signing import SigningKey

if TYPE_CHECKING:
    from propeller.rehearse.fleet import Sim


class Sent(NamedTuple):
    """A publication of a manager's control connection."""

    at: int
    topic: str
    payload: bytes
    retain: bool


class Noted(MemoryTransport):
    """A transport that remembers what it took for sending."""

    sent: list[Sent]

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        taken = super().publish(topic, payload, qos=qos, retain=retain)
        if taken:
            self.sent.append(Sent(self._broker.now, topic, payload, retain))
        return taken


class NoFiles(StatusFiles):
    """Status documents that go nowhere: for storms, where files would be most of the time."""

    def has(self, key: Key, *, since: int) -> bool:  # noqa: ARG002  nothing is kept
        return True

    def write(self, key: Key, document: Mapping[str, object]) -> bool:  # noqa: ARG002
        return True

    def write_sources(self, document: Mapping[str, object]) -> bool:  # noqa: ARG002
        return True

    def remove(self, key: Key) -> None:  # noqa: ARG002
        return

    def sweep(self, keep: Iterable[Key]) -> None:  # noqa: ARG002
        return


class Manager:
    """See the module."""

    def __init__(
        self,
        fleet: Sim,
        *,
        state: StateDir,
        name: str = "manager",
        client: str | None = None,
        key: SigningKey | None = None,
    ) -> None:
        self.inbox: list[Event] = []
        self.dead = False
        self.name = name
        self._fleet = fleet
        self.state = state
        state.create()
        key = key or fleet.manager_key
        self.store = SqliteStore.open(state.database, clock=fleet.clock)
        blobs = BlobStore(state.blobs)
        self.spool = Spool(state.path / "uploads", blobs)
        p256 = None if fleet.p256 is None else fleet.p256.manager
        ours = [key.public] if p256 is None else [key.public, p256.public]
        devices = DeviceKeys(
            FleetKeys(
                manager=Keyring.of(ours, "manager"),
                trust=fleet.trust_frame,
                enrolled=lambda proplet: (
                    fleet.device_key(proplet).public if fleet.enrolled else None
                ),
                boxes=fleet.enrolled_boxes.get,
                trust_p256=fleet.trust_p256(),
            )
        )
        self.control = Noted(fleet.broker, client or name, max_payload=1 << 20)
        self.control.sent = []
        self._blob_link = fleet.broker.client(f"{client or name}-blobs")
        around = Surroundings(
            store=self.store,
            journal=FileJournal(state.journal),
            transport=self.control,
            channel=fleet.channel,
            key=key,
            key_p256=p256,
            devices=devices,
            blobs=blobs,
            status=StatusFiles(state.status) if fleet.files else NoFiles(state.status),
            clock=fleet.clock,
            new_id=lambda: f"{fleet.rng.getrandbits(64):016x}",
            resolve=self._resolve,
            domain=fleet.channel.domain,
            source_id=name,
            keys_predate=fleet.keys_predate,
            vault=Vault(fleet.identities, bytes([3]) * 32),
            learn=self._learn,
            drop_upload=self._drop_upload,
            measure=self._measure,
            score=self._score,
            trace=fleet.take_span,
            propose=lambda uid, proposal: fleet.propose(self, uid, proposal),
        )
        self.reconciler = Reconciler(around)
        fleet.keys_predate = True
        self.keep = blobs.put
        self.shop = Workshop(
            blobs=blobs,
            find=self._find,
            key_of=lambda proplet: devices.key_of(proplet, self.reconciler.world),
            entropy=fleet.rng.randbytes,  # a rehearsal has one result, noise included
        )
        self.blob_service = BlobService(
            BlobWork(
                channel=fleet.channel,
                blobs=blobs,
                spool=self.spool,
                grants=self._grants,
                key_for=lambda proplet: around.key_for(self.reconciler.world.proplets.get(proplet)),
                declared=self._declared,
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
        self._apps = self.reconciler.specs.sources.wanted()
        self._binding = self.reconciler.specs.sources.binding
        self.control.start(self._hear, self.reconciler.fleet.will())
        self._blob_link.start(self._hear_blobs)
        self.read()

    def _declared(self, proplet: PropletId) -> Proplet | None:
        return self.reconciler.world.declared_now.get(proplet)

    def _grants(self, proplet: PropletId) -> frozenset[str]:
        return self.reconciler.world.grants.get(proplet, frozenset())

    def _hear(self, event: Received | Connected | Disconnected) -> None:
        if isinstance(event, Disconnected):
            self.control.set_will(self.reconciler.fleet.will())
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
            open_source(str(self._fleet.specs), cache=self.state.git),
            domain=self._fleet.channel.domain,
            keep=self.keep,
            images=self._fleet.plugin_images,
        )
        self.inbox.append(outcome)
        self.read_apps()
        return outcome

    def read_apps(self) -> None:
        """Look at the sources of Apps, as their readers would."""
        sources = self.reconciler.specs.sources
        self._apps, self._binding = sources.wanted(), sources.binding
        for name, app in self._apps.items():
            source = LateSource(
                app.address, lambda address: open_source(address, cache=self.state.git)
            )
            source.trusted_from(sources.of(name).name)
            self.inbox.append(
                read_once(
                    source,
                    domain=self._fleet.channel.domain,
                    keep=self.keep,
                    app=app,
                    images=self._fleet.plugin_images,
                    bound=Bound(self._binding, self.shop.blobs.read),
                )
            )

    def _measure(self, probe: Probe) -> None:
        """Outside answers after a second, unless this life is over by then or it never does."""
        reading = self._fleet.outside(probe)
        if reading is not None:
            self._fleet.after(1_000, lambda: self.inbox.append(Measured(probe, reading)))

    def _score(self, asking: Asking) -> None:
        """A plugin's answer comes with a later turn: the real module, in its process."""

        def told(asking: Asking, answer: Answer) -> None:
            if not self.dead:
                self.inbox.append(Scored(asking, answer))

        work = ScoreWork(self.shop.blobs.read, told)
        self._fleet.after(self._fleet.work_ms, lambda: work.answer(asking.scorer, [asking]))

    def _resolve(self, ref: ModuleRef) -> None:
        resolved = self._fleet.images.get(str(ref))
        if resolved is not None:
            self.inbox.append(ModuleResolved(ref, resolved))

    def _find(self, spec: ModelSpec) -> bytes:
        """A registry that has what the rehearsal says."""
        found = self._fleet.models.get(str(spec.image))
        if found is None:
            raise Unavailable(f"{spec.image}: no answer")
        return found

    def _learn(self, work: Work) -> None:
        """A worker's answer comes with a later turn, if this process lives that long."""

        def answer() -> None:
            if not self.dead:
                self.inbox.append(Learned(perform(work, self.shop)))

        self._fleet.after(self._fleet.work_ms, answer)

    def _drop_upload(self, proplet: PropletId, digest: Digest) -> None:
        self.spool.drop(proplet, digest)
        self.shop.blobs.delete(digest)

    def next_at(self) -> int | None:
        """When `turn` has something to do."""
        if self.inbox:
            return self._fleet.now + 1
        return min((at for at in (self.due, self.blob_due) if at is not None), default=None)

    def turn(self) -> None:
        """One look at the inbox, if there is a reason for one."""
        now = self._fleet.now
        if self.blob_due is not None and self.blob_due <= now:
            self.blob_due = self.blob_service.turn()
        if self.inbox or self.due <= now:
            events, self.inbox[:] = list(self.inbox), []
            self.due = self.reconciler.turn(events)
            self.turns += 1
            sources = self.reconciler.specs.sources
            if sources.wanted() is not self._apps or sources.binding != self._binding:
                self.read_apps()

    def drop(self) -> None:
        """The connections of a process that is gone."""
        self.control.abort()
        self._blob_link.abort()

    def kill(self) -> None:
        """kill -9."""
        self.dead = True
        self.drop()
        self.store.close()

    # -- asking and judging -------------------------------------------------------------------

    def ask(self, make: Callable[[Reply], Request]) -> list[Mapping[str, object]]:
        """Put a request in; its answers come into the list as time goes by."""
        answers: list[Mapping[str, object]] = []
        self.inbox.append(make(answers.append))
        return answers

    def left_to_do(self) -> tuple[Action, ...]:
        """What a full plan would do now: nothing, once all is settled."""
        return plan(self.reconciler.snapshot(), now=self._fleet.now).actions

    def documents(self) -> list[Sent]:
        """Desired documents published in this life."""
        return [sent for sent in self.control.sent if sent.topic.endswith("/desired")]

    def reasons(self) -> list[str]:
        """Reasons of the events in the store, newest first."""
        return [event.reason for event in self.store.events(limit=10_000)]
