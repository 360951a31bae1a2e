"""The lettered rules of the protocol page, i to k, and the rulings on the wire."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from forged import retained_desired
from plants import bare, plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, proplet_yaml, task_yaml, with_args

from propeller.rehearse.fleet import CHANNEL, HOUR, MINUTE, SECOND, Sim
from propeller.rehearse.guests import Guests
from propeller.wire.codec import decode
from propeller.wire.frame import peek_body
from propeller.wire.messages import Report


def _retained(sim: Sim) -> dict[str, bytes]:
    """What the broker holds of the manager's own writing."""
    return {
        topic: payload
        for topic, payload in sim.broker.retained.items()
        if topic.endswith(("/desired", "/trust", "/manager/status"))
    }


def _states(sim: Sim, proplet: str) -> list[str]:
    return sorted(run.state for run in sim.seen(proplet).runs.values())


# -- (i) hearing everyone ------------------------------------------------------------------------


def test_i_a_broker_that_cuts_wildcards_still_lets_everyone_be_heard(tmp_path: Path) -> None:
    """Only reads by id count: devices that are off are known by what they left retained."""
    names = [f"p{index:02d}" for index in range(30)]
    sim = Sim(tmp_path, retained_cap=7)
    sim.write("m.wat", "(module)")
    sim.write("fleet.yaml", proplet_yaml(names))
    for name in names:
        sim.add(name)
    sim.start_manager()
    sim.run(5 * SECOND)
    for one in sim.proplets.values():
        one.kill()
    sim.run(2 * SECOND)
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    sim.run(10 * SECOND)
    fleet = sim.manager.reconciler.fleet
    assert set(names) <= fleet.hearing.heard_since_connect
    assert fleet.hold == ""


def test_i_undeclared_devices_announce_themselves_again(tmp_path: Path) -> None:
    """Nobody can read by an id nobody knows: they hear the manager come online (ruling 6)."""
    names = [f"x{index:02d}" for index in range(20)]
    sim = bare(tmp_path, "a", retained_cap=3)
    for name in ["a", *names]:
        sim.add(name)
    sim.run(MINUTE)
    sim.start_manager()
    sim.run(5 * SECOND)
    assert set(names) <= set(sim.manager.reconciler.world.proplets)


def test_i_a_report_that_we_missed_is_read_again_from_the_broker(tmp_path: Path) -> None:
    """A gap: the heartbeat names an inventory that never came; the broker still holds it."""
    sim = plant(tmp_path, "a")
    a = sim.proplets["a"]
    a.guests = Guests(run_ms=(2_000, 2_000))
    sim.write("t.yaml", task_yaml("t"))
    assert sim.run(10 * SECOND, until=lambda: "Running" in _states(sim, "a"))
    sim.run(SECOND)
    sim.broker.cut("manager")
    sim.run(8 * SECOND)
    sim.broker.heal("manager")
    assert _states(sim, "a") == ["Running"]
    before = sim.manager.reconciler.world.proplets["a"].seq  # type: ignore[index]  # an id
    sim.run(20 * SECOND, until=lambda: sim.seen("a").seq > before)
    sim.broker.cut("a")  # so that nobody can ask the device itself
    sim.run(SECOND)
    assert _states(sim, "a") == ["Succeeded"]


def test_i_a_report_that_nobody_has_is_collected(tmp_path: Path) -> None:
    """The broker lost it as well: the device is asked."""
    sim = plant(tmp_path, "a")
    sim.proplets["a"].guests = Guests(run_ms=(2_000, 2_000))
    sim.write("t.yaml", task_yaml("t"))
    assert sim.run(10 * SECOND, until=lambda: "Running" in _states(sim, "a"))
    sim.run(SECOND)
    sim.broker.loss = 1.0
    sim.run(8 * SECOND)
    sim.broker.loss = 0.0
    assert _states(sim, "a") == ["Running"]
    sim.run(20 * SECOND)
    assert _states(sim, "a") == ["Succeeded"]


# -- (j) what the broker holds -------------------------------------------------------------------


def test_j_a_broker_that_lost_its_retained_messages_gets_them_again(tmp_path: Path) -> None:
    """Documents, keys and our own word; no device does anything for it."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    before, starts = _retained(sim), [dict(one.starts) for one in sim.proplets.values()]
    sim.broker.restart(keep_retained=False)
    sim.run(MINUTE)
    after = _retained(sim)
    assert after.keys() == before.keys()
    assert {topic for topic in before if before[topic] != after[topic]} == {
        CHANNEL.manager_status()  # it names the connection
    }
    assert [dict(one.starts) for one in sim.proplets.values()] == starts


def test_j_a_broker_that_came_back_with_old_documents_is_put_right(tmp_path: Path) -> None:
    """Also for a device that starts while the old one is still there."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    old = dict(sim.broker.retained)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("new")))
    until_ready(sim)
    ours = {name: retained_desired(sim, name) for name in "ab"}
    sim.proplets["a"].kill()
    sim.broker.restart(retained=old)
    sim.proplets["a"].boot()
    sim.run(MINUTE)
    assert {name: retained_desired(sim, name) for name in "ab"} == ours
    until_ready(sim)
    for one in sim.proplets.values():
        assert [entry.args for entry in one.running.values()] == [("new",)]


def test_j_a_document_that_never_arrived_is_asked_again_ever_less_often(tmp_path: Path) -> None:
    """An online device that takes nothing is not flooded."""
    sim = plant(tmp_path, "a")
    sim.broker.cut("a")
    sim.write("d.yaml", daemon_yaml("d"))
    sim.run(25 * SECOND)
    asked = [sent.at for sent in sim.manager.documents()]
    gaps = [after - before for before, after in pairwise(asked)]
    assert 3 <= len(asked) <= 12
    assert gaps == sorted(gaps)
    sim.broker.heal("a")
    until_ready(sim)


def test_j_our_own_word_is_kept_right_at_the_broker(tmp_path: Path) -> None:
    """A late will of our last connection must not tell devices that we are away."""
    sim = plant(tmp_path)
    will = sim.broker.sessions["manager"].will
    assert will is not None
    sim.say(will.topic, will.payload, retain=True)
    sim.run(5 * SECOND)
    assert b'"online"' in sim.broker.retained[CHANNEL.manager_status()]
    sim.say(CHANNEL.trust(), b"", retain=True)
    sim.run(5 * SECOND)
    assert sim.broker.retained[CHANNEL.trust()] == sim.trust_frame


def test_j_a_newer_trust_document_is_left_alone(tmp_path: Path) -> None:
    """The root may have spoken through somebody else: ours is not put in its place."""
    sim = plant(tmp_path)
    newer = sim.trust(2)
    sim.say(CHANNEL.trust(), newer, retain=True)
    sim.run(5 * MINUTE)
    assert sim.broker.retained[CHANNEL.trust()] == newer


def test_j_new_keys_reach_every_device(tmp_path: Path) -> None:
    """A reconciler with another key is obeyed once the root says so, and the old one is not."""
    from propeller.wire.signing import SigningKey

    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    sim.kill_manager()
    sim.manager_key = SigningKey.from_seed(b"k" * 32)
    sim.trust_frame = sim.trust(2)
    sim.start_manager()
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE + with_args("new")))
    until_ready(sim)
    for one in sim.proplets.values():
        assert [entry.args for entry in one.running.values()] == [("new",)]


# -- (k) size ------------------------------------------------------------------------------------


def _many(count: int, *args: str) -> str:
    return "".join(
        daemon_yaml(f"d{index:02d}", EVERYWHERE + with_args(*args)) for index in range(count)
    )


def test_k_a_long_document_travels_as_a_blob_and_is_switched_whole(tmp_path: Path) -> None:
    """Until all of it is there the device goes on with what it had."""
    sim = plant(tmp_path, "a")
    sim.write("many.yaml", _many(40))
    until_ready(sim)
    first = retained_desired(sim, "a")
    assert first.tasks is None
    assert first.body is not None
    assert first.body.size > 8 * 1024
    assert len(sim.proplets["a"].running) == 40
    sim.broker.cut("manager-blobs")
    sim.write("many.yaml", _many(40, "new"))
    sim.run(20 * SECOND)
    second = retained_desired(sim, "a")
    assert second.gen > first.gen or second.fence > first.fence
    assert {entry.args for entry in sim.proplets["a"].running.values()} == {()}
    sim.broker.heal("manager-blobs")
    until_ready(sim, 5 * MINUTE)
    assert [entry.args for entry in sim.proplets["a"].running.values()] == [("new",)] * 40


def test_k_a_device_that_takes_little_gets_its_document_as_a_blob(tmp_path: Path) -> None:
    """maxPayload of its hello counts, not 8 KiB."""
    sim = bare(tmp_path, "a")
    sim.add("a", max_payload=1_024)
    sim.write("many.yaml", _many(3))
    sim.start_manager()
    until_ready(sim)
    assert retained_desired(sim, "a").tasks is None
    assert len(sim.proplets["a"].running) == 3


def test_k_a_long_report_travels_as_a_blob(tmp_path: Path) -> None:
    """The manager waits for the body and knows every run of it."""
    sim = plant(tmp_path, "a")
    sim.write("many.yaml", "".join(task_yaml(f"t{index:02d}") for index in range(60)))
    until_ready(sim, 5 * MINUTE)
    report = decode(Report, peek_body(sim.broker.retained[CHANNEL.report("a")]))
    assert report.tasks is None
    assert report.body is not None
    assert _states(sim, "a") == ["Succeeded"] * 60


def test_k_a_long_result_travels_as_a_blob(tmp_path: Path) -> None:
    """At most 256 bytes are told inline; the bytes arrive and the device frees its own."""
    sim = plant(tmp_path, "a")
    a = sim.proplets["a"]
    a.guests = Guests(result=200_000)
    sim.write("t.yaml", task_yaml("t"))
    until_ready(sim)
    sim.run(MINUTE)
    (run,) = sim.seen("a").runs.values()
    assert run.result_size == 200_000
    assert run.result_digest is not None
    assert (sim.state.blobs / "sha256").exists()
    assert a.disk.uploads == {}
    assert run.result_digest not in a.disk.blobs


# -- rulings -------------------------------------------------------------------------------------


def test_ruling_1_moving_an_object_between_apps_reruns_nothing(tmp_path: Path) -> None:
    """Its uid is made without the App."""
    sim = plant(tmp_path, "a")
    app = (
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: side}\n"
        "spec:\n  source: {path: side}\n  namespace: default\n  discovery: Allow\n"
    )
    sim.write("t.yaml", task_yaml("t"))
    sim.write("d.yaml", daemon_yaml("d"))
    until_ready(sim)
    starts = dict(sim.proplets["a"].starts)
    sim.write("side/m.wat", (sim.specs / "m.wat").read_text())
    for name in ("t.yaml", "d.yaml"):
        (sim.specs / name).rename(sim.specs / "side" / name)
    sim.write("app.yaml", app)
    until_ready(sim)
    apps = {held.object.meta.app for held in sim.manager.reconciler.world.objects.values()}
    assert "side" in apps
    assert sim.proplets["a"].starts == starts


def test_ruling_7_a_manager_that_comes_online_is_told_everything_at_once(tmp_path: Path) -> None:
    """A device with a heartbeat of an hour does not wait for it."""
    sim = bare(tmp_path, "a")
    a = sim.add("a", heartbeat=HOUR, guests=Guests(run_ms=(5_000, 5_000)))
    sim.write("t.yaml", task_yaml("t"))
    sim.start_manager()
    assert sim.run(30 * SECOND, until=lambda: bool(a.running))
    sim.kill_manager()
    sim.broker.cut("a")
    sim.run(10 * SECOND)
    sim.broker.heal("a")
    sim.start_manager()
    until_ready(sim, 10 * SECOND)


def test_ruling_7_a_fleet_driven_by_passes_gets_a_large_module(tmp_path: Path) -> None:
    """Each pass goes on with the download where the last one ended."""
    sim = bare(tmp_path, "a")
    filler = "x" * 700_000
    sim.write(
        "m.wat", f'(module (func (export "_start")) (memory 16) (data (i32.const 0) "{filler}"))'
    )
    sim.write("d.yaml", daemon_yaml("d"))
    a = sim.add("a")
    sim.broker.delay = (100, 100)
    passes = 0
    while not a.running and passes < 30:
        sim.start_manager()
        sim.run(2 * SECOND)
        sim.kill_manager()
        sim.run(10 * SECOND)
        passes += 1
    assert 2 <= passes < 30
    sim.start_manager()
    until_ready(sim)
