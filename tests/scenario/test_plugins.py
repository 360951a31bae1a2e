"""Plugins through the whole engine: a refused commit, an object that is placed by a score."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs_text import WAT, daemon_yaml, proplet_yaml

from propeller.rehearse.fleet import Sim

RULES = (Path(__file__).parents[2] / "examples" / "plugins" / "house-rules.wat").read_text()
PLUGIN = """apiVersion: propeller.dev/v1alpha1
kind: Plugin
metadata: {name: house-rules}
spec:
  module: {file: rules.wat}
  hooks: [Admit, Place]
  kinds: [Daemon]
"""


@pytest.fixture
def sim(tmp_path: Path) -> Sim:
    """Two proplets, one of them on mains power, and the plugin."""
    made = Sim(tmp_path, seed=1)
    made.write("m.wat", WAT)
    made.write("fleet.yaml", proplet_yaml(["a", "b"]))
    made.write("rules.wat", RULES)
    made.write("plugin.yaml", PLUGIN)
    for name in ("a", "b"):
        made.add(name)
    made.start_manager()
    return made


def owned(name: str) -> str:
    return daemon_yaml(name).replace(f"name: {name}", f"name: {name}, labels: {{team: blue}}")


@pytest.mark.parametrize("mains", ["a", "b"])
def test_a_copy_goes_where_the_plugin_says(sim: Sim, mains: str) -> None:
    """The loop asks a worker, waits for the answer, and places."""
    fleet = proplet_yaml(["a", "b"]).replace(f"id: {mains}", f"id: {mains}, power: mains")
    sim.write("fleet.yaml", fleet)
    sim.write("d.yaml", owned("d"))
    assert sim.run(60_000, until=sim.ready), sim.what_is_not()
    assert sim.running() == {"Daemon/default/d": [mains]}


def test_a_refused_commit_changes_nothing_and_says_who_refused(sim: Sim) -> None:
    """The last good one stands, and the mended one is taken."""
    sim.write("d.yaml", owned("d"))
    assert sim.run(60_000, until=sim.ready), sim.what_is_not()
    sim.write("e.yaml", daemon_yaml("e"))
    sim.run(5_000)
    told = (sim.state.status / "source.yaml").read_text()
    assert "the plugin house-rules@" in told
    assert "needs a label team" in told
    assert list(sim.running()) == ["Daemon/default/d"]
    sim.write("e.yaml", owned("e"))
    assert sim.run(60_000, until=lambda: len(sim.running()) == 2), sim.what_is_not()


def test_a_plugin_that_never_ends_stops_nothing_but_what_it_is_asked_about(sim: Sim) -> None:
    """Its fuel does: the object says why it is nowhere, and another one goes on."""
    loop = """(module (memory (export "memory") 1)
      (func (export "input") (param i32) (result i32) (i32.const 1024)) (func (export "admit"))
      (func (export "place") (result i64) (loop (br 0)) (i64.const 0)))"""
    sim.write("rules.wat", loop)
    sim.write("plugin.yaml", PLUGIN + "  limits: {fuel: 100000}\n  namespaces: [default]\n")
    sim.write("d.yaml", owned("d"))
    sim.write("e.yaml", owned("e").replace("name: e,", "name: e, namespace: other,"))
    assert sim.run(60_000, until=lambda: list(sim.running()) == ["Daemon/other/e"])
    sim.run(5_000)
    told = (sim.state.status / "default" / "Daemon" / "d.yaml").read_text()
    assert "used up its fuel of 100000" in told
