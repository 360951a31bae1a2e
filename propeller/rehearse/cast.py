"""Who and what takes part in a scene: proplets, who of them is off, images, and what traps where.

Declared proplets, those of a recorded fleet and invented ones play; an image stands for so many
bytes. The same scene casts the same, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from propeller.errors import SpecError, UsageError
from propeller.model.ids import sha256_digest
from propeller.model.module import Module
from propeller.model.specs import Daemon, Modular, Proplet, Task
from propeller.reconcile.events import SourceSilent, SpecsRefused, SpecsTaken
from propeller.rehearse.fleet import Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.scene import Device, Scene
from propeller.wire.messages import Entry
from propeller.wire.point_messages import OUTPUT

INVENTED = "invented-proplets.yaml"
MOST_PROPLETS = 5_000


class Newness:
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


def traps_of(
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


def choose_off(devices: Sequence[Device], scene: Scene) -> frozenset[str]:
    """Who is off at the beginning."""
    rng = random.Random(f"{scene.seed} offline")
    names = sorted(one.name for one in devices)
    return frozenset(rng.sample(names, round(scene.offline * len(names))))


def switch_on(
    sim: Sim,
    device: Device,
    traps: Callable[[str], Callable[[Entry], bool]],
    scene: Scene,
    *,
    on: bool,
) -> None:
    """Put one into the fleet. on: whether it has power from the beginning."""
    guests = Guests(
        run_ms=(max(1, scene.run_ms // 2), max(2, scene.run_ms * 2)), traps=traps(device.name)
    )
    one = sim.proplets[device.name] = sim.make(
        device.name,
        guests=guests,
        labels=tuple(sorted(device.labels.items())),
        imports=device.imports,
        mounts=device.mounts,
        points=device.points,
        memory=device.memory,
        max_module=device.max_module,
        max_payload=device.max_payload,
        heartbeat=device.heartbeat,
    )
    if on:
        one.boot()


def devices_of(scene: Scene, taken: SpecsTaken) -> tuple[Device, ...]:
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
    points = sorted(
        {
            grant.read or f"{grant.write}{OUTPUT}"
            for thing in taken.revision.objects.values()
            if isinstance(thing, Modular)
            for grant in thing.run.points
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
                points=tuple(points),
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
            points=tuple(points) if model is None else model.points,
            memory=1 << 30 if model is None else model.memory,
            heartbeat=30_000 if model is None else model.heartbeat,
            invented=True,
        )
    if not found:
        raise UsageError("no proplet is declared, and none was asked for", hint="say --proplets N")
    if len(found) > MOST_PROPLETS:
        raise UsageError(f"{len(found)} proplets; a rehearsal plays at most {MOST_PROPLETS}")
    return tuple(sorted(found.values(), key=lambda one: one.name))


def declare(sim: Sim, devices: Sequence[Device]) -> None:
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


def revision_of(sim: Sim) -> SpecsTaken:
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


def assume_images(sim: Sim, taken: SpecsTaken, scene: Scene) -> None:
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


def copy_specs(source: Path, target: Path) -> None:
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
