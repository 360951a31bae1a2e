"""Sensors and outputs through a whole fleet: only devices that have them are chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from specs_text import WAT, daemon_yaml, proplet_yaml

from propeller.rehearse.fleet import Sim
from proplet.capacity import refusal
from proplet.ceilings import NONE
from proplet.live import fresh

IMPORTS = ("wasi_snapshot_preview1", "propeller")
POINTS = """  placement: {replicas: 1}
  run:
    points:
      - {read: temperature}
      - {name: heater, write: relay, rate: 1}
"""
REF = "Daemon/default/d"


def _plant(tmp_path: Path, **points: tuple[str, ...]) -> Sim:
    sim = Sim(tmp_path, seed=7)
    sim.write("m.wat", WAT)
    sim.write("fleet.yaml", proplet_yaml(list(points)))
    for name, offered in points.items():
        sim.add(name, imports=IMPORTS, points=offered)
    sim.start_manager()
    sim.write("d.yaml", daemon_yaml("d", POINTS))
    return sim


def _status(sim: Sim) -> str:
    return (sim.state.status / "default" / "Daemon" / "d.yaml").read_text()


def test_the_copy_goes_where_both_points_are(tmp_path: Path) -> None:
    """Neither to a device without any, nor to one whose relay may only be read."""
    sim = _plant(
        tmp_path, a=(), b=("temperature", "relay"), c=("relay:w", "temperature"), d=("relay:w",)
    )
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    assert sim.running() == {REF: ["c"]}
    (entry,) = sim.proplets["c"].running.values()
    assert [(one.name, one.read, one.write, one.rate) for one in entry.points] == [
        ("temperature", "temperature", None, 10),
        ("heater", None, "relay", 1),
    ]


def test_the_status_says_what_is_missing_and_a_device_that_gets_it_is_chosen(
    tmp_path: Path,
) -> None:
    """Rebooted with a relay, the device says so in its hello, and the copy comes."""
    sim = _plant(tmp_path, a=("temperature",))
    sim.run(20_000)
    assert sim.running() == {}
    assert 'has no output "relay"' in _status(sim)
    one = sim.proplets["a"]
    one.kill()
    one._points = ("relay:w", "temperature")
    one.boot()
    assert sim.run(60_000, until=sim.ready), sim.what_is_not()
    assert sim.running() == {REF: ["a"]}
    facts = next(seen.facts for seen in sim.manager.store.fleet())
    assert facts is not None
    assert facts.points == {"relay:w", "temperature"}


def test_a_device_refuses_points_that_it_has_not_whatever_a_manager_signed(
    tmp_path: Path,
) -> None:
    """In words, with what there is."""
    sim = _plant(tmp_path, a=("relay:w", "temperature"))
    assert sim.run(30_000, until=sim.ready), sim.what_is_not()
    one = sim.proplets["a"]
    (entry,) = one.running.values()
    hello = one.agent._hello
    assert refusal(fresh(entry), hello, NONE) == ""
    less = replace(hello, points=("temperature",))
    assert refusal(fresh(entry), less, NONE) == "no output 'relay' here; offered: temperature"
    none = replace(hello, points=())
    assert refusal(fresh(entry), none, NONE) == "no sensor 'temperature' here; offered: none"
