"""The worst of `test_attacks` done to a real proplet process behind a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proplet_hand_manager import CHANNEL, ID, Device, HandManager, an_entry, sha256, wat

from propeller.transport.mosquitto import MosquittoBroker
from propeller.wire.frame import seal
from propeller.wire.messages import Entry
from propeller.wire.signing import P256, SigningKey

pytestmark = pytest.mark.live

GOOD = wat('(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))')
EVIL = wat('(module (memory (export "memory") 2) (func (export "_start") (loop br 0)))')
LONG = {"mode": "daemon", "cause": "daemon", "restart": "Always", "timeout": None}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[HandManager]:
    """Its online keys are the attacker's; the root's and the release key are not."""
    broker = MosquittoBroker(tmp_path / "broker")
    made = HandManager(broker.start().endpoint("hand"), release=SigningKey.generate(P256))
    made.blobs = {sha256(each): each for each in (GOOD, EVIL)}
    made.start()
    yield made
    made.close()
    broker.stop()


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


def error(manager: HandManager, entry: Entry) -> str:
    run = manager.last.get(entry.run)
    return run.error if run is not None else ""


def test_stolen_online_keys_start_nothing_that_was_not_released(
    manager: HandManager, device: Device
) -> None:
    """The module is not even fetched; once the offline key names it, the same run begins."""
    evil = an_entry(1, EVIL, **LONG)
    manager.want(evil)
    manager.until(lambda: "no release list has come" in error(manager, evil))
    manager.say(CHANNEL.releases(), manager.released(1, GOOD))
    manager.until(lambda: "list 1 does not name" in error(manager, evil))
    for key in (manager.key, manager.root, SigningKey.generate(P256)):
        manager.say(CHANNEL.releases(), manager.released(5, GOOD, EVIL, key=key))
    manager.say(CHANNEL.trust(), manager.trust(9, root=manager.key))
    good = an_entry(2, GOOD, **LONG)
    manager.want(evil, good)
    manager.until(lambda: manager.state(good) == "Running")
    device.kill()
    device.start()
    manager.until(lambda: len(manager.hellos) > 1 and manager.state(good) == "Running")
    assert manager.state(evil) == "Pending"
    assert [get for get in manager.asked if get.digest == sha256(EVIL)] == []
    assert not (device.directory / "data" / "blobs" / sha256(EVIL)[7:]).exists()
    manager.say(CHANNEL.releases(), manager.released(2, GOOD, EVIL))
    manager.until(lambda: manager.state(evil) == "Running")


def test_a_broker_that_forges_replays_reorders_and_withholds_is_not_obeyed(
    manager: HandManager, device: Device
) -> None:
    """Retained or not, before and after a reboot: the newest signed document is what is held."""
    manager.say(CHANNEL.releases(), manager.released(2, GOOD))
    first, second = an_entry(1, GOOD, **LONG), an_entry(2, GOOD, **LONG)
    old = manager.document(first)
    manager.say(CHANNEL.desired(ID), old)
    manager.until(lambda: manager.state(first) == "Running")
    newest = manager.document(second)
    manager.say(CHANNEL.desired(ID), newest)
    manager.until(lambda: manager.state(second) == "Running" and first.run not in manager.last)
    stranger = SigningKey.generate()
    body = old[4 + old[3] + 64 :]
    flipped = newest[:-1] + bytes([newest[-1] ^ 1])
    forgeries = (b"", b"{}", body, flipped, seal("desired", body, stranger), b"P1" * 4000, old)
    for payload in forgeries:
        manager.say(CHANNEL.desired(ID), payload)
    manager.say(CHANNEL.trust(), manager.trust(7, root=stranger))
    manager.say(CHANNEL.releases(), manager.released(1, GOOD, EVIL))
    manager.until(lambda: any(r.refused is not None for r in manager.reports))
    reasons = {r.refused.reason for r in manager.reports if r.refused is not None}
    assert reasons <= {"stale", "bad_signature", "unknown_kid", "not_framed", "cut_short"}
    for _ in range(2):  # the broker goes on returning the old document to whoever subscribes
        time.sleep(0.6)
        assert (manager.reports[-1].observed.gen, set(manager.last)) == (2, {second.run})
        assert manager.state(second) == "Running"
        heard = len(manager.hellos)
        device.kill()
        device.start()
        manager.until(lambda heard=heard: len(manager.hellos) > heard)
        manager.until(lambda: manager.state(second) == "Running")
    evil = an_entry(3, EVIL, **LONG)
    manager.want(second, evil)
    manager.until(lambda: "list 2 does not name" in error(manager, evil))
