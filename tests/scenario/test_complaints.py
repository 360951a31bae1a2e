"""What users of other tools complain of, one test a complaint: it cannot happen here.

Numbered as in the list the tests were made from; the name says the complaint that is untrue.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import EVERYWHERE, WAT, daemon_yaml, task_yaml, with_args

from propeller.model.ids import Key, sha256_digest
from propeller.model.seen import RunState
from propeller.plan.preview import preview
from propeller.reconcile.events import Confirm, GiveUp, SpecsTaken
from propeller.reconcile.sourcing import SourceReader
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.fleet import HOUR, MINUTE, SECOND, STEP, Sim
from propeller.rehearse.guests import Guests
from propeller.sources.tree import Tree
from propeller.wire.messages import Entry


def starts(sim: Sim) -> dict[str, dict[tuple[str, str], int]]:
    """How often each run was started, by proplet."""
    return {one.id: dict(one.starts) for one in sim.proplets.values()}


def held(sim: Sim, kind: str, name: str):
    found = sim.manager.reconciler.world.find(Key(kind, "default", name))
    assert found is not None
    return found


def condition(sim: Sim, kind: str, name: str, type_: str = "Ready") -> tuple[str, str]:
    rows = sim.manager.reconciler.projection.conditions(held(sim, kind, name).uid)
    return next((str(one.status), one.reason) for one in rows if one.type == type_)


def test_01_another_spelling_of_the_same_is_no_change(tmp_path: Path) -> None:
    """Defaults written out, other units, numbers for text: nothing is out of sync."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + '  run: {args: ["1"]}\n'))
    until_ready(sim)
    before, plans = starts(sim), sim.manager.reconciler.plans
    sim.write(
        "d.yaml",
        daemon_yaml(
            "d",
            "  run: {entrypoint: _start, args: [1], env: [], mounts: null}\n"
            "  placement: {perProplet: true, onOffline: Reschedule}\n"
            "  limits: {memory: 65536KiB, output: 64KiB}\n"
            "  restart: {policy: Always}\n",
        ),
    )
    sim.run(30 * SECOND)
    assert starts(sim) == before
    assert held(sim, "Daemon", "d").generation == 1
    assert sim.manager.reconciler.plans <= plans + 1


def test_02_a_revision_that_gets_nowhere_is_superseded(tmp_path: Path) -> None:
    """Nothing is in progress that a newer commit would have to wait for."""
    sim = plant(tmp_path)
    nowhere = "  placement: {selector: {matchLabels: {board: none}}}\n"
    sim.write("d.yaml", daemon_yaml("d", nowhere))
    sim.run(5 * MINUTE)
    assert sim.running() == {}
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim, 10 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


def test_03_what_fails_holds_up_nothing_else(tmp_path: Path) -> None:
    """Neither other objects, nor the fix of what failed."""
    sim = plant(tmp_path, "a")

    def traps(entry: Entry) -> bool:
        return "bad" in entry.args

    sim.proplets["a"].guests = Guests(traps=traps)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("bad")))
    sim.run(3 * MINUTE)
    assert condition(sim, "Daemon", "d")[0] != "True"
    sim.write("other.yaml", daemon_yaml("other", EVERYWHERE))
    assert sim.run(
        15 * SECOND, until=lambda: condition(sim, "Daemon", "other")[0] == "True", every=SECOND
    )
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("good")))
    until_ready(sim, 15 * SECOND)


def test_04_a_rename_or_a_move_deletes_nothing(tmp_path: Path) -> None:
    """A moved file, a moved name, a move into an App: the runs are the same ones."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    before = starts(sim)
    (sim.specs / "line").mkdir()
    (sim.specs / "line/m.wat").write_text(WAT)
    (sim.specs / "d.yaml").unlink()
    (sim.specs / "line/e.yaml").write_text(
        daemon_yaml("e", EVERYWHERE).replace("{name: e}", "{name: e, moved: [{name: d}]}")
    )
    sim.write(
        "app.yaml",
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: line}\n"
        "spec: {source: {path: line}, discovery: Allow}\n",
    )
    sim.run(20 * SECOND)
    until_ready(sim)
    assert starts(sim) == before
    assert held(sim, "Daemon", "e").object.meta.app == "line"


def test_05_nothing_is_lost_from_the_inventory(tmp_path: Path) -> None:
    """A deletion that a device did not confirm is remembered through a crash, and comes true."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.broker.cut("b")
    sim.run(2 * MINUTE)
    sim.remove("d.yaml")
    sim.run(MINUTE)
    sim.restart_manager(away=10 * SECOND)
    sim.run(5 * MINUTE)
    assert held(sim, "Daemon", "d").deleted_at is not None
    sim.broker.heal("b")
    sim.run(5 * MINUTE)
    assert sim.running() == {}
    assert sim.manager.reconciler.world.find(Key("Daemon", "default", "d")) is None


def test_06_ownership_is_never_read_from_labels(tmp_path: Path) -> None:
    """An object that carries all the labels of another is not pruned with it."""
    sim = plant(tmp_path)
    labelled = "{{name: {0}, labels: {{app: line, app.kubernetes.io/managed-by: propeller}}}}"
    for name in ("d", "copy"):
        text = daemon_yaml(name, EVERYWHERE).replace(f"{{name: {name}}}", labelled.format(name))
        sim.write(f"{name}.yaml", text)
    until_ready(sim)
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/copy": ["a", "b"]}


def test_07_a_sync_does_not_fight_a_rollback(tmp_path: Path) -> None:
    """What was rolled back stays so, through looks at the source and a restart."""
    sim = plant(tmp_path, "abcd")
    steps = '  rollout: {steps: ["1", "100%"], soak: 5s, onFailure: Rollback}\n'
    quick = "  health: {readyAfter: 1s}\n"
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + quick + steps + with_args("v1")))
    until_ready(sim)
    for one in sim.proplets.values():
        one.guests = Guests(traps=lambda entry: "v2" in entry.args)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + quick + steps + with_args("v2")))
    assert sim.run(
        20 * MINUTE,
        until=lambda: condition(sim, "Daemon", "d")[1] == "RolledBack",
        every=SECOND,
    )
    sim.run(MINUTE)
    before = starts(sim)
    for _ in range(3):
        sim.manager.read()
        sim.run(MINUTE)
    sim.restart_manager(away=SECOND)
    sim.run(5 * MINUTE)
    assert condition(sim, "Daemon", "d")[1] == "RolledBack"
    assert starts(sim) == before
    running = {entry.args for one in sim.proplets.values() for entry in one.running.values()}
    assert running == {("v1",)}


DRIVER_FIRST = "  dependsOn: [{kind: App, name: drivers}]\n"


def ordered(sim: Sim) -> None:
    """Two Apps, the second of which depends on the first."""
    for folder in ("drivers", "line"):
        (sim.specs / folder).mkdir()
        (sim.specs / folder / "m.wat").write_text(WAT)
    (sim.specs / "drivers/d.yaml").write_text(daemon_yaml("driver", EVERYWHERE))
    (sim.specs / "line/d.yaml").write_text(daemon_yaml("filter", EVERYWHERE))
    head = "---\napiVersion: propeller.dev/v1alpha1\nkind: App\n"
    app = head + "metadata: {{name: {0}}}\nspec:\n  source: {{path: {0}}}\n  discovery: Allow\n"
    sim.write("apps.yaml", app.format("drivers") + app.format("line") + DRIVER_FIRST)


def test_08_there_is_an_order_between_apps(tmp_path: Path) -> None:
    """Never a moment in which the dependent runs and what it needs does not."""
    sim = plant(tmp_path)
    seen = []

    def ready() -> bool:
        seen.append(frozenset(sim.running()))
        return sim.ready()

    ordered(sim)
    sim.run(STEP)
    assert sim.run(2 * MINUTE, until=ready, every=STEP)
    assert frozenset({"Daemon/default/filter"}) not in seen
    assert seen[-1] == {"Daemon/default/driver", "Daemon/default/filter"}


def test_09_a_dependent_is_woken_and_does_not_poll(tmp_path: Path) -> None:
    """It is asked for at once, not at the next turn of a timer."""
    sim = plant(tmp_path)
    ordered(sim)
    sim.run(STEP)
    assert sim.run(MINUTE, until=lambda: condition(sim, "App", "drivers")[0] == "True", every=STEP)
    ready_at = sim.now
    assert sim.run(
        MINUTE,
        until=lambda: any(b"filter" in sent.payload for sent in sim.manager.documents()),
        every=STEP,
    )
    assert sim.now - ready_at <= 3 * STEP


def test_10_nothing_to_do_costs_nothing(tmp_path: Path) -> None:
    """Heartbeats of an hour cause no plan and no document; nor does something that fails."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.run(MINUTE)
    plans, sent = sim.manager.reconciler.plans, len(sim.manager.documents())
    sim.run(HOUR)
    assert len(sim.manager.documents()) == sent
    assert sim.manager.reconciler.plans - plans <= 60
    sim.proplets["a"].guests = Guests(failing=1.0)
    sim.proplets["b"].guests = Guests(failing=1.0)
    sim.write("t.yaml", task_yaml("t", "  retries: {limit: 2}\n"))
    sim.run(10 * MINUTE)
    plans = sim.manager.reconciler.plans
    sim.run(HOUR)
    assert condition(sim, "Task", "t")[1] == "Failed"
    assert sim.manager.reconciler.plans - plans <= 60


def test_11_the_loop_does_not_stop_in_silence(tmp_path: Path) -> None:
    """It looks at itself every minute, whatever happened: quiet, a lost broker, bad specs."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    for trouble in (
        lambda: None,
        lambda: sim.broker.cut("manager"),
        lambda: sim.write("d.yaml", "x: ["),
    ):
        trouble()
        for _ in range(5):
            turns = sim.manager.turns
            sim.run(MINUTE + SECOND)
            assert sim.manager.turns > turns
    sim.broker.heal("manager")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("on")))
    until_ready(sim, 5 * MINUTE)


class Counting:
    """A source that counts how often it is read."""

    def __init__(self) -> None:
        self.name = "counting"
        self.heads, self.reads = 0, 0
        self.commit = "1"

    def head(self) -> str:
        self.heads += 1
        return self.commit

    def read(self, head: str | None = None) -> Tree:
        self.reads += 1
        return Tree(name=f"main@{head}", files={"m.wat": WAT.encode()})

    def accepted(self, tree: Tree) -> None:
        return

    def trusted_from(self, revision: str) -> None:
        return

    def watch(self, on_change, stop: threading.Event) -> None:
        stop.wait()


def test_12_a_big_repository_is_not_read_for_a_look() -> None:
    """Asking for the head is enough while it stays; the tree is read once a commit."""
    source, posted = Counting(), threading.Semaphore(0)
    outcomes = []

    def post(outcome) -> None:
        outcomes.append(outcome)
        posted.release()

    reader = SourceReader(source, domain="d", keep=sha256_digest, post=post, pause=lambda: 0.01)
    reader.start()
    try:
        assert posted.acquire(timeout=10)
        seen = source.heads
        while source.heads < seen + 10:
            reader.look()
        assert source.reads == 1
        source.commit = "2"
        assert posted.acquire(timeout=10)
        assert source.reads == 2
    finally:
        reader.stop()
    assert all(isinstance(one, SpecsTaken) for one in outcomes)


def test_13_our_own_output_causes_no_new_output(tmp_path: Path) -> None:
    """Status files change when a status does: an hour of heartbeats touches none."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.run(MINUTE)

    def picture() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in sim.state.status.rglob("*.yaml")}

    before = picture()
    assert before
    sim.run(HOUR)
    assert picture() == before


def test_14_a_silent_device_falsifies_nothing(tmp_path: Path) -> None:
    """Others go on; of the silent one it is said that it is silent, and since when."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.broker.cut("b")
    sim.run(5 * MINUTE)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("2")))
    sim.run(MINUTE)
    assert condition(sim, "Daemon", "d")[0] == "Unknown"
    assert condition(sim, "Daemon", "d", "Fresh") == ("False", "Silent")
    running = [entry.args for entry in sim.proplets["a"].running.values()]
    assert running == [("2",)]
    row = next(row for row in sim.manager.store.statuses() if row.key.kind == "Daemon")
    assert '"silentSince"' in row.document


def test_15_what_a_device_reports_of_itself_is_no_drift(tmp_path: Path) -> None:
    """Restarts, results and counters are its own: nothing is corrected for them."""
    sim = plant(tmp_path, "a", seed=3)
    sim.proplets["a"].guests = Guests(dying=0.8)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.run(2 * MINUTE)
    sent = len(sim.manager.documents())
    sim.run(HOUR)
    (run,) = sim.seen("a").runs.values()
    assert run.restarts > 0
    assert run.state in (RunState.RUNNING, RunState.FAILED)
    assert len(sim.manager.documents()) == sent


def test_15_corrections_never_loop(tmp_path: Path) -> None:
    """A device that undoes each of them gets ten an hour and no more, and that is said."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    device = sim.proplets["a"]
    for _ in range(60):
        sim.run(2 * MINUTE)
        device.kill()
        device.disk.entries = ()
        device.disk.runs.clear()
        device.boot()
    sim.run(2 * MINUTE)
    events = sim.manager.store.events(limit=1_000)
    assert sum(one.count for one in events if one.reason == "DriftCorrected") == 10
    assert condition(sim, "Daemon", "d") == ("False", "DriftFlapping")


def test_16_diff_and_apply_agree_and_deletions_are_shown(tmp_path: Path) -> None:
    """What `diff` says of a commit is what is then done, object by object."""
    sim = plant(tmp_path)
    for name in ("edited", "deleted", "same"):
        sim.write(f"{name}.yaml", daemon_yaml(name, EVERYWHERE))
    until_ready(sim)
    manager = sim.manager
    snapshot = manager.reconciler.snapshot()
    (sim.specs / "deleted.yaml").unlink()
    (sim.specs / "edited.yaml").write_text(daemon_yaml("edited", EVERYWHERE + with_args("2")))
    (sim.specs / "new.yaml").write_text(daemon_yaml("new", EVERYWHERE))
    outcome = manager.read()
    assert isinstance(outcome, SpecsTaken)
    lines = preview(snapshot, outcome.revision, now=sim.now)
    said = {(line.key.name, line.op.value, line.how, line.devices) for line in lines}
    assert said == {
        ("deleted", "delete", "stop", 2),
        ("edited", "update", "restart", 2),
        ("new", "create", "start", 2),
    }
    before = len(manager.store.events(limit=10_000))
    until_ready(sim)
    sim.run(30 * SECOND)
    done = manager.store.events(limit=10_000)[: -before or None]
    touched = {event.key.name for event in done if event.key is not None}
    assert touched == {"deleted", "edited", "new"}


def test_17_a_device_that_never_comes_back_blocks_no_deletion_for_ever(tmp_path: Path) -> None:
    """A person may give it up, and it is written down who did."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.proplets["b"].kill()
    sim.run(5 * MINUTE)
    sim.remove("d.yaml")
    sim.run(HOUR)
    assert held(sim, "Daemon", "d").deleted_at is not None
    key = Key("Daemon", "default", "d")
    sim.manager.ask(lambda reply: GiveUp(key=key, by="ana", reason="crushed", reply=reply))
    sim.run(30 * SECOND)
    assert sim.manager.reconciler.world.find(key) is None
    told = [one.message for one in sim.manager.store.events(key=key) if one.reason == "GivenUp"]
    assert told == ["given up by ana: crushed; not confirmed by b"]


def test_18_a_stale_plan_is_refused_and_no_lock_is_left(tmp_path: Path) -> None:
    """An approved plan runs as approved or not at all; kill -9 leaves nothing to break by hand."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    (sim.specs / "d.yaml").write_text(daemon_yaml("d", EVERYWHERE + with_args("2")))
    outcome = sim.manager.read()
    assert isinstance(outcome, SpecsTaken)
    sim.manager.inbox.clear()
    answers: list[object] = []
    stale = SpecsTaken(outcome.revision, outcome.source, "sha256:" + "0" * 64, answers.append)
    sim.manager.inbox.append(stale)
    sim.run(10 * SECOND)
    assert answers == [{"done": True, "stale": True}]
    assert held(sim, "Daemon", "d").generation == 1
    sim.kill_manager()
    sim.start_manager()
    until_ready(sim)
    assert held(sim, "Daemon", "d").generation == 2


@pytest.mark.parametrize("kind", ["suspended", "kept"])
def test_19_nobody_waits_for_what_nobody_meant(tmp_path: Path, kind: str) -> None:
    """An object that is suspended, or kept without a spec, holds up no `apply`."""
    sim = plant(tmp_path)
    spec = "  suspend: {reason: audit, by: ana}\n" if kind == "suspended" else "  prune: Never\n"
    sim.write("aside.yaml", daemon_yaml("aside", EVERYWHERE + spec))
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.run(10 * SECOND)
    if kind == "kept":
        sim.remove("aside.yaml")
    sim.run(30 * SECOND)
    standing = of_reconciler(sim.manager.reconciler)
    assert (standing.exit_code, standing.lines()) == (0, [])


def test_20_a_replacement_leaves_nothing_behind(tmp_path: Path) -> None:
    """One copy a device at every moment, and of the new kind at the end."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.write("n.wat", WAT.replace("42", "43"))
    most: list[int] = []

    def ready() -> bool:
        most.append(max(len(one.running) for one in sim.proplets.values()))
        return sim.ready()

    text = daemon_yaml("d", EVERYWHERE + with_args("new")).replace("m.wat", "n.wat")
    sim.write("d.yaml", text)
    sim.run(STEP)
    assert sim.run(2 * MINUTE, until=ready, every=STEP)
    assert max(most) == 1
    for one in sim.proplets.values():
        assert [entry.args for entry in one.running.values()] == [("new",)]
        assert len(one.disk.runs) == 1


def test_a_guard_stops_what_a_rename_without_moved_would_cost(tmp_path: Path) -> None:
    """The second half of complaint 4: what is not said to be a move is bounded and confirmed."""
    sim = plant(tmp_path)
    (sim.specs / "line").mkdir()
    (sim.specs / "line/m.wat").write_text(WAT)
    for number in range(4):
        (sim.specs / f"line/d{number}.yaml").write_text(daemon_yaml(f"d{number}", EVERYWHERE))
    sim.write(
        "app.yaml",
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: line}\n"
        "spec: {source: {path: line}, discovery: Allow, guards: {maxDelete: 25%}}\n",
    )
    until_ready(sim)
    before = starts(sim)
    for number in range(4):
        (sim.specs / f"line/d{number}.yaml").write_text(daemon_yaml(f"new{number}", EVERYWHERE))
    sim.manager.read()
    sim.run(30 * SECOND)
    assert starts(sim) == before
    digest = sim.manager.reconciler.specs.approvals.pauses["line"].digest
    sim.manager.ask(lambda reply: Confirm(what=digest, by="ana", reply=reply))
    sim.run(30 * SECOND)
    assert sorted(sim.running()) == [f"Daemon/default/new{number}" for number in range(4)]
