"""The gateway's own connection: who is there, and whose word counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from propeller.gateway.calls import Request
from propeller.gateway.carrier import Carrier, Ground
from propeller.model.ids import Digest, PropletId, RunId, sha256_digest
from propeller.model.inventory import Assignment, Held
from propeller.model.seen import Facts, Presence, RunState, Seen, SeenRun
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree
from propeller.state.sqlite import SqliteStore
from propeller.transport.base import Received
from propeller.wire import codec
from propeller.wire.frame import seal
from propeller.wire.messages import Status
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel

NOW = 1_800_000_000_000
CHANNEL = Channel("plant", "fleet")
SPEC = b"""apiVersion: propeller.dev/v1alpha1
kind: Function
metadata: {name: f}
spec:
  module: {file: f.wat}
  interface: Values
  run: {entrypoint: f}
"""
WAT = b'(module (func (export "f") (result i32) (i32.const 42)))'


class Wire:
    """As much of a Transport as the Carrier uses; `hear` is the broker's side."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.hear: Any = None

    def start(self, heard: Any) -> None:
        self.hear = heard

    def subscribe(self, filters: Any) -> None:
        """Everything is heard."""

    def publish(self, topic: str, payload: bytes) -> bool:
        self.sent.append(topic)
        return True

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A Carrier over a store with a Function that is up on one proplet, whose key nobody knows."""
    store = SqliteStore.open(tmp_path / "propeller.db")
    revision = load(
        Tree(name="t", files={"f.yaml": SPEC, "f.wat": WAT}),
        domain="plant",
        keep=sha256_digest,
        inspect=inspect,
    )
    (thing,) = revision.objects.values()
    uid, run, gw = thing.meta.uid, RunId("0" * 32), PropletId("gw-01")
    up = SeenRun(
        uid=uid, run=run, digest=Digest(""), cause="daemon", state=RunState.RUNNING, ready=True
    )
    with store.transaction():
        store.put_held(
            Held(uid=uid, object=thing, generation=1, revision="t", created_at=1, changed_at=1)
        )
        facts = Facts(max_payload=1 << 20)
        store.put_seen(Seen(id=gw, declared=True, presence=Presence.ONLINE, facts=facts))
        store.put_runs(gw, [up], [])
        store.put_assignment(
            Assignment(uid=uid, proplet=gw, run=run, cause="daemon", assigned_at=1)
        )
    keys: dict[str, Any] = {}
    wire = Wire()
    carrier = Carrier(
        Ground(
            channel=CHANNEL,
            key=SigningKey.generate(),
            key_of=keys.get,
            transport=wire,  # type: ignore[arg-type]
            database=tmp_path / "propeller.db",
            calls=tmp_path / "calls.db",
            src="gateway",
            clock=lambda: NOW,
            new_id=iter(f"call-{number}" for number in range(1_000)).__next__,
        )
    )
    carrier.start()
    yield SimpleNamespace(carrier=carrier, wire=wire, keys=keys, store=store)
    carrier.stop()
    store.close()


def online(key: SigningKey, *, conn: int = 1, name: str = "gw-01") -> Received:
    """That it is there, signed by `key`."""
    word = Status(id=name, state="online", inst="0" * 32, boot=1, conn=conn)
    return Received(CHANNEL.status(name), seal("status", codec.encode(word), key), True)


def called(desk: SimpleNamespace, patience: float) -> bool:
    """Whether a call goes out to the proplet within `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        desk.carrier.call("default/f", Request(body="W10="))
        if CHANNEL.call("gw-01") in desk.wire.sent:
            return True
        time.sleep(0.02)
    return False


def moved(desk: SimpleNamespace) -> None:
    """The store changed, as when a hello is taken."""
    with desk.store.transaction():
        desk.store.set_meta("moved", "yes")


def test_a_device_that_said_hello_after_it_was_online_is_called(desk: SimpleNamespace) -> None:
    """Its word was heard before its key was known, and is said once: it counts once the key is."""
    key = SigningKey.generate()
    desk.wire.hear(online(key))
    assert not called(desk, 0.3)
    assert desk.carrier.counts.dropped == {"unknown_kid": 1}
    desk.keys["gw-01"] = key.public
    moved(desk)
    assert called(desk, 10)


def test_a_word_signed_by_another_key_never_counts(desk: SimpleNamespace) -> None:
    """Neither at once nor when the device's own key has become known."""
    desk.wire.hear(online(SigningKey.generate()))
    desk.keys["gw-01"] = SigningKey.generate().public
    moved(desk)
    assert not called(desk, 0.5)


def test_the_will_of_a_device_takes_back_what_it_said(desk: SimpleNamespace) -> None:
    """It went away before its key was known: it is not there when the key is."""
    key = SigningKey.generate()
    desk.wire.hear(online(key))
    gone = Status(id="gw-01", state="offline", inst="0" * 32, boot=1, conn=1)
    desk.wire.hear(Received(CHANNEL.status("gw-01"), codec.encode(gone), True))
    desk.keys["gw-01"] = key.public
    moved(desk)
    assert not called(desk, 0.5)
