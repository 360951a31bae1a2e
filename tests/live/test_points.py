"""A thermostat on real processes: the sensor and the relay are files of the device."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = ["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry"]


def test_the_heater_follows_its_sensor_and_is_off_when_it_is_taken_away(fleet: Any) -> None:
    """Only the device with both points is chosen; after a kill -9 and a new start, and
    when no copy is wanted any more, the relay is off."""
    source = EXAMPLES / "points" / "heater.c"
    wasm = fleet.specs / "heater.wasm"
    command = ["clang", *FLAGS, "-I", EXAMPLES / "sdk" / "c", "-o", wasm, source]
    subprocess.run([str(word) for word in command], check=True)
    sensor, relay = fleet.place / "temp1_input", fleet.place / "relay"
    sensor.write_text("18500\n")
    relay.write_text("1\n")
    points = [
        *("--sensor", f"temperature={sensor} scale=0.001 unit=Cel"),
        *("--output", f"relay-1={relay} min=0 max=1 safe=0"),
    ]

    def relay_is(text: str) -> None:
        fleet.until(lambda: relay.read_text() == f"{text}\n", f"the relay at {text}")

    fleet.broker()
    fleet.serve()
    hall = fleet.proplet("hall", *points)
    relay_is("0")  # what was left on before is off as soon as the proplet is up
    fleet.proplet("yard", *points[:2])
    spec = Path(shutil.copy(EXAMPLES / "points" / "heater.yaml", fleet.specs))
    relay_is("1")
    copies = fleet.until(lambda: fleet.copies("Daemon/default/heater"), "a copy in the status")
    assert [copy["proplet"] for copy in copies] == ["hall"]
    sensor.write_text("21500\n")
    relay_is("0")
    sensor.write_text("15000\n")
    relay_is("1")
    hall.kill()
    assert relay.read_text() == "1\n", "nobody is there who could switch it off"
    sensor.write_text("20500\n")  # neither on nor off: what comes now is not the guest's doing
    fleet.proplet("hall", *points)
    relay_is("0")
    sensor.write_text("15000\n")
    relay_is("1")
    fleet.write(spec.name, spec.read_text().replace("perProplet: true", "replicas: 0"))
    relay_is("0")
