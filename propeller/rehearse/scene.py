"""What `propeller simulate` plays: a tree of specs, a fleet, weather, faults; and how it went.

The planner, the loop, the store, rollouts and the agents are the real ones. What modules would do
is assumed: a task succeeds after a while, a daemon runs, and where a trap was asked for it traps.
No module is executed and no registry asked: an image stands for so many bytes.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from propeller.errors import SpecError, UsageError
from propeller.model.ids import sha256_digest
from propeller.model.module import Module
from propeller.model.specs import Daemon, Modular, Proplet, Task
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.device import Guests
from propeller.rehearse.fleet import SECOND, Sim, Weather
from propeller.wire.messages import Entry

INVENTED = "invented-proplets.yaml"
POINTS = 48
"""Looks of the curve at most."""

MOST_PROPLETS = 5_000
TOLD = frozenset(
    {
        "RolloutStarted",
        "RolloutStep",
        "RolloutPaused",
        "RolloutComplete",
        "RolledBack",
        "RolloutAborted",
        "FleetSilent",
        "GuardTripped",
    }
)
"""Events that a rehearsal tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A proplet to be played. memory: bytes for guests. mounts: as in a hello."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    memory: int = 1 << 30
    max_module: int = 64 << 20
    max_payload: int = 256 << 10
    heartbeat: int = 30_000
    invented: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is asked for. Times in ms; loss, offline and traps' shares in 0..1.

    before: specs the fleet runs already when it begins, None for an empty fleet. back: within how
    long those that are off come back, None for never. traps: object name -> share of devices on
    which what is new of it traps. module_bytes: what an image weighs. restart_at: when the manager
    is killed and started again.
    """

    specs: Path
    before: Path | None = None
    seed: int = 1
    loss: float = 0.0
    offline: float = 0.0
    back: int | None = 600_000
    length: int = 3_600_000
    proplets: int = 0
    recorded: Sequence[Device] = ()
    traps: Mapping[str, float] = field(default_factory=dict)
    run_ms: int = 2_000
    module_bytes: int = 1 << 20
    restart_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One look. at: ms since the specs were taken. copies are as wanted of `wanted`."""

    at: int
    copies: int
    wanted: int
    ready: int
    objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that happened, ms after the start."""

    at: int
    key: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went. converged: when everything was Ready, ms, None if it never was.

    left: what was not Ready in the end and why. messages, sent: what the manager published.
    quantiles: share of copies -> when it was first reached and kept being, ms.
    """

    devices: int
    off: int
    curve: tuple[Point, ...]
    told: tuple[Told, ...]
    converged: int | None
    failed: bool
    left: tuple[str, ...]
    messages: int
    sent: int
    quantiles: Mapping[str, int | None]
    twice: int


def play(scene: Scene, folder: Path) -> Outcome:
    """Play it in `folder`, which must be empty. Raises SpecError, UsageError.

    The same scene gives the same outcome, byte for byte.
    """
    sim = Sim(folder, seed=scene.seed, files=False)
    shutil.rmtree(sim.specs)
    _copy(scene.before or scene.specs, sim.specs)
    sim.start_manager()
    taken = _revision(sim)
    devices = _devices(scene, taken)
    _declare(sim, devices)
    _assume_images(sim, taken, scene)
    new = _Newness(sim)
    traps = _traps(scene, devices, new)
    off = _choose(devices, scene)
    for device in devices:
        _switch_on(sim, device, traps, scene, on=scene.before is not None or device.name not in off)
    if scene.before is None:
        new.mark()
    else:
        if not sim.run(2 * 3_600_000, until=sim.ready, every=1_000):
            left = "\n".join(sim.what_is_not())
            raise UsageError(f"the fleet was never Ready with {scene.before}:\n{left}")
        new.mark()
        sim.run(SECOND)
        for name in sorted(off):
            sim.proplets[name].kill()
        shutil.rmtree(sim.specs)
        _copy(scene.specs, sim.specs)
        _declare(sim, devices)
        _assume_images(sim, _revision(sim), scene)
    for name in sorted(off):
        if scene.back is not None:
            later = sim.rng.randint(SECOND, max(SECOND, scene.back))
            sim.after(later, lambda name=name: sim.proplets[name].boot())  # type: ignore[misc]
    sim.set_weather(Weather(loss=scene.loss, delay=(5, 80) if scene.loss else (1, 5)))
    return _watch(sim, scene, len(devices), len(off))


def _watch(sim: Sim, scene: Scene, devices: int, off: int) -> Outcome:
    """Run to the end, or until all is Ready, looking ever so often."""
    start = sim.now
    before = len(sim.manager.control.sent)
    step = max(SECOND, scene.length // 2_000)
    curve: list[Point] = []
    restart = scene.restart_at
    messages = sent = 0
    converged: int | None = None
    while sim.now < start + scene.length:
        if restart is not None and sim.now - start >= restart:
            restart = None
            messages, sent = _spoken(sim, before, messages, sent)
            sim.restart_manager(away=5 * SECOND)
            before = 0
        sim.run(step)
        curve.append(_look(sim, start))
        if restart is None and sim.ready():
            converged = sim.now - start
            break
        if restart is None and sim.settled() and not _coming_back(sim, scene, off):
            break
    messages, sent = _spoken(sim, before, messages, sent)
    standing = of_reconciler(sim.manager.reconciler)
    told = _told(sim, start)
    return Outcome(
        devices=devices,
        off=off,
        curve=_thinned(curve),
        told=told,
        converged=converged,
        failed=bool(standing.failed) or any(one.reason == "RolledBack" for one in told),
        left=tuple(standing.lines()[:40]),
        messages=messages,
        sent=sent,
        quantiles={share: _since(curve, float(share)) for share in ("0.5", "0.9", "0.99", "1")},
        twice=len(sim.started_twice()),
    )


def _spoken(sim: Sim, before: int, messages: int, sent: int) -> tuple[int, int]:
    published = sim.manager.control.sent[before:]
    return messages + len(published), sent + sum(len(one.payload) for one in published)


def _coming_back(sim: Sim, scene: Scene, off: int) -> bool:
    return (
        bool(off) and scene.back is not None and any(not one.alive for one in sim.proplets.values())
    )


def _look(sim: Sim, start: int) -> Point:
    world = sim.manager.reconciler.world
    standing = of_reconciler(sim.manager.reconciler)
    wanted = sum(
        not copy.releasing for copies in world.assignments.values() for copy in copies.values()
    )
    return Point(
        at=sim.now - start,
        copies=_as_wanted(sim),
        wanted=wanted,
        ready=standing.ready,
        objects=standing.total,
    )


def _as_wanted(sim: Sim) -> int:
    """Copies that are what the specs say now: an old version that runs well is not."""
    world = sim.manager.reconciler.world
    good = 0
    for uid, copies in world.assignments.items():
        for proplet, copy in copies.items():
            run = world.proplets[proplet].runs.get((uid, copy.run))
            if (
                run is not None
                and not copy.releasing
                and run.ready
                and world.entries.is_current(copy, run)
            ):
                course = world.versions.courses.get(uid)
                target = course.target_digest if course is not None else ""
                good += not target or not copy.version or copy.version == target
    return good


def _told(sim: Sim, start: int) -> tuple[Told, ...]:
    rows = reversed(sim.manager.store.events(limit=100_000))
    return tuple(
        Told(at=row.at - start, key=str(row.key or ""), reason=row.reason, message=row.message)
        for row in rows
        if row.reason in TOLD and row.at >= start
    )


def _thinned(curve: Sequence[Point]) -> tuple[Point, ...]:
    """The first, the last, every change in between, at most POINTS of them evenly by time."""
    if len(curve) <= POINTS:
        return tuple(curve)
    span = curve[-1].at / (POINTS - 1)
    out, due = [], 0.0
    for point in curve:
        if point.at >= due:
            out.append(point)
            due = point.at + span
    if out[-1] is not curve[-1]:
        out.append(curve[-1])
    return tuple(out)


def _since(curve: Sequence[Point], share: float) -> int | None:
    """From when on at least `share` of the copies were as wanted, to the end."""
    since: int | None = None
    for point in curve:
        if point.wanted and point.copies >= share * point.wanted:
            since = point.at if since is None else since
        else:
            since = None
    return since


# -- who and what takes part ---------------------------------------------------------------------


class _Newness:
    """Which entries are of the new specs: whatever did not run when `mark` was called."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self._old: set[tuple[str, str]] = set()
        self._marked = False

    def mark(self) -> None:
        """What runs now is old."""
        self._marked = True
        self._old = {
            (entry.ref, _work(entry))
            for one in self._sim.proplets.values()
            for entry in one.running.values()
        }

    def __call__(self, entry: Entry) -> bool:
        return self._marked and (entry.ref, _work(entry)) not in self._old


def _work(entry: Entry) -> str:
    """What a guest is, whatever its run is called."""
    text = f"{entry.module.digest} {entry.entrypoint} {entry.args} {entry.env}"
    return hashlib.sha256(text.encode()).hexdigest()


def _traps(
    scene: Scene, devices: Sequence[Device], new: Callable[[Entry], bool]
) -> Callable[[str], Callable[[Entry], bool]]:
    """For each device, whether an entry traps there: a fixed share of the devices an object."""
    chosen: dict[str, frozenset[str]] = {}
    for name, share in sorted(scene.traps.items()):
        ranked = sorted(
            (hashlib.sha256(f"{scene.seed}|{name}|{one.name}".encode()).digest(), one.name)
            for one in devices
        )
        chosen[name] = frozenset(one for _, one in ranked[: round(share * len(ranked))])

    def of(device: str) -> Callable[[Entry], bool]:
        names = frozenset(name for name, where in chosen.items() if device in where)
        return lambda entry: entry.ref.rpartition("/")[2] in names and new(entry)

    return of


def _choose(devices: Sequence[Device], scene: Scene) -> frozenset[str]:
    """Who is off at the beginning."""
    rng = random.Random(f"{scene.seed} offline")
    names = sorted(one.name for one in devices)
    return frozenset(rng.sample(names, round(scene.offline * len(names))))


def _switch_on(
    sim: Sim,
    device: Device,
    traps: Callable[[str], Callable[[Entry], bool]],
    scene: Scene,
    *,
    on: bool,
) -> None:
    guests = Guests(
        run_ms=(max(1, scene.run_ms // 2), max(2, scene.run_ms * 2)), traps=traps(device.name)
    )
    one = sim.proplets[device.name] = sim.make(
        device.name,
        guests=guests,
        labels=tuple(sorted(device.labels.items())),
        imports=device.imports,
        mounts=device.mounts,
        memory=device.memory,
        max_module=device.max_module,
        max_payload=device.max_payload,
        heartbeat=device.heartbeat,
    )
    if on:
        one.boot()


def _devices(scene: Scene, taken: SpecsTaken) -> tuple[Device, ...]:
    """Declared ones, those of a recorded fleet, and invented ones up to `proplets`."""
    from proplet.runtime.fit import IMPORTS

    mounts = sorted(
        {
            f"{mount.name}:rw"
            for thing in taken.revision.objects.values()
            if isinstance(thing, Modular)
            for mount in thing.run.mounts
        }
    )
    found = {one.name: one for one in scene.recorded}
    for thing in taken.revision.objects.values():
        if isinstance(thing, Proplet) and thing.meta.key.name not in found:
            name = thing.meta.key.name
            found[name] = Device(
                name=name,
                imports=IMPORTS,
                mounts=tuple(mounts),
                heartbeat=thing.heartbeat,
                memory=thing.memory or 1 << 30,
            )
    alike = sorted(found.values(), key=lambda one: one.name)
    declared = {
        thing.meta.key.name: thing.meta.labels
        for thing in taken.revision.objects.values()
        if isinstance(thing, Proplet)
    }
    number = 0
    while len(found) < scene.proplets:
        number += 1
        name = f"sim-{number:04d}"
        model = alike[(number - 1) % len(alike)] if alike else None
        if name in found:
            continue
        found[name] = Device(
            name=name,
            labels={} if model is None else {**declared.get(model.name, {}), **model.labels},
            imports=IMPORTS if model is None else model.imports,
            mounts=tuple(mounts) if model is None else model.mounts,
            memory=1 << 30 if model is None else model.memory,
            heartbeat=30_000 if model is None else model.heartbeat,
            invented=True,
        )
    if not found:
        raise UsageError("no proplet is declared, and none was asked for", hint="say --proplets N")
    if len(found) > MOST_PROPLETS:
        raise UsageError(f"{len(found)} proplets; a rehearsal plays at most {MOST_PROPLETS}")
    return tuple(sorted(found.values(), key=lambda one: one.name))


def _declare(sim: Sim, devices: Sequence[Device]) -> None:
    """Invented proplets are declared, or nobody would miss those that are off; look again."""
    lines = [
        json.dumps(
            {
                "apiVersion": "propeller.dev/v1alpha1",
                "kind": "Proplet",
                "metadata": {"name": one.name, "labels": dict(one.labels)},
                "spec": {"heartbeat": f"{one.heartbeat}ms"},
            }
        )
        for one in devices
        if one.invented
    ]
    if lines:
        (sim.specs / INVENTED).write_text("\n---\n".join(lines) + "\n")
    sim.manager.read()


def _revision(sim: Sim) -> SpecsTaken:
    """What the manager read last. Raises SpecError, UsageError."""
    for event in reversed(sim.manager.inbox):
        match event:
            case SpecsTaken(app=""):
                return event
            case SpecsRefused(app=""):
                raise SpecError(event.faults)
            case SourceSilent():
                raise UsageError(event.reason)
            case _:
                continue
    raise AssertionError("the manager did not look at its source")


def _assume_images(sim: Sim, taken: SpecsTaken, scene: Scene) -> None:
    """Images become modules of so many bytes that any device can run."""
    for thing in taken.revision.objects.values():
        if not isinstance(thing, Task | Daemon) or thing.module in taken.revision.modules:
            continue
        text = f"{thing.module} ".encode()
        data = (text * (scene.module_bytes // len(text) + 1))[: scene.module_bytes]
        digest = sim.manager.keep(data)
        sim.images[str(thing.module)] = Module(
            identity=sha256_digest(text), digest=digest, size=len(data)
        )


def _copy(source: Path, target: Path) -> None:
    """A spec file or a tree, without what is not specs. Raises UsageError."""
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder")
    if source.is_file():
        target.mkdir(parents=True)
        for one in source.parent.iterdir():
            if one.is_file() and (one == source or one.suffix in (".wasm", ".wat")):
                shutil.copy(one, target / one.name)
        return
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns(".git", ".propeller", "__pycache__")
    )
