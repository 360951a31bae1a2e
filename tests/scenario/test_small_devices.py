"""What the manager does for devices that are small: CBOR, bodies as blobs, P-256, sleep, pace."""

from __future__ import annotations

import json
from pathlib import Path

from forged import retained_desired
from plants import until_ready
from specs_text import WAT, proplet_yaml

from propeller.model.seen import Presence
from propeller.rehearse.fleet import CHANNEL, HOUR, MINUTE, SECOND, P256Side, Sim
from propeller.wire import cbor_codec
from propeller.wire.frame import peek_body
from propeller.wire.messages import Desired
from propeller.wire.signing import ED25519, P256, SigningKey


def _daemon(name: str, proplet: str, size: int = 0) -> str:
    """A Daemon on one proplet, its entry `size` bytes longer."""
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Daemon",
        "metadata": {"name": name},
        "spec": {
            "module": {"file": "m.wat"},
            "run": {"args": ["x" * size]},
            "placement": {"proplets": [proplet]},
        },
    }
    return json.dumps(document) + "\n"


def _proplet(name: str, **spec: object) -> str:
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Proplet",
        "metadata": {"name": name},
        "spec": spec,
    }
    return json.dumps(document) + "\n"


def _sim(folder: Path) -> Sim:
    """A fleet that has keys for devices without Ed25519, and learns devices' keys from hellos."""
    sim = Sim(folder, enrolled=False)
    sim.p256 = P256Side(root=SigningKey.generate(P256), manager=SigningKey.generate(P256))
    sim.write("m.wat", WAT)
    sim.start_manager()
    return sim


def _frame(sim: Sim, proplet: str) -> bytes:
    return sim.broker.retained[CHANNEL.desired(proplet)]


def test_a_device_is_spoken_to_in_its_own_encoding_and_algorithm(tmp_path: Path) -> None:
    """CBOR signed with P-256 for one that knows only these, JSON and Ed25519 beside it."""
    sim = _sim(tmp_path)
    assert sim.p256 is not None
    sim.write("fleet.yaml", proplet_yaml(["linux", "mcu"]))
    sim.add("linux")
    sim.add(
        "mcu",
        encodings=("cbor", "json"),
        algs=("p256",),
        root=sim.p256.root.public,
        key=SigningKey.generate(P256),
    )
    for name in ("linux", "mcu"):
        sim.write(f"{name}.json", _daemon(f"on-{name}", name))
    until_ready(sim)
    assert (_frame(sim, "linux")[2], _frame(sim, "mcu")[2]) == (ED25519, P256)
    assert peek_body(_frame(sim, "linux"))[:1] == b"{"
    cbor = peek_body(_frame(sim, "mcu"))
    assert isinstance(cbor_codec.loads(cbor), dict)
    assert len(cbor) < len(peek_body(_frame(sim, "linux")))


def test_a_document_beyond_the_payload_of_a_device_comes_as_a_blob_in_its_encoding(
    tmp_path: Path,
) -> None:
    """The whole frame with its signature fits the device, and the list is fetched and believed."""
    for encoding in ("cbor", "json"):
        sim = _sim(tmp_path / encoding)
        sim.write("fleet.yaml", proplet_yaml(["mcu"]))
        mcu = sim.add("mcu", encodings=(encoding,), max_payload=512)
        for number in range(4):
            sim.write(f"d{number}.json", _daemon(f"d{number}", "mcu", size=100))
        until_ready(sim)
        assert len(_frame(sim, "mcu")) <= 512
        document: Desired = retained_desired(sim, "mcu")
        assert document.tasks is None
        assert document.body is not None
        assert document.body.digest in mcu.disk.blobs
        first = mcu.disk.blobs[document.body.digest][0]
        assert first >> 5 == 4 if encoding == "cbor" else first == 0x5B


def test_the_head_of_a_frame_counts_towards_the_payload(tmp_path: Path) -> None:
    """A body that fits by itself, but not with its signature, is a blob as well."""
    sim = Sim(tmp_path)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(["mcu"]))
    sim.write("d.json", _daemon("d", "mcu"))
    sim.start_manager()
    sim.add("mcu", max_payload=1024)
    until_ready(sim)
    bodies = set()
    for size in range(20, 400, 20):
        sim.write("d.json", _daemon("d", "mcu", size=size))
        until_ready(sim)
        assert len(_frame(sim, "mcu")) <= 1024
        bodies.add(retained_desired(sim, "mcu").body is not None)
    assert bodies == {False, True}


def test_a_device_that_sleeps_is_not_offline_until_it_is_late(tmp_path: Path) -> None:
    """Its will came and an hour passed; only when it is later than it said is it offline."""
    sim = Sim(tmp_path)
    sim.write("m.wat", WAT)
    sim.write("a.json", _proplet("a", heartbeat="10s", wakeInterval="1h"))
    sim.write("b.json", _proplet("b", heartbeat="10s"))
    sim.start_manager()
    a, b = sim.add("a"), sim.add("b")
    sim.run(MINUTE)
    a.kill()
    b.kill()
    sim.run(HOUR - MINUTE)
    assert sim.seen("a").presence is Presence.ONLINE
    assert sim.seen("b").presence is Presence.OFFLINE
    sim.kill_manager()
    sim.start_manager()
    sim.run(HOUR // 2)
    assert sim.seen("a").presence is Presence.ONLINE
    sim.run(HOUR)
    assert sim.seen("a").presence is Presence.OFFLINE


def test_a_module_comes_in_pieces_and_at_the_pace_of_its_device(tmp_path: Path) -> None:
    """20 kB at 2 kB a second in pieces of 500 bytes take some ten seconds."""
    sim = Sim(tmp_path)
    sim.write(
        "m.wat",
        f'(module (memory 1) (func (export "_start")) (data (i32.const 0) "{"x" * 20_000}"))',
    )
    sim.write("a.json", _proplet("a", blobs={"chunk": "500B", "rate": "2000B"}))
    sim.write("d.json", _daemon("d", "a"))
    sim.start_manager()
    sim.add("a", heartbeat=10_000)
    began = sim.now
    until_ready(sim)
    assert 9 * SECOND < sim.now - began < 40 * SECOND
    pieces = [len(payload) for payload in _pieces(sim)]
    assert len(pieces) >= 40
    assert max(pieces) <= 500 + 56


def _pieces(sim: Sim) -> list[bytes]:
    """What went to the device on its blob topic, as the trace of the broker has it."""
    topic = CHANNEL.blob_data("a")
    delivered = [event for event in sim.trace if event[1] == "deliver" and event[3] == topic]
    return [payload for event in delivered if isinstance(payload := event[4], bytes)]
