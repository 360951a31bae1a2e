"""The lettered rules of the protocol page, a to d, each on the whole product."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forged import report_of, retained_desired, sealed, with_tasks
from plants import bare, plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, proplet_yaml, task_yaml, with_args

from propeller.model.seen import Presence
from propeller.reconcile import housekeeping
from propeller.rehearse.fleet import CHANNEL, MINUTE, SECOND, Sim
from propeller.rehearse.guests import Guests
from propeller.state.layout import StateDir

NEVER_ENDS = Guests(run_ms=(60 * MINUTE, 60 * MINUTE))


# -- (a) identity --------------------------------------------------------------------------------


def test_a_another_instance_is_adopted_only_from_a_hello(tmp_path: Path) -> None:
    """A report that names another storage changes nothing and is counted."""
    sim = plant(tmp_path)
    before = sim.seen("a")
    sim.say(CHANNEL.report("a"), report_of(sim, "a", inst="f" * 32))
    sim.run(SECOND)
    assert sim.seen("a").inst == before.inst
    assert sim.manager.reconciler.fleet.hearing.dropped["foreign_inst"] >= 1


def test_a_open_runs_of_a_wiped_device_are_lost_and_retried_by_policy(tmp_path: Path) -> None:
    """The run that was under way is Lost; the retry is another run, and none is replayed."""
    sim = plant(tmp_path, "a")
    a = sim.proplets["a"]
    a.guests = NEVER_ENDS
    sim.write("t.yaml", task_yaml("t", "  retries: {limit: 1, backoff: {base: 1s, cap: 1s}}\n"))
    sim.run(3 * SECOND)
    assert sim.started("t") == {"a": 1}
    a.kill()
    a.wipe()
    a.guests = Guests()
    a.boot()
    until_ready(sim)
    assert "Lost" in sim.manager.reasons()
    assert sim.started("t") == {"a": 2}
    assert sim.started_twice() == []


def test_a_without_retries_a_lost_run_has_failed(tmp_path: Path) -> None:
    """Nothing is started again that the spec does not allow to be."""
    sim = plant(tmp_path, "a")
    a = sim.proplets["a"]
    a.guests = NEVER_ENDS
    sim.write("t.yaml", task_yaml("t", "  retries: {limit: 0}\n"))
    sim.run(3 * SECOND)
    a.kill()
    a.wipe()
    a.boot()
    assert sim.run(MINUTE, until=sim.settled, every=200)
    assert not sim.ready()
    assert sim.started("t") == {"a": 1}


def test_a_finished_runs_are_not_rerun_on_a_wiped_device(tmp_path: Path) -> None:
    """What was done stays done, also over a restart of the reconciler; daemons start again."""
    sim = plant(tmp_path, "a")
    sim.write("t.yaml", task_yaml("t"))
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    a = sim.proplets["a"]
    a.kill()
    a.wipe()
    a.boot()
    until_ready(sim)
    sim.restart_manager()
    until_ready(sim)
    sim.run(2 * MINUTE)
    assert sim.started("t") == {"a": 1}
    assert sim.running() == {"Daemon/default/d": ["a"]}


def test_a_two_devices_with_one_name_get_no_work_until_one_is_left(tmp_path: Path) -> None:
    """DuplicateIdentity, and back to normal without anybody's help."""
    sim = plant(tmp_path, "ab")
    twin = sim.make("a", client="a-twin")
    twin.boot()
    assert sim.run(10 * MINUTE, until=lambda: sim.seen("a").quarantine == "DuplicateIdentity")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.run(5 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["b"]}
    assert not twin.running
    twin.kill()
    assert sim.run(60 * MINUTE, until=lambda: not sim.seen("a").quarantine)
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}


# -- (b) documents -------------------------------------------------------------------------------


def test_b_the_same_number_with_another_content_is_refused_and_put_right(tmp_path: Path) -> None:
    """The device keeps what it holds and says so; the broker's slot is ours again."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    ours = retained_desired(sim, "a")
    sim.say(CHANNEL.desired("a"), sealed(with_tasks(ours), sim.manager_key), retain=True)
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a"]}
    assert "Refused" in sim.manager.reasons()
    assert retained_desired(sim, "a").digest == ours.digest
    assert sim.proplets["a"].agent.counts["other_digest"] == 1


def test_b_an_older_pair_is_refused_and_put_right(tmp_path: Path) -> None:
    """An old document that a broker brought back takes nothing away."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    ours = retained_desired(sim, "a")
    old = with_tasks(ours, fence=ours.fence - 1, gen=7)
    sim.say(CHANNEL.desired("a"), sealed(old, sim.manager_key), retain=True)
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["a"]}
    assert sim.proplets["a"].agent.counts["stale"] == 1
    assert retained_desired(sim, "a") == ours


def test_b_what_a_device_accepted_beyond_ours_is_outnumbered(tmp_path: Path) -> None:
    """A later document of our own fence that this store does not know: a gen above it is issued."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    ours = retained_desired(sim, "a")
    later = with_tasks(ours, gen=ours.gen + 5)
    sim.say(CHANNEL.desired("a"), sealed(later, sim.manager_key), retain=True)
    sim.run(20 * SECOND)
    now = retained_desired(sim, "a")
    assert (now.fence, now.gen) == (ours.fence, ours.gen + 6)
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a"]}


# -- (c) fences ----------------------------------------------------------------------------------


def test_c_a_restart_takes_a_higher_fence_and_republishes_nothing(tmp_path: Path) -> None:
    """A document keeps its fence until its content changes."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    first = sim.manager.reconciler.fence
    starts = {one.id: sum(one.starts.values()) for one in sim.proplets.values()}
    for _ in range(3):
        manager = sim.restart_manager()
        assert manager.reconciler.fence > first
        until_ready(sim)
        sim.run(2 * MINUTE)
        assert manager.documents() == []
    assert {one.id: sum(one.starts.values()) for one in sim.proplets.values()} == starts
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("x")))
    until_ready(sim)
    assert retained_desired(sim, "a").fence == sim.manager.reconciler.fence


def test_c_of_two_managers_the_older_one_stops_writing(tmp_path: Path) -> None:
    """It reads what the device holds, sees its fleet's key on a higher fence, and never outbids."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    older = sim.manager
    other = StateDir(tmp_path / "other")
    shutil.copytree(sim.state.path, other.path)
    newer = sim.start_manager(state=other, client="manager-2")
    until_ready(sim)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("x")))
    sim.run(30 * SECOND)
    assert older.reconciler.fleet.fenced_out
    assert "FencedOut" in older.reasons()
    assert not newer.reconciler.fleet.fenced_out
    said = len(older.documents())
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("y")))
    until_ready(sim)
    sim.run(2 * MINUTE)
    assert len(older.documents()) == said
    assert retained_desired(sim, "a").fence == newer.reconciler.fence
    assert [entry.args for entry in sim.proplets["a"].running.values()] == [("y",)]


def test_c_a_fence_that_no_key_of_ours_signed_quarantines_the_device(tmp_path: Path) -> None:
    """The device gets no work; the manager goes on with the others."""
    sim = plant(tmp_path)
    sim.say(CHANNEL.report("a"), report_of(sim, "a", fence=2**53 - 2))
    sim.run(20 * SECOND)
    assert sim.seen("a").quarantine == "ForeignFence"
    assert not sim.manager.reconciler.fleet.fenced_out
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.run(20 * SECOND)
    assert sim.running() == {"Daemon/default/d": ["b"]}


# -- (d) removal ---------------------------------------------------------------------------------


def test_d_an_empty_slot_takes_nothing_away(tmp_path: Path) -> None:
    """A device ignores a zero-length document, also right after a reboot."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    sim.kill_manager()
    sim.say(CHANNEL.desired("a"), b"", retain=True)
    a = sim.proplets["a"]
    a.kill()
    a.boot()
    sim.run(MINUTE)
    assert sim.running() == {"Daemon/default/d": ["a"]}


def test_d_removal_is_a_signed_empty_list(tmp_path: Path) -> None:
    """The last object of a device goes by a document that lists nothing, and stays retained."""
    sim = plant(tmp_path, "a")
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert sim.running() == {}
    assert retained_desired(sim, "a").tasks == ()
    assert all(sent.payload for sent in sim.manager.documents())


def test_d_the_slot_of_a_device_that_left_is_freed_once_it_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An undeclared proplet that is silent for long (a week) is forgotten, with its document."""
    monkeypatch.setattr(housekeeping, "FORGET_AFTER", 30 * MINUTE)
    sim = plant(tmp_path, "a")
    sim.add("x")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "x"]}
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert retained_desired(sim, "x").tasks == ()
    sim.proplets["x"].kill()
    sim.proplets["a"].kill()
    sim.run(20 * MINUTE)
    assert CHANNEL.desired("x") in sim.broker.retained
    sim.run(20 * MINUTE)
    assert CHANNEL.desired("x") not in sim.broker.retained
    assert CHANNEL.desired("a") in sim.broker.retained


def test_d_nothing_is_published_before_a_revision_was_accepted(tmp_path: Path) -> None:
    """A spec that is wrong at the very first start leaves the fleet alone."""
    sim = bare(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", "  replcias: 1\n"))
    for name in "ab":
        sim.add(name)
    manager = sim.start_manager()
    sim.run(MINUTE)
    assert manager.documents() == []
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)


def test_d_nothing_is_published_before_the_fleet_was_heard(tmp_path: Path) -> None:
    """While no marker comes back nothing is known, so nothing is asked."""
    sim = bare(tmp_path)
    sim.write("d.yaml", daemon_yaml("d"))
    for name in "ab":
        sim.add(name)
    sim.broker.loss = 1.0
    manager = sim.start_manager()
    sim.run(MINUTE)
    assert manager.documents() == []
    assert not manager.reconciler.fleet.heard
    sim.broker.loss = 0.0
    until_ready(sim)


def test_d_a_proplet_that_leaves_the_specs_is_told_to_hold_nothing(tmp_path: Path) -> None:
    """Where undeclared proplets get no work, leaving the specs takes the work away."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.write("fleet.yaml", proplet_yaml("a"))
    sim.run(20 * SECOND)
    assert sim.seen("b").presence is Presence.ONLINE
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}, "the default App allows discovery"
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert sim.running() == {}
    assert Sim.started_twice(sim) == []
