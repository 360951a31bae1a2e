"""What a message from a device changes in the world.

Called by the reconciler for every message the broker brings, inside the transaction that notes
it. Every message is hostile until its signature was checked with the key this device is known by;
what is malformed, stale or foreign is dropped and counted, never half-taken.

Identity (protocol rule a): `inst` names a formatted storage. A new one is adopted only from a
signed `hello`; open runs of the old one become Lost. Two that alternate are one identity used
twice, and get no work.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from propeller.errors import WireError
from propeller.model.ids import Digest, PropletId
from propeller.model.seen import Facts, Presence, Seen
from propeller.reconcile.deliver import delivered
from propeller.reconcile.devices import DeviceKeys
from propeller.reconcile.gauges import taken
from propeller.reconcile.pastruns import PastRuns
from propeller.reconcile.runwords import said_of, seen_run
from propeller.reconcile.world import World
from propeller.state.records import Event
from propeller.transport.base import Received
from propeller.wire.codec import decode, decode_inventory
from propeller.wire.messages import Hello, Report, Status
from propeller.wire.topics import Channel

DUPLICATE_WINDOW = 10 * 60_000
"""Two instances that alternate within this many ms are one identity used twice; when the other was
not heard for as long, one is left."""

MISMATCH_EVERY = 10 * 60_000
"""ms in which a hello with another key is told of once for each device."""

MAX_METRICS = 64
"""Numbers taken of one report."""
MAX_RUNS = 4_096
"""Runs taken from one inventory; a device that lists more is refused."""

MAX_UNDECLARED = 20_000
"""Undeclared proplets kept; further announcements are dropped and counted."""


@dataclass(slots=True)
class Wishes:
    """What hearing asks the loop to do afterwards."""

    collect: set[PropletId] = field(default_factory=set)
    reread: set[PropletId] = field(default_factory=set)
    missed: set[PropletId] = field(default_factory=set)
    refused: set[PropletId] = field(default_factory=set)
    fence_seen: dict[PropletId, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    welcomed: set[PropletId] = field(default_factory=set)
    distrusted: bool = False
    parting: bool = False


class Hearing:
    """Takes the messages of devices into the world."""

    def __init__(
        self,
        world: World,
        channel: Channel,
        keys: DeviceKeys,
        read_blob: Callable[[str], bytes | None],
    ) -> None:
        self._world = world
        self._channel = channel
        self._keys = keys
        self._read_blob = read_blob
        self.dropped: Counter[str] = Counter()
        self.wishes = Wishes()
        self.heard_since_connect: set[PropletId] = set()
        self.heard_live: set[PropletId] = set()
        self._instances: dict[PropletId, deque[tuple[int, str]]] = {}
        self._rivals: dict[PropletId, int] = {}
        self._mismatches: dict[PropletId, int] = {}
        self._inventories: dict[PropletId, str] = {}
        self._named: dict[PropletId, str] = {}
        self._waiting: dict[PropletId, Report] = {}
        self._past_runs = PastRuns(world)

    def take(self, received: Received, kind: str, proplet: PropletId, now: int) -> None:
        """One `hello`, `status` or `report`. Never raises for what a device can send."""
        if not received.payload:
            return  # a cleared slot says nothing
        try:
            if kind == "hello":
                self._hello(proplet, received, now)
            elif kind == "status":
                self._status(proplet, received, now)
            elif kind == "report":
                self._report(proplet, received, now)
        except WireError as error:
            self.dropped[error.reject] += 1

    def stored(self, proplet: PropletId, digest: Digest, now: int) -> None:
        """An upload is whole: a report that waited for it can be taken."""
        report = self._waiting.get(proplet)
        if report is not None and report.body is not None and report.body.digest == digest:
            del self._waiting[proplet]
            try:
                self._inventory(proplet, report, now)
            except WireError as error:
                self.dropped[error.reject] += 1

    # -- hello --------------------------------------------------------------------------------

    def _hello(self, proplet: PropletId, received: Received, now: int) -> None:
        try:
            body, key = self._keys.open_hello(proplet, received.payload, self._world)
        except WireError as error:
            if error.reject == "unknown_kid" and proplet in self._world.proplets:
                self._mismatch(proplet, now)
            raise
        hello = decode(Hello, body)
        _same(hello.id, proplet)
        world = self._world
        seen = world.proplets.get(proplet)
        if seen is None:
            if len(world.proplets) >= MAX_UNDECLARED:
                raise WireError("too_many", "undeclared proplets")
            seen = Seen(id=proplet, declared=False, presence=Presence.UNKNOWN)
        if key != hello.key:
            raise WireError("identity_mismatch", "the hello is not signed by the key it names")
        first = seen.facts is None
        if seen.inst != hello.inst:
            if seen.inst and hello.boot < seen.boot and received.retained:
                raise WireError("stale", "an older hello")
            seen = self._new_instance(seen, hello, now)
        elif hello.boot < seen.boot:
            raise WireError("stale", "an older hello")
        facts = Facts(
            arch=hello.arch,
            os=hello.os,
            runtime=hello.runtime,
            runtime_version=hello.runtime_version,
            agent_version=hello.agent,
            memory=hello.memory,
            tasks=hello.tasks,
            max_module=hello.max_module,
            max_payload=hello.max_payload,
            imports=frozenset(hello.imports),
            components=hello.components,
            mounts=frozenset(hello.mounts),
            points=frozenset(hello.points),
            encodings=hello.encodings,
            fetch=hello.fetch,
            algs=hello.algs,
            labels=dict(hello.labels),
            public_key=hello.key,
        )
        box = replace(seen.box, announced=hello.box, pinned=seen.box.pinned or hello.box)
        seen = replace(seen, facts=facts, heartbeat=max(1_000, hello.heartbeat), box=box)
        seen = self._alive(seen, received, now)
        world.put_seen(self._keys.resolve(seen, world))
        self.wishes.welcomed.add(proplet)
        if first:
            self._event(now, "Info", "Discovered", f"{proplet} said hello", proplet)

    def _new_instance(self, seen: Seen, hello: Hello, now: int) -> Seen:
        """Another formatted storage speaks under this id: replaced, wiped, or used twice."""
        past = self._instances.setdefault(seen.id, deque(maxlen=8))
        while past and past[0][0] < now - DUPLICATE_WINDOW:
            past.popleft()
        alternates = any(inst == hello.inst for _, inst in past)
        if seen.inst:
            past.append((now, seen.inst))
        quarantine = seen.quarantine
        if alternates:
            quarantine = "DuplicateIdentity"
            self._rivals[seen.id] = now
            self._event(
                now,
                "Warning",
                "DuplicateIdentity",
                f"two devices speak as {seen.id}; it gets no work until one is left",
                seen.id,
            )
        elif quarantine == "DuplicateIdentity":
            quarantine = ""
        if seen.inst:
            for run in self._world.runs.bury(seen.id, at=now):
                self._event(
                    now, "Warning", "Lost", f"run {run.run} was lost with its storage", seen.id
                )
            seen = self._world.proplets[seen.id]
            self._event(now, "Warning", "NewInstance", f"{seen.id} has new storage", seen.id)
        self._inventories.pop(seen.id, None)
        self._named.pop(seen.id, None)
        self._waiting.pop(seen.id, None)
        return replace(
            seen,
            inst=hello.inst,
            boot=hello.boot,
            seq=0,
            conn=0,
            observed_fence=0,
            observed_gen=0,
            observed_digest="",
            reported=False,
            quarantine=quarantine,
        )

    # -- status -------------------------------------------------------------------------------

    def _status(self, proplet: PropletId, received: Received, now: int) -> None:
        seen = self._world.proplets.get(proplet)
        if seen is None:
            return
        body = self._keys.open_status(proplet, received.payload, self._world)
        status = decode(Status, body)
        _same(status.id, proplet)
        if status.inst != seen.inst or (status.boot, status.conn) < (seen.boot, seen.conn):
            raise WireError("stale", "a status of an older connection")
        if status.state == "online":
            if status.boot != seen.boot:
                # It counts its reports anew, and what the boot before held says nothing now.
                seen = replace(seen, seq=0)
                self._inventories.pop(proplet, None)
                self._named.pop(proplet, None)
                self._waiting.pop(proplet, None)
            seen = replace(seen, boot=status.boot, conn=status.conn)
            self._world.put_seen(self._alive(seen, received, now))
            self.wishes.welcomed.add(proplet)
        elif seen.presence is not Presence.OFFLINE and seen.will_at is None:
            self._world.put_seen(replace(seen, conn=status.conn, will_at=now))
            self.wishes.parting = True

    # -- report -------------------------------------------------------------------------------

    def _report(self, proplet: PropletId, received: Received, now: int) -> None:
        seen = self._world.proplets.get(proplet)
        if seen is None:
            self.wishes.reread.add(proplet)  # its hello has not come yet
            raise WireError("unknown_proplet", proplet)
        body = self._keys.open_signed("report", proplet, received.payload, self._world)
        report = decode(Report, body)
        _same(report.id, proplet)
        if report.inst != seen.inst:
            self.wishes.reread.add(proplet)
            self._rivals[proplet] = now
            raise WireError("foreign_inst", "a report of another instance")
        if (report.boot, report.seq) < (seen.boot, seen.seq):
            if self._still_named(proplet, seen, report):
                self._inventory(proplet, report, now)
                return
            raise WireError("stale", "an older report")
        again = (report.boot, report.seq) == (seen.boot, seen.seq)
        if again and proplet in self._inventories:
            self.heard_since_connect.add(proplet)
            return
        self._named[proplet] = report.inventory
        observed = report.observed
        seen = replace(
            seen,
            boot=report.boot,
            seq=report.seq,
            conn=max(report.conn, seen.conn) if report.boot == seen.boot else report.conn,
            observed_fence=observed.fence,
            observed_gen=observed.gen,
            observed_digest=observed.digest,
        )
        seen = self._alive(seen, received, now)
        if report.metrics and not received.retained:
            seen = taken(seen, dict(report.metrics[:MAX_METRICS]), now)
            self._world.history.note(seen, now)
        self._world.put_seen(seen)
        self._note_handing(seen, report, now)
        self.wishes.fence_seen[proplet] = max(
            observed.fence, report.refused.fence if report.refused else 0
        )
        if report.refused is not None:
            self._event(
                now,
                "Warning",
                "Refused",
                f"{proplet} refused document {report.refused.fence}/{report.refused.gen}: "
                f"{report.refused.reason}",
                proplet,
            )
            if report.refused.reason == "unknown_kid":
                self.wishes.distrusted = True
            self.wishes.refused.add(proplet)
        self._inventory(proplet, report, now)
        if not received.retained and self._inventories.get(proplet) == report.inventory:
            self.heard_live.add(proplet)

    def _note_handing(self, seen: Seen, report: Report, now: int) -> None:
        """Whether the document asked last was taken or refused, for who asks why."""
        asked, refused = self._world.asked.get(seen.id), report.refused
        if asked is None:
            return
        if delivered(seen, asked):
            self._world.handings.taken(asked, now)
        if refused is None:
            return
        # A frame that it cannot open has no number that it could name.
        named = (refused.fence, refused.gen) == (asked.fence, asked.gen)
        if named or (not refused.fence and not delivered(seen, asked)):
            self._world.handings.refused(asked, str(refused.reason), now)

    def _still_named(self, proplet: PropletId, seen: Seen, report: Report) -> bool:
        """Whether an older report, as the broker retains it, lists what newer heartbeats name."""
        named = self._named.get(proplet)
        listed = report.tasks is not None or report.body is not None
        wanted = listed and named is not None and self._inventories.get(proplet) != named
        return wanted and report.boot == seen.boot and report.inventory == named

    def _inventory(self, proplet: PropletId, report: Report, now: int) -> None:
        runs = report.tasks
        if runs is None and report.body is not None:
            data = self._read_blob(report.body.digest)
            if data is None:
                self._waiting[proplet] = report
                return
            runs = decode_inventory(data)
        if runs is None:
            # A heartbeat: the full inventory stays retained at the broker; only its digest came.
            if self._inventories.get(proplet) != report.inventory:
                # A report is missing: the broker may still hold it (rule i), the device does.
                self.wishes.missed.add(proplet)
                self.wishes.collect.add(proplet)
            else:
                self.heard_since_connect.add(proplet)
            return
        if len(runs) > MAX_RUNS:
            raise WireError("too_many", f"{len(runs)} runs in one inventory")
        self._inventories[proplet] = report.inventory
        self.heard_since_connect.add(proplet)
        before = self._world.proplets[proplet].runs
        seen_runs = (seen_run(run) for run in runs)
        taken = {(run.uid, run.run): run for run in seen_runs}
        self._world.put_runs(proplet, taken)
        for told in runs:
            self.wishes.events += self._past_runs.take(proplet, told, now)
        for name, run in taken.items():
            held = self._world.objects.get(run.uid)
            if held is not None:
                key = held.object.meta.key
                self.wishes.events += said_of(run, before.get(name), key, proplet, now)

    # -- shared -------------------------------------------------------------------------------

    def _alive(self, seen: Seen, received: Received, now: int) -> Seen:
        """A live message is a sign of life; a retained one only says what was last known."""
        if received.retained:
            if seen.presence is Presence.UNKNOWN:
                return replace(seen, presence=Presence.ONLINE, last_heard=now, offline_since=None)
            return seen
        if seen.quarantine == "DuplicateIdentity":
            rival = self._rivals.setdefault(seen.id, now)
            if now - rival >= DUPLICATE_WINDOW:
                seen = replace(seen, quarantine="")
                self._event(now, "Info", "OneLeft", f"one device is left as {seen.id}", seen.id)
        return replace(
            seen, presence=Presence.ONLINE, last_heard=now, offline_since=None, will_at=None
        )

    def _mismatch(self, proplet: PropletId, now: int) -> None:
        """Said, not acted upon: whoever can publish could otherwise stop any device."""
        if now >= self._mismatches.get(proplet, 0):
            self._mismatches[proplet] = now + MISMATCH_EVERY
            words = f"something announced itself as {proplet} with another key and is not believed"
            self._event(now, "Warning", "IdentityMismatch", words, proplet)

    def _event(
        self, now: int, severity: str, reason: str, message: str, proplet: PropletId
    ) -> None:
        self.wishes.events.append(
            Event(at=now, severity=severity, reason=reason, message=message, proplet=proplet)
        )


def _same(inside: str, topic: str) -> None:
    if inside != topic:
        raise WireError("id_mismatch", f"{inside!r} speaks on the topic of {topic!r}")
