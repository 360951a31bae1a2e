"""Kills the reconciler before SQL statements and after commits of a busy day, and lets it go on.

Run as a program, never imported by pytest: `crashpoints.py DIR [SHARE]` prints what it found as
JSON. One life of the scenario serves for all points: what `kill -9` leaves is what anybody else
sees in the files at that moment, so at a point the state directory is copied and the process forks.
The parent goes on as if nothing had happened; in the child the reconciler dies, a new one starts on
the copy, and the fleet, which kept running, has to settle on what the specs say in the end.

Every distinct statement is cut before its first and its last pass (the last one of a first life
that only counts), every commit that changed something right after it; of all others every SHARE-th.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scenario"))

from specs_text import EVERYWHERE, WAT, daemon_yaml, proplet_yaml, task_yaml, with_args

from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.rehearse.guests import Guests
from propeller.state import database
from propeller.state.failpoints import arm, disarm
from propeller.state.layout import StateDir

CHILDREN = 2
AT_A = "  placement: {selector: {matchLabels: {id: a}}}\n"
AT_B = "  placement: {selector: {matchLabels: {id: b}}}\n"

STEPS: tuple[tuple[str, str | None], ...] = (
    ("t.yaml", task_yaml("t", EVERYWHERE)),
    ("moved.yaml", daemon_yaml("moved", AT_A)),
    ("edited.yaml", daemon_yaml("edited", EVERYWHERE)),
    ("gone.yaml", daemon_yaml("gone", EVERYWHERE)),
    ("edited.yaml", daemon_yaml("edited", EVERYWHERE + with_args("new"))),
    ("moved.yaml", daemon_yaml("moved", AT_B)),
    ("gone.yaml", None),
    ("late.yaml", task_yaml("late", AT_A)),
)
"""The files as they are written and removed, one after the other."""

ENDS = {"Daemon/default/edited": ["a", "b", "c"], "Daemon/default/moved": ["b"]}


def take(sim: Sim, step: tuple[str, str | None]) -> None:
    name, text = step
    if text is not None:
        sim.write(name, text)
    elif (sim.specs / name).exists():
        sim.remove(name)


class Day:
    """The busy scenario, and how far it has come."""

    def __init__(self, folder: Path) -> None:
        self.sim = Sim(folder, files=False)
        self.step = 0
        sim = self.sim
        sim.write("m.wat", WAT)
        sim.write("fleet.yaml", proplet_yaml("abc"))
        for step in STEPS[:4]:
            take(sim, step)
        self.step = 4
        for name in "abc":
            sim.add(name, guests=Guests(run_ms=(50, 150)))

    def live(self) -> None:
        """From the first start of the reconciler to the end."""
        sim = self.sim
        sim.start_manager()
        sim.run(3 * SECOND)
        while self.step < len(STEPS):
            self.step += 1
            take(sim, STEPS[self.step - 1])
            sim.run(2 * SECOND)
        sim.run(10 * SECOND)

    def go_on(self, place: Path) -> str:
        """A new reconciler on the copy; what is wrong in the end, "" for nothing."""
        sim = self.sim
        for manager in sim.managers:
            manager.drop()
        sim.managers = []
        sim.state, sim.specs = StateDir(place / "state"), place / "specs"
        sim.run(200)
        sim.start_manager()
        for step in STEPS[self.step :]:
            take(sim, step)
            sim.run(500)
        sim.run(SECOND)
        if not sim.run(2 * MINUTE, until=sim.ready, every=200):
            return f"not ready: {sim.what_is_not()}"
        sim.run(2 * SECOND)
        return self.wrong()

    def wrong(self) -> str:
        sim = self.sim
        found = []
        if sim.manager.store.moved_aside:
            found.append("the database is damaged")
        if sim.started_twice():
            found.append(f"started twice: {sim.started_twice()}")
        if sim.started("t") != {"a": 1, "b": 1, "c": 1} or sim.started("late") != {"a": 1}:
            found.append(f"tasks ran {sim.started('t')}, {sim.started('late')}")
        if sim.running() != ENDS:
            found.append(f"running: {sim.running()}")
        args = {
            entry.args
            for one in sim.proplets.values()
            for entry in one.running.values()
            if entry.ref.endswith("edited")
        }
        if args != {("new",)}:
            found.append(f"args: {args}")
        if sim.manager.left_to_do():
            found.append(f"left to do: {sim.manager.left_to_do()}")
        return "; ".join(found)


def statement() -> str:
    """The SQL that is about to run: seen from what was armed, two frames up."""
    return str(sys._getframe(3).f_locals["sql"])


def count(folder: Path) -> Counter[str]:
    """How often each statement runs in an undisturbed life."""
    passed: Counter[str] = Counter()
    day = Day(folder)

    def point() -> None:
        passed[statement()] += 1

    arm(database.STATEMENT, point)
    day.live()
    disarm()
    assert day.wrong() == "", day.wrong()
    return passed


class Killer:
    """Decides at each point whether to fork, and gathers what the children say."""

    def __init__(self, folder: Path, last: Counter[str], share: int) -> None:
        self.day = Day(folder / "life")
        self.places = folder / "places"
        self.places.mkdir()
        self.last, self.share = last, share
        self.passed: Counter[str] = Counter()
        self.points = self.tried = self.commits = 0
        self.changes = -1
        self.problems: list[str] = []
        self.running: dict[int, tuple[str, int, Path]] = {}

    def run(self) -> None:
        arm(database.STATEMENT, self.before_statement)
        arm(database.COMMITTED, self.after_commit)
        self.day.live()
        disarm()
        while self.running:
            self.reap()

    def before_statement(self) -> None:
        sql = statement()
        self.passed[sql] += 1
        self.points += 1
        if self.passed[sql] in (1, self.last[sql]) or self.points % self.share == 0:
            self.kill(f"before {' '.join(sql.split())[:60]!r}, pass {self.passed[sql]}")

    def after_commit(self) -> None:
        self.points += 1
        connection = sys._getframe(2).f_locals["connection"]
        if connection.total_changes != self.changes:
            self.changes = connection.total_changes
            self.commits += 1
            self.kill(f"after commit {self.commits}")

    def kill(self, what: str) -> None:
        if len(self.running) >= CHILDREN:
            self.reap()
        self.tried += 1
        place = self.places / str(self.tried)
        shutil.copytree(self.day.sim.state.path, place / "state")
        shutil.copytree(self.day.sim.specs, place / "specs")
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(told)
            os.write(tell, self.judge(place).encode()[:4_000])
            os._exit(0)
        os.close(tell)
        self.running[child] = (what, told, place)

    def judge(self, place: Path) -> str:
        disarm()
        try:
            return self.day.go_on(place)
        except BaseException:
            return traceback.format_exc(limit=-6)

    def reap(self) -> None:
        child, status = os.wait()
        what, told, place = self.running.pop(child)
        with os.fdopen(told) as pipe:
            found = pipe.read()
        if found or status:
            self.problems.append(f"{what}: {found or status}")
        shutil.rmtree(place)


def main(folder: Path, share: int) -> None:
    """See the module."""
    last = count(folder / "count")
    killer = Killer(folder, last, share)
    killer.run()
    print(
        json.dumps(
            {
                "statements": len(killer.passed),
                "uncounted": sorted(set(killer.passed) - set(last)),
                "points": killer.points,
                "commits": killer.commits,
                "tried": killer.tried,
                "problems": killer.problems,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000)
