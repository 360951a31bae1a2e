"""Plays a scene: the fleet runs what it ran, the new specs are read, until all is Ready or stuck.

The planner, the loop, the store, rollouts and the agents are the real ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from propeller.errors import UsageError
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.cast import (
    Newness,
    assume_images,
    choose_off,
    copy_specs,
    declare,
    devices_of,
    revision_of,
    switch_on,
    traps_of,
)
from propeller.rehearse.fleet import SECOND, Sim, Weather
from propeller.rehearse.scene import Outcome, Point, Scene, Told

POINTS = 48
"""Looks of the curve at most."""
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


def play(scene: Scene, folder: Path) -> Outcome:
    """Play it in `folder`, which must be empty. Raises SpecError, UsageError.

    The same scene gives the same outcome, byte for byte.
    """
    sim = Sim(folder, seed=scene.seed, files=False)
    sim.plugin_images = scene.plugin_images
    shutil.rmtree(sim.specs)
    copy_specs(scene.before or scene.specs, sim.specs)
    sim.start_manager()
    taken = revision_of(sim)
    devices = devices_of(scene, taken)
    declare(sim, devices)
    assume_images(sim, taken, scene)
    new = Newness(sim)
    traps = traps_of(scene, devices, new)
    off = choose_off(devices, scene)
    for device in devices:
        switch_on(sim, device, traps, scene, on=scene.before is not None or device.name not in off)
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
        copy_specs(scene.specs, sim.specs)
        declare(sim, devices)
        assume_images(sim, revision_of(sim), scene)
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
