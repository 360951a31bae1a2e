"""Several Apps with sources of their own, on the whole product."""

from __future__ import annotations

from pathlib import Path

from app_sources import app, app_yaml, conditions, save
from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, with_args

from propeller.model.conditions import moment
from propeller.model.ids import Key
from propeller.model.specs import Suspend
from propeller.reconcile.events import Confirm, SetHold
from propeller.reconcile.standing import of_reconciler
from propeller.rehearse.fleet import MINUTE, SECOND, Sim


def drop(sim: Sim, folder: Path, name: str) -> None:
    """Somebody removes a file there."""
    (folder / name).unlink()
    sim.manager.read_apps()


def two_apps(tmp_path: Path, spec: str = "") -> tuple[Sim, Path, Path]:
    """`red` and `blue`, one Daemon each, of their own name, all running."""
    sim = plant(tmp_path)
    red, blue = tmp_path / "red", tmp_path / "blue"
    save(sim, red, "d.yaml", daemon_yaml("red", EVERYWHERE))
    save(sim, blue, "d.yaml", daemon_yaml("blue", EVERYWHERE))
    sim.write("apps.yaml", app_yaml("red", red, spec) + app_yaml("blue", blue, spec))
    until_ready(sim)
    return sim, red, blue


def daemon(name: str) -> Key:
    return Key("Daemon", "default", name)


def starts(sim: Sim) -> dict[str, dict[tuple[str, str], int]]:
    return {one.id: dict(one.starts) for one in sim.proplets.values()}


def test_apps_have_sources_of_their_own(tmp_path: Path) -> None:
    """Each is read by itself, and its objects are its own."""
    sim, _, _ = two_apps(tmp_path)
    assert sim.running() == {
        "Daemon/default/blue": ["a", "b"],
        "Daemon/default/red": ["a", "b"],
    }
    held = sim.manager.reconciler.world.find(daemon("red"))
    assert held is not None
    assert held.object.meta.app == "red"
    assert conditions(sim, app("red"))["Ready"][0] == "True"


def test_bad_specs_of_one_app_stop_no_other(tmp_path: Path) -> None:
    """The App says what is wrong; its last good revision stands; others and the tree go on."""
    sim, red, blue = two_apps(tmp_path)
    save(sim, red, "d.yaml", daemon_yaml("red", "  replcias: 2\n"))
    save(sim, blue, "d.yaml", daemon_yaml("blue", EVERYWHERE + with_args("2")))
    sim.write("own.yaml", daemon_yaml("own", EVERYWHERE))
    sim.run(30 * SECOND)
    ready = conditions(sim, app("red"))["Ready"]
    assert ready[:2] == ("False", "RevisionRefused")
    assert "d.yaml:7: spec.replcias" in ready[2]
    assert sim.manager.reconciler.specs.trouble == ""
    assert set(sim.running()) == {f"Daemon/default/{name}" for name in ("red", "blue", "own")}
    assert conditions(sim, daemon("blue"))["Ready"][0] == "True"
    save(sim, red, "d.yaml", daemon_yaml("red", EVERYWHERE))
    until_ready(sim)


def test_a_source_that_is_gone_takes_nothing_away(tmp_path: Path) -> None:
    """Silence of a source is no wish."""
    sim, red, _ = two_apps(tmp_path)
    red.rename(tmp_path / "elsewhere")
    sim.manager.read_apps()
    sim.run(30 * SECOND)
    assert conditions(sim, app("red"))["Ready"][:2] == ("Unknown", "SourceUnavailable")
    assert "Daemon/default/red" in sim.running()
    (tmp_path / "elsewhere").rename(red)
    sim.manager.read_apps()
    until_ready(sim)


def test_what_two_apps_declare_belongs_to_the_first(tmp_path: Path) -> None:
    """The second is refused whole, with both places named."""
    sim, _, blue = two_apps(tmp_path)
    before = starts(sim)
    save(sim, blue, "more.yaml", daemon_yaml("red", EVERYWHERE + with_args("mine")))
    save(sim, blue, "other.yaml", daemon_yaml("other", EVERYWHERE))
    sim.run(30 * SECOND)
    message = conditions(sim, app("blue"))["Ready"][2]
    assert message.startswith("more.yaml:2: metadata.name: Daemon/default/red belongs to App red")
    assert "which has it in d.yaml:2" in message
    assert starts(sim) == before


def test_what_moves_between_apps_is_handed_over(tmp_path: Path) -> None:
    """Declared by the second first, dropped by the first then: no device notices."""
    sim, red, blue = two_apps(tmp_path)
    save(sim, red, "stays.yaml", daemon_yaml("stays", EVERYWHERE))
    until_ready(sim)
    before = starts(sim)
    save(sim, blue, "moved.yaml", daemon_yaml("red", EVERYWHERE))
    sim.run(10 * SECOND)
    drop(sim, red, "d.yaml")
    until_ready(sim)
    assert starts(sim) == before
    held = sim.manager.reconciler.world.find(daemon("red"))
    assert held is not None
    assert (held.object.meta.app, held.generation) == ("blue", 1)


def test_an_app_that_goes_is_not_emptied_unasked(tmp_path: Path) -> None:
    """Its objects and the App itself stay until somebody says yes."""
    sim, _, blue = two_apps(tmp_path)
    sim.write("apps.yaml", app_yaml("blue", blue))
    sim.run(30 * SECOND)
    assert "Daemon/default/red" in sim.running()
    standing = of_reconciler(sim.manager.reconciler)
    assert standing.exit_code == 5
    digest = sim.manager.reconciler.specs.approvals.pauses["red"].digest
    sim.manager.ask(lambda reply: Confirm(what=digest, by="ana", reply=reply))
    sim.run(30 * SECOND)
    assert set(sim.running()) == {"Daemon/default/blue"}
    assert sim.manager.reconciler.world.find(app("red")) is None
    assert of_reconciler(sim.manager.reconciler).exit_code == 0


def test_the_guards_of_an_app_hold_for_its_own_source(tmp_path: Path) -> None:
    """They stand in the tree, and count for what the App's source says."""
    sim, red, _ = two_apps(tmp_path, "  guards: {maxDelete: 0%}\n")
    save(sim, red, "more.yaml", daemon_yaml("more", EVERYWHERE))
    until_ready(sim)
    drop(sim, red, "more.yaml")
    sim.run(30 * SECOND)
    assert "Daemon/default/more" in sim.running()
    assert conditions(sim, app("red"))["Blocked"][1] == "GuardTripped"
    sim.restart_manager()
    sim.run(10 * SECOND)
    digest = sim.manager.reconciler.specs.approvals.pauses["red"].digest
    sim.manager.ask(lambda reply: Confirm(what=digest, by="ana", reply=reply))
    sim.run(30 * SECOND)
    assert set(sim.running()) == {"Daemon/default/red", "Daemon/default/blue"}


def test_an_app_that_may_be_emptied_goes_with_its_objects(tmp_path: Path) -> None:
    """Where its guards say so."""
    sim, _, blue = two_apps(tmp_path, "  guards: {neverEmpty: Disabled}\n")
    sim.write("apps.yaml", app_yaml("blue", blue))
    sim.run(30 * SECOND)
    assert set(sim.running()) == {"Daemon/default/blue"}


def test_an_app_of_apps_is_followed(tmp_path: Path) -> None:
    """An App's source may declare Apps with sources of their own."""
    sim = plant(tmp_path)
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    save(sim, inner, "d.yaml", daemon_yaml("deep", EVERYWHERE))
    save(sim, outer, "app.yaml", app_yaml("inner", inner))
    sim.write("apps.yaml", app_yaml("outer", outer))
    until_ready(sim)
    assert sim.running() == {"Daemon/default/deep": ["a", "b"]}


def test_apps_that_contain_each_other_are_refused(tmp_path: Path) -> None:
    """With the way that comes back to where it began."""
    sim = plant(tmp_path)
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    save(sim, inner, "app.yaml", app_yaml("again", outer))
    save(sim, outer, "app.yaml", app_yaml("inner", inner))
    sim.write("apps.yaml", app_yaml("outer", outer))
    sim.run(30 * SECOND)
    message = conditions(sim, app("inner"))["Ready"][2]
    assert "outer -> inner -> again have one source" in message
    assert sim.manager.reconciler.world.find(app("again")) is None


def test_an_app_deeper_than_eight_is_refused(tmp_path: Path) -> None:
    """Nesting is bounded over all sources."""
    sim = plant(tmp_path)
    for number in range(1, 12):
        save(
            sim,
            tmp_path / f"n{number}",
            "app.yaml",
            app_yaml(f"n{number + 1}", tmp_path / f"n{number + 1}"),
        )
    (tmp_path / "n12").mkdir()
    sim.write("apps.yaml", app_yaml("n1", tmp_path / "n1"))
    sim.run(MINUTE)
    assert "nested 8 deep" in conditions(sim, app("n8"))["Ready"][2]
    assert sim.manager.reconciler.world.find(app("n9")) is None


def test_an_unrelated_change_of_a_source_is_no_work(tmp_path: Path) -> None:
    """Another revision that wants the same: no event, no plan, nothing published."""
    sim, red, _ = two_apps(tmp_path)
    manager = sim.manager
    sim.run(10 * SECOND)
    plans, events = manager.reconciler.plans, len(manager.reasons())
    sent = len(manager.documents())
    name = manager.reconciler.specs.sources.of("red").name
    save(sim, red, "README.yaml", "# nothing of ours\n")
    sim.run(5 * SECOND)
    assert manager.reconciler.specs.sources.of("red").name != name
    assert manager.reconciler.plans == plans
    assert len(manager.reasons()) == events
    assert len(manager.documents()) == sent


def test_a_suspended_app_takes_no_changes(tmp_path: Path) -> None:
    """What runs goes on; when the time is over the changes are taken by themselves."""
    sim, red, blue = two_apps(tmp_path)
    until = moment(sim.now + 5 * MINUTE)
    stop = f'  suspend: {{reason: audit, by: ana, until: "{until}"}}\n'
    sim.write("apps.yaml", app_yaml("red", red, stop) + app_yaml("blue", blue))
    before = starts(sim)
    save(sim, red, "d.yaml", daemon_yaml("red", EVERYWHERE + with_args("new")))
    save(sim, red, "new.yaml", daemon_yaml("new", EVERYWHERE))
    sim.run(2 * MINUTE)
    assert starts(sim) == before
    assert conditions(sim, app("red"))["Ready"][:2] == ("False", "Suspended")
    sim.run(5 * MINUTE)
    until_ready(sim)
    assert "Daemon/default/new" in sim.running()
    assert starts(sim) != before


def test_an_app_is_held_and_let_go_at_run_time(tmp_path: Path) -> None:
    """`suspend` and `resume` on an App, without a commit."""
    sim, red, _ = two_apps(tmp_path)
    stop = Suspend(reason="audit", by="ana")
    sim.manager.ask(lambda reply: SetHold(key=app("red"), suspend=stop, reply=reply))
    sim.run(SECOND)
    save(sim, red, "new.yaml", daemon_yaml("new", EVERYWHERE))
    sim.run(30 * SECOND)
    assert "Daemon/default/new" not in sim.running()
    sim.manager.ask(lambda reply: SetHold(key=app("red"), suspend=None, reply=reply))
    until_ready(sim)
    assert "Daemon/default/new" in sim.running()


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    """What was accepted of each source is a row."""
    sim, _, _ = two_apps(tmp_path)
    before = starts(sim)
    sim.restart_manager(away=5 * SECOND)
    until_ready(sim)
    assert starts(sim) == before
    assert sim.manager.left_to_do() == ()


def test_after_a_lost_store_nothing_is_done_before_every_app_was_read(tmp_path: Path) -> None:
    """A source that is away for a while must not cost its App the fleet."""
    sim, red, _ = two_apps(tmp_path)
    before = starts(sim)
    sim.kill_manager()
    sim.delete_database()
    red.rename(tmp_path / "away")
    sim.start_manager()
    sim.run(2 * MINUTE)
    assert "Daemon/default/red" in sim.running()
    assert not sim.manager.reconciler.ready_to_plan
    (tmp_path / "away").rename(red)
    sim.manager.read_apps()
    until_ready(sim)
    assert starts(sim) == before


def test_apps_with_sources_of_their_own_may_depend_on_each_other(tmp_path: Path) -> None:
    """And a circle over two sources is refused for the second."""
    sim, red, blue = two_apps(tmp_path)
    on = "  dependsOn: [{{kind: Daemon, name: {0}}}]\n"
    save(sim, blue, "d.yaml", daemon_yaml("blue", EVERYWHERE + on.format("red")))
    until_ready(sim)
    save(sim, red, "d.yaml", daemon_yaml("red", EVERYWHERE + on.format("blue")))
    sim.run(10 * SECOND)
    message = conditions(sim, app("red"))["Ready"][2]
    assert "goes in a circle: " in message
    assert message.count("Daemon/default/red") == 2 or message.count("Daemon/default/blue") == 2
