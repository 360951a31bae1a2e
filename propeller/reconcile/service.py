"""A reconciler as a process: threads around the loop, started and stopped in good order.

    watch/read specs ─┐
    broker (control) ─┤→ inbox → turn (this thread, the only writer) → broker, status files
    module workers  ──┤
    API             ──┘        blobs: their own connection and thread

Crash-only: when a turn fails, its memory is thrown away and built again from the store, as after
kill -9; the loop itself never dies of one bad turn.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from propeller.errors import Conflict, PropellerError, Unavailable, UsageError
from propeller.model.ids import PropletId
from propeller.model.quotas import Quota
from propeller.model.signing import Rule
from propeller.model.specs import Proplet
from propeller.reconcile.blobservice import BlobService, BlobWork
from propeller.reconcile.blobthread import BlobThread
from propeller.reconcile.collector import leave_alone
from propeller.reconcile.devices import DeviceKeys, FleetKeys
from propeller.reconcile.events import Event, SpecsTaken, Tick
from propeller.reconcile.inbox import Inbox, Pace
from propeller.reconcile.offlinewords import OfflineWords
from propeller.reconcile.outlets import NO_PLAN, Ground, OutletPlan, Outlets
from propeller.reconcile.pluginimages import PluginImages
from propeller.reconcile.poke import Pokes
from propeller.reconcile.readers import AppReaders, Library
from propeller.reconcile.reconciler import Reconciler
from propeller.reconcile.signals import Signals
from propeller.reconcile.sourcing import SourceReader
from propeller.reconcile.statusfiles import StatusFiles
from propeller.reconcile.surroundings import Surroundings
from propeller.reconcile.workers import Bench, Workers
from propeller.registry.blobs import BlobStore
from propeller.registry.cosignkey import PublicKey
from propeller.registry.registries import Registries
from propeller.registry.spool import Spool
from propeller.secrets.age import Identities
from propeller.secrets.vault import Vault
from propeller.sources.gitcli import Git
from propeller.sources.open import Source
from propeller.sources.plugins import Bound
from propeller.state.journal import FileJournal
from propeller.state.keys import Keys
from propeller.state.layout import StateDir
from propeller.state.lease import Lease, LeaseHeld
from propeller.state.sqlite import SqliteStore
from propeller.telemetry.spans import Send
from propeller.transport.base import Connected, Disconnected, Received, Transport
from propeller.transport.endpoint import Endpoint
from propeller.transport.mqtt import MqttTransport
from propeller.wire.keyring import Keyring
from propeller.wire.signing import P256, VerifyKey
from propeller.wire.topics import Channel

log = logging.getLogger("propeller.reconcile")


def _nothing(address: str) -> Source:
    raise UsageError(f"{address}: Apps with sources of their own are not followed here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a reconciler process is told.

    open_source: the source an App names.
    endpoint: the way to the broker for a client id. verb: who holds the lease, for people.
    identities: what opens Secrets. signing: who has to vouch for modules, signing_keys: their keys.
    trace: takes spans; None: nobody wants them. quotas: how much a namespace may have.
    """

    state: StateDir
    source: Source
    endpoint: Callable[[str], Endpoint]
    domain: str
    channel: str
    verb: str
    registries: Registries = field(default_factory=Registries)
    open_source: Callable[[str], Source] = _nothing
    outlets: OutletPlan = NO_PLAN
    identities: Identities = field(default_factory=Identities)
    signing: tuple[Rule, ...] = ()
    signing_keys: tuple[PublicKey, ...] = ()
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    trace: Send | None = None


class Service:
    """Everything around one Reconciler. Use as a context manager: leaving it stops all threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._rng = rng
        self.inbox = Inbox()
        self.signals = Signals(waiting=self.inbox.waiting, dropped=lambda: self.inbox.dropped)
        self.stop = threading.Event()
        self._connected = False
        self._lease: LeaseHeld | None = None
        self.pokes = Pokes(self.look)

    def __enter__(self) -> Service:
        if self._lease is not None:
            return self
        state = self._settings.state
        state.create()
        self._lease = Lease(state.run).acquire(
            verb=self._settings.verb, started=self._clock(), socket=str(state.socket)
        )
        try:
            self._open()
        except BaseException:
            self._lease.release()
            raise
        return self

    def _open(self) -> None:
        settings, state = self._settings, self._settings.state
        self.keys = Keys(state.keys)
        self.channel = Channel(settings.domain, settings.channel)
        self.store = SqliteStore.open(state.database)
        self.blobs = BlobStore(state.blobs)
        self.spool = Spool(state.path / "uploads", self.blobs)
        self.devices = DeviceKeys(
            FleetKeys(
                manager=Keyring.of(
                    [self.keys.manager().public, self.keys.manager(P256).public], "manager"
                ),
                trust=self.keys.trust_frame(),
                trust_p256=self._trust_p256(),
                enrolled=self._enrolled,
                boxes=self.keys.enrolled_box,
            )
        )
        self._offline_words = OfflineWords(self.keys)
        self._offline_words.read(self.devices)
        self._workers = Workers(
            Bench(
                registries=settings.registries,
                signing_keys=settings.signing_keys,
                blobs=self.blobs,
                spool=self.spool,
                key=self.keys.manager(),
                key_of=lambda proplet: self.devices.key_of(proplet, self.reconciler.world),
                post=self.inbox.put,
            )
        )
        self.plugin_images = PluginImages(
            self._workers.resolved, self.blobs.read, self._workers.submit, rules=settings.signing
        )
        source_id = "manager"
        self._control: Transport = MqttTransport(
            settings.endpoint(f"{settings.domain}-{settings.channel}-{source_id}"), self._rng
        )
        self._blob_link: Transport = MqttTransport(
            settings.endpoint(f"{settings.domain}-{settings.channel}-{source_id}-blobs"),
            self._rng,
        )
        self.outlets = self._make_outlets()
        self.outlets.open(self.store)
        self._around = Surroundings(
            store=self.store,
            journal=FileJournal(state.journal),
            transport=self._control,
            channel=self.channel,
            key=self.keys.manager(),
            key_p256=self.keys.manager(P256),
            devices=self.devices,
            blobs=self.blobs,
            status=StatusFiles(state.status, self.outlets.file_changed),
            clock=self._clock,
            new_id=self._new_id,
            resolve=self._workers.resolve,
            domain=settings.domain,
            source_id=source_id,
            keys_predate=not self.keys.created,
            vault=Vault(settings.identities, self.keys.fleet_secret()),
            learn=self._workers.learn,
            drop_upload=self._workers.drop_upload,
            publish=self._workers.publish,
            measure=self._workers.measure,
            score=self._workers.score,
            signing=settings.signing,
            quotas=settings.quotas,
            stock=self._workers.stock,
            trace=settings.trace,
            propose=self.outlets.propose,
        )
        self.reconciler = Reconciler(self._around)
        self.blob_service = self._make_blob_service()
        self._blob_thread = BlobThread(self.blob_service, self._clock)
        self.reader = self._reader_of(settings.source)
        self.app_readers = AppReaders(
            Library(
                open=settings.open_source,
                domain=settings.domain,
                keep=self.blobs.put,
                post=self.inbox.put,
                clock=self._clock,
                rng=self._rng,
                images=self.plugin_images,
            )
        )

    def start(self) -> None:
        """Start every thread but the loop, which is `run`."""
        self._control.start(self._from_broker, self.reconciler.fleet.will())
        self._blob_link.start(self._blob_thread.hear)
        self._blob_thread.start()
        self.outlets.start()
        self.reader.start()

    def run(self, *, until: Callable[[Reconciler], bool] | None = None) -> None:
        """The loop, until `stop` is set or `until` says so after a turn."""
        failures = 0
        settled: Reconciler | None = None
        pace = Pace()
        while not self.stop.is_set():
            wait = 0.0 if failures else self._due_in()
            events = self.inbox.take(wait, rest=pace.rest)
            pace.begin()
            began, late = time.monotonic(), self._late(events)
            try:
                self._read_offline_words()
                self._next_due = self.reconciler.turn(events)
                self.outlets.turned()
                self._follow_apps()
                failures = 0
                self.signals.turned(time.monotonic() - began, events=len(events), lag=late)
                self.signals.connected = self._connected
                self.signals.echo_ms = self.reconciler.fleet.echo_ms
            except PropellerError as error:
                failures += 1
                self.signals.failed += 1
                log.warning("turn failed, starting again from the store: %s", error)
                self._start_over(events, failures)
            except Exception:
                failures += 1
                self.signals.failed += 1
                log.exception("turn failed, starting again from the store")
                self._start_over(events, failures)
            pace.end()
            if self.reconciler is not settled and self.reconciler.ready_to_plan:
                settled = self.reconciler
                leave_alone()
            if until is not None and until(self.reconciler):
                return

    _next_due = 0

    def _read_offline_words(self) -> None:
        now = self._clock()
        if self._offline_words.due(now) and self._offline_words.read(self.devices):
            self.reconciler.fleet.reword(now)

    def _late(self, events: list[Event]) -> float:
        """Seconds by which a turn that nothing but time asked for begins too late."""
        if events or not self._next_due:
            return 0.0
        return max(0.0, (self._clock() - self._next_due) / 1000)

    def _due_in(self) -> float:
        return min(5.0, max(0.0, (self._next_due - self._clock()) / 1000))

    def _start_over(self, events: list[Event], failures: int) -> None:
        """Memory and store may have parted: build memory again, hear everything again."""
        self.stop.wait(min(30.0, 0.25 * 2 ** min(failures, 8)))
        while not self.stop.is_set():
            try:
                self.reconciler = Reconciler(self._around)
                break
            except PropellerError as error:
                log.warning("cannot read the store: %s", error)
                self.stop.wait(5.0)
        for event in events:
            if not isinstance(event, Received | Connected | Disconnected):
                self.inbox.put(event)
        if self._connected:
            self.inbox.put(Connected(0))
        self.reader.look(again=True)
        self.app_readers.look(again=True)

    def offer(self, outcome: SpecsTaken, expect: str, patience: float = 30.0) -> None:
        """Have a revision taken if the plan approved as `expect` is still what it means.

        Called from other threads. Raises Conflict when it is not, Unavailable when the loop does
        not answer in `patience` seconds.
        """
        answers: queue.SimpleQueue[Mapping[str, object]] = queue.SimpleQueue()
        self.inbox.put(replace(outcome, expect=expect, reply=answers.put))
        try:
            words = answers.get(timeout=patience)
        except queue.Empty as error:
            raise Unavailable("the reconciler did not answer in time") from error
        if words["stale"]:
            raise Conflict(
                "the plan is stale: what was approved is not what would happen now",
                hint="plan again and compare; nothing was done",
            )

    def follow(self, source: Source, *, known: SpecsTaken) -> None:
        """Follow another source from now on, of which `known` was just read."""
        self.reader.stop()
        self.inbox.put(known)
        self.reader = self._reader_of(source)
        if not self.stop.is_set():
            self.reader.start()

    def _reader_of(self, source: Source) -> SourceReader:
        if self.store.meta("revision-source") == source.name:
            source.trusted_from(self.store.meta("revision") or "")
        return SourceReader(
            source,
            domain=self._settings.domain,
            keep=self.blobs.put,
            post=self.inbox.put,
            images=self.plugin_images,
        )

    def look(self) -> None:
        """Look at the source now, and at those of Apps."""
        self.reader.look()
        self.app_readers.look()

    def bound(self) -> Bound:
        """Who binds what is not in the tree: the sources of Apps, what came over the API."""
        return Bound(self.reconciler.specs.sources.binding, self.blobs.read)

    def _follow_apps(self) -> None:
        sources = self.reconciler.specs.sources
        self.app_readers.follow(sources.wanted(), lambda app: sources.of(app).name, self.bound())

    def wake(self) -> None:
        """Make the loop look at `stop`."""
        self.inbox.put(Tick())

    def _from_broker(self, event: Received | Connected | Disconnected) -> None:
        if isinstance(event, Received) and event.topic == self.channel.poke:
            self.pokes.poke()
            return
        if isinstance(event, Connected):
            self._connected = True
        elif isinstance(event, Disconnected):
            self._connected = False
            self._control.set_will(self.reconciler.fleet.will())
        self.inbox.put(event)

    def _trust_p256(self) -> bytes | None:
        """None where the root that signs it is kept elsewhere and never signed these keys."""
        try:
            return self.keys.trust_frame(P256)
        except UsageError:
            return None

    def _declared(self, proplet: PropletId) -> Proplet | None:
        return self.reconciler.world.declared_now.get(proplet)

    def _enrolled(self, proplet: PropletId) -> VerifyKey | None:
        return self.keys.enrolled(proplet)

    def _make_outlets(self) -> Outlets:
        settings = self._settings
        return Outlets(
            settings.outlets,
            Ground(
                state=settings.state,
                fleet=f"{settings.domain}/{settings.channel}",
                source=settings.source.name,
                git=Git(settings.state.git.absolute() / "home", environ=settings.outlets.environ),
                post=self.inbox.put,
                publish=self._publish,
                clock=self._clock,
                rng=self._rng,
            ),
        )

    def _publish(self, topic: str, body: bytes) -> bool:
        return self._control.publish(topic, body)

    # -- blobs --------------------------------------------------------------------------------

    def _make_blob_service(self) -> BlobService:
        return BlobService(
            BlobWork(
                channel=self.channel,
                key_for=lambda proplet: self._around.key_for(
                    self.reconciler.world.proplets.get(proplet)
                ),
                declared=self._declared,
                blobs=self.blobs,
                spool=self.spool,
                grants=lambda proplet: self.reconciler.world.grants.get(proplet, frozenset()),
                open_put=lambda proplet, payload: self.devices.open_signed(
                    "put", proplet, payload, self.reconciler.world
                ),
                post=self.inbox.put,
                clock=self._clock,
            ),
            self._blob_link,
        )

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.pokes.stop()
        self.reader.stop()
        self.app_readers.stop()
        self.outlets.stop()
        self._workers.stop()
        self._blob_thread.stop()
        self._say_goodbye()
        self._control.close()
        self._blob_link.close()
        self.store.close()
        assert self._lease is not None
        self._lease.release()

    def _say_goodbye(self) -> None:
        will = self.reconciler.fleet.will()
        self._control.publish(will.topic, will.payload, retain=True)
