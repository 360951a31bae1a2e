"""A thermostat on real processes: the sensor and the relay are files of the device."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from propeller.cli import devices

pytestmark = pytest.mark.live

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = ["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry"]


def test_the_heater_follows_its_sensor_and_is_off_when_it_is_taken_away(
    fleet: Any, program: Path
) -> None:
    """On a Linux proplet and on the firmware, the same module and the same settings; only devices
    with both points are chosen. After a kill -9 and a new start, and when no copy is wanted any
    more, each relay is off."""
    source = EXAMPLES / "points" / "heater.c"
    wasm = fleet.specs / "heater.wasm"
    command = ["clang", *FLAGS, "-I", EXAMPLES / "sdk" / "c", "-o", wasm, source]
    subprocess.run([str(word) for word in command], check=True)
    sensor = fleet.place / "temp1_input"
    relays = [fleet.place / "relay-of-hall", fleet.place / "relay-of-shed"]

    def warm(text: str) -> None:
        """In one piece, so that nobody reads half of it."""
        draft = sensor.with_name("draft")
        draft.write_text(text)
        draft.replace(sensor)

    def relays_are(text: str) -> None:
        for relay in relays:
            fleet.until(lambda relay=relay: relay.read_text() == f"{text}\n", f"{relay} at {text}")

    def start(which: str, relay: Path) -> Any:
        settings = fleet.place / f"{which}.yaml"
        settings.write_text(
            f"sensors:\n  temperature: {sensor} scale=0.001 unit=Cel\n"
            f"outputs: ['relay-1={relay} min=0 max=1 safe=0']\n"
        )
        if which == "hall":
            return fleet.proplet(which, "--config", str(settings))
        fleet.until((fleet.state / "keys" / "root.pub").exists, "the fleet's keys")
        words = [
            *(str(program), "--config", str(settings), "--id", which, "--heartbeat", "2s"),
            *("--broker", fleet.to_broker[1], "--domain", "propeller", "--channel", "fleet"),
            *("--data", str(fleet.place / which), "--engine", str(devices.engine())),
            *("--trust", str(fleet.state / "keys" / "root.pub"), "--grace", "200ms"),
        ]
        return fleet._begin(words, which)

    warm("18500\n")
    for relay in relays:
        relay.write_text("1\n")
    for name in ("hall", "shed", "yard"):
        fleet.spec("Proplet", name, {"heartbeat": "2s"})
    fleet.broker()
    fleet.serve()
    running = [start("hall", relays[0]), start("shed", relays[1])]
    relays_are("0")  # what was left on before is off as soon as they are up
    fleet.proplet("yard", "--sensor", f"temperature={sensor}")
    spec = Path(shutil.copy(EXAMPLES / "points" / "heater.yaml", fleet.specs))
    relays_are("1")
    warm("21500\n")
    relays_are("0")
    warm("15000\n")
    relays_are("1")
    for one in running:
        one.kill()
    assert all(relay.read_text() == "1\n" for relay in relays), "nobody could switch them off"
    warm("20500\n")  # neither on nor off: what comes now is not the guest's doing
    start("hall", relays[0])
    start("shed", relays[1])
    relays_are("0")
    warm("15000\n")
    relays_are("1")
    words = lambda: str(fleet.status("Daemon/default/heater"))  # noqa: E731
    fleet.until(lambda: 'has no output "relay-1"' in words(), "what yard lacks, in the status")
    assert {copy["proplet"] for copy in fleet.copies("Daemon/default/heater")} == {"hall", "shed"}
    fleet.write(spec.name, spec.read_text().replace("perProplet: true", "replicas: 0"))
    relays_are("0")
