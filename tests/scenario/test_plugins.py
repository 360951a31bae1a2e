"""Plugins through the whole engine: a refused commit, an object that is placed by a score."""

from __future__ import annotations

from pathlib import Path

import pytest
from specs_text import WAT, daemon_yaml, proplet_yaml
from wasmtime import wat2wasm

from propeller.model.ids import sha256_digest
from propeller.model.module import Module
from propeller.registry.wasm import inspect
from propeller.rehearse.fleet import Sim
from propeller.sources.images import Absent, Pulled

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


class Registry:
    """Has the rules once it is up."""

    rules = ()

    def __init__(self) -> None:
        self.wasm = bytes(wat2wasm(RULES))
        self.digest = sha256_digest(self.wasm)
        self.up = False

    def fetch(self, refs):
        if not self.up:
            return dict.fromkeys(refs, Absent("registry.example: no answer", again=True))
        facts = inspect(self.wasm)
        module = Module(
            identity=self.digest,
            digest=self.digest,
            size=len(self.wasm),
            imports=facts.imports,
            exports=facts.exports,
            memory_min=facts.memory_min,
        )
        return dict.fromkeys(refs, Pulled(module, self.wasm))

    def forget(self, ref) -> None:
        raise AssertionError(ref)


def test_nothing_of_a_commit_is_taken_before_its_plugin_is_there(sim: Sim) -> None:
    """Not after a restart either; what runs goes on, and then all of the commit is taken."""
    registry = Registry()
    sim.plugin_images = registry
    sim.write("d.yaml", owned("d"))
    assert sim.run(60_000, until=sim.ready), sim.what_is_not()
    image = f'{{image: "registry.example/rules@{registry.digest}"}}'
    sim.write("plugin.yaml", PLUGIN.replace("{file: rules.wat}", image))
    sim.remove("d.yaml")
    sim.write("e.yaml", owned("e"))
    sim.run(5_000)
    sim.restart_manager()
    sim.run(5_000)
    told = (sim.state.status / "source.yaml").read_text()
    assert "registry.example: no answer, and onFailure is Closed" in told
    assert list(sim.running()) == ["Daemon/default/d"]
    registry.up = True
    sim.manager.read()
    assert sim.run(60_000, until=lambda: list(sim.running()) == ["Daemon/default/e"])
