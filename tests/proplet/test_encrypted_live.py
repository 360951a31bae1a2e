"""A module that only this device can read: a real proplet runs it, and no disk has it in clear."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from proplet_hand_manager import ID, Device, HandManager, an_entry, sha256, wat

from propeller.provision.keyservice import add_resource
from propeller.registry.encrypted import seal
from propeller.state.keys import Keys
from propeller.transport.mosquitto import MosquittoBroker
from propeller.wire.boxes import BoxKey
from propeller.wire.messages import Entry, WireModule
from propeller.wire.signing import VerifyKey

pytestmark = pytest.mark.live

SECRET = b"the formula that nobody may read 8c1f"
TELL = wat(
    f"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1000) "{SECRET.decode()}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 3))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""
)
SPIN = wat(f"""(module (memory (export "memory") 1) (data (i32.const 0) "{SECRET.decode()}")
  (func (export "_start") (loop br 0)))""")
GROUP = BoxKey.from_seed(b"g" * 32)
LONG = {"mode": "daemon", "cause": "daemon", "restart": "Always", "timeout": None}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[HandManager]:
    broker = MosquittoBroker(tmp_path / "broker")
    made = HandManager(broker.start().endpoint("hand"))
    made.start()
    yield made
    made.close()
    broker.stop()


@pytest.fixture
def device(tmp_path: Path, manager: HandManager) -> Iterator[Device]:
    (tmp_path / "group.pem").write_bytes(GROUP.to_pem())
    made = Device(tmp_path, manager.endpoint, manager.root)
    made.command += ["--group-key", str(tmp_path / "group.pem")]
    made.start()
    try:
        manager.until(lambda: manager.hellos and manager.reports)
        yield made
    finally:
        assert made.process is not None
        if made.process.poll() is None:
            made.stop()


def sealed(manager: HandManager, number: int, wasm: bytes, *keys: str, **more: object) -> Entry:
    """An entry whose module travels encrypted to these."""
    data = seal(wasm, list(keys))
    manager.blobs[sha256(data)] = data
    module = WireModule(digest=sha256(data), size=len(data), plain=sha256(wasm))
    return an_entry(number, wasm, module=module, **more)


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_disk(device: Device) -> list[str]:
    """Files of the device that hold the secret."""
    files = [path for path in (device.directory / "data").rglob("*") if path.is_file()]
    assert any("blobs" in path.parts for path in files)
    return [str(path) for path in files if SECRET in path.read_bytes()]


def test_it_runs_and_is_nowhere_on_the_disk(manager: HandManager, device: Device) -> None:
    """To the device's own key and to a group's; while it runs, after it ran, and after a restart.

    Compiled code holds the module's data as well, so the search would find a cache of it.
    """
    own = manager.hellos[-1].box
    once = sealed(manager, 1, TELL, own)
    daemon = sealed(manager, 2, SPIN, GROUP.public.text, **LONG)
    manager.want(once, daemon)
    manager.until(lambda: manager.state(once) == "Succeeded")
    manager.until(lambda: manager.state(daemon) == "Running")
    assert manager.last[once.run].result == SECRET[:3].decode()
    assert on_disk(device) == []
    heard = len(manager.hellos)
    device.kill()
    device.start()
    manager.until(lambda: len(manager.hellos) > heard)
    manager.until(lambda: manager.state(daemon) == "Running")
    assert on_disk(device) == []
    plain = an_entry(3, SPIN, **LONG)
    manager.blobs[sha256(SPIN)] = SPIN
    manager.want(plain)
    manager.until(lambda: manager.state(plain) == "Running")
    assert on_disk(device) != [], "the search finds what is there"


def test_another_devices_module_is_refused(manager: HandManager, device: Device) -> None:
    """In words; and so are plain bytes, and another module than the one that was named."""
    stranger = BoxKey.from_seed(b"s" * 32).public.text
    foreign = sealed(manager, 1, TELL, stranger)
    manager.blobs[sha256(TELL)] = TELL
    bare = WireModule(digest=sha256(TELL), size=len(TELL), plain=sha256(TELL))
    plain = an_entry(2, TELL, module=bare)
    other = sealed(manager, 3, TELL, manager.hellos[-1].box)
    named = WireModule(digest=other.module.digest, size=other.module.size, plain=sha256(SPIN))
    swapped = an_entry(4, TELL, module=named)
    service = sealed(manager, 5, SPIN, stranger)
    module = WireModule(
        digest=service.module.digest, size=service.module.size, plain=sha256(SPIN), key="a/b/c"
    )
    kept = an_entry(6, SPIN, module=module)
    manager.want(foreign, plain, swapped, kept)
    manager.until(
        lambda: all(manager.state(one) == "Refused" for one in (foreign, plain, swapped, kept))
    )
    assert "encrypted to another key" in manager.last[foreign.run].error
    assert "plain bytes came" in manager.last[plain.run].error
    assert "not the module that was asked for" in manager.last[swapped.run].error
    assert "none is configured" in manager.last[kept.run].error


def test_a_device_may_ask_for_nothing_but_encrypted_modules(
    manager: HandManager, device: Device
) -> None:
    """`--encrypted Required`: plain bytes are not even fetched, whoever signed for them."""
    device.stop()
    heard = len(manager.hellos)
    device.start("--encrypted", "Required")
    manager.until(lambda: len(manager.hellos) > heard)
    manager.blobs[sha256(SPIN)] = SPIN
    plain = an_entry(1, SPIN, **LONG)
    good = sealed(manager, 2, SPIN, manager.hellos[-1].box, **LONG)
    manager.want(plain, good)
    manager.until(lambda: manager.state(good) == "Running")
    manager.until(lambda: manager.state(plain) == "Refused")
    assert "runs encrypted ones only" in manager.last[plain.run].error
    assert [get for get in manager.asked if get.digest == sha256(SPIN)] == []


def test_a_key_service_gives_the_key_to_whom_it_believes(
    manager: HandManager, device: Device, tmp_path: Path
) -> None:
    """The key is on neither machine's disk in clear but the service's. A service that is down is
    waited for; a device it does not list is refused."""
    device.stop()
    keys = Keys(tmp_path / "keys")
    keys.enroll(ID, VerifyKey.parse(manager.hellos[-1].key))
    folder = tmp_path / "kbs"
    mine = add_resource(folder, "plant/key/mine", [ID])
    theirs = add_resource(folder, "plant/key/theirs", ["p2"])
    port = free_port()
    heard = len(manager.hellos)
    device.start("--key-service", f"http://127.0.0.1:{port}")
    manager.until(lambda: len(manager.hellos) > heard)
    good = sealed(manager, 1, SPIN, mine, **LONG)
    good = an_entry(1, SPIN, module=replace(good.module, key="plant/key/mine"), **LONG)
    other = sealed(manager, 2, TELL, theirs)
    other = an_entry(2, TELL, module=replace(other.module, key="plant/key/theirs"))
    manager.want(good, other)
    manager.until(lambda: "does not answer" in device.log.read_text())
    assert manager.state(good) == "Pending"
    command = [sys.executable, "-m", "propeller.cli", "keyservice", "serve", str(folder)]
    command += ["--listen", f"127.0.0.1:{port}", "--keys", str(tmp_path / "keys")]
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        manager.until(lambda: manager.state(good) == "Running")
        manager.until(lambda: manager.state(other) == "Refused")
    finally:
        service.terminate()
        _, said = service.communicate(timeout=20)
    assert "SOFTWARE attestation" in said
    assert "may not have plant/key/theirs" in manager.last[other.run].error
    assert on_disk(device) == []
    secret = (folder / "resources/plant/key/mine").read_bytes()
    files = [path for path in (device.directory / "data").rglob("*") if path.is_file()]
    assert [str(path) for path in files if secret in path.read_bytes()] == []
