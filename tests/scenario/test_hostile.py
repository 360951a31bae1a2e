"""Malformed, oversized, stale and foreign messages: dropped, counted, and nothing else happens."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, task_yaml

from propeller.model.ids import PropletId
from propeller.reconcile.events import BlobStored
from propeller.rehearse.fleet import CHANNEL, SECOND, Sim
from propeller.transport.base import Received
from propeller.wire.codec import decode, encode
from propeller.wire.frame import peek_body, seal
from propeller.wire.messages import Hello, Observed, OpAnswer, Report, Status
from propeller.wire.signing import SigningKey

STRANGER = SigningKey.from_seed(b"?" * 32)
RUBBISH = {
    "nothing but a zero": b"\0",
    "one letter": b"P",
    "a frame that ends early": b"P1\x01\x10",
    "a frame of zeros": b"P1" + bytes(200),
    "not UTF-8": b"\xff\xfe{}",
    "an empty object": b"{}",
    "a list": b"[]",
    "null": b"null",
    "half an object": b'{"id": "a"',
    "a number that is no number": b'{"id": NaN}',
    "a hundred thousand brackets": b"[" * 100_000,
    "a megabyte": b"x" * (1 << 20),
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "a CBOR map that ends early": b"\xbf\x01",
    "a CBOR map of two billion": b"\xba\x7f\xff\xff\xff",
    "noise": random.Random(1).randbytes(300),
}
KINDS = ("report", "status", "hello", "op/x1", "desired", "metrics", "log", "blob/get", "op")
ELSEWHERE = (
    "m/plant/c/fleet/control/trust",
    "m/plant/c/fleet/control/trust/p256",
    "m/plant/c/fleet/control/manager/status",
    "m/plant/c/fleet/control/manager/echo/manager",
    "m/plant/c/fleet/control/manager/echo/other",
    "m/plant/c/other/control/proplet/a/report",
    "m/plant/c/fleet/control/proplet/../report",
    "m/plant/c/fleet/control/proplet/a b/report",
    "m/plant/c/fleet/control/proplet/" + "a" * 65 + "/report",
    "m/plant/c/fleet/control/proplet/a/report/more",
    "m/plant/c/fleet/control/proplet//report",
    "m/plant/c/fleet/control",
    "$SYS/broker/uptime",
    "",
)


def _plant(folder: Path) -> Sim:
    """Two proplets with a daemon each and a finished task."""
    sim = plant(folder)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    sim.write("t.yaml", task_yaml("t"))
    until_ready(sim)
    return sim


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Sim:
    """One for all tests after which nothing is different."""
    return _plant(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def own(tmp_path: Path) -> Sim:
    """One for a test that leaves traces."""
    return _plant(tmp_path)


def _knows(sim: Sim) -> tuple[object, ...]:
    world = sim.manager.reconciler.world
    return (
        dict(world.objects),
        dict(world.proplets),
        {uid: dict(copies) for uid, copies in world.assignments.items()},
        {name: (one.fence, one.gen, one.digest) for name, one in world.asked.items()},
    )


def _hear(sim: Sim, topic: str, payload: bytes, *, retained: bool = False) -> None:
    """The reconciler alone hears it: no time passes for anybody else."""
    manager = sim.manager
    manager.reconciler.turn([Received(topic, payload, retained)])
    assert sim.manager is manager


def _dropped(sim: Sim) -> int:
    return sum(sim.manager.reconciler.fleet.hearing.dropped.values())


@pytest.mark.parametrize("what", RUBBISH)
def test_rubbish_on_any_topic_is_dropped(sim: Sim, what: str) -> None:
    """Nothing raises, nothing changes, and what a device could have sent is counted."""
    before = _knows(sim)
    for kind in KINDS:
        counted = _dropped(sim)
        for retained in (False, True):
            topic = f"{CHANNEL.base}proplet/a/{kind}"
            _hear(sim, topic, RUBBISH[what], retained=retained)
        if kind in ("report", "status", "hello", "op/x1", "desired"):
            assert _dropped(sim) == counted + 2, kind
    for topic in ELSEWHERE:
        _hear(sim, topic, RUBBISH[what])
    assert _knows(sim) == before


def test_empty_payloads_say_nothing(sim: Sim) -> None:
    """A cleared slot is no message."""
    before = _knows(sim)
    for kind in KINDS:
        _hear(sim, f"{CHANNEL.base}proplet/a/{kind}", b"", retained=True)
    assert _knows(sim) == before


def _retained(sim: Sim, topic: str) -> bytes:
    return sim.broker.retained[topic]


def _as_json(sim: Sim, topic: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(peek_body(_retained(sim, topic)))
    return document


TWISTS: dict[str, dict[str, object]] = {
    "no id": {"id": None},
    "another's id": {"id": "b"},
    "an id that is none": {"id": "a/b"},
    "a higher version": {"v": 2},
    "an instance that is none": {"inst": "x"},
    "a negative boot": {"boot": -1},
    "a boot beyond 2^53": {"boot": 2**53},
    "a boot as text": {"boot": "1"},
    "a boot as a fraction": {"boot": 1.5},
    "a connection beyond 2^53": {"conn": 2**60},
}
REPORT_TWISTS: dict[str, dict[str, object]] = {
    **TWISTS,
    "a sequence below zero": {"seq": -5},
    "tasks that are none": {"tasks": 7},
    "a task that is none": {"tasks": [7]},
    "a task with nothing in it": {"tasks": [{}]},
    "a body of negative size": {
        "tasks": None,
        "body": {"digest": "sha256:" + "0" * 64, "size": -1},
    },
    "an observed that is none": {"observed": []},
    "an inventory that is none": {"inventory": "md5:1"},
    "a clock that is none": {"clock": "Maybe"},
}
HELLO_TWISTS: dict[str, dict[str, object]] = {
    **TWISTS,
    "a key that is none": {"key": "ed25519:x"},
    "another's key": {"key": STRANGER.public.text},
    "memory below zero": {"memory": -1},
    "imports that are none": {"imports": "wasi"},
    "labels that are none": {"labels": [1]},
    "a heartbeat as text": {"heartbeat": "10s"},
}


@pytest.mark.parametrize("what", REPORT_TWISTS)
def test_a_signed_report_that_is_wrong_is_dropped(sim: Sim, what: str) -> None:
    """A device with a good key is no more believed than any other."""
    _wrong(sim, CHANNEL.report("a"), "report", {"seq": 10_000, **REPORT_TWISTS[what]})


@pytest.mark.parametrize("what", HELLO_TWISTS)
def test_a_signed_hello_that_is_wrong_is_dropped(sim: Sim, what: str) -> None:
    """Facts come whole or not at all."""
    _wrong(sim, CHANNEL.hello("a"), "hello", HELLO_TWISTS[what])


@pytest.mark.parametrize("what", [*TWISTS, "a state that is none"])
def test_a_signed_status_that_is_wrong_is_dropped(sim: Sim, what: str) -> None:
    """Nobody is online or offline for it."""
    twist = TWISTS.get(what, {"state": "asleep"})
    _wrong(sim, CHANNEL.status("a"), "status", twist)


def _wrong(sim: Sim, topic: str, purpose: str, twist: dict[str, object]) -> None:
    document = {**_as_json(sim, topic), **twist}
    document = {name: value for name, value in document.items() if value is not None}
    payload = seal(purpose, json.dumps(document).encode(), sim.device_key("a"))
    before, counted = _knows(sim), _dropped(sim)
    _hear(sim, topic, payload)
    assert _dropped(sim) == counted + 1
    assert _knows(sim) == before


def test_states_that_nobody_knows_are_refused_with_the_whole_report(sim: Sim) -> None:
    """A report is never half-taken."""
    report = decode(Report, peek_body(_retained(sim, CHANNEL.report("a"))))
    body = encode(replace(report, seq=10_000))
    assert b'"state":"Running"' in body
    body = body.replace(b'"state":"Running"', b'"state":"Dancing"')
    before, counted = _knows(sim), _dropped(sim)
    _hear(sim, CHANNEL.report("a"), seal("report", body, sim.device_key("a")))
    assert _dropped(sim) == counted + 1
    assert _knows(sim) == before


def test_nobody_speaks_for_another(own: Sim) -> None:
    """A stranger's key, a neighbour's key, another purpose: none of them moves anything."""
    sim = own
    before = _knows(sim)
    for topic, purpose in (
        (CHANNEL.report("a"), "report"),
        (CHANNEL.hello("a"), "hello"),
        (CHANNEL.status("a"), "status"),
    ):
        body = peek_body(_retained(sim, topic))
        forged = [
            seal(purpose, body, STRANGER),
            seal(purpose, body, sim.device_key("b")),
            seal("answer", body, sim.device_key("a")),
            body,
        ]
        for payload in forged:
            counted = _dropped(sim)
            _hear(sim, topic, payload)
            assert _dropped(sim) == counted + 1
    after = _knows(sim)
    assert after[0] == before[0]
    assert sim.seen("a").inst == before[1]["a"].inst  # type: ignore[index]  # the proplets


def test_old_messages_are_stale(own: Sim) -> None:
    """What was true once, or of another boot, is not taken."""
    sim = own
    report = decode(Report, peek_body(_retained(sim, CHANNEL.report("a"))))
    hello = decode(Hello, peek_body(_retained(sim, CHANNEL.hello("a"))))
    key = sim.device_key("a")
    a = sim.proplets["a"]
    a.kill()
    a.boot()
    sim.run(5 * SECOND)
    before = _knows(sim)
    for topic, payload in (
        (CHANNEL.report("a"), seal("report", encode(report), key)),
        (CHANNEL.hello("a"), seal("hello", encode(hello), key)),
        (
            CHANNEL.status("a"),
            seal("status", encode(_status(hello, state="online", conn=1)), key),
        ),
        (CHANNEL.status("a"), encode(_status(hello, state="offline", conn=9))),
    ):
        counted = _dropped(sim)
        _hear(sim, topic, payload, retained=True)
        assert _dropped(sim) == counted + 1
    assert _knows(sim) == before


def _status(hello: Hello, *, state: str, conn: int) -> Status:
    return Status(id=hello.id, state=state, inst=hello.inst, boot=hello.boot, conn=conn)


def test_an_unsigned_will_for_another_instance_takes_nobody_offline(sim: Sim) -> None:
    """The only unsigned message there is can do no more than the real one."""
    seen = sim.seen("a")
    for status in (
        Status(id="a", state="offline", inst="f" * 32, boot=seen.boot, conn=seen.conn),
        Status(id="b", state="offline", inst=seen.inst, boot=seen.boot, conn=seen.conn),
        Status(id="a", state="online", inst=seen.inst, boot=seen.boot, conn=seen.conn + 1),
    ):
        counted = _dropped(sim)
        _hear(sim, CHANNEL.status("a"), encode(status))
        assert _dropped(sim) == counted + 1
    assert sim.seen("a") == seen


def test_answers_that_nobody_asked_for_are_dropped(sim: Sim) -> None:
    """Late, repeated, foreign or invented."""
    seen = sim.seen("a")
    answer = OpAnswer(id="a", op="x1", inst=seen.inst, boot=seen.boot, n=0, state="done")
    for payload in (
        seal("answer", encode(answer), sim.device_key("a")),
        seal("answer", encode(replace(answer, id="b")), sim.device_key("a")),
        seal("answer", encode(answer), STRANGER),
    ):
        counted = _dropped(sim)
        _hear(sim, CHANNEL.op_answer("a", "x1"), payload)
        assert _dropped(sim) == counted + 1


def test_a_document_for_another_device_is_not_adopted(sim: Sim) -> None:
    """Copied from one slot to another, it says nothing about who holds what."""
    before = _knows(sim)
    _hear(sim, CHANNEL.desired("x"), _retained(sim, CHANNEL.desired("a")), retained=True)
    assert _knows(sim) == before


def test_an_inventory_beyond_any_bound_is_refused(own: Sim) -> None:
    """5,000 runs on one device are no inventory."""
    sim = own
    run = {
        "uid": "00000000-0000-0000-0000-000000000001",
        "digest": "sha256:" + "0" * 64,
        "cause": "once",
        "state": "Running",
    }
    tasks = [{**run, "run": f"{n:032x}"} for n in range(5_000)]
    document = {**_as_json(sim, CHANNEL.report("a")), "seq": 10_000, "tasks": tasks}
    payload = seal("report", json.dumps(document).encode(), sim.device_key("a"))
    runs, counted = sim.seen("a").runs, _dropped(sim)
    _hear(sim, CHANNEL.report("a"), payload)
    assert _dropped(sim) == counted + 1
    assert sim.seen("a").runs == runs


def test_a_body_that_is_no_inventory_is_dropped(own: Sim) -> None:
    """A device uploads something else than what its report names."""
    sim = own
    data = b'[{"uid": 7}]'
    digest = sim.manager.keep(data)
    document = _as_json(sim, CHANNEL.report("a"))
    del document["tasks"]
    document |= {"seq": 10_000, "body": {"digest": digest, "size": len(data)}}
    here = seal("report", json.dumps(document).encode(), sim.device_key("a"))
    document |= {"seq": 10_001}
    later = seal("report", json.dumps(document).encode(), sim.device_key("a"))
    runs, counted = sim.seen("a").runs, _dropped(sim)
    _hear(sim, CHANNEL.report("a"), here)
    assert _dropped(sim) == counted + 1
    (sim.state.blobs / "sha256").rename(sim.state.blobs / "away")
    _hear(sim, CHANNEL.report("a"), later)
    (sim.state.blobs / "away").rename(sim.state.blobs / "sha256")
    sim.manager.reconciler.turn([BlobStored(PropletId("a"), digest)])
    assert _dropped(sim) == counted + 2
    assert sim.seen("a").runs == runs


def test_the_first_hello_of_an_undeclared_device_must_be_signed_by_its_own_key(
    tmp_path: Path,
) -> None:
    """Proof that it holds the key it names."""
    sim = plant(tmp_path, enrolled=False)
    hello = decode(Hello, peek_body(_retained(sim, CHANNEL.hello("a"))))
    strange = replace(hello, id="x", key=STRANGER.public.text, inst="e" * 32)
    counted = _dropped(sim)
    for key in (sim.device_key("a"), sim.manager_key):
        _hear(sim, CHANNEL.hello("x"), seal("hello", encode(strange), key))
    assert _dropped(sim) == counted + 2
    assert "x" not in sim.manager.reconciler.world.proplets
    _hear(sim, CHANNEL.hello("x"), seal("hello", encode(strange), STRANGER))
    assert "x" in sim.manager.reconciler.world.proplets


def test_a_report_that_names_a_fence_is_not_believed_without_a_document(own: Sim) -> None:
    """A device cannot make the manager stop writing."""
    sim = own
    report = decode(Report, peek_body(_retained(sim, CHANNEL.report("a"))))
    high = replace(report, seq=10_000, observed=Observed(fence=2**53 - 1, gen=1, digest=""))
    _hear(sim, CHANNEL.report("a"), seal("report", encode(high), sim.device_key("a")))
    sim.run(20 * SECOND)
    assert not sim.manager.reconciler.fleet.fenced_out


@pytest.mark.parametrize("what", RUBBISH)
def test_rubbish_on_the_blob_topics_is_dropped(sim: Sim, what: str) -> None:
    """The blob service goes on as well."""
    service = sim.manager.blob_service
    for topic in (CHANNEL.blob_get("a"), CHANNEL.blob_put("a"), *ELSEWHERE):
        counted = sum(service.dropped.values())
        service.hear(Received(topic, RUBBISH[what], False))
        service.turn()
        if "/blob/" in topic:
            assert sum(service.dropped.values()) == counted + 1
    assert not list((sim.state.path / "uploads").glob("*/*"))
