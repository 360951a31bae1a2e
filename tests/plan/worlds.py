"""A small fleet on paper: builders that read as sentences, and devices that do as they are told.

Loaded by `conftest.py` and by the property tests. `World` holds what the reconciler would hold;
`carry_out` writes a plan down as the loop does, `devices_work` lets every online proplet take its
document and move its runs on by one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from propeller.model.canonical import canonical_digest
from propeller.model.checks import Reading
from propeller.model.drift import Corrections
from propeller.model.ids import Digest, Key, PropletId, RunId, Uid, sha256_digest, uid_for
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Import, Module, Resolved
from propeller.model.revision import Revision
from propeller.model.rollout import Amount, Errors, OfflinePolicy, OnFailure, Rollout
from propeller.model.scoring import Score
from propeller.model.secrets import Secrets
from propeller.model.seen import Facts, Presence, RunState, Seen, SeenRun
from propeller.model.selector import Operator, Requirement, Selector
from propeller.model.specs import (
    App,
    Backoff,
    Daemon,
    Discovery,
    Guards,
    Limits,
    Meta,
    Missed,
    ModuleRef,
    Mount,
    Object,
    OnOffline,
    Origin,
    Overlap,
    PlacementSpec,
    Proplet,
    Prune,
    ReadyWhen,
    RestartPolicy,
    Retries,
    RunSpec,
    Schedule,
    Suspend,
    Task,
)
from propeller.model.versions import Course
from propeller.model.windows import Window, WindowKind
from propeller.model.withheld import Withheld
from propeller.plan.findings import strays_among
from propeller.plan.planner import affected, plan
from propeller.plan.types import (
    Adopt,
    Advance,
    Assign,
    Blocked,
    Correct,
    Fire,
    Forget,
    Gone,
    LetIn,
    Plan,
    Policy,
    Release,
    Snapshot,
)

NOW = 1_750_000_000_000
MINUTE = 60_000
KIB, MIB = 1 << 10, 1 << 20
WASI = "wasi_snapshot_preview1"
OPEN = {"board": "gateway"}


def labelled(**labels: str) -> Selector:
    """The selector of `matchLabels`."""
    rows = [
        Requirement(name, Operator.IN, frozenset({value})) for name, value in sorted(labels.items())
    ]
    return Selector(tuple(rows))


def anywhere(replicas: int = 1, **more: Any) -> PlacementSpec:
    """A number of copies, wherever they fit."""
    more.setdefault("offline_tolerance", 5 * MINUTE)
    more.setdefault("on_offline", OnOffline.KEEP)
    return PlacementSpec(replicas=replicas, **more)


def everywhere(**more: Any) -> PlacementSpec:
    """One copy on every match."""
    return anywhere(per_proplet=True, **more)


def moving(replicas: int = 1, **more: Any) -> PlacementSpec:
    """A number of copies that follow the living."""
    return anywhere(replicas, on_offline=OnOffline.RESCHEDULE, **more)


def pinned(*names: str, **more: Any) -> PlacementSpec:
    """One copy on each of these."""
    return anywhere(len(names), proplets=tuple(PropletId(name) for name in names), **more)


def key(kind: str, name: str) -> Key:
    """`kind/default/name`."""
    return Key(kind, "default", name)


def uid(kind: str, name: str) -> Uid:
    """The uid that objects made here have."""
    return uid_for("test", key(kind, name))


def _meta(kind: str, name: str, spec: Mapping[str, Any], more: dict[str, Any]) -> Meta:
    given = {
        field: more.pop(field)
        for field in ("labels", "annotations", "protect", "origin", "app")
        if field in more
    }
    given.setdefault("app", "default")
    given.setdefault("origin", Origin(f"{name}.yaml", 1))
    return Meta(
        key=key(kind, name),
        uid=more.pop("uid", None) or uid(kind, name),
        spec=spec,
        spec_digest=Digest(canonical_digest(spec)),
        **given,
    )


def _plain(value: Any) -> Any:
    """Any of the frozen specs as canonical data, so that every difference moves the digest."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str | Decimal):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}


def task(name: str, placement: PlacementSpec | None = None, **more: Any) -> Task:
    """A Task; `args`, `retries` (limit), `schedule`, `memory`, `run_key`... as keywords."""
    given: dict[str, Any] = {
        "module": more.pop("module", ModuleRef(file="add.wasm")),
        "placement": placement or anywhere(),
        "run": RunSpec(
            args=tuple(more.pop("args", ())),
            env=tuple(more.pop("env", ())),
            mounts=tuple(more.pop("mounts", ())),
            external=more.pop("external", ""),
            http=more.pop("http", None),
        ),
        "limits": Limits(memory=more.pop("memory", MIB), fuel=None, timeout=None, output=65536),
        "retries": Retries(
            limit=more.pop("retries", 0),
            backoff=more.pop("backoff", Backoff(base=10_000, cap=60_000)),
        ),
    }
    spec_fields = ("run_key", "schedule", "rollout", "windows", "prune", "depends_on", "suspend")
    given |= {field: more.pop(field) for field in spec_fields if field in more}
    meta = _meta("Task", name, _plain(given), more)
    assert not more, f"no such thing on a Task: {sorted(more)}"
    return Task(meta=meta, **given)


def daemon(name: str, placement: PlacementSpec | None = None, **more: Any) -> Daemon:
    """A Daemon; `args`, `memory`, `ready_when`... as keywords."""
    given: dict[str, Any] = {
        "module": more.pop("module", ModuleRef(file="add.wasm")),
        "placement": placement or moving(),
        "run": RunSpec(
            args=tuple(more.pop("args", ())),
            env=tuple(more.pop("env", ())),
            mounts=tuple(more.pop("mounts", ())),
            external=more.pop("external", ""),
        ),
        "limits": Limits(memory=more.pop("memory", MIB), fuel=None, timeout=None, output=65536),
        "restart": RestartPolicy.ALWAYS,
        "backoff": Backoff(base=1_000, cap=60_000),
        "ready_after": 5_000,
        "max_restarts": None,
        "ready_when": more.pop("ready_when", ReadyWhen()),
    }
    spec_fields = ("drift", "ignore_drift", "rollout", "windows", "prune", "depends_on", "suspend")
    given |= {field: more.pop(field) for field in spec_fields if field in more}
    meta = _meta("Daemon", name, _plain(given), more)
    assert not more, f"no such thing on a Daemon: {sorted(more)}"
    return Daemon(meta=meta, **given)


def app(name: str, **more: Any) -> App:
    """An App."""
    given = {
        "path": f"apps/{name}",
        "namespace": "default",
        "prune": more.pop("prune", Prune.ENABLED),
        "discovery": more.pop("discovery", Discovery.DENY),
        "suspend": more.pop("suspend", None),
    }
    guards, needs = more.pop("guards", Guards()), more.pop("depends_on", ())
    meta = _meta("App", name, _plain(given), more)
    return App(meta=meta, guards=guards, depends_on=needs, **given)


def declared(name: str, **more: Any) -> Proplet:
    """A Proplet as a spec."""
    given = {"heartbeat": 30_000}
    return Proplet(meta=_meta("Proplet", name, _plain(given), more), heartbeat=30_000)


def hourly(**more: Any) -> Schedule:
    """Every hour on the hour, UTC."""
    more.setdefault("cron", "0 * * * *")
    more.setdefault("time_zone", "UTC")
    more.setdefault("missed", Missed.RUN_LATEST)
    more.setdefault("overlap", Overlap.FORBID)
    more.setdefault("starting_deadline", 10 * MINUTE)
    return Schedule(**more)


def window(cron: str, hours: int = 1, **more: Any) -> Window:
    """An Allow window of some hours, in UTC."""
    return Window(
        kind=more.pop("kind", WindowKind.ALLOW),
        cron=cron,
        duration=hours * 60 * MINUTE,
        time_zone=more.pop("time_zone", "UTC"),
    )


def staged(*steps: str, **more: Any) -> Rollout:
    """A rollout in these steps, without a soak; any failure rolls it back."""
    errors = more.pop("errors", "0%")
    return Rollout(
        steps=tuple(Amount.parse(step) for step in steps or ("1", "50%")),
        soak=more.pop("soak", 0),
        max_unavailable=Amount.parse(more.pop("max_unavailable", "100%")),
        offline=more.pop("offline", OfflinePolicy.EXCLUDE),
        offline_after=more.pop("offline_after", 10 * MINUTE),
        on_failure=more.pop("on_failure", OnFailure.ROLLBACK),
        errors=Errors(max=Amount.parse(errors), min=more.pop("least", 1)),
        **more,
    )


def module(**more: Any) -> Module:
    """A small WASI module."""
    digest = sha256_digest(more.pop("bytes", b"add"))
    more.setdefault("identity", digest)
    more.setdefault("digest", digest)
    more.setdefault("size", 1024)
    more.setdefault("imports", (Import(WASI, "fd_write"),))
    more.setdefault("memory_min", 65536)
    return Module(**more)


def facts(**more: Any) -> Facts:
    """A Linux proplet with WASI, 64 MiB for guests and 16 slots."""
    more.setdefault("memory", 64 * MIB)
    more.setdefault("tasks", 16)
    more.setdefault("imports", frozenset({WASI}))
    more.setdefault("mounts", frozenset({"data", "out:rw"}))
    return Facts(**more)


def proplet(name: str, **more: Any) -> Seen:
    """An online, declared proplet that said hello."""
    more.setdefault("declared", True)
    more.setdefault("presence", Presence.ONLINE)
    more.setdefault("last_heard", NOW)
    more.setdefault("inst", f"inst-{name}")
    more.setdefault("facts", facts())
    more.setdefault("labels", {})
    return Seen(id=PropletId(name), **more)


def held(obj: Object, **more: Any) -> Held:
    """An object of the inventory."""
    more.setdefault("generation", 1)
    more.setdefault("revision", "main@1")
    more.setdefault("created_at", NOW)
    more.setdefault("changed_at", NOW)
    return Held(uid=obj.meta.uid, object=obj, **more)


def revision(*objects: Object, name: str = "main@2") -> Revision:
    """A revision that wants exactly these."""
    return Revision(
        name=name,
        digest=Digest("sha256:" + "0" * 64),
        objects={obj.meta.key: obj for obj in objects},
    )


def suspend(until: int | None = None) -> Suspend:
    """A stop that a person asked for."""
    return Suspend(reason="maintenance", by="ada", until=until)


class World:
    """What a reconciler holds, and devices behind it."""

    def __init__(self, *objects: Object, proplets: Iterable[Seen] = (), now: int = NOW) -> None:
        self.now = now
        self.objects: dict[Uid, Held] = {}
        self.proplets: dict[PropletId, Seen] = {seen.id: seen for seen in proplets}
        self.assignments: dict[Uid, dict[PropletId, Assignment]] = {}
        self.modules: dict[ModuleRef, Resolved] = {ModuleRef(file="add.wasm"): module()}
        self.policy = Policy()
        self.delivered: set[PropletId] = set()
        self.started: list[tuple[PropletId, Uid, RunId]] = []
        self.gone: set[tuple[Uid, PropletId]] = set()
        self.blocked: dict[Uid, Blocked] = {}
        self.courses: dict[Uid, Course] = {}
        self.withheld: dict[Uid, Withheld] = {}
        self.overrides: dict[Uid, str] = {}
        self.corrections: dict[Uid, Corrections] = {}
        self.readings: dict[Uid, dict[str, Reading]] = {}
        self.asked_at = 0
        self.secrets: Secrets = {}
        self.scores: dict[Digest, Score] = {}
        self.traps: Callable[[PropletId, Assignment], bool] = lambda _proplet, _copy: False
        self.told: list[str] = []
        for obj in objects:
            self.add(obj)

    def add(self, obj: Object, **more: Any) -> Held:
        """Take an object in, or its new spec."""
        before = self.objects.get(obj.meta.uid)
        if before is None:
            row = held(obj, created_at=self.now, changed_at=self.now, **more)
        else:
            row = replace(before, object=obj, generation=before.generation + 1, **more)
        if getattr(obj, "windows", ()) and obj.meta.uid not in self.withheld:
            module = self.modules.get(obj.module) if before is not None else None
            self.withheld[row.uid] = Withheld(uid=row.uid, held=before, module=module)
        self.objects[row.uid] = row
        return row

    def delete(self, obj: Object) -> None:
        """The object left the source."""
        row = self.objects[obj.meta.uid]
        self.objects[row.uid] = replace(row, deleted_at=self.now)
        if getattr(row.object, "windows", ()) and row.uid not in self.withheld:
            module = self.modules.get(row.object.module)
            self.withheld[row.uid] = Withheld(uid=row.uid, held=row, module=module)

    def set(self, name: str, **more: Any) -> None:
        """Something about a proplet is different now."""
        seen = self.proplets[PropletId(name)]
        self.proplets[seen.id] = replace(seen, **more)

    def off(self, name: str, *, since: int | None = None) -> None:
        """A proplet falls silent."""
        when = self.now if since is None else since
        self.set(name, presence=Presence.OFFLINE, offline_since=when)

    def on(self, name: str) -> None:
        """A proplet is back."""
        self.set(name, presence=Presence.ONLINE, offline_since=None)

    def snapshot(self) -> Snapshot:
        """What the planner sees."""
        return Snapshot(
            objects=self.objects,
            proplets=self.proplets,
            assignments=self.assignments,
            modules=self.modules,
            policy=self.policy,
            delivered=frozenset(self.delivered),
            courses=self.courses,
            withheld=self.withheld,
            overrides=self.overrides,
            corrections=self.corrections,
            readings=self.readings,
            strays=strays_among(self.proplets, self.assignments),
            entry=content_of,
            asked_at=lambda _proplet: self.asked_at,
            current=lambda copy, run: run.digest == content_of(copy),
            secrets=self.secrets,
            scores=self.scores,
        )

    def plan(self, **more: Any) -> Plan:
        """A plan of everything, now."""
        return plan(self.snapshot(), now=self.now, **more)

    def affected(self, *names: str) -> frozenset[Uid]:
        """What a change of these proplets can concern."""
        proplets = [PropletId(name) for name in names]
        return affected(self.snapshot(), proplets, standing=self.blocked)

    def carry_out(self, decided: Plan) -> None:
        """Write a plan down, as the loop does; assignments change, so documents do."""
        for action in decided.actions:
            match action:
                case Assign() | Adopt():
                    row = Assignment(
                        uid=action.uid,
                        proplet=action.proplet,
                        run=action.run,
                        cause=action.cause,
                        attempt=action.attempt,
                        assigned_at=self.now,
                        version=action.version,
                    )
                    self.assignments.setdefault(action.uid, {})[action.proplet] = row
                    self.delivered.discard(action.proplet)
                case Release():
                    copies = self.assignments[action.uid]
                    copies[action.proplet] = replace(copies[action.proplet], releasing=True)
                    self.delivered.discard(action.proplet)
                case Gone():
                    del self.assignments[action.uid][action.proplet]
                    if not self.assignments[action.uid]:
                        del self.assignments[action.uid]
                    self.gone.add((action.uid, action.proplet))
                case Forget():
                    assert action.uid not in self.assignments, "forgotten with a copy left"
                    del self.objects[action.uid]
                case Advance():
                    self.courses[action.uid] = action.course
                    self.told += [note.reason for note in action.notes]
                case Correct():
                    self.corrections[action.uid] = action.corrections
                    self.delivered.difference_update(action.proplets)
                    self.told += [note.reason for note in action.notes]
                case LetIn():
                    del self.withheld[action.uid]
                case Fire():
                    row_ = self.objects[action.uid]
                    self.objects[action.uid] = replace(row_, last_slot=action.slot)
        if decided.planned is None:
            self.blocked = dict(decided.blocked)
        else:
            for uid_ in decided.planned:
                self.blocked.pop(uid_, None)
            self.blocked.update(decided.blocked)

    def devices_work(self, *, finish: bool = True) -> None:
        """Every online proplet takes its document, and its runs move on by one step."""
        for name, seen in list(self.proplets.items()):
            if seen.presence is Presence.ONLINE and seen.inst:
                self._device_works(name, seen, finish=finish)

    def _device_works(self, name: PropletId, seen: Seen, *, finish: bool) -> None:
        wanted = {
            (uid_, copies[name].run): copies[name]
            for uid_, copies in self.assignments.items()
            if name in copies and not copies[name].releasing
        }
        runs = {}
        for pair, copy in wanted.items():
            run = seen.runs.get(pair)
            if run is not None and copy.cause == "daemon" and run.digest != content_of(copy):
                run = None  # the same run, told something new: the device starts it again
            if run is None:
                self.started.append((name, *pair))
                run = a_run(copy, RunState.PENDING)
            elif run.state is RunState.PENDING:
                run = replace(run, state=RunState.RUNNING, started=self.now)
            elif run.state is RunState.RUNNING and finish:
                run = self._step(run, trapped=self.traps(name, copy))
            runs[pair] = run
        self.delivered.add(name)
        self.proplets[name] = replace(seen, runs=runs, reported=True, last_heard=self.now)

    def _step(self, run: SeenRun, *, trapped: bool) -> SeenRun:
        if trapped and run.cause == "daemon":
            return replace(run, state=RunState.BACK_OFF, ready=False, error="trap", restarts=1)
        if trapped:
            return replace(run, state=RunState.FAILED, ended=self.now, error="trap")
        if run.cause == "daemon":
            return replace(run, ready=True)
        return replace(run, state=RunState.SUCCEEDED, ended=self.now, ready=True)

    def report(self, obj: Object, name: str, state: RunState, **more: Any) -> None:
        """A proplet tells that its copy is in this state."""
        copy = self.assignments[obj.meta.uid][PropletId(name)]
        seen = self.proplets[copy.proplet]
        run = a_run(copy, state, **more)
        runs = {**seen.runs, (run.uid, run.run): run}
        self.proplets[seen.id] = replace(seen, runs=runs, reported=True)

    def settle(self, *, rounds: int = 12) -> int:
        """Plan, carry out, let devices work until nothing is left; returns the rounds it took."""
        for turn in range(rounds):
            decided = self.plan()
            self.carry_out(decided)
            before = dict(self.proplets)
            self.devices_work()
            if not decided.actions and before == self.proplets:
                return turn
        raise AssertionError(f"still busy after {rounds} rounds: {self.plan().actions}")

    def where(self, obj: Object) -> list[str]:
        """The proplets that hold a copy that is wanted there."""
        copies = self.assignments.get(obj.meta.uid, {})
        return sorted(name for name, copy in copies.items() if not copy.releasing)

    def leaving(self, obj: Object) -> list[str]:
        """The proplets a copy is being taken off."""
        copies = self.assignments.get(obj.meta.uid, {})
        return sorted(name for name, copy in copies.items() if copy.releasing)


def a_run(copy: Assignment, state: RunState, **more: Any) -> SeenRun:
    """The run of a copy as its device would report it."""
    more.setdefault("digest", content_of(copy))
    return SeenRun(uid=copy.uid, run=copy.run, cause=copy.cause, state=state, **more)


def content_of(copy: Assignment) -> Digest:
    """What stands in for the digest of the entry a copy is told."""
    return copy.version or Digest("sha256:" + "1" * 64)


def words(decided: Plan) -> list[str]:
    """A plan as lines a person can read: what, which, where, and the cause of a run."""
    lines = []
    for action in decided.actions:
        match action:
            case Assign() | Adopt():
                what = type(action).__name__
                lines.append(f"{what} {action.key.name} {action.proplet} {action.cause}")
            case Release() | Gone():
                lines.append(f"{type(action).__name__} {action.key.name} {action.proplet}")
            case Forget():
                lines.append(f"Forget {action.key.name}")
            case Advance():
                course = action.course
                lines.append(f"Advance {action.key.name} {course.phase} {course.step}")
            case Correct():
                lines.append(f"Correct {action.key.name} {' '.join(action.proplets)}")
            case LetIn():
                lines.append(f"LetIn {action.key.name}")
            case Fire():
                lines.append(f"Fire {action.key.name} {action.slot}")
    return lines


READ_WRITE_OUT = Mount("out", "/out")
