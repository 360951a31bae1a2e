"""A busy life of a store, the same every time, for the tests that cut it short.

Run as a program, never imported by pytest:

    workload.py reference DIR          the whole of every state it passes through, as JSON by serial
    workload.py kill DIR               live it again, cut short before each SQL statement and right
                                       after each commit; says what was wrong then
    workload.py live DIR               live it once, writing `durable SERIAL` or `passed SERIAL` to
                                       the file POWER_MARKS names after each commit

Each commit moves the serial by one, so a store found after a crash names the state it must equal.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from propeller.model.ids import Digest, Key, PropletId, RunId, Uid, sha256_digest, uid_for
from propeller.model.inventory import Assignment, Held
from propeller.model.module import Module
from propeller.model.parse import parse_object
from propeller.model.seen import Facts, Presence, RunState, Seen, SeenRun
from propeller.model.specs import ModuleRef
from propeller.state import database
from propeller.state.failpoints import At, arm, disarm, kill
from propeller.state.quotas import Quotas
from propeller.state.records import Asked, Event, HistoryRow, RevisionRecord, RunRecord, StatusRow
from propeller.state.sqlite import SqliteStore

NOW = 1_750_000_000_000
DIGEST = sha256_digest(b"module")
KEY = Key("App", "default", "a")
UID = uid_for("d", KEY)
P1 = PropletId("p1")
QUOTAS = Quotas(events_per_owner=2, events=3, runs_per_object=2, seen_runs=3)
Report = Callable[[SqliteStore, bool], None]


def run_id(number: int) -> RunId:
    return RunId(f"{number:032x}")


def held(generation: int) -> Held:
    meta = {"namespace": "default", "name": "a", "uid": UID, "app": "a"}
    spec = {
        "source": {"path": "x" * 3000},  # more than a page, so that rows spill
        "namespace": f"n{generation}",
        "prune": "Enabled",
        "discovery": "Deny",
    }
    obj = parse_object("App", meta, spec)
    return Held(
        uid=UID, object=obj, generation=generation, revision="r", created_at=NOW, changed_at=NOW
    )


def seen(seq: int) -> Seen:
    return Seen(id=P1, declared=True, presence=Presence.ONLINE, seq=seq, facts=Facts(arch="x86_64"))


def seen_run(number: int, state: RunState = RunState.RUNNING) -> SeenRun:
    return SeenRun(uid=UID, run=run_id(number), digest=DIGEST, cause="once", state=state)


def run_record(number: int, state: str) -> RunRecord:
    return RunRecord(
        uid=UID, key=KEY, run=run_id(number), proplet=P1, cause="once", attempt=1, state=state,
        assigned_at=NOW + number,
    )  # fmt: skip


def asked(gen: int, body: bytes) -> Asked:
    return Asked(
        proplet=P1, inst="i", fence=NOW, gen=gen, digest=DIGEST, asked_at=NOW, due=NOW,
        attempts=1, body=body,
    )  # fmt: skip


def assignment(number: int) -> Assignment:
    return Assignment(uid=UID, proplet=P1, run=run_id(number), cause="once", assigned_at=NOW)


def accept(store: SqliteStore, number: int) -> None:
    """A new revision with its object."""
    store.note_revision(
        RevisionRecord(name=f"r{number}", digest=DIGEST, source="s", at=NOW, outcome="accepted")
    )
    store.put_held(held(number))
    module = Module(identity=DIGEST, digest=DIGEST, size=1)
    store.put_module(ModuleRef(file="a.wasm", digest=DIGEST), module)


def start(store: SqliteStore, number: int) -> None:
    """A run is asked for: the transaction that has to be durable."""
    store.put_assignment(assignment(number))
    store.put_run(run_record(number, "Pending"))
    store.put_asked(asked(number, b"document %d" % number * 500))


def hear(store: SqliteStore, number: int) -> None:
    """A report with a new run, one that ended, and an event."""
    store.put_seen(seen(number))
    changed = [seen_run(number)]
    if number > 1:
        changed.append(seen_run(number - 1, RunState.SUCCEEDED))
    store.put_runs(P1, changed, [(UID, run_id(number - 2))])
    store.put_run(run_record(number, "Running"))
    store.add_event(
        Event(at=NOW + number, severity="Info", reason="Started", message="m", key=KEY, proplet=P1)
    )
    store.put_status(
        StatusRow(uid=UID, key=KEY, ready="True", document=f"{number}" * 2000, changed_at=NOW)
    )
    store.note_history(
        UID,
        HistoryRow(
            uid=UID, digest=Digest(DIGEST), generation=number, outcome="Ready", revision="r",
            first=NOW, last=NOW + number, count=1,
        ),
    )  # fmt: skip


def forget(store: SqliteStore, _: int) -> None:
    """Everything about the object and the proplet leaves."""
    store.drop_assignment(UID, P1)
    store.drop_held(Uid(UID))
    store.drop_status(UID)
    store.drop_asked(P1)
    store.drop_seen(P1)


def once(store: SqliteStore, report: Report, *, number: int) -> None:
    """One round: accept, start durably, hear, prune."""
    steps: list[tuple[Callable[[SqliteStore, int], None], bool]] = [
        (accept, False),
        (start, True),
        (hear, False),
        (lambda store, _: store.prune_history(NOW), False),
    ]
    for step, durable in steps:
        with store.transaction(durable=durable):
            step(store, number)
            store.set_meta("step", f"{number} {step.__name__}")
        report(store, durable)


def live(folder: Path, report: Report) -> None:
    """The whole of it: three processes' worth, with small logs so that they are folded in often."""
    for process in range(3):
        store = SqliteStore.open(folder / "propeller.db", quotas=QUOTAS, clock=lambda: NOW)
        if process:
            store._db.execute("PRAGMA wal_autocheckpoint = 8")
        if store.serial() == 1:
            report(store, True)  # the tables, made durably by opening
        store.take_fence(NOW)
        report(store, True)
        for number in (process * 2 + 1, process * 2 + 2):
            once(store, report, number=number)
        if process == 1:
            with store.transaction():
                forget(store, 0)
            report(store, False)
        store.close()


def contents(store: SqliteStore) -> dict[str, list[object]]:
    """Every row of every table."""
    tables = [
        row[0]
        for row in store._db.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    ]
    return {
        table: [
            [value.decode("latin-1") if isinstance(value, bytes) else value for value in row]
            for row in store._db.rows(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]
        for table in tables
    }


def reference(folder: Path) -> dict[str, dict[str, list[object]]]:
    """What the store holds at each serial."""
    states: dict[str, dict[str, list[object]]] = {}

    def note(store: SqliteStore, _: bool) -> None:
        states[str(store.serial())] = contents(store)

    live(folder, note)
    return states


def killed_at(folder: Path, hit: int) -> tuple[bool, int]:
    """Live it in a child that dies at its `hit`-th point: (did it die, the last serial it told)."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        at = At(hit, kill)
        arm(database.STATEMENT, at)
        arm(database.COMMITTED, at)

        def report(store: SqliteStore, _: bool) -> None:
            disarm()
            serial = store.serial()
            arm(database.STATEMENT, at)
            arm(database.COMMITTED, at)
            os.write(tell, b"%d\n" % serial)

        live(folder, report)
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as pipe:
        serials = pipe.read().split()
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert died or status == 0, status
    return died, int(serials[-1]) if serials else 0


def wrong(folder: Path, states: dict[str, dict[str, list[object]]], low: int, high: int) -> str:
    """What is wrong with the store in `folder`, its serial wanted in low..high; "" for nothing."""
    store = SqliteStore.open(folder / "propeller.db", quotas=QUOTAS, clock=lambda: NOW)
    try:
        if store.moved_aside:
            return f"damaged: {store.events()[0].message}"
        serial = store.serial()
        if not low <= serial <= high:
            return f"serial {serial}, not in {low}..{high}"
        if json.loads(json.dumps(contents(store))) != states[str(serial)]:
            return f"serial {serial}: not the state it was"
        fences = (
            [row[1] for row in states[str(low)]["counter"] if row[0] == "fence"] if low else [0]
        )
        if store.take_fence(1) <= fences[0]:
            return "a fence that was taken is given again"
        with store.transaction():
            store.put_seen(replace(seen(1), id=PropletId("later")))
        return ""
    finally:
        store.close()


def kill_everywhere(folder: Path) -> dict[str, object]:
    """Every point in turn, and what was wrong at which.

    What `kill -9` leaves is what anybody else sees in the files at that moment, so one life serves
    for all points: at each the directory is copied and the copy opened. Every few points a child
    is killed for real.
    """
    states = json.loads(json.dumps(reference(folder / "reference")))
    problems: list[str] = []
    place = folder / "place"
    points = told = 0

    def check(what: str, low: int) -> None:
        # Killed between a commit and the word about it, the store may be one ahead.
        found = wrong(place, states, low, low + 1)
        if found:
            problems.append(f"{what} at {points}: {found}")
        shutil.rmtree(place)

    def copied() -> None:
        nonlocal points
        disarm()
        points += 1
        shutil.copytree(folder / "life", place)
        check("copied", told)
        watch()

    def watch() -> None:
        arm(database.STATEMENT, copied)
        arm(database.COMMITTED, copied)

    def report(store: SqliteStore, _: bool) -> None:
        nonlocal told
        disarm()
        told = store.serial()
        watch()

    (folder / "life").mkdir()
    watch()
    live(folder / "life", report)
    disarm()
    last = points
    for points in range(1, last + 2, 23):
        place.mkdir()
        died, heard = killed_at(place, points)
        assert died == (points <= last)
        check("killed", heard)
    return {"points": last, "states": len(states), "problems": problems}


def main(verb: str, folder: Path) -> None:
    """See the module."""
    if verb == "reference":
        print(json.dumps(reference(folder)))
    elif verb == "kill":
        (folder / "reference").mkdir()
        print(json.dumps(kill_everywhere(folder)))
    else:
        marks = os.open(os.environ["POWER_MARKS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def mark(store: SqliteStore, durable: bool) -> None:
            os.write(marks, b"%s %d" % (b"durable" if durable else b"passed", store.serial()))

        live(folder, mark)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
