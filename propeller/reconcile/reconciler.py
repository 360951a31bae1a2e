"""The loop's body: take what came, plan, ask, project. One owner, one writer.

`turn` is called with the events of the inbox; it never waits. In a process it is driven by
`serve`, in scenario tests by a fake clock over the in-memory transport: the same code. Inside a
turn: note what was heard in one transaction, plan purely, write the plan and what is asked in a
second, durable one, then publish, then project the status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from propeller.model.checks import Probe
from propeller.model.ids import Digest, Key, PropletId, Uid
from propeller.model.inventory import Assignment
from propeller.model.promotion import Proposal
from propeller.model.quotas import Quota
from propeller.model.scoring import Asking
from propeller.model.seen import Seen
from propeller.model.signing import Rule
from propeller.model.specs import ModelFile, ModuleRef
from propeller.plan.placement import Looks
from propeller.plan.planner import affected, plan
from propeller.plan.types import (
    Adopt,
    Advance,
    Assign,
    Blocked,
    Conduct,
    Correct,
    Fire,
    Forget,
    Gone,
    LetIn,
    Plan,
    Policy,
    Proceed,
    Release,
    Rescale,
    Snapshot,
)
from propeller.reconcile.allotment import note_quotas
from propeller.reconcile.deliver import Delivery
from propeller.reconcile.devices import DeviceKeys
from propeller.reconcile.events import (
    BlobStored,
    Event,
    Learned,
    Measured,
    ModuleResolved,
    PromotionOpened,
    Remark,
    Scored,
    SourceSilent,
    SpecsRefused,
    SpecsTaken,
    Tick,
    Wanted,
)
from propeller.reconcile.fleet import Fleet
from propeller.reconcile.housekeeping import Housekeeping
from propeller.reconcile.learning import Work
from propeller.reconcile.modelshelf import Due
from propeller.reconcile.modelstock import ModelStock
from propeller.reconcile.project import Projection
from propeller.reconcile.promotions import Promotions
from propeller.reconcile.requests import Requests
from propeller.reconcile.rollouts import Rollouts
from propeller.reconcile.rounds import Rounds
from propeller.reconcile.scorebook import ScoreBook
from propeller.reconcile.specs import Specs
from propeller.reconcile.standing import of_reconciler
from propeller.reconcile.statusfiles import StatusFiles
from propeller.reconcile.tracing import Tracing
from propeller.reconcile.world import World
from propeller.registry.blobs import BlobStore
from propeller.secrets.vault import Vault
from propeller.state.base import Journal, Store
from propeller.state.records import Event as StoredEvent
from propeller.state.records import RunRecord
from propeller.telemetry.spans import Send
from propeller.transport.base import Connected, Disconnected, Received, Transport
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Kind

MAX_BODY = 4 << 20
"""Bytes of the largest document or report taken from a blob."""

ROUNDS = 3
"""Plans in one turn at most: carrying one out may leave something to do at once."""


def _nothing(_proplet: PropletId, _digest: Digest) -> None:
    return


def _no_stock(_key: Key, _model: ModelFile) -> None:
    return


def _nobody_scores(_asking: Asking) -> None:
    """Where no plugin is asked, nothing is placed that waits for one."""


def _nobody_opens(_uid: Uid, _proposal: Proposal | None) -> None:
    """Where specs come from no repository, nothing can be pushed to it."""


def _nobody_measures(_probe: Probe) -> None:
    """Where nothing outside is asked, a check is inconclusive for want of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything a reconciler is given: it makes nothing of this itself.

    clock: Unix ms. new_id: a fresh id for an operation. resolve: hand a module reference to a
    worker, which posts `ModuleResolved`. source_id: names this manager on its own topics.
    keys_predate: the key directory is older than the store (rule f: there may be a fleet).
    vault: opens Secrets; None where no identity is configured.
    learn: hand work of a federated job to a worker, which posts `Learned`; None: there are none.
    key_p256: what signs for devices that know only P-256; None: they cannot be spoken to.
    drop_upload: what a proplet uploaded is not needed any more.
    publish: hand the model of a round to the thread that pushes it; None: there is none.
    measure: hand a measurement to a worker, which posts `Measured`.
    score: hand a question for a plugin to a worker, which posts `Scored`.
    signing: who has to vouch for modules. quotas: how much a namespace may have.
    stock: hand a model of an object's guests to a worker, which keeps its blob.
    trace: takes spans of what becomes of a commit; None: nobody wants them.
    propose: hand a promotion to whoever opens it and posts `PromotionOpened`; None: not any more.
    """

    store: Store
    journal: Journal
    transport: Transport
    channel: Channel
    key: SigningKey
    devices: DeviceKeys
    blobs: BlobStore
    status: StatusFiles
    clock: Callable[[], int]
    new_id: Callable[[], str]
    resolve: Callable[[ModuleRef], None]
    domain: str
    source_id: str
    keys_predate: bool
    key_p256: SigningKey | None = None
    vault: Vault | None = None
    learn: Callable[[Work], None] | None = None
    drop_upload: Callable[[PropletId, Digest], None] = _nothing
    publish: Callable[[Due], None] | None = None
    measure: Callable[[Probe], None] = _nobody_measures
    score: Callable[[Asking], None] = _nobody_scores
    signing: tuple[Rule, ...] = ()
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    stock: Callable[[Key, ModelFile], None] = _no_stock
    trace: Send | None = None
    propose: Callable[[Uid, Proposal | None], None] = _nobody_opens

    def key_for(self, seen: Seen | None) -> SigningKey:
        """What signs for this device."""
        if self.key_p256 is not None and seen is not None and seen.facts is not None:
            return self.key_p256 if seen.facts.p256 else self.key
        return self.key

    def read_blob(self, digest: str) -> bytes | None:
        """A document or report that travelled as a blob; None when it is not here (yet)."""
        if not self.blobs.has(digest) or self.blobs.size(digest) > MAX_BODY:
            return None
        return self.blobs.read(digest)


class Reconciler:
    """See the module."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.store = around.store
        now = around.clock()
        self.fence = self.store.take_fence(now)
        self.world = World(self.store, around.read_blob, around.vault)
        self.world.entries.release(around.devices.released)
        self.specs = Specs(self.world, around)
        self.fleet = Fleet(self.world, around, self.fence)
        self.tracing = Tracing(self.world, around)
        self.delivery = Delivery(self.world, around, self.fleet, self.fence, self.tracing)
        self.projection = Projection(self.world, around)
        self.housekeeping = Housekeeping(
            self.world, around, self.delivery, now, lambda: self.specs.sources.binding
        )
        self.rollouts = Rollouts(self.world, around)
        self.scorebook = ScoreBook(around.score, self.world.touched)
        self.rounds = Rounds(self.world, around)
        self.stock = ModelStock(self.world, around)
        self.promotions = Promotions(self.world, around)
        self.requests = Requests(self.world, around, self.specs, self.fleet, self.rollouts)
        self.blocked: dict[Uid, Blocked] = {}
        self.wakeups: dict[Uid, dict[PropletId, int]] = {}
        self._looks = Looks()
        self.plans = 0
        with self.store.transaction():
            self.specs.replay_journal(around.journal.read())
            self.rollouts.replay_journal(around.journal.read())
            self.rounds.replay_journal(around.journal.read())
            self.world.flows.replay(around.journal.read())
            self.fleet.refresh()
            if self.store.fresh and around.keys_predate:
                self.fleet.begin_recovery()
                self.specs.sources.await_all()
            self.requests.operations.forget_old(now)
            note_quotas(self.store, around.quotas)

    # -- the turn -----------------------------------------------------------------------------

    def turn(self, events: Iterable[Event]) -> int:
        """Work off `events`; returns when the next turn is due at the latest (Unix ms)."""
        now = self._around.clock()
        with self.store.transaction():
            for event in events:
                self._take(event, now)
            self.specs.tick(now)
            self.world.retry_secrets(now)
            self.fleet.tick(now)
            self.requests.tick(now)
            self.rollouts.tick(now)
            self.scorebook.tick(now)
            self.housekeeping.tick(now)
            self.world.history.tick(now)
            self.world.handings.write()
        self.tracing.look(self.specs.sources.every(), self.projection, now)
        if self.ready_to_plan:
            self._decide(now)
        self.fleet.publish()
        self.requests.publish()
        self.projection.project(self, now)
        self.rounds.ask(now)
        self.rounds.tell()
        self.promotions.tell()
        self.stock.ask(self.specs.revision_name, now)
        self.requests.answer()
        self.specs.answer()
        self._tell_standing()
        return self._next_due(now)

    @property
    def ready_to_plan(self) -> bool:
        """Whether the source was accepted and the fleet was heard (protocol rule d)."""
        if not self.specs.accepted or self.specs.sources.missing:
            return False
        return self.fleet.heard and not self.fleet.fenced_out

    def _take(self, event: Event, now: int) -> None:
        match event:
            case SpecsTaken():
                self.tracing.read(event.app, event.took)
                self.specs.taken(event, now)
                self.fleet.refresh()
            case SpecsRefused():
                self.specs.refused(event, now)
            case SourceSilent():
                self.specs.silent(event, now)
            case ModuleResolved():
                self.specs.resolved(event, now)
            case BlobStored():
                self.fleet.stored(event, now)
                self.rounds.arrived(event.digest)
                self.world.look_at_flows()
            case Learned():
                self.rounds.take(event.answer, now)
            case Received():
                self._received(event, now)
            case Connected():
                self.fleet.connected(now)
            case Disconnected():
                self.fleet.disconnected(event.reason, now)
            case Measured():
                self.rollouts.measured(event)
            case Scored():
                self.scorebook.told(event, now)
            case Wanted(uid, calls):
                self.world.want(uid, calls, now)
            case Tick():
                pass
            case Remark():
                self._remark(event, now)
            case PromotionOpened():
                self.promotions.take(event.opened, now)
            case _:
                self.requests.take(event, now)

    def _remark(self, remark: Remark, now: int) -> None:
        self.store.add_event(
            StoredEvent(
                at=now,
                severity=remark.severity,
                reason=remark.reason,
                message=remark.message,
                key=remark.key,
            )
        )

    def _received(self, received: Received, now: int) -> None:
        heard = self._around.channel.parse(received.topic)
        if heard is None:
            self.fleet.hearing.dropped["foreign_topic"] += 1
        elif heard.kind is Kind.OP_ANSWER:
            self.requests.answered(PropletId(heard.proplet), received, now)
        else:
            self.fleet.received(heard, received, now)

    def _tell_standing(self) -> None:
        curious, self.requests.curious = self.requests.curious, []
        if not curious:
            return
        standing = of_reconciler(self)
        words = {
            "done": True,
            "revision": self.specs.revision_name,
            "attempted": self.specs.attempted_name,
            "trouble": self.specs.trouble,
            "ready": standing.ready,
            "total": standing.total,
            "exit": standing.exit_code,
            "lines": standing.lines(),
        }
        for reply in curious:
            reply(words)

    # -- deciding -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What the planner sees. The mappings are live: read only."""
        world = self.world
        return Snapshot(
            objects=world.objects,
            proplets=world.proplets,
            assignments=world.assignments,
            modules=world.modules,
            policy=Policy(
                hold=self.fleet.hold,
                no_moves=self.fleet.no_moves,
                silent_sites=self.fleet.silent_sites,
                echo_since=self.fleet.echo_since,
                discovery_apps=world.discovery_apps(),
                windows=world.windows.by_app(world.objects.values()),
                released=self._around.devices.released,
                signing=self._around.signing,
                quotas=self._around.quotas,
            ),
            delivered=self.delivery,
            holders=world.holders,
            waits=self._waits if world.links() else None,
            secrets=world.secrets.known,
            courses=world.versions.courses,
            current=world.entries.is_current,
            withheld=world.windows.withheld,
            overrides=world.windows.marks,
            corrections=world.corrections,
            strays=world.strays,
            entry=world.entries.digest,
            asked_at=world.asked_at,
            learning=world.learning.known,
            told=world.learning.told,
            readings=world.versions.readings,
            purse=world.learning.purses.look,
            flows=world.flows.known,
            scales=world.scales,
            wanted=world.wanted,
            blob=self._around.read_blob,
            scores=self.scorebook.known,
        )

    def _waits(self, uid: Uid) -> str:
        world = self.world
        return world.links().waits(uid, world.objects, self.projection.ready_generation)

    def _decide(self, now: int) -> None:
        self._recover(now)
        self.delivery.welcome(self.fleet.take_welcomed())
        for _ in range(ROUNDS):
            began = self._around.clock()
            decision = self._plan(now)
            self.tracing.planned(decision.actions, began)
            if not decision.actions and not self.delivery.has_work(now):
                return
            with self.store.transaction(durable=True):
                self._carry_out(decision, now)
                self.delivery.decide(now)
            self.delivery.publish(now)
            if self.delivery.cut:
                return

    def _recover(self, now: int) -> None:
        """What retained documents told while the store was empty becomes assignments again."""
        copies = self.fleet.take_recovered()
        if not copies:
            return
        with self.store.transaction():
            for assignment in copies:
                known = self.world.assignments.get(assignment.uid, {})
                if assignment.uid in self.world.objects and assignment.proplet not in known:
                    version = self.world.entries.told_version(assignment)
                    self.world.put_assignment(replace(assignment, assigned_at=now, version=version))

    def _plan(self, now: int) -> Plan:
        """Look at what was touched: whole objects, and of others what single proplets moved."""
        touched = self.world.touched
        snapshot = self.snapshot()
        if touched.everything:
            touched.clear()
            self.wakeups = {}
            decision = plan(snapshot, now=now, standing=self.blocked, looks=self._looks)
            self._take_in(decision, None, frozenset())
            return decision
        whole, proplets = set(touched.objects), set(touched.proplets)
        by_proplet = set()
        for uid, dues in self.wakeups.items():
            for proplet, due in dues.items():
                if due > now:
                    continue
                if proplet:
                    by_proplet.add(uid)
                    proplets.add(proplet)
                else:
                    whole.add(uid)
        facts_moved = touched.facts_moved
        touched.clear()
        if not whole and not proplets:
            return Plan()
        concerned = affected(snapshot, proplets, standing=self.blocked, facts_moved=facts_moved)
        single = frozenset(proplets)
        decision = plan(
            snapshot,
            now=now,
            touched=frozenset(concerned | by_proplet | whole),
            proplets=single,
            whole=frozenset(whole),
            standing=self.blocked,
            looks=self._looks,
        )
        self._take_in(decision, single, frozenset(whole))
        return decision

    def _take_in(
        self, decision: Plan, proplets: frozenset[PropletId] | None, whole: frozenset[Uid]
    ) -> None:
        """Remember what a plan says about blocks and wakeups of the objects it looked at."""
        self.plans += 1
        self.rollouts.ask(decision.probes, self._around.clock())
        self.scorebook.ask(decision.asks, self._around.clock())
        planned = self.world.objects if decision.planned is None else decision.planned
        for uid in planned:
            if self.blocked.pop(uid, None) != decision.blocked.get(uid):
                self.world.touched.statuses.add(uid)
            dues = self.wakeups.get(uid)
            if dues is not None:
                if proplets is None or uid in whole:
                    dues.clear()
                for proplet in proplets or ():
                    dues.pop(proplet, None)
                if not dues:
                    del self.wakeups[uid]
        self.blocked.update(decision.blocked)
        for wakeup in decision.wakeups:
            dues = self.wakeups.setdefault(wakeup.uid, {})
            proplet = PropletId(wakeup.proplet)
            dues[proplet] = min(wakeup.due, dues.get(proplet, wakeup.due))
        for uid in [uid for uid in self.blocked if uid not in self.world.objects]:
            del self.blocked[uid]

    def _carry_out(self, decision: Plan, now: int) -> None:
        for action in decision.actions:
            world = self.world
            match action:
                case Assign() | Adopt():
                    self._assign(action, now)
                case Release():
                    before = world.assignments[action.uid][action.proplet]
                    world.put_assignment(replace(before, releasing=True))
                    words = f"taken off {action.proplet}: {action.reason}"
                    self._event(now, "Preempted" if action.preempted else "Released", words, action)
                case Gone():
                    world.drop_assignment(action.uid, action.proplet)
                    self._event(now, "Gone", f"gone from {action.proplet}", action)
                case Forget():
                    self._event(now, "Deleted", action.reason, action)
                    self.projection.forget(world.objects[action.uid])
                    self.tracing.gone(world.objects[action.uid], now)
                    self.rounds.forget(action.uid)
                    world.flows.forget(action.uid, self._around.journal)
                    world.drop_held(action.uid)
                    self.blocked.pop(action.uid, None)
                    self.wakeups.pop(action.uid, None)
                case Correct():
                    self._correct(action, now)
                case LetIn():
                    world.let_in(action.uid)
                    self._event(now, "LetIn", action.reason, action)
                case Conduct():
                    self.rounds.conducted(action, now)
                case Proceed():
                    self._proceed(action, now)
                case Rescale():
                    world.put_scale(action.scale)
                    self._tell(action, now)
                case Advance():
                    self.rollouts.advance(action, now)
                case Fire():
                    self._around.journal.append("slot", {"uid": action.uid, "slot": action.slot})
                    held = world.objects[action.uid]
                    world.put_held(replace(held, last_slot=action.slot))
                case _:
                    assert_never(action)

    def _correct(self, action: Correct, now: int) -> None:
        self.world.put_corrections(action.corrections)
        for proplet in action.proplets:
            self.delivery.ask_anew(proplet)
        self._tell(action, now)

    def _proceed(self, action: Proceed, now: int) -> None:
        self.world.put_flow(action.flow, self._around.journal)
        self._tell(action, now)

    def _tell(self, action: Correct | Proceed | Rescale, now: int) -> None:
        for note in action.notes:
            self.store.add_event(
                StoredEvent(
                    at=now,
                    severity="Warning" if note.warning else "Info",
                    reason=note.reason,
                    message=note.message,
                    key=action.key,
                    revision=self.specs.revision_name,
                )
            )

    def _assign(self, action: Assign | Adopt, now: int) -> None:
        before = self.world.assignments.get(action.uid, {}).get(action.proplet)
        same = before is not None and before.run == action.run and not before.releasing
        self.world.put_assignment(
            Assignment(
                uid=action.uid,
                proplet=action.proplet,
                run=action.run,
                cause=action.cause,
                attempt=action.attempt,
                assigned_at=before.assigned_at if before is not None and same else now,
                version=action.version,
            )
        )
        reason = "Adopted" if isinstance(action, Adopt) else "Assigned"
        self._event(now, reason, f"{action.reason}: on {action.proplet}", action)
        if same:
            # The run goes on, and so does its record. Its device may have nothing new to say.
            self.world.touched.objects.add(action.uid)
            return
        self.world.put_record(
            RunRecord(
                uid=action.uid,
                key=action.key,
                run=action.run,
                proplet=action.proplet,
                cause=action.cause,
                attempt=action.attempt,
                state="Pending",
                assigned_at=now,
            )
        )

    def _event(
        self,
        now: int,
        reason: str,
        message: str,
        action: Assign | Adopt | Release | Gone | Forget | LetIn,
    ) -> None:
        self.store.add_event(
            StoredEvent(
                at=now,
                severity="Info",
                reason=reason,
                message=message,
                key=action.key,
                proplet=None if isinstance(action, Forget | LetIn) else action.proplet,
                revision=self.specs.revision_name,
            )
        )

    # -- time ---------------------------------------------------------------------------------

    def _next_due(self, now: int) -> int:
        dues = [
            now + 60_000,
            self.specs.due(),
            self.world.secrets.due(),
            self.fleet.due(),
            self.requests.due(),
            self.projection.due(),
            self.housekeeping.due(),
            self.rounds.due(),
            self.stock.due(),
            self.rollouts.due(),
            self.scorebook.due(),
            self.world.history.due(),
        ]
        if self.ready_to_plan and self.world.touched.objects:
            dues.append(now)  # the projection found what others wait for
        if self.ready_to_plan:  # else nothing would come of waking, again and again
            dues += [due for dues in self.wakeups.values() for due in dues.values()]
            dues.append(now if self.delivery.unfinished else self.delivery.due())
        return max(now, min(due for due in dues if due is not None))
