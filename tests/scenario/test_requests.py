"""What people ask of a running reconciler, and what registries answer it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, task_yaml

from propeller.model.ids import Key, PropletId, uid_for
from propeller.model.module import Module, ModuleProblem
from propeller.model.specs import Suspend, Task
from propeller.reconcile.events import (
    AskStanding,
    Drop,
    Operate,
    RunOnce,
    SetHold,
    SetProplet,
)
from propeller.rehearse.fleet import MINUTE, SECOND, Sim

D = Key("Daemon", "default", "d")
NOBODY = Key("Task", "default", "nobody")


def _plant(tmp_path: Path) -> Sim:
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    return sim


def test_what_is_not_there_cannot_be_asked_for(tmp_path: Path) -> None:
    """Exit 2 and words, for every kind of request."""
    sim = _plant(tmp_path)
    answers = [
        sim.manager.ask(lambda reply: SetHold(key=NOBODY, suspend=None, reply=reply)),
        sim.manager.ask(lambda reply: Operate(verb="logs", key=NOBODY, reply=reply)),
        sim.manager.ask(lambda reply: Drop(key=D, reply=reply)),
        sim.manager.ask(
            lambda reply: SetProplet(
                proplet=PropletId("x"), scheduling="Cordon", by="a", reason="", reply=reply
            )
        ),
    ]
    sim.run(SECOND)
    for (answer,) in answers:
        assert answer["exit"] == 2
        assert "is not in the inventory" in str(answer["error"])


def test_suspend_and_resume(tmp_path: Path) -> None:
    """A suspended daemon is taken off, says why, and comes back; with an end it resumes itself."""
    sim = _plant(tmp_path)
    hold = Suspend(reason="leak", by="ann")
    sim.manager.ask(lambda reply: SetHold(key=D, suspend=hold, reply=reply))
    sim.run(20 * SECOND)
    assert sim.running() == {}
    assert "suspended by ann: leak" in (sim.state.status / "default/Daemon/d.yaml").read_text()
    sim.manager.ask(lambda reply: SetHold(key=D, suspend=None, reply=reply))
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    until = replace(hold, until=sim.now + 2 * MINUTE)
    sim.manager.ask(lambda reply: SetHold(key=D, suspend=until, reply=reply))
    sim.run(MINUTE)
    assert sim.running() == {}
    sim.run(2 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


def test_drain_takes_everything_off_a_proplet(tmp_path: Path) -> None:
    """And enabling it brings back what belongs there."""
    sim = _plant(tmp_path)

    def schedule(word: str) -> None:
        sim.manager.ask(
            lambda reply: SetProplet(
                proplet=PropletId("b"), scheduling=word, by="ann", reason="move", reply=reply
            )
        )
        sim.run(20 * SECOND)

    schedule("Drain")
    assert sim.running() == {"Daemon/default/d": ["a"]}
    schedule("Enabled")
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


def _one_off(sim: Sim) -> Task:
    """A Task as `propeller run` makes it."""
    held = next(
        held
        for held in sim.manager.reconciler.world.objects.values()
        if isinstance(held.object, Task)
    )
    task = held.object
    assert isinstance(task, Task)
    key = Key("Task", "run", "one")
    uid = uid_for(sim.channel.domain, key)
    return replace(task, meta=replace(task.meta, key=key, uid=uid, app="run"))


def test_a_one_off_run_leaves_with_who_started_it(tmp_path: Path) -> None:
    """No source holds it: no revision prunes it, and dropping it takes it off the device."""
    sim = _plant(tmp_path)
    sim.write("t.yaml", task_yaml("t"))
    until_ready(sim)
    task = _one_off(sim)
    answers = sim.manager.ask(lambda reply: RunOnce(object=task, reply=reply))
    again = sim.manager.ask(lambda reply: RunOnce(object=task, reply=reply))
    sim.run(5 * SECOND)
    assert [answer["done"] for answer in answers] == [True]
    assert [answer["exit"] for answer in again] == [2]
    assert sum(one.refs["Task/run/one"] for one in sim.proplets.values()) == 1
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert task.meta.uid in sim.manager.reconciler.world.objects
    sim.manager.ask(lambda reply: Drop(key=task.meta.key, reply=reply))
    sim.run(20 * SECOND)
    assert task.meta.uid not in sim.manager.reconciler.world.objects
    assert all(len(one.listing) <= 1 for one in sim.proplets.values())


def test_standing_is_answered_after_the_turn(tmp_path: Path) -> None:
    """Revision, exit code and lines, as `wait` and `apply` read them."""
    sim = _plant(tmp_path)
    (answer,) = _standing(sim)
    assert (answer["exit"], answer["ready"], answer["lines"]) == (0, 3, [])
    sim.write("d.yaml", "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\n")
    (answer,) = _standing(sim)
    assert answer["exit"] == 0
    assert "d.yaml" in str(answer["trouble"])


def _standing(sim: Sim) -> list[dict[str, object]]:
    answers = sim.manager.ask(lambda reply: AskStanding(reply=reply))
    sim.run(SECOND)
    return [dict(answer) for answer in answers]


# -- images --------------------------------------------------------------------------------------

IMAGE = "registry.example/m:1"


def _image_daemon(*args: str) -> str:
    quoted = ", ".join(f'"{arg}"' for arg in args)
    return daemon_yaml("i", EVERYWHERE + f"  run: {{args: [{quoted}]}}\n").replace(
        "{file: m.wat}", f"{{image: {IMAGE}}}"
    )


def _module(sim: Sim) -> Module:
    modules = sim.manager.reconciler.world.modules.values()
    return next(module for module in modules if isinstance(module, Module))


def _answer(sim: Sim, resolved: Module | ModuleProblem) -> None:
    for name in (IMAGE, f"oci://{IMAGE}"):
        sim.images[name] = resolved


def test_a_registry_that_is_down_is_asked_again(tmp_path: Path) -> None:
    """Ever less often, and said in the status; when it answers, the daemon starts."""
    sim = _plant(tmp_path)
    problem = ModuleProblem(reason="Unavailable", message="no answer", retry=True)
    _answer(sim, problem)
    sim.write("i.yaml", _image_daemon())
    sim.run(MINUTE)
    assert "Daemon/default/i" not in sim.running()
    assert any("no answer" in line for line in sim.what_is_not())
    _answer(sim, _module(sim))
    until_ready(sim, 5 * MINUTE)
    assert sim.running()["Daemon/default/i"] == ["a", "b"]


def test_a_registry_that_goes_down_takes_nothing_away(tmp_path: Path) -> None:
    """What was resolved stays resolved; an edit still goes out."""
    sim = _plant(tmp_path)
    _answer(sim, _module(sim))
    sim.write("i.yaml", _image_daemon())
    until_ready(sim)
    _answer(sim, ModuleProblem(reason="Unavailable", message="no answer", retry=True))
    sim.write("i.yaml", _image_daemon("new"))
    until_ready(sim)
    args = {
        entry.args
        for one in sim.proplets.values()
        for entry in one.running.values()
        if entry.ref == "Daemon/default/i"
    }
    assert args == {("new",)}
