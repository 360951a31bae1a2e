"""Who vouches for a module, and whether it exists at all: real processes, from key to device."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from typing import Any

import pytest

from propeller.transport.base import Will
from propeller.transport.mqtt import MqttTransport
from propeller.wire.boxes import BoxKey
from propeller.wire.codec import encode, tasks_digest
from propeller.wire.frame import seal
from propeller.wire.messages import Desired
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel

pytestmark = pytest.mark.live

ADD = """(module (func (export "add") (param i32 i32) (result i32)
  local.get 0 local.get 1 i32.add))
"""
SUB = ADD.replace("i32.add", "i32.sub")
RUN = {"entrypoint": "add", "args": ["40", "2"]}


@pytest.fixture
def words(fleet: Any) -> Any:
    """Two modules, and a passphrase in a file."""
    (fleet.place / "word").write_text("only for tests\n")
    (fleet.place / "add.wat").write_text(ADD)
    (fleet.place / "sub.wat").write_text(SUB)
    return ("--password-file", "word")


def config(fleet: Any, **rule: Any) -> tuple[str, str]:
    """A configuration with one rule."""
    rules = [{"name": "all", "repositories": ["local/*"], "keys": ["ana.pub"], **rule}]
    (fleet.place / "etc.yaml").write_text(json.dumps({"modulePolicies": rules}))
    return ("--config", "etc.yaml")


def test_an_unsigned_module_waits_until_it_is_signed(fleet: Any, words: Any) -> None:
    """Blocked with what to do, an event, `why`; after `sign` it runs without another revision."""
    assert fleet.run("keygen", "ana", *words).code == 0
    etc = config(fleet)
    assert fleet.on("push", "add.wat", "local/add:1", "--sign", "ana.key", *words).code == 0
    assert fleet.on("push", "sub.wat", "local/sub:1").code == 0
    for name in ("add", "sub"):
        spec = {"module": {"image": f"local/{name}:1"}, "run": RUN}
        fleet.spec("Task", name, spec)
    up = fleet.up(*etc, proplets=1)
    assert fleet.ready("Task/default/add")["status"]["copies"][0]["result"] == "42"
    blocked = fleet.until(
        lambda: fleet.condition("Task/default/sub", "Blocked"), "the unsigned one is blocked"
    )
    assert blocked["reason"] == "ModuleUnsigned"
    assert "propeller sign local/sub:1 --key KEY" in blocked["message"]
    assert fleet.copies("Task/default/sub") == []
    assert "ModuleUnsigned" in fleet.on("events").out
    assert "signed by" in fleet.on("why", "task/add").out
    assert up.end() == 0
    signed = fleet.on("sign", "local/sub:1", "--key", "ana.key", *words)
    assert signed.code == 0, signed.err
    fleet.up(*etc, proplets=1)
    fleet.until(lambda: fleet.copies("Task/default/sub"), "placed once it is signed", timeout=90)
    assert fleet.ready("Task/default/sub")["status"]["copies"][0]["result"] == "38"


def test_only_what_the_release_key_lists_starts(fleet: Any, words: Any) -> None:
    """The reconciler says `NotReleased`; a newer list reaches the devices without a restart."""
    for name in ("add", "sub"):
        (fleet.specs / f"{name}.wat").write_text((fleet.place / f"{name}.wat").read_text())
        fleet.spec("Task", name, {"module": {"file": f"{name}.wat"}, "run": RUN})
    assert fleet.run("keygen", "off", *words).code == 0
    fleet.broker()
    first = fleet.serve()
    fleet.until(lambda: fleet.condition("Task/default/add", "Ready"), "the first look")
    assert first.end() == 0
    added = fleet.on("release", "add", "add.wat", "--key", "off.key", *words)
    assert added.code == 0, added.err
    required = fleet.on("release", "require", "off.pub")
    assert required.code == 0, required.err
    fleet.serve()
    fleet.proplet("press")
    assert fleet.ready("Task/default/add")["status"]["copies"][0]["result"] == "42"
    blocked = fleet.until(
        lambda: fleet.condition("Task/default/sub", "Blocked"), "the other is blocked"
    )
    assert blocked["reason"] == "NotReleased"
    assert "propeller release add sha256:" in blocked["message"]
    assert fleet.on("release", "add", "sub.wat", "--key", "off.key", *words).code == 0
    assert fleet.on("release", "take").code == 0
    assert fleet.ready("Task/default/sub")["status"]["copies"][0]["result"] == "38"


def test_a_module_for_one_device_from_push_to_result(fleet: Any, words: Any) -> None:
    """Encrypted to one proplet, required by the spec; neither state nor storage holds it in clear.
    Plain bytes where encrypted ones are required are blocked, a file of the tree as well."""
    secret = "what nobody may read 77ab"
    told = f'(memory (export "memory") 1) (data (i32.const 0) "{secret}")'
    (fleet.place / "add.wat").write_text(ADD.replace("(func", f"{told} (func", 1))
    fleet.broker()
    first = fleet.serve()
    fleet.spec("Task", "idle", {"module": {"image": "local/none:1"}, "run": RUN})
    fleet.until(lambda: fleet.condition("Task/default/idle", "Ready"), "the first look")
    fleet.proplet("press")
    kept = fleet.place / "press" / "device.box.pem"
    fleet.until(kept.exists, "its key")
    key = BoxKey.from_pem(kept.read_bytes()).public.text
    assert first.end() == 0
    pushed = fleet.on("push", "add.wat", "local/add:1", "--encrypt-to", key)
    assert pushed.code == 0, pushed.err
    fleet.on("push", "sub.wat", "local/sub:1")
    (fleet.specs / "sub.wat").write_text(SUB)
    for name, module in (
        ("add", {"image": "local/add:1"}),
        ("plain", {"image": "local/sub:1"}),
        ("file", {"file": "sub.wat"}),
    ):
        spec = {"module": {**module, "encrypted": "Required"}, "run": RUN}
        fleet.spec("Task", name, {**spec, "placement": {"proplets": ["press"]}})
    fleet.serve()
    assert fleet.ready("Task/default/add")["status"]["copies"][0]["result"] == "42"
    assert "encrypted" in fleet.on("why", "task/add").out
    for name in ("plain", "file"):
        blocked = fleet.until(
            lambda name=name: fleet.condition(f"Task/default/{name}", "Blocked"), f"{name} blocked"
        )
        assert "encrypted: Required" in blocked["message"]
        assert fleet.copies(f"Task/default/{name}") == []
    files = [
        path
        for folder in (fleet.state, fleet.place / "press", fleet.place / "broker")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    assert [str(path) for path in files if secret.encode() in path.read_bytes()] == []


def test_a_stolen_manager_key_is_replaced_and_outbids_nobody(fleet: Any) -> None:
    """It asks a device for nothing at all with the highest fence there is. The owner removes the
    pair and starts the reconciler again, with the root there: the device follows the new key."""
    fleet.module("add/add.wat")
    fleet.spec("Daemon", "watch", {"module": {"file": "spin.wat"}})
    spin = '(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))'
    (fleet.specs / "spin.wat").write_text(spin)
    broker = fleet.broker()
    first = fleet.serve()
    fleet.proplet("press")
    fleet.ready("Daemon/default/watch")
    assert first.end() == 0
    keys = fleet.state / "keys"
    stolen = SigningKey.from_pem((keys / "manager.pem").read_bytes())
    with sqlite3.connect(f"file:{fleet.place}/press/agent.db?mode=ro", uri=True) as db:
        inst = db.execute("SELECT value FROM meta WHERE name = 'inst'").fetchone()[0]
    db.close()
    last = 2**53 - 1
    forged = Desired(
        to="press", inst=inst, fence=last, gen=last, iat=last, digest=tasks_digest(()), tasks=()
    )
    link = MqttTransport(broker.start().endpoint("thief"), random.Random(1))
    up = threading.Event()
    link.start(lambda event: up.set(), Will("x", b""))
    assert up.wait(10)
    topic = Channel("propeller", "fleet").desired("press")
    assert link.publish(topic, seal("desired", encode(forged), stolen), retain=True)
    log = next(one for one in fleet.place.glob("press-*.log"))
    fleet.until(lambda: f"accepted {last}/{last}" in log.read_text(), "the theft")
    link.close()
    for name in ("manager.pem", "manager.pub"):
        (keys / name).unlink()
    fleet.spec("Task", "add", {"module": {"file": "add.wat"}, "run": RUN})
    fleet.serve()
    assert fleet.ready("Task/default/add")["status"]["copies"][0]["result"] == "42"
    fleet.ready("Daemon/default/watch")
