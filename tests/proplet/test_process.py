"""A real proplet process, a real broker, and a manager of a hundred lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proplet_hand_manager import Device, HandManager, an_entry, sha256, wat

from propeller.transport.mosquitto import MosquittoBroker
from propeller.wire.messages import BlobRef, WireModule, WireTraining

pytestmark = pytest.mark.live

ADD = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))'
TALK = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1000) "0123456789")
  (func (export "_start") (local $n i32)
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 10))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const %d))))
    %s))"""

TRAINER = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{\\22update\\22:[1,2],\\22kind\\22:\\22delta\\22}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 31))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[MosquittoBroker]:
    made = MosquittoBroker(tmp_path / "broker")
    yield made
    made.stop()


@pytest.fixture
def manager(broker: MosquittoBroker) -> Iterator[HandManager]:
    made = HandManager(broker.start().endpoint("hand"))
    made.start()
    yield made
    made.close()


@pytest.fixture
def device(tmp_path: Path, manager: HandManager) -> Iterator[Device]:
    made = Device(tmp_path, manager.endpoint, manager.root)
    made.start()
    try:
        manager.until(lambda: manager.hellos and manager.reports)
        yield made
    finally:
        assert made.process is not None
        if made.process.poll() is None:
            made.stop()
    assert made.guests() == [], "no guest outlives its agent"


def test_a_signed_document_runs_and_its_result_comes_back(
    manager: HandManager, device: Device
) -> None:
    """Module over MQTT, run, result inline; removal takes it out of the inventory."""
    wasm = wat(ADD)
    manager.blobs[sha256(wasm)] = wasm
    entry = an_entry(1, wasm, entrypoint="add", args=("40", "2"))
    manager.want(entry)
    manager.until(lambda: manager.state(entry) == "Succeeded")
    assert manager.last[entry.run].result == "42"
    assert manager.reports[-1].observed.gen == 1
    manager.want()
    manager.until(lambda: manager.reports[-1].observed.gen == 2 and manager.last == {})
    assert device.stop() == 0
    manager.until(lambda: manager.statuses[-1].state == "offline")


def test_a_megabyte_resumes_after_a_kill_and_a_long_result_goes_up(
    manager: HandManager, device: Device
) -> None:
    """kill -9 in the middle of a download: the rest is asked for, not all of it."""
    wasm = wat(TALK % (5000, ""))
    padding = b"\x00" + b"\x80\x80\xc0\x00" + b"\x01x" + bytes(1024 * 1024 - 2)
    wasm += padding
    digest = sha256(wasm)
    manager.blobs[digest] = wasm
    asked: list[int] = []
    serve = manager._serve

    def stutter(get: object) -> None:
        asked.append(get.off)
        if len(asked) <= 6:
            serve(get)  # type: ignore[arg-type]

    manager._serve = stutter  # type: ignore[method-assign, assignment]
    entry = an_entry(1, wasm)
    manager.want(entry)
    manager.until(lambda: len(asked) > 6)
    part = device.directory / "data" / "parts" / digest.removeprefix("sha256:")
    manager.until(lambda: part.exists() and part.stat().st_size > 0)
    device.kill()
    have = part.stat().st_size
    assert 0 < have < len(wasm)
    asked.clear()

    def record(get: object) -> None:
        asked.append(get.off)  # type: ignore[attr-defined]
        serve(get)  # type: ignore[arg-type]

    manager._serve = record  # type: ignore[method-assign, assignment, func-returns-value]
    device.start()
    manager.until(lambda: manager.state(entry) == "Succeeded")
    assert min(asked) == have
    manager.until(lambda: manager.stored)
    assert next(iter(manager.stored.values())) == b"0123456789" * 5000
    ref = manager.last[entry.run].result_blob
    assert ref is not None
    assert ref.digest in manager.stored


def test_a_killed_agent_takes_its_guests_along_and_reports_what_was_cut(
    manager: HandManager, device: Device
) -> None:
    """kill -9: the once-run is Interrupted and not run again, the daemon goes on."""
    wasm = wat(SPIN)
    manager.blobs[sha256(wasm)] = wasm
    once = an_entry(1, wasm)
    daemon = an_entry(2, wasm, mode="daemon", cause="daemon", timeout=None)
    manager.want(once, daemon)
    manager.until(lambda: manager.state(once) == manager.state(daemon) == "Running")
    device.kill()
    manager.until(lambda: device.guests() == [], 5)
    device.start()
    manager.until(lambda: manager.state(once) == "Interrupted")
    manager.until(lambda: manager.state(daemon) == "Running")
    assert manager.last[daemon.run].restarts == 1
    assert manager.hellos[-1].boot == 2


def test_without_a_broker_a_reboot_goes_on_with_what_was_accepted(
    manager: HandManager, device: Device, broker: MosquittoBroker
) -> None:
    """No network at boot: the daemon is started from what is on disk."""
    wasm = wat(TALK % (3, "(loop br 0)"))
    manager.blobs[sha256(wasm)] = wasm
    daemon = an_entry(2, wasm, mode="daemon", cause="daemon", timeout=None)
    manager.want(daemon)
    log = device.directory / "data" / "runs" / daemon.run / "stdout.0"
    manager.until(lambda: manager.state(daemon) == "Running" and log.exists())
    device.kill()
    broker.stop()
    before = log.stat().st_size
    device.start()
    manager.until(lambda: log.stat().st_size > before)
    broker.start()
    manager.until(manager.up.is_set)
    manager.reports.clear()
    manager.until(lambda: manager.reports and manager.reports[-1].boot == 2)


def test_sigterm_drains(manager: HandManager, device: Device) -> None:
    """Guests are stopped, it is told, the word is offline, and the exit is 0."""
    wasm = wat(SPIN)
    manager.blobs[sha256(wasm)] = wasm
    once = an_entry(1, wasm)
    manager.want(once)
    manager.until(lambda: manager.state(once) == "Running")
    began = time.monotonic()
    assert device.stop() == 0
    assert time.monotonic() - began < 15
    manager.until(lambda: manager.statuses[-1].state == "offline")
    manager.until(lambda: manager.state(once) == "Interrupted")


def test_a_document_as_a_blob_and_operations(manager: HandManager, device: Device) -> None:
    """A large document is fetched first; logs, restart, cancel and collect are answered."""
    wasm = wat(TALK % (3, "(loop br 0)"))
    manager.blobs[sha256(wasm)] = wasm
    daemon = an_entry(2, wasm, mode="daemon", cause="daemon", timeout=None)
    manager.want(daemon, as_blob=True)
    manager.until(lambda: manager.state(daemon) == "Running")
    time.sleep(0.1)

    def over(op: str) -> bool:
        return any(a.op == op and a.state in ("done", "refused") for a in manager.answers)

    logs = manager.ask("logs", daemon, tail=20)
    manager.until(lambda: over(logs))
    assert "".join(a.text for a in manager.answers if a.op == logs) == "0123456789" * 2
    again = manager.ask("restart", daemon)
    manager.until(lambda: over(again))
    manager.until(lambda: manager.last[daemon.run].restarts == 1)
    count = len(manager.reports)
    collect = manager.ask("collect")
    manager.until(lambda: over(collect) and len(manager.reports) > count)
    cancel = manager.ask("cancel", daemon)
    manager.until(lambda: over(cancel) and manager.state(daemon) == "Failed")
    unknown = manager.ask("dance", daemon)
    manager.until(lambda: over(unknown))
    assert manager.answers[-1].text == "verb 'dance' is not known here"


def test_a_module_is_pulled_directly_and_else_over_mqtt(
    manager: HandManager, device: Device, tmp_path: Path
) -> None:
    """From a layout directory without asking the manager; what is not there comes by blobs."""
    from propeller.registry.layout import Layout
    from propeller.registry.reference import Reference

    shelf = Layout(tmp_path / "oci")
    here, elsewhere = wat(ADD), wat(TALK % (1, ""))
    manifest = shelf.push(Reference.parse("registry.example/add:1"), here)
    manager.blobs[sha256(elsewhere)] = elsewhere
    assert device.stop() == 0
    manager.hellos.clear()
    device.start("--oci-layout", str(tmp_path / "oci"))
    manager.until(lambda: manager.hellos)
    assert manager.hellos[-1].fetch == ("direct", "mqtt")
    image = f"registry.example/add@{manifest}"
    first = an_entry(
        1,
        here,
        entrypoint="add",
        args=("1", "2"),
        module=WireModule(digest=sha256(here), size=len(here), image=image),
    )
    second = an_entry(
        2,
        elsewhere,
        module=WireModule(digest=sha256(elsewhere), size=len(elsewhere), image=image),
    )
    manager.want(first, second)
    manager.until(lambda: manager.state(first) == manager.state(second) == "Succeeded")
    assert {get.digest for get in manager.asked} == {sha256(elsewhere)}


def test_a_large_model_of_a_round_is_pulled_directly(
    manager: HandManager, device: Device, tmp_path: Path
) -> None:
    """The manager is asked for the module only; the model, verified, comes from the repository."""
    import numpy as np

    from propeller.fl.layout import Layout as Tensors
    from propeller.fl.model import write_model
    from propeller.registry.layout import Layout
    from propeller.registry.reference import Reference

    image = "registry.example/models/anomaly"
    model = write_model(Tensors.flat(2), np.ones(2, np.float32))
    shelf = Layout(tmp_path / "oci")
    shelf.write_blob(Reference.parse(image), model)
    trainer = wat(TRAINER)
    manager.blobs[sha256(trainer)] = trainer
    assert device.stop() == 0
    manager.hellos.clear()
    device.start("--oci-layout", str(tmp_path / "oci"))
    manager.until(lambda: manager.hellos)
    entry = an_entry(
        1,
        trainer,
        module=WireModule(digest=sha256(trainer), size=len(trainer)),
        fl=WireTraining(
            job="11111111-2222-3333-4444-555555555555",
            round=1,
            attempt=1,
            step="train",
            format="json-f64",
            nonce="0" * 32,
            seed="0" * 16,
            model=BlobRef(digest=sha256(model), size=len(model)),
            image=image,
        ),
    )
    manager.want(entry)
    manager.until(lambda: manager.state(entry) in ("Succeeded", "Failed"))
    assert manager.state(entry) == "Succeeded"
    assert {get.digest for get in manager.asked} == {sha256(trainer)}


def test_an_idle_agent_is_small(manager: HandManager, device: Device) -> None:
    """The agent's own process keeps within its budget: the runtime is not loaded in it."""
    assert device.process is not None
    status = Path(f"/proc/{device.process.pid}/status").read_text()
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert rss <= 45 * 1024
    maps = Path(f"/proc/{device.process.pid}/maps").read_text()
    assert "_libwasmtime" not in maps
