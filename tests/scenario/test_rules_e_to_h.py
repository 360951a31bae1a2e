"""The lettered rules of the protocol page, e to h, each on the whole product."""

from __future__ import annotations

from pathlib import Path

from plants import bare, plant, until_ready
from specs_text import EVERYWHERE, WAT, daemon_yaml, proplet_yaml, task_yaml, with_args

from propeller.model.seen import Presence
from propeller.reconcile.events import Confirm
from propeller.rehearse.fleet import CHANNEL, HOUR, MINUTE, SECOND, STORM, Sim
from propeller.rehearse.guests import Guests

SOON = "  placement: {replicas: 1, tolerations: {offline: 1m}}\n"


def _runs(sim: Sim) -> set[tuple[str, str, str]]:
    return {
        (uid, proplet, copy.run)
        for uid, copies in sim.manager.reconciler.world.assignments.items()
        for proplet, copy in copies.items()
    }


def _presence(sim: Sim) -> dict[str, Presence]:
    return {name: sim.seen(name).presence for name in sim.proplets}


# -- (e) runs ------------------------------------------------------------------------------------


def test_e_a_lost_store_names_the_same_runs_again(tmp_path: Path) -> None:
    """What is finished stays finished, what runs goes on: nothing is started, nothing asked."""
    sim = plant(tmp_path)
    sim.write("t.yaml", task_yaml("t"))
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    runs = _runs(sim)
    starts = {one.id: dict(one.starts) for one in sim.proplets.values()}
    sim.kill_manager()
    sim.delete_database()
    manager = sim.start_manager()
    until_ready(sim)
    sim.run(2 * MINUTE)
    assert _runs(sim) == runs
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts
    assert manager.documents() == []
    text = (sim.state.status / "default" / "Task" / "t.yaml").read_text()
    assert "result: ran on" in text


def test_e_the_inventory_of_the_devices_is_enough(tmp_path: Path) -> None:
    """Store and broker lost together: reports alone tell which runs these were."""
    sim = plant(tmp_path)
    sim.write("t.yaml", task_yaml("t"))
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    runs = _runs(sim)
    starts = {one.id: dict(one.starts) for one in sim.proplets.values()}
    sim.kill_manager()
    sim.delete_database()
    sim.broker.restart(keep_retained=False)
    sim.start_manager()
    until_ready(sim)
    assert _runs(sim) == runs
    assert {one.id: dict(one.starts) for one in sim.proplets.values()} == starts


def test_e_a_finished_run_stays_listed_until_its_spec_goes(tmp_path: Path) -> None:
    """The device forgets it only when the document no longer lists it."""
    sim = plant(tmp_path, "a")
    sim.write("t.yaml", task_yaml("t"))
    until_ready(sim)
    a = sim.proplets["a"]
    sim.run(10 * MINUTE)
    assert len(a.listing) == 1
    a.kill()
    a.boot()
    sim.run(MINUTE)
    assert len(a.listing) == 1
    assert sim.started("t") == {"a": 1}
    sim.remove("t.yaml")
    sim.run(MINUTE)
    assert a.listing == set()


def test_e_a_run_that_a_crash_cut_short_is_interrupted_and_the_policy_decides(
    tmp_path: Path,
) -> None:
    """At most once: the same run never starts again, its retry has another name."""
    sim = plant(tmp_path, "a")
    a = sim.proplets["a"]
    a.guests = Guests(run_ms=(HOUR, HOUR))
    sim.write("t.yaml", task_yaml("t", "  retries: {limit: 1, backoff: {base: 1s, cap: 1s}}\n"))
    sim.run(3 * SECOND)
    a.kill()
    a.guests = Guests()
    a.boot()
    until_ready(sim)
    assert sim.started("t") == {"a": 2}
    assert sim.started_twice() == []


# -- (f) an empty store --------------------------------------------------------------------------


def _lost_with_one_offline(tmp_path: Path) -> Sim:
    sim = plant(tmp_path, "abc")
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.proplets["c"].kill()
    sim.run(2 * MINUTE)
    sim.kill_manager()
    sim.delete_database()
    for topic in list(sim.broker.retained):
        if "/proplet/c/" in topic:
            del sim.broker.retained[topic]
    sim.write("t.yaml", task_yaml("t"))
    sim.start_manager()
    sim.run(10 * MINUTE)
    assert sim.started("t") == {}
    assert "waiting for c" in sim.manager.reconciler.fleet.hold
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    return sim


def test_f_after_an_empty_store_nothing_starts_until_every_declared_proplet_spoke(
    tmp_path: Path,
) -> None:
    """The one that was away comes back: everything goes on by itself."""
    sim = _lost_with_one_offline(tmp_path)
    sim.proplets["c"].boot()
    until_ready(sim)
    assert sum(sim.started("t").values()) == 1
    assert "Recovered" in sim.manager.reasons()


def test_f_the_hold_survives_a_restart(tmp_path: Path) -> None:
    """An operator who restarts the reconciler has not confirmed anything by it."""
    sim = _lost_with_one_offline(tmp_path)
    sim.restart_manager()
    sim.run(5 * MINUTE)
    assert sim.started("t") == {}
    assert sim.manager.reconciler.fleet.hold


def test_f_confirm_goes_on_without_the_missing(tmp_path: Path) -> None:
    """An operator knows better."""
    sim = _lost_with_one_offline(tmp_path)
    answers = sim.manager.ask(lambda reply: Confirm(what="fleet", by="ann", reply=reply))
    sim.run(5 * SECOND)
    assert [answer["done"] for answer in answers] == [True]
    assert sum(sim.started("t").values()) == 1


def test_f_a_first_start_waits_for_nobody(tmp_path: Path) -> None:
    """New keys, new store: there can be no fleet out there that holds work of ours (ruling 2)."""
    sim = bare(tmp_path, "ab")
    sim.write("t.yaml", task_yaml("t"))
    sim.add("a")
    sim.start_manager()
    sim.run(5 * SECOND)
    assert sim.started("t") == {"a": 1}


# -- (g) silent devices --------------------------------------------------------------------------


def test_g_a_daemon_of_a_silent_device_gets_a_substitute_and_one_copy_is_left(
    tmp_path: Path,
) -> None:
    """At least one while it is silent; when it is back, one of the two is taken off."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", SOON))
    until_ready(sim)
    ((home,),) = sim.running().values()
    sim.broker.cut(home)
    sim.run(10 * MINUTE)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}, "nobody can stop the silent one"
    sim.broker.heal(home)
    sim.run(2 * MINUTE)
    (left,) = sim.running().values()
    assert len(left) == 1
    until_ready(sim)


def test_g_silence_within_the_tolerance_moves_nothing(tmp_path: Path) -> None:
    """A reboot of a minute is the network, not a failure."""
    sim = plant(tmp_path)
    spec = "  placement: {replicas: 1, tolerations: {offline: 10m}}\n"
    sim.write("d.yaml", daemon_yaml("d", spec))
    until_ready(sim)
    before = sim.running()
    ((home,),) = before.values()
    sim.proplets[home].kill()
    sim.run(5 * MINUTE)
    sim.proplets[home].boot()
    sim.run(2 * MINUTE)
    assert sim.running() == before


def test_g_a_task_moves_only_where_its_spec_says_that_a_rerun_is_safe(tmp_path: Path) -> None:
    """`onOffline: Keep` is what a Task gets that says nothing."""
    sim = plant(tmp_path)
    for one in sim.proplets.values():
        one.guests = Guests(run_ms=(HOUR, HOUR))
    sim.write("keeps.yaml", task_yaml("keeps", SOON))
    safe = "  placement: {replicas: 1, tolerations: {offline: 1m}, onOffline: Reschedule}\n"
    sim.write("moves.yaml", task_yaml("moves", safe))
    sim.run(5 * SECOND)
    (kept_at,), (moves_from,) = sim.started("keeps"), sim.started("moves")
    for home in {kept_at, moves_from}:
        sim.broker.cut(home)
    if kept_at != moves_from:
        sim.add("c")
    sim.run(10 * MINUTE)
    assert sim.started("keeps") == {kept_at: 1}
    assert len(sim.started("moves")) == 2
    assert sim.started_twice() == []


# -- (h) whose silence ---------------------------------------------------------------------------


def test_h_an_hour_without_a_broker_makes_nobody_offline(tmp_path: Path) -> None:
    """Silence counts only while our own echo works, and from then on anew."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", SOON))
    until_ready(sim)
    before = sim.running()
    sim.broker.restart(away=HOUR)
    sim.run(HOUR - MINUTE)
    assert set(_presence(sim).values()) == {Presence.ONLINE}
    sim.run(5 * MINUTE)
    assert set(_presence(sim).values()) == {Presence.ONLINE}
    assert sim.running() == before
    assert "Silent" not in sim.manager.reasons()


def test_h_our_own_broken_path_makes_nobody_offline(tmp_path: Path) -> None:
    """Only the reconciler is cut off: it hears nobody, itself included."""
    sim = plant(tmp_path)
    until_ready(sim)
    sim.broker.cut("manager")
    sim.run(HOUR)
    assert set(_presence(sim).values()) == {Presence.ONLINE}
    sim.broker.heal("manager")
    sim.run(2 * MINUTE)
    assert set(_presence(sim).values()) == {Presence.ONLINE}


def test_h_one_silent_device_is_offline_after_three_heartbeats(tmp_path: Path) -> None:
    """Offline, never failed."""
    sim = plant(tmp_path)
    until_ready(sim)
    sim.broker.cut("a")
    assert sim.run(MINUTE, until=lambda: sim.seen("a").presence is Presence.OFFLINE)
    assert sim.seen("b").presence is Presence.ONLINE
    sim.broker.heal("a")
    assert sim.run(2 * MINUTE, until=lambda: sim.seen("a").presence is Presence.ONLINE)


def test_h_a_will_is_debounced_over_a_restart_of_the_reconciler(tmp_path: Path) -> None:
    """A device that is back within half a minute was never away; the wait is a stored row."""
    sim = plant(tmp_path)
    until_ready(sim)
    sim.proplets["a"].kill()
    sim.run(5 * SECOND)
    assert sim.seen("a").presence is Presence.ONLINE
    assert sim.seen("a").will_at is not None
    sim.restart_manager()
    sim.run(5 * SECOND)
    assert sim.seen("a").presence is Presence.ONLINE
    sim.proplets["a"].boot()
    sim.run(2 * MINUTE)
    assert "Silent" not in sim.manager.reasons()
    sim.proplets["a"].kill()
    sim.run(2 * SECOND)
    sim.restart_manager()
    assert sim.run(MINUTE, until=lambda: sim.seen("a").presence is Presence.OFFLINE)


def test_h_an_offline_of_an_older_connection_is_ignored(tmp_path: Path) -> None:
    """The will of the connection before comes late: nobody is offline for it."""
    sim = plant(tmp_path)
    until_ready(sim)
    late = sim.broker.sessions["a"].will
    assert late is not None
    sim.broker.restart()
    sim.run(20 * SECOND)
    assert sim.seen("a").conn >= 2
    sim.say(CHANNEL.status("a"), late.payload, retain=True)
    sim.run(5 * SECOND)
    assert sim.seen("a").will_at is None
    assert sim.manager.reconciler.fleet.hearing.dropped["stale"] >= 1


def test_h_many_that_fall_silent_together_move_nothing_until_someone_confirms(
    tmp_path: Path,
) -> None:
    """FleetSilent: a site without power is no reason to start everything elsewhere."""
    sim = plant(tmp_path, "abcdefgh")
    sim.write("d.yaml", daemon_yaml("d", SOON))
    until_ready(sim)
    ((home,),) = sim.running().values()
    lost = {home, *[name for name in "abcd" if name != home][:2]}
    for name in lost:
        sim.broker.cut(name)
    sim.run(10 * MINUTE)
    assert sim.manager.reconciler.fleet.silence.whole
    assert sim.running() == {"Daemon/default/d": [home]}
    sim.manager.ask(lambda reply: Confirm(what="fleet", by="ann", reply=reply))
    sim.run(MINUTE)
    assert len(sim.running()["Daemon/default/d"]) == 2


def test_h_a_site_that_falls_silent_as_one_moves_nothing_until_it_is_back(tmp_path: Path) -> None:
    """SiteSilent: three of twenty are not the fleet's silence, but they are all of their site."""
    names = [f"p{number:02}" for number in range(20)]
    sim = Sim(tmp_path, seed=3)
    sim.write("m.wat", WAT)
    text = proplet_yaml(names[:3], site="north") + proplet_yaml(names[3:], site="south")
    sim.write("fleet.yaml", text)
    for name in names:
        sim.add(name)
    sim.start_manager()
    north = SOON.replace("replicas: 1", "replicas: 3").replace(
        "placement: {", "placement: {spread: site, "
    )
    sim.write("d.yaml", daemon_yaml("d", north))
    until_ready(sim)
    before = sim.running()["Daemon/default/d"]
    for name in names[:3]:
        sim.broker.cut(name)
    sim.run(10 * MINUTE)
    fleet = sim.manager.reconciler.fleet
    assert not fleet.silence.whole
    assert set(fleet.silence.sites) == set(names[:3])
    assert sim.running()["Daemon/default/d"] == before
    said = [event for event in sim.manager.store.events() if event.reason == "SiteSilent"]
    assert [one.message.partition(":")[0] for one in said] == [
        "3 of 3 proplets with site=north fell silent together"
    ]
    for name in names[:3]:
        sim.broker.heal(name)
    sim.run(5 * MINUTE)
    assert fleet.silence.sites == {}
    assert sim.running()["Daemon/default/d"] == before


def test_h_silence_of_many_one_after_the_other_is_no_fleet_silence(tmp_path: Path) -> None:
    """One device now and then may move its work as always."""
    sim = plant(tmp_path, "abcdefgh")
    sim.write("d.yaml", daemon_yaml("d", SOON))
    until_ready(sim)
    for _ in range(3):
        homes = [name for name in sim.running()["Daemon/default/d"] if sim.proplets[name].alive]
        sim.proplets[homes[0]].kill()
        sim.run(5 * MINUTE)
    assert not sim.manager.reconciler.fleet.silence.whole
    assert len(sim.running()["Daemon/default/d"]) == 1


def test_h_a_lossy_network_moves_no_daemon(tmp_path: Path) -> None:
    """Heartbeats that get lost are not silence beyond a tolerance of minutes."""
    sim = plant(tmp_path, "abcd", weather=STORM)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("x")))
    sim.run(MINUTE)
    starts = {one.id: sum(one.starts.values()) for one in sim.proplets.values()}
    sim.run(HOUR)
    assert {one.id: sum(one.starts.values()) for one in sim.proplets.values()} == starts
