"""A sealed value on its whole way, with real processes: only the guest ever sees it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from propeller.cli import devices
from propeller.state.keys import Keys

pytestmark = pytest.mark.live

VALUE, OTHER = "correct-horse-battery-staple", "a-new-value-for-the-stable"

GUEST = """(module
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $hash (export "hash") (result i32)
    (local $at i32) (local $end i32) (local $sum i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 16) (i32.const 4096)))
    (local.set $at (i32.const 4096))
    (local.set $end (i32.add (i32.const 4096) (i32.load (i32.const 4))))
    (local.set $sum (i32.const 0x811c9dc5))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $sum (i32.mul
        (i32.xor (local.get $sum) (i32.load8_u (local.get $at))) (i32.const 0x01000193)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $more)))
    (local.get $sum))
  (func (export "_start")
    (i64.store (i32.const 1040) (i64.const 0))
    (i32.store (i32.const 1048) (i32.const 1))
    (i64.store (i32.const 1056) (i64.const 3600000000000))
    (drop (call $poll (i32.const 1032) (i32.const 2048) (i32.const 1) (i32.const 2100)))))
"""
"""`hash` answers with FNV-1a over the whole environment; `_start` sleeps for an hour."""

ENV = [
    {"name": "RATE", "value": "5"},
    {"name": "TOKEN", "secretRef": {"name": "broker", "key": "token"}},
]


def hashed(value: str) -> str:
    """What the guest answers when it was given `value`."""
    found = 0x811C9DC5
    for byte in f"RATE=5\0TOKEN={value}\0".encode():
        found = ((found ^ byte) * 0x01000193) & 0xFFFFFFFF
    return str(found - (1 << 32) if found >= 1 << 31 else found)


def maker() -> ModuleType:
    """tests/secrets/sops_maker.py."""
    place = Path(__file__).parents[1] / "secrets" / "sops_maker.py"
    spec = importlib.util.spec_from_file_location("sops_maker", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sops_maker"] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def listening(host: str, port: int) -> Iterator[list[bytes]]:
    """Everything that goes over the broker, topics too."""
    heard: list[bytes] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="eavesdropper")
    client.on_message = lambda _client, _data, m: heard.append(m.topic.encode() + b" " + m.payload)
    client.on_connect = lambda one, *_: one.subscribe("#", qos=1)
    client.connect(host, port)
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def processes() -> bytes:
    """Command lines and environments of everything that runs here."""
    found = b""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            for part in ("cmdline", "environ"):
                with suppress(OSError):
                    found += (entry / part).read_bytes()
    return found


def files(place: Path, *, but: set[Path]) -> Iterator[tuple[Path, bytes]]:
    """Every file below `place`."""
    for path in place.rglob("*"):
        if path.is_file() and path not in but:
            with suppress(FileNotFoundError):
                yield path, path.read_bytes()


def device(fleet: Any, program: Path) -> Any:
    """A device of the firmware, with the encryption key that the fleet enrolled for it."""
    Keys(fleet.state / "keys").device_box("d1")
    return fleet._begin(
        [
            *(str(program), "--id", "d1", "--broker", fleet.to_broker[1], "--heartbeat", "2s"),
            *("--domain", "propeller", "--channel", "fleet", "--memory", "512MiB"),
            *("--data", str(fleet.place / "d1"), "--engine", str(devices.engine())),
            *("--trust", str(fleet.state / "keys" / "root.pub")),
            *("--box-key", str(fleet.state / "keys" / "devices" / "d1.box.pem")),
        ],
        "d1",
    )


def test_only_the_guest_sees_the_value(fleet: Any, program: Path) -> None:
    """On Linux and in the firmware: state, logs, status files, MQTT, device storage, processes:
    nowhere else; and it rotates, also for a device that was killed meanwhile."""
    made = maker()
    identity = made.Identity()
    key = fleet.place / "age.key"
    key.write_text(f"# ours\n{identity.text}\n")
    fleet.write("guest.wat", GUEST)
    fleet.write("secret.yaml", made.secret_yaml("broker", {"token": VALUE}, identity))
    task = {
        "module": {"file": "guest.wat"},
        "placement": {"perProplet": True},
        "run": {"entrypoint": "hash", "env": ENV},
    }
    fleet.spec("Task", "check", task)
    fleet.spec("Daemon", "holder", {**task, "run": {"env": ENV}})
    broker = fleet.broker()
    host, _, port = fleet.to_broker[1].rpartition(":")
    shown: list[str] = []
    with listening(host, int(port)) as heard:
        up = fleet.up("--age-key", "age.key", *fleet.to_broker, proplets=1)
        small = device(fleet, program)

        def held(value: str) -> bool:
            """By every guest, on both kinds of proplet."""
            copies = fleet.copies("Task/default/check")
            found = {copy["proplet"]: copy.get("result") for copy in copies}
            return len(found) == 2 and "d1" in found and set(found.values()) == {hashed(value)}

        fleet.until(lambda: held(VALUE), lambda: str(fleet.copies("Task/default/check")))
        fleet.ready("Daemon/default/holder")
        fleet.ready("Task/default/check")
        before = {copy["run"] for copy in fleet.copies("Daemon/default/holder")}
        around = processes()

        # what a change would do, told before it is made
        following = fleet.place / "next"
        shutil.copytree(fleet.specs, following)
        new = made.secret_yaml("broker", {"token": OTHER}, identity)
        (following / "secret.yaml").write_text(new)
        diff = fleet.on("diff", "next", "--age-key", "age.key")
        assert diff.code == 1, diff.err
        lines = diff.out.splitlines()
        assert any(
            "Daemon/default/holder" in line
            and "(restart)" in line
            and "because secret broker changed" in line
            for line in lines
        ), diff.out
        assert 'spec.data.token:  "*** (#1)" -> "*** (#2)"' in diff.out
        locked = fleet.on("diff", "next")
        assert "SecretLocked" in locked.out, locked.out
        shutil.rmtree(following)

        # sealed anew with the same value: no line that touches a device
        same = made.secret_yaml("broker", {"token": VALUE}, identity, turn=1)
        fleet.write("secret.yaml", same)
        fleet.ready("Secret/default/broker", generation=2)
        assert {copy["run"] for copy in fleet.copies("Daemon/default/holder")} == before

        # another value: what uses it runs anew
        small.kill()
        fleet.write("secret.yaml", new)
        fleet.ready("Secret/default/broker", generation=3)
        small = device(fleet, program)
        fleet.until(lambda: held(OTHER), lambda: str(fleet.copies("Task/default/check")))
        fleet.ready("Daemon/default/holder")
        assert not before & {copy["run"] for copy in fleet.copies("Daemon/default/holder")}
        for verb, *rest in (
            ("describe", "secret/broker"),
            ("describe", "secret/broker", "-o", "yaml"),
            ("describe", "daemon/holder", "-o", "yaml"),
            ("get", "secrets", "-o", "yaml"),
            ("get", "-o", "json"),
            ("events",),
            ("tree",),
            ("logs", "daemon/holder"),
            ("history", "secret/broker"),
            ("plan", "specs", "-o", "json"),
        ):
            said = fleet.on(verb, *rest)
            shown += [said.out, said.err]
        assert "*** (#1)" in "".join(shown)
        assert small.end() == 0
        up.end()
    broker.stop()
    secrets = (VALUE, OTHER, identity.text)
    for word in secrets:
        assert word not in "".join(shown)
        assert word.encode() not in b"".join(heard)
        assert word.encode() not in around
        for path, data in files(fleet.place, but={key}):
            assert word.encode() not in data, path
    assert sum(len(one) for one in heard) > 10_000, "the eavesdropper heard nothing"


def test_a_key_in_the_environment_is_not_handed_on(fleet: Any, monkeypatch: Any) -> None:
    """SOPS_AGE_KEY opens Secrets, and no proplet of `up` inherits it."""
    made = maker()
    identity = made.Identity()
    fleet.write("guest.wat", GUEST)
    fleet.write("secret.yaml", made.secret_yaml("broker", {"token": VALUE}, identity))
    fleet.spec(
        "Task",
        "check",
        {"module": {"file": "guest.wat"}, "run": {"entrypoint": "hash", "env": ENV}},
    )
    command = f"exec {sys.executable} -m propeller.cli up specs --state state --proplets 1"
    up = fleet._begin(["env", f"SOPS_AGE_KEY={identity.text}", "sh", "-c", command], "up")
    fleet.ready("Task/default/check")

    def environment_of(number: str) -> bytes:
        with suppress(OSError):
            return Path(f"/proc/{number}/environ").read_bytes()
        return b""

    children = [line.split()[0] for line in fleet.guests()]
    assert children
    assert not [one for one in children if identity.text.encode() in environment_of(one)]
    up.end()
