"""What is denied is seen: an event with the words of who denied it, the reason of its object."""

from __future__ import annotations

import json
from pathlib import Path

from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml

from propeller.model.ids import Key
from propeller.rehearse.fleet import CHANNEL, SECOND, Sim
from propeller.transport.base import Received
from propeller.wire.frame import peek_body, seal

WORDS = "may have 8MiB of memory here (guestMemory), asks for more"


def events(sim: Sim) -> list[tuple[str, str, str]]:
    """(severity, reason, message) of everything that was said."""
    return [(one.severity, one.reason, one.message) for one in sim.manager.store.events()]


def test_a_refusal_of_a_device_is_an_event_and_the_reason_of_its_object(tmp_path: Path) -> None:
    """The owner's ceiling stands in the event and in the condition, in the device's words."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    topic = CHANNEL.report("a")
    report = json.loads(peek_body(sim.broker.retained[topic]))
    (run,) = report["tasks"]
    refused = {**run, "state": "Refused", "error": WORDS, "ready": False}
    document = {**report, "seq": report["seq"] + 100, "tasks": [refused]}
    payload = seal("report", json.dumps(document).encode(), sim.device_key("a"))
    sim.manager.reconciler.turn([Received(topic, payload, False)])
    told = [one for one in events(sim) if WORDS in one[2]]
    assert told
    assert told[0][0] == "Warning"
    held = sim.manager.reconciler.world.find(Key("Daemon", "default", "d"))
    assert held is not None
    rows = sim.manager.reconciler.projection.conditions(held.uid)
    assert any(WORDS in one.message for one in rows)


def test_a_commit_beyond_a_ceiling_is_an_event_and_changes_nothing(tmp_path: Path) -> None:
    """The last good revision stands, and the event names file, field and whose ceiling it is."""
    sim = plant(tmp_path)
    sim.write("team/m.wat", (sim.specs / "m.wat").read_text())
    sim.write("team/d.yaml", daemon_yaml("d", EVERYWHERE + "  limits: {memory: 32MiB}\n"))
    sim.write(
        "app.yaml",
        "apiVersion: propeller.dev/v1alpha1\nkind: App\nmetadata: {name: team}\n"
        "spec: {source: {path: team}, ceilings: {memory: 32MiB}}\n",
    )
    until_ready(sim)
    sim.write("team/d.yaml", daemon_yaml("d", EVERYWHERE + "  limits: {memory: 33MiB}\n"))
    sim.run(5 * SECOND)
    told = [one for one in events(sim) if one[1] == "RevisionRefused"]
    wanted = ("team/d.yaml", "spec.limits.memory", "32MiB", 'ceilings of App "team"')
    assert any(all(words in one[2] for words in wanted) for one in told), told
    held = sim.manager.reconciler.world.find(Key("Daemon", "default", "d"))
    assert held is not None
    assert held.object.limits.memory == 32 << 20
