"""Workflows on the whole product: order, results handed on, conditions, crashes of anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plants import bare, plant, until_ready
from specs_text import proplet_yaml, task_yaml

from propeller.model.flow import StepState
from propeller.model.ids import Key
from propeller.plan.planner import plan
from propeller.rehearse.device import Guests
from propeller.rehearse.fleet import MINUTE, SECOND

FOREVER = 60 * MINUTE


def workflow_yaml(steps: str, spec: str = "", name: str = "report") -> str:
    """A Workflow of `m.wat`; steps: one a line, `name: more fields`."""
    rows = ""
    for line in steps.strip().splitlines():
        step, _, more = line.strip().partition(":")
        rows += f"    - {{name: {step}, module: {{file: m.wat}}, run: {{entrypoint: run}}{more}}}\n"
    return (
        "---\napiVersion: propeller.dev/v1alpha1\nkind: Workflow\n"
        f"metadata: {{name: {name}}}\nspec:\n  steps:\n{rows}{spec}"
    )


def writes(**texts: str):
    """Guests that write these, by the step they run; `@` stands for what they read."""

    def told(entry):
        step = entry.ref.rpartition("-")[2]
        given = entry.stdin or ""
        extra = "".join(f"[{name}={value}]" for name, value in entry.env)
        return texts.get(step, step).replace("@", f"{given}{''.join(entry.args)}{extra}")

    return told


def traps(*steps: str):
    """Guests of these steps trap."""
    return lambda entry: entry.ref.rpartition("-")[2] in steps


def guests(sim, **more) -> None:
    for device in sim.proplets.values():
        device.guests = replace(device.guests, **more)


def flow(sim, name: str = "report"):
    reconciler = sim.manager.reconciler
    held = reconciler.world.find(Key("Workflow", "default", name))
    return reconciler.world.flows.known.get(held.uid)


def states(sim, name: str = "report") -> dict[str, str]:
    return {row.name: row.state.value for row in flow(sim, name).steps}


def ready(sim, name: str = "report") -> tuple[str, str, str]:
    reconciler = sim.manager.reconciler
    held = reconciler.world.find(Key("Workflow", "default", name))
    one = next(one for one in reconciler.projection.conditions(held.uid) if one.type == "Ready")
    return str(one.status), one.reason, one.message


def over(sim, name: str = "report") -> bool:
    known = flow(sim, name)
    return known is not None and bool(known.ended)


DIAMOND = """
read
left: , after: [read], inputs: [{from: read, as: Stdin}]
right: , after: [read], inputs: [{from: read, as: Arg}]
join: , after: [left, right], inputs: [{from: left, as: Stdin}, {from: right, as: Env, name: R}]
"""


HANDED_ON = "read\nleft: , after: [read], inputs: [{{from: read, as: {}}}]"


def test_results_go_from_step_to_step(tmp_path: Path) -> None:
    """Each step begins when what it comes after has ended, with what that gave; each runs once."""
    sim = plant(tmp_path)
    guests(sim, writes=writes(read="7", left="l(@)", right="r(@)", join="j(@)"))
    sim.write("flow.yaml", workflow_yaml(DIAMOND))
    until_ready(sim)
    assert set(states(sim).values()) == {"Succeeded"}
    assert flow(sim).results["join"] == "j(l(7)[R=r(7)])"
    assert not sim.started_twice()
    assert ready(sim)[:2] == ("True", "Succeeded")
    order = {row.name: (row.began, row.ended) for row in flow(sim).steps}
    assert order["read"][1] <= min(order["left"][0], order["right"][0])
    assert max(order["left"][1], order["right"][1]) <= order["join"][0]


def test_a_long_result_travels_as_a_blob(tmp_path: Path) -> None:
    """Longer than a report has room for, up to what standard input of an entry may hold."""
    sim = plant(tmp_path)
    guests(sim, writes=writes(read="x" * 60_000, left="@", right="r", join="j"))
    sim.write(
        "flow.yaml", workflow_yaml("read\nleft: , after: [read], inputs: [{from: read, as: Stdin}]")
    )
    until_ready(sim)
    assert flow(sim).results["left"] == "x" * 60_000


def test_what_no_step_could_have_is_said(tmp_path: Path) -> None:
    """A result too long for an argument fails the step that asks for it, in words."""
    sim = plant(tmp_path)
    guests(sim, writes=writes(read="x" * 5_000))
    sim.write(
        "flow.yaml", workflow_yaml("read\nleft: , after: [read], inputs: [{from: read, as: Arg}]")
    )
    assert sim.run(2 * MINUTE, until=lambda: over(sim))
    row = flow(sim).step("left")
    assert row.state is StepState.FAILED
    assert row.why == "the result of read has 5000 characters, as Arg at most 4096"


def test_failure_skips_what_needs_success_and_runs_what_waits_for_it(tmp_path: Path) -> None:
    """The skip cascades; `Failure` and `Always` run; the workflow has failed and says where."""
    sim = plant(tmp_path)
    guests(sim, traps=traps("read"))
    sim.write(
        "flow.yaml",
        workflow_yaml(
            """
read
clean: , after: [read]
store: , after: [clean]
alarm: , after: [read], runIf: Failure
calm: , after: [store], runIf: Failure
sweep: , after: [store, alarm], runIf: Always
"""
        ),
    )
    assert sim.run(2 * MINUTE, until=lambda: over(sim))
    assert states(sim) == {
        "read": "Failed",
        "clean": "Skipped",
        "store": "Skipped",
        "alarm": "Succeeded",
        "calm": "Skipped",
        "sweep": "Succeeded",
    }
    status, reason, message = ready(sim)
    assert (status, reason) == ("False", "Failed")
    assert message.startswith("step read failed: ")
    assert flow(sim).step("store").why == "clean was skipped"
    assert sim.started("report-clean") == {}


def test_a_step_that_may_fail_does_not_fail_the_workflow(tmp_path: Path) -> None:
    """Its failure is told all the same."""
    sim = plant(tmp_path)
    guests(sim, traps=traps("read"))
    sim.write(
        "flow.yaml", workflow_yaml("read: , mayFail: true\nsweep: , after: [read], runIf: Always")
    )
    until_ready(sim)
    assert states(sim) == {"read": "Failed", "sweep": "Succeeded"}
    assert ready(sim)[2] == "1 of 2 steps succeeded, 1 failed"


@pytest.mark.parametrize(
    ("said", "runs"), [("12", True), ("10", True), ("9.5", False), ("many", False)]
)
def test_conditions_over_results(tmp_path: Path, said: str, runs: bool) -> None:
    """A step whose condition does not hold is skipped, and says what the result was."""
    sim = plant(tmp_path)
    guests(sim, writes=writes(count=said))
    sim.write("flow.yaml", workflow_yaml('count\nact: , after: [count], when: ["count >= 10"]'))
    assert sim.run(2 * MINUTE, until=lambda: over(sim))
    assert states(sim)["act"] == ("Succeeded" if runs else "Skipped")
    if not runs:
        assert flow(sim).step("act").why == f"count >= 10 does not hold: it is {said!r}"


def test_fan_in_of_many_copies_is_a_list(tmp_path: Path) -> None:
    """A step with a copy on every proplet gives a JSON list, by their names."""
    sim = plant(tmp_path, "abc")
    guests(sim, writes=writes(read="one", left="@"))
    sim.write(
        "flow.yaml",
        workflow_yaml(
            "read: , placement: {perProplet: true}\n"
            "left: , after: [read], inputs: [{from: read, as: Stdin}]"
        ),
    )
    until_ready(sim)
    assert flow(sim).results["left"] == '["one","one","one"]'


def test_jobs_run_one_after_the_other_if_asked(tmp_path: Path) -> None:
    """`maxParallel: 1` without edges: in the order written, never two at once."""
    sim = plant(tmp_path, "abc")
    sim.write("flow.yaml", workflow_yaml("c\na\nb", "  maxParallel: 1\n"))
    until_ready(sim)
    rows = {row.name: row for row in flow(sim).steps}
    assert rows["c"].ended <= rows["a"].began <= rows["a"].ended <= rows["b"].began


def test_retries_are_those_of_tasks(tmp_path: Path) -> None:
    """A step that fails is tried again before anything follows from its failure."""
    sim = plant(tmp_path, "a")
    failed: list[str] = []

    def first_time(entry) -> bool:
        if entry.ref.endswith("-read") and not failed:
            failed.append(entry.run)
            return True
        return False

    guests(sim, traps=first_time)
    sim.write(
        "flow.yaml",
        workflow_yaml("read: , retries: {limit: 2, backoff: {base: 1s}}\nclean: , after: [read]"),
    )
    until_ready(sim)
    assert states(sim) == {"read": "Succeeded", "clean": "Succeeded"}
    assert sum(sim.started("report-read").values()) == 2


def test_a_workflow_whose_time_is_over_stops_what_runs(tmp_path: Path) -> None:
    """What is under way has failed and leaves its device; the rest is skipped."""
    sim = plant(tmp_path)
    guests(sim, run_ms=(FOREVER, FOREVER))
    sim.write("flow.yaml", workflow_yaml("read\nclean: , after: [read]", "  timeout: 30s\n"))
    assert sim.run(2 * MINUTE, until=lambda: over(sim))
    assert states(sim) == {"read": "Failed", "clean": "Skipped"}
    assert ready(sim)[1] == "TimedOut"
    assert sim.run(MINUTE, until=lambda: not sim.running())


def test_a_new_key_runs_all_of_it_again(tmp_path: Path) -> None:
    """`runKey` starts another run; an edit of the timeout does not."""
    sim = plant(tmp_path)
    steps = "read\nclean: , after: [read]"
    sim.write("flow.yaml", workflow_yaml(steps))
    until_ready(sim)
    sim.write("flow.yaml", workflow_yaml(steps, "  timeout: 5m\n"))
    until_ready(sim)
    assert sum(sim.started("report-read").values()) == 1
    sim.write("flow.yaml", workflow_yaml(steps, '  runKey: "2"\n'))
    until_ready(sim)
    assert sum(sim.started("report-read").values()) == 2
    assert sum(sim.started("report-clean").values()) == 2
    assert not sim.started_twice()


def test_suspension_holds_the_next_step(tmp_path: Path) -> None:
    """Nothing begins while it is suspended; it goes on where it was."""
    sim = plant(tmp_path)
    steps = "read\nclean: , after: [read]"
    held = "  suspend: {reason: not yet, by: ana}\n"
    sim.write("flow.yaml", workflow_yaml(steps, held))
    sim.run(30 * SECOND)
    assert ready(sim)[1] == "Suspended"
    assert sim.started("report-read") == {}
    sim.write("flow.yaml", workflow_yaml(steps))
    until_ready(sim)
    assert not sim.started_twice()


def test_a_deleted_workflow_leaves_with_its_steps(tmp_path: Path) -> None:
    """Its Tasks are pruned like anything that left the source."""
    sim = plant(tmp_path)
    sim.write("flow.yaml", workflow_yaml("read\nclean: , after: [read]"))
    until_ready(sim)
    sim.remove("flow.yaml")
    assert sim.run(
        2 * MINUTE,
        until=lambda: (
            not any(
                held.object.meta.key.kind in ("Task", "Workflow")
                for held in sim.manager.reconciler.world.objects.values()
            )
        ),
    )
    assert sim.manager.reconciler.world.flows.known == {}


def test_a_cron_workflow_runs_whole_at_each_slot(tmp_path: Path) -> None:
    """Every slot is a run of all steps, with the results of that run."""
    sim = plant(tmp_path)
    sim.write(
        "flow.yaml",
        workflow_yaml(
            "read\nclean: , after: [read], inputs: [{from: read, as: Stdin}]",
            '  schedule: {cron: "*/5 * * * *"}\n',
        ),
    )
    sim.run(16 * MINUTE)
    assert sum(sim.started("report-read").values()) == 3
    assert sum(sim.started("report-clean").values()) == 3
    assert not sim.started_twice()
    assert ready(sim)[:2] == ("True", "Scheduled")


def test_schedules_of_one_time_need_not_start_together(tmp_path: Path) -> None:
    """With jitter each has its own moment of the slot, and every slot is fired once."""
    sim = plant(tmp_path)
    often = '  schedule: {cron: "*/5 * * * *", jitter: 2m}\n'
    for name in ("one", "two", "three"):
        sim.write(f"{name}.yaml", workflow_yaml("read", often, name=name))
    sim.run(22 * MINUTE)
    began = {name: flow(sim, name).began // 1000 for name in ("one", "two", "three")}
    assert len(set(began.values())) == 3
    for name in ("one", "two", "three"):
        assert sum(sim.started(f"{name}-read").values()) in (3, 4)
    assert not sim.started_twice()


@pytest.mark.parametrize("lost", ["reconciler", "database", "device", "broker"])
def test_it_goes_on_after_a_crash_of_anything(tmp_path: Path, lost: str) -> None:
    """Killed again and again while steps run: the same result, and nothing ran twice."""
    sim = bare(tmp_path)
    for name in "ab":
        sim.add(name)
    sim.start_manager()
    sim.run(2 * SECOND)
    guests(
        sim, run_ms=(3_000, 3_000), writes=writes(read="7", left="l(@)", right="r(@)", join="j(@)")
    )
    again = ", retries: {limit: 9, backoff: {base: 1s}}"
    steps = "\n".join(
        f"{line}{again}" if ":" in line else f"{line}:{again}"
        for line in DIAMOND.strip().splitlines()
    )
    sim.write("flow.yaml", workflow_yaml(steps))
    for _ in range(6):
        sim.run(1_700)
        lose(sim, lost)
    until_ready(sim, 5 * MINUTE)
    assert flow(sim).results["join"] == "j(l(7)[R=r(7)])"
    assert not sim.started_twice()


def lose(sim, lost: str) -> None:
    match lost:
        case "reconciler":
            sim.restart_manager()
        case "database":
            sim.kill_manager()
            sim.delete_database()
            sim.start_manager()
        case "device":
            sim.proplets["a"].kill()
            sim.proplets["a"].boot()
        case _:
            sim.broker.restart(keep_retained=False)


def test_a_step_runs_in_an_engine_of_the_device(tmp_path: Path) -> None:
    """It goes where that engine is and says so there; other steps run in the device's own."""
    sim = plant(tmp_path, "a")
    sim.write("command.wat", '(module (memory (export "memory") 1) (func (export "_start")))')
    engines: dict[str, str | None] = {}

    def heard(entry) -> str:
        engines[entry.ref.rpartition("-")[2]] = entry.external
        return "7"

    guests(sim, writes=heard)
    steps = workflow_yaml("read\nlook: , after: [read], inputs: [{from: read, as: Stdin}]")
    own = "name: look, module: {file: m.wat}, run: {entrypoint: run}"
    assert own in steps
    other = "name: look, module: {file: command.wat}, runtime: {external: wasmedge}"
    sim.write("flow.yaml", steps.replace(own, other))
    assert sim.run(MINUTE, until=lambda: states(sim).get("read") == "Succeeded")
    sim.run(5 * SECOND)
    told = (sim.state.status / "default" / "Task" / "report-look.yaml").read_text()
    assert 'a: has no external engine "wasmedge" (it has none)' in told
    sim.write("fleet.yaml", proplet_yaml(["a", "b"]))
    engine = ("wasi_snapshot_preview1", "external:wasmedge")
    sim.add("b", imports=engine, guests=Guests(writes=heard))
    until_ready(sim)
    assert engines == {"read": None, "look": "wasmedge"}
    assert sim.started("report-look").keys() == {"b"}


def test_others_may_depend_on_a_workflow(tmp_path: Path) -> None:
    """What depends on it begins when it has succeeded; it itself waits for what it depends on."""
    sim = plant(tmp_path)
    sim.write("flow.yaml", workflow_yaml("read", "  dependsOn: [{kind: Task, name: first}]\n"))
    sim.write("last.yaml", task_yaml("last", "  dependsOn: [{kind: Workflow, name: report}]\n"))
    sim.write("first.yaml", task_yaml("first"))
    until_ready(sim)
    assert not sim.started_twice()
    assert sum(sim.started("last").values()) == 1


def test_looking_at_everything_anew_says_the_same(tmp_path: Path) -> None:
    """In the middle of a run and after: a full plan says what the small ones said."""
    sim = plant(tmp_path)
    guests(sim, run_ms=(2_000, 2_000), traps=traps("right"))
    sim.write("flow.yaml", workflow_yaml(DIAMOND))
    for _ in range(8):
        sim.run(1_300)
        reconciler = sim.manager.reconciler
        whole = plan(reconciler.snapshot(), now=sim.now)
        assert whole.actions == ()
        assert whole.blocked == reconciler.blocked
    assert over(sim)
