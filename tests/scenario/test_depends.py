"""`dependsOn` on the whole product: order without polling, through edits and restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, task_yaml

from propeller.model.ids import Key
from propeller.rehearse.fleet import MINUTE, SECOND, STEP

ON_DRIVER = "  dependsOn: [{kind: Daemon, name: driver}]\n"
HELD = "  suspend: {reason: not yet, by: ana}\n"


def condition(sim, kind, name, type_):
    """(status, reason, message) of one condition; None where it is not there."""
    reconciler = sim.manager.reconciler
    held = reconciler.world.find(Key(kind, "default", name))
    for one in reconciler.projection.conditions(held.uid):
        if one.type == type_:
            return str(one.status), one.reason, one.message
    return None


def test_a_dependent_begins_when_what_it_depends_on_is_ready(tmp_path: Path) -> None:
    """Not before; and it says why it waits."""
    sim = plant(tmp_path)
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE + HELD))
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE + ON_DRIVER))
    sim.run(30 * SECOND)
    assert sim.running() == {}
    assert condition(sim, "Daemon", "filter", "Blocked") == (
        "True",
        "DependencyNotReady",
        "waits for what it depends on: Daemon/default/driver is not ready",
    )
    assert condition(sim, "Daemon", "filter", "Ready")[0] == "Unknown"
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE))
    until_ready(sim)
    assert set(sim.running()) == {"Daemon/default/driver", "Daemon/default/filter"}


def test_a_dependent_is_woken_and_does_not_poll(tmp_path: Path) -> None:
    """It is asked for in the step in which the dependency was found Ready."""
    sim = plant(tmp_path, "a")
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE + HELD))
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE + ON_DRIVER))
    sim.run(30 * SECOND)
    plans = sim.manager.reconciler.plans
    sim.run(5 * SECOND)
    assert sim.manager.reconciler.plans - plans <= 2, "waiting costs no plans"
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE))
    assert sim.run(
        MINUTE, until=lambda: condition(sim, "Daemon", "driver", "Ready")[0] == "True", every=STEP
    )
    ready_at = sim.now
    assert sim.run(
        MINUTE, until=lambda: "filter" in str(sim.manager.documents()[-1].payload), every=STEP
    )
    assert sim.now - ready_at <= 2 * STEP


def test_an_edit_of_both_goes_in_order(tmp_path: Path) -> None:
    """The old version of the dependent runs on until the new version of the other is ready."""
    sim = plant(tmp_path)
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE))
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE + ON_DRIVER))
    until_ready(sim)
    args = '  run: {args: ["2"]}\n'
    (sim.specs / "driver.yaml").write_text(daemon_yaml("driver", EVERYWHERE + args))
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE + ON_DRIVER + args))
    seen = []

    def versions():
        """Which versions run of (driver, filter): the newest arguments of each."""
        found = {
            entry.ref.rpartition("/")[2]: entry.args
            for proplet in sim.proplets.values()
            for entry in proplet.running.values()
        }
        pair = (found.get("driver"), found.get("filter"))
        if None not in pair and (not seen or seen[-1] != pair):
            seen.append(pair)
        return sim.ready()

    assert sim.run(2 * MINUTE, until=versions, every=STEP)
    assert ((), ("2",)) not in seen, "the dependent was never ahead"
    assert seen[-1] == (("2",), ("2",))


def test_an_app_waits_for_an_app(tmp_path: Path) -> None:
    """With everything in it."""
    sim = plant(tmp_path)
    for folder in ("drivers", "line"):
        (sim.specs / folder).mkdir()
        (sim.specs / folder / "m.wat").write_bytes((sim.specs / "m.wat").read_bytes())
    sim.write("drivers/t.yaml", task_yaml("calibrate", HELD))
    sim.write("line/d.yaml", daemon_yaml("filter", EVERYWHERE))
    app = (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {{name: {0}}}\n"
        "spec:\n  source: {{path: {0}}}\n  discovery: Allow\n"
    )
    sim.write(
        "apps.yaml",
        app.format("drivers") + app.format("line") + "  dependsOn: [{kind: App, name: drivers}]\n",
    )
    sim.run(30 * SECOND)
    assert sim.running() == {}
    assert "Task/default/calibrate (in App drivers)" in str(
        condition(sim, "Daemon", "filter", "Blocked")
    ) or "App drivers" in str(condition(sim, "Daemon", "filter", "Blocked"))
    sim.write("drivers/t.yaml", task_yaml("calibrate"))
    until_ready(sim)
    assert "Daemon/default/filter" in sim.running()


def test_the_order_holds_through_a_restart_of_the_reconciler(tmp_path: Path) -> None:
    """Waiting is a row, not a coroutine."""
    sim = plant(tmp_path)
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE + HELD))
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE + ON_DRIVER))
    sim.run(10 * SECOND)
    sim.restart_manager(away=5 * SECOND)
    sim.run(20 * SECOND)
    assert sim.running() == {}
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE))
    until_ready(sim)
    sim.restart_manager(away=5 * SECOND)
    until_ready(sim)
    assert set(sim.running()) == {"Daemon/default/driver", "Daemon/default/filter"}
    assert sim.manager.left_to_do() == ()


@pytest.mark.parametrize("gone", ["removed", "misspelled"])
def test_what_is_not_there_is_said(tmp_path: Path, gone: str) -> None:
    """A name nobody has blocks, and does not pass for ready."""
    sim = plant(tmp_path)
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE))
    until_ready(sim)
    if gone == "removed":
        sim.remove("driver.yaml")
        sim.run(20 * SECOND)
    on = ON_DRIVER if gone == "removed" else ON_DRIVER.replace("driver", "drivr")
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE + on))
    sim.run(20 * SECOND)
    assert "there is no Daemon/default/driv" in str(condition(sim, "Daemon", "filter", "Blocked"))
    sim.write("filter.yaml", daemon_yaml("filter", EVERYWHERE))
    until_ready(sim)


def test_a_circle_is_refused_with_its_way(tmp_path: Path) -> None:
    """The last good revision stands."""
    sim = plant(tmp_path)
    sim.write("driver.yaml", daemon_yaml("driver", EVERYWHERE))
    until_ready(sim)
    (sim.specs / "filter.yaml").write_text(daemon_yaml("filter", EVERYWHERE + ON_DRIVER))
    sim.write(
        "driver.yaml",
        daemon_yaml("driver", EVERYWHERE + "  dependsOn: [{kind: Daemon, name: filter}]\n"),
    )
    sim.run(10 * SECOND)
    trouble = sim.manager.reconciler.specs.trouble
    assert "spec.dependsOn: goes in a circle: " in trouble
    assert "Daemon/default/driver -> Daemon/default/filter -> Daemon/default/driver" in trouble
    assert sim.running() == {"Daemon/default/driver": ["a", "b"]}
