"""A device that talks, goes on alone and keeps time: real processes, a provisioned mosquitto."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from propeller.transport.child import listens
from propeller.transport.mosquitto import find_mosquitto
from propeller.wire.topics import Channel

pytestmark = pytest.mark.live

CHANNEL = Channel("propeller", "fleet")
ROOT = Path(__file__).parents[2]

_BESIDE = importlib.util.spec_from_file_location(
    "live_provision", Path(__file__).with_name("test_provision.py")
)
assert _BESIDE is not None
assert _BESIDE.loader is not None
_provision = importlib.util.module_from_spec(_BESIDE)
_BESIDE.loader.exec_module(_provision)


def _compiled(source: Path, out: Path) -> None:
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry"]
    sdk = ROOT / "examples" / "sdk" / "c"
    subprocess.run(["clang", *flags, "-I", sdk, "-o", out, source], check=True)


def test_a_device_talks_and_goes_on_alone(fleet):
    """What it says without a broker, over a kill -9, comes when the broker is back; it hears what
    is said to it; with its rights nobody speaks for another; its schedule is kept meanwhile."""
    plant = _provision.Plant(fleet)
    try:
        _play(plant, fleet)
    finally:
        plant.child.stop()


def _play(plant, fleet) -> None:
    plant.provision("dev-a", "dev-b")
    opened = fleet.run(
        *("provision", "fleet", "f", "--publish", "telemetry/{proplet}/#"),
        *("--hear", "thermostats/{proplet}/+"),
    )
    assert opened.code == 0, opened.err
    plant.restart()
    specs = fleet.place / "specs"
    fleet.module("add/add.wat")
    _compiled(ROOT / "examples" / "messages" / "thermostat.c", specs / "thermostat.wasm")
    shutil.copy(ROOT / "examples" / "messages" / "thermostat.yaml", specs)
    fleet.spec(
        "Task",
        "sample",
        {
            "module": {"file": "add.wat"},
            "run": {"entrypoint": "add", "args": ["40", "2"]},
            "placement": {"perProplet": True, "autonomy": "1h"},
            "schedule": {"cron": "* * * * *", "runOn": "Proplet"},
        },
    )
    plant.manager()
    proplet = plant.proplet("dev-a")
    fleet.ready("Daemon/default/thermostat")
    fleet.ready("Task/default/sample")
    told = CHANNEL.data("telemetry/dev-a/temperature")
    with plant.manager_client() as witness, plant.client("dev-a") as rogue:
        fleet.until(lambda: witness.connected and rogue.connected, "both connected")
        witness.link.subscribe([CHANNEL.data("telemetry/#")])
        fleet.until(lambda: told in witness.topics(), "the thermostat talks")
        assert rogue.link.publish(CHANNEL.data("telemetry/dev-b/x"), b"forged")
        assert rogue.link.publish(CHANNEL.data("thermostats/dev-a/w"), b"99")
        assert rogue.link.publish(CHANNEL.data("telemetry/dev-a/x"), b"own")
        fleet.until(lambda: CHANNEL.data("telemetry/dev-a/x") in witness.topics(), "its own")
        assert CHANNEL.data("telemetry/dev-b/x") not in witness.topics()
        wanted = CHANNEL.data("thermostats/dev-a/wanted")
        assert witness.link.publish(wanted, b"40")
        fleet.until(lambda: any(one.payload == b"40=" for one in witness.heard), "it is heard")

        database = fleet.place / "data-dev-a" / "agent.db"
        plant.child.stop()
        fleet.until(lambda: _rows(database, "outgoing") > 5, "messages are kept")
        os.kill(proplet.process.pid, signal.SIGKILL)
        proplet.process.wait()
        kept = _rows(database, "outgoing")
        assert kept > 5
        assert _rows(database, "times") == 1
        plant.proplet("dev-a")
        fleet.until(lambda: _rows(database, "outgoing") > kept, "it goes on alone")
        connects = witness.link.stats().connects
        conf = str(plant.folder / "broker" / "mosquitto.conf")
        plant.child.start(lambda _: [find_mosquitto(), "-c", conf], listens)
        fleet.until(lambda: witness.link.stats().connects > connects, "the broker is back")
        fleet.until(lambda: _rows(database, "outgoing") == 0, "all of it is sent")
    fleet.ready("Task/default/sample")


def _rows(database: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
