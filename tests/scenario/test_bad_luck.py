"""What bad luck does to the whole product: lost databases, brokers, processes, messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from forged import retained_desired
from plants import bare, plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, proplet_yaml, task_yaml, with_args

from propeller.model.ids import Key, PropletId
from propeller.model.seen import Presence
from propeller.model.specs import Suspend
from propeller.reconcile.events import Operate, SetHold, SetProplet
from propeller.rehearse.fleet import CHANNEL, HOUR, MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests
from propeller.wire.signing import SigningKey

T = Key("Task", "default", "t")
D = Key("Daemon", "default", "d")
HOURLY = '  schedule: {cron: "0 * * * *", missed: RunLatest}\n'


def _all_starts(sim: Sim) -> dict[str, dict[tuple[str, str], int]]:
    return {one.id: dict(one.starts) for one in sim.proplets.values()}


# -- lost stores ---------------------------------------------------------------------------------


def test_database_and_broker_lost_together_with_one_device_offline(tmp_path: Path) -> None:
    """Settles with nothing lost and nothing run twice, once the missing one is back."""
    sim = plant(tmp_path, "abc")
    sim.write("t.yaml", task_yaml("t", EVERYWHERE))
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.proplets["c"].kill()
    sim.kill_manager()
    sim.delete_database()
    sim.delete_status()
    sim.broker.restart(keep_retained=False, away=5 * SECOND)
    sim.write("late.yaml", task_yaml("late"))
    sim.start_manager()
    sim.run(5 * MINUTE)
    assert sim.started("late") == {}, "c may hold work nobody remembers"
    sim.proplets["c"].boot()
    until_ready(sim)
    assert sim.started("t") == {"a": 1, "b": 1, "c": 1}
    assert sum(sim.started("late").values()) == 1
    assert sim.running() == {"Daemon/default/d": ["a", "b", "c"]}
    assert sim.manager.left_to_do() == ()


def test_a_daemon_that_was_edited_while_the_database_was_lost_is_replaced(tmp_path: Path) -> None:
    """What devices still run is recognised as old and goes when the new one comes."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.write("gone.yaml", daemon_yaml("gone", EVERYWHERE))
    until_ready(sim)
    sim.kill_manager()
    sim.delete_database()
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("new")))
    sim.remove("gone.yaml")
    sim.start_manager()
    until_ready(sim)
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    for one in sim.proplets.values():
        assert [entry.args for entry in one.running.values()] == [("new",)]


def test_the_journal_brings_back_what_only_people_know(tmp_path: Path) -> None:
    """Suspensions, cordons and labels set at run time survive a lost database."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.write("e.yaml", daemon_yaml("e", EVERYWHERE))
    until_ready(sim)
    hold = Suspend(reason="leak", by="ann")
    sim.manager.ask(lambda reply: SetHold(key=D, suspend=hold, reply=reply))
    sim.manager.ask(
        lambda reply: SetProplet(
            proplet=PropletId("b"),
            scheduling="Cordon",
            labels={"zone": "north"},
            by="ann",
            reason="repair",
            reply=reply,
        )
    )
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/e": ["a", "b"]}
    sim.kill_manager()
    sim.delete_database()
    sim.write("f.yaml", daemon_yaml("f", EVERYWHERE))
    sim.start_manager()
    sim.run(30 * SECOND)
    assert sim.running() == {"Daemon/default/e": ["a", "b"], "Daemon/default/f": ["a"]}
    assert sim.seen("b").cordoned
    assert sim.seen("b").labels["zone"] == "north"
    sim.manager.ask(lambda reply: SetHold(key=D, suspend=None, reply=reply))
    sim.run(20 * SECOND)
    assert sim.running()["Daemon/default/d"] == ["a"]


def test_a_cron_slot_is_not_run_again_after_a_lost_database(tmp_path: Path) -> None:
    """Used slots are journalled before they take effect."""
    sim = plant(tmp_path)
    sim.write("t.yaml", task_yaml("t", HOURLY))
    sim.run(2 * HOUR + 5 * MINUTE)
    done = sum(sim.started("t").values())
    assert done in (2, 3)
    sim.kill_manager()
    sim.delete_database()
    sim.broker.restart(keep_retained=False)
    sim.start_manager()
    sim.run(20 * MINUTE)
    assert sum(sim.started("t").values()) == done
    sim.run(HOUR)
    assert sum(sim.started("t").values()) == done + 1
    assert sim.started_twice() == []


def test_a_slot_missed_while_the_reconciler_was_down_is_run_once(tmp_path: Path) -> None:
    """RunLatest: of five hours one run is made up for."""
    sim = plant(tmp_path)
    sim.write("t.yaml", task_yaml("t", HOURLY))
    sim.run(HOUR + 5 * MINUTE)
    done = sum(sim.started("t").values())
    sim.kill_manager()
    sim.run(5 * HOUR)
    sim.start_manager()
    sim.run(MINUTE)
    assert sum(sim.started("t").values()) == done + 1


def test_status_files_come_back(tmp_path: Path) -> None:
    """They are a projection: whoever removes them loses nothing."""
    sim = plant(tmp_path)
    sim.write("t.yaml", task_yaml("t"))
    until_ready(sim)
    path = sim.state.status / "default" / "Task" / "t.yaml"
    before = path.read_bytes()
    sim.kill_manager()
    sim.delete_status()
    sim.start_manager()
    sim.run(20 * SECOND)
    assert path.read_bytes() == before


# -- killed processes ----------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(1, 31))
def test_the_reconciler_killed_between_any_two_turns(tmp_path: Path, turns: int) -> None:
    """A create, an edit and a delete, cut short after so many turns: all of it happens once."""
    sim = bare(tmp_path, "ab")
    for name in "ab":
        sim.add(name)
    sim.write("t.yaml", task_yaml("t", EVERYWHERE))
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.write("gone.yaml", daemon_yaml("gone", EVERYWHERE))
    sim.start_manager()

    def killed() -> bool:
        if sim.manager.turns < turns:
            return False
        sim.restart_manager(away=300)
        return True

    sim.run(20 * SECOND, until=killed)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("x")))
    sim.remove("gone.yaml")
    sim.run(20 * SECOND, until=killed)
    until_ready(sim)
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    assert sim.started("t") == {"a": 1, "b": 1}
    assert sim.manager.left_to_do() == ()


def test_devices_killed_at_every_moment_of_a_run_start_it_at_most_once(tmp_path: Path) -> None:
    """Whatever was persisted decides; a retry is another run."""
    for step, ms in enumerate(range(0, 600, 25)):
        sim = bare(tmp_path / str(step), "a", files=False)
        a = sim.add("a", guests=Guests(run_ms=(100, 100)))
        sim.write("t.yaml", task_yaml("t", "  retries: {limit: 2, backoff: {base: 1s, cap: 1s}}\n"))
        sim.start_manager()
        sim.run(SECOND + ms)
        a.kill()
        sim.run(200)
        a.boot()
        until_ready(sim)
        assert sim.started_twice() == []
        assert sum(sim.started("t").values()) <= 2


def test_no_broker_at_the_start(tmp_path: Path) -> None:
    """Everybody waits, and goes on when it is there."""
    sim = bare(tmp_path)
    sim.broker.stop()
    for name in "ab":
        sim.add(name)
    sim.write("t.yaml", task_yaml("t"))
    sim.start_manager()
    sim.run(10 * MINUTE)
    sim.broker.begin()
    until_ready(sim, 5 * MINUTE)


def test_guests_go_on_without_a_network(tmp_path: Path) -> None:
    """A device that reboots where there is no broker starts what it should hold."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    sim.broker.stop()
    a = sim.proplets["a"]
    a.kill()
    a.boot()
    sim.run(MINUTE)
    assert sim.running() == {"Daemon/default/d": ["a"]}


# -- wrong identities ----------------------------------------------------------------------------


def test_a_device_with_another_key_is_never_believed(tmp_path: Path) -> None:
    """IdentityMismatch: the enrolled key counts, not the one a hello brings."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.proplets["a"].kill()
    thief = sim.make("a", client="thief", key=SigningKey.from_seed(b"t" * 32))
    thief.boot()
    sim.run(5 * MINUTE)
    assert not thief.running
    assert sim.seen("a").inst == sim.proplets["a"].disk.inst
    assert sim.manager.reasons().count("IdentityMismatch") == 1
    assert sim.seen("a").presence is Presence.OFFLINE
    thief.kill()
    sim.proplets["a"].boot()
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


def test_the_first_key_of_an_undeclared_device_is_pinned(tmp_path: Path) -> None:
    """Nobody enrolled it: who came first is who it is."""
    sim = plant(tmp_path, "a", enrolled=False)
    sim.add("x")
    sim.run(10 * SECOND)
    first = sim.seen("x")
    sim.proplets["x"].kill()
    thief = sim.make("x", client="thief", key=SigningKey.from_seed(b"t" * 32))
    thief.boot()
    sim.run(5 * MINUTE)
    assert sim.seen("x").inst == first.inst
    assert sim.seen("x").facts == first.facts
    assert not thief.running


def test_the_key_in_the_specs_is_the_one_that_counts(tmp_path: Path) -> None:
    """Declared with a public key: only who holds it is that proplet."""
    sim = bare(tmp_path, "a", enrolled=False)
    key = SigningKey.from_seed(b"e" * 32)
    spec = proplet_yaml("a").replace("{heartbeat: 10s}", f"{{publicKey: {key.public.text!r}}}")
    sim.write("fleet.yaml", spec)
    sim.write("d.yaml", daemon_yaml("d"))
    thief = sim.add("a")
    sim.start_manager()
    sim.run(MINUTE)
    assert not thief.running
    thief.kill()
    sim.add("a", key=key)
    until_ready(sim)


# -- operations ----------------------------------------------------------------------------------


def _logs(sim: Sim) -> list[object]:
    answers = sim.manager.ask(lambda reply: Operate(verb="logs", key=D, reply=reply))
    sim.run(30 * SECOND)
    return [(answer.get("state"), answer.get("text"), answer.get("error")) for answer in answers]


def test_an_operation_is_answered(tmp_path: Path) -> None:
    """Accepted, progress, done."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    answers = _logs(sim)
    assert [state for state, _, _ in answers] == [None, "accepted", "progress", "done"]  # type: ignore[misc]  # rows


def test_an_operation_that_is_not_answered_is_unknown_and_said_so(tmp_path: Path) -> None:
    """It is never sent again over another connection."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    sim.broker.cut("a")
    answers = _logs(sim)
    assert answers[-1][0] == "Unknown"  # type: ignore[index]  # a row
    assert [row.state for row in sim.manager.store.ops() if row.verb == "logs"] == ["Unknown"]
    sim.broker.heal("a")
    sim.run(MINUTE)
    sent = [sent for sent in sim.manager.control.sent if sent.topic == CHANNEL.op("a")]
    assert len([one for one in sent if b'"logs"' in one.payload]) == 1


def test_operations_of_a_killed_reconciler_are_unknown(tmp_path: Path) -> None:
    """Nobody is left to hear their answers."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    sim.broker.cut("a")
    sim.manager.ask(lambda reply: Operate(verb="logs", key=D, reply=reply))
    sim.run(SECOND)
    manager = sim.restart_manager()
    assert [row.state for row in manager.store.ops() if row.verb == "logs"] == ["Unknown"]


def test_cancel_and_restart_do_what_they_say(tmp_path: Path) -> None:
    """A daemon comes back with one restart more; a cancelled task has failed for good."""
    sim = plant(tmp_path, "a")
    a = sim.proplets["a"]
    a.guests = Guests(run_ms=(HOUR, HOUR))
    sim.write("d.yaml", daemon_yaml("d"))
    sim.write("t.yaml", task_yaml("t"))
    sim.run(5 * SECOND)
    sim.manager.ask(lambda reply: Operate(verb="restart", key=D, reply=reply))
    sim.manager.ask(lambda reply: Operate(verb="cancel", key=T, reply=reply))
    assert sim.run(MINUTE, until=sim.settled, every=200)
    runs = {run.cause: run for run in sim.seen("a").runs.values()}
    assert (runs["daemon"].state, runs["daemon"].restarts) == ("Running", 1)
    assert (runs["once"].state, runs["once"].error) == ("Failed", "cancelled by an operator")


# -- weather -------------------------------------------------------------------------------------


def test_a_storm_of_edits_ends_with_what_the_specs_say_last(tmp_path: Path) -> None:
    """A newer revision supersedes whatever is under way."""
    sim = plant(tmp_path, "abcd", weather=STORM)
    for number in range(12):
        sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args(str(number))))
        sim.run(sim.rng.randint(50, 1_500))
    assert sim.run(5 * MINUTE, until=lambda: sim.as_wanted() == 4, every=200)
    assert {entry.args for one in sim.proplets.values() for entry in one.running.values()} == {
        ("11",)
    }


def test_a_revert_brings_the_old_run_back(tmp_path: Path) -> None:
    """The same content has the same name, and a document with a higher gen."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    (before,) = sim.proplets["a"].running
    first = retained_desired(sim, "a")
    sim.write("d.yaml", daemon_yaml("d", with_args("x")))
    until_ready(sim)
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    assert list(sim.proplets["a"].running) == [before]
    again = retained_desired(sim, "a")
    assert again.digest == first.digest
    assert (again.fence, again.gen) > (first.fence, first.gen)


def test_a_typo_changes_nothing(tmp_path: Path) -> None:
    """The last good revision stands, and no deletion is read out of a file that does not parse."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    before = sim.running()
    sim.write("d.yaml", "apiVersion: propeller.dev/v1alpha1\nkind: Daemon\nmetadata: {nam: d}\n")
    sim.run(MINUTE)
    assert sim.running() == before
    assert "d.yaml:3" in sim.manager.reconciler.specs.trouble
    assert "RevisionRefused" in sim.manager.reasons()
