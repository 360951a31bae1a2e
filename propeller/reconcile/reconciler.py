"""The loop's body: take what came, plan, ask, project. One owner, one writer.

`turn` is called with the events of the inbox; it never waits. In a process it is driven by
`serve`, in scenario tests by a fake clock over the in-memory transport: the same code. Inside a
turn: note what was heard in one transaction, plan purely, write the plan and what is asked in a
second, durable one, then publish, then project the status.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from propeller.model.ids import PropletId, Uid
from propeller.plan.placement import Looks
from propeller.plan.planner import affected, plan
from propeller.plan.types import Blocked, Plan, Policy, Snapshot
from propeller.reconcile.allotment import note_quotas
from propeller.reconcile.carrying import Carrying
from propeller.reconcile.deliver import Delivery
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
from propeller.reconcile.modelstock import ModelStock
from propeller.reconcile.project import Projection
from propeller.reconcile.promotions import Promotions
from propeller.reconcile.requests import Requests
from propeller.reconcile.rollouts import Rollouts
from propeller.reconcile.rounds import Rounds
from propeller.reconcile.scorebook import ScoreBook
from propeller.reconcile.specs import Specs
from propeller.reconcile.standing import of_reconciler
from propeller.reconcile.surroundings import Surroundings
from propeller.reconcile.tracing import Tracing
from propeller.reconcile.world import World
from propeller.state.records import Event as StoredEvent
from propeller.transport.base import Connected, Disconnected, Received
from propeller.wire.topics import Kind

ROUNDS = 3
"""Plans in one turn at most: carrying one out may leave something to do at once."""


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
        self.carrying = Carrying(self, around)
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
                self.specs.modules.resolved(event, now)
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
                no_moves=self.fleet.silence.no_moves,
                silent_sites=self.fleet.silence.sites,
                echo_since=self.fleet.silence.echo_since(self._around.clock()),
                discovery_apps=world.relations.discovery_apps(),
                windows=world.windows.by_app(world.objects.values()),
                released=self._around.devices.released,
                signing=self._around.signing,
                quotas=self._around.quotas,
            ),
            delivered=self.delivery,
            holders=world.holders,
            waits=self._waits if world.relations.links() else None,
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
        return world.relations.links().waits(uid, world.objects, self.projection.ready_generation)

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
                self.carrying.out(decision.actions, now)
                self.delivery.decide(now)
            self.delivery.publish(now)
            if self.delivery.cut:
                return

    def _recover(self, now: int) -> None:
        """What retained documents told while the store was empty becomes assignments again."""
        copies = self.fleet.retained.take_recovered()
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

    def forget(self, uid: Uid) -> None:
        """Nothing that an earlier plan said of it counts."""
        self.blocked.pop(uid, None)
        self.wakeups.pop(uid, None)

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
