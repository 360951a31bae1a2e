"""House rules of the tree that Apps with sources of their own cannot get around."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_sources import app, app_yaml, conditions, save
from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml

from propeller.rehearse.fleet import SECOND, Sim

RULES = (Path(__file__).parents[2] / "examples" / "plugins" / "house-rules.wat").read_text()
RULE = """apiVersion: propeller.dev/v1alpha1
kind: Plugin
metadata: {name: house-rules}
spec:
  module: {file: rules.wat}
  hooks: [Admit]
  kinds: [Daemon]
  binds: Apps
"""
OWNED = "labels: {team: blue}"


def red_yaml(name: str, *, owned: bool) -> str:
    text = daemon_yaml(name, EVERYWHERE)
    return text.replace(f"name: {name}", f"name: {name}, {OWNED}", 1) if owned else text


@pytest.fixture
def sim(tmp_path: Path) -> Sim:
    """A tree with the rule, and the App `red` from elsewhere, which keeps it."""
    made = plant(tmp_path)
    save(made, tmp_path / "red", "d.yaml", red_yaml("d", owned=True))
    made.write("rules.wat", RULES)
    made.write("plugin.yaml", RULE)
    made.write("apps.yaml", app_yaml("red", tmp_path / "red"))
    until_ready(made)
    assert made.running() == {"Daemon/default/d": ["a", "b"]}
    return made


def refused(sim: Sim) -> str:
    """Why the last commit of `red` was not taken."""
    found = conditions(sim, app("red")).get("Blocked")
    return found[2] if found is not None else ""


def test_an_app_is_bound_by_a_rule_of_the_tree(sim: Sim, tmp_path: Path) -> None:
    """Its commit is refused as one of the tree would be; the last good one stands."""
    save(sim, tmp_path / "red", "e.yaml", red_yaml("e", owned=False))
    sim.run(5 * SECOND)
    assert "the plugin house-rules@" in refused(sim)
    assert "needs a label team" in refused(sim)
    assert list(sim.running()) == ["Daemon/default/d"]
    save(sim, tmp_path / "red", "e.yaml", red_yaml("e", owned=True))
    assert sim.run(60 * SECOND, until=lambda: len(sim.running()) == 2), sim.what_is_not()
    assert refused(sim) == ""


def test_it_binds_after_a_restart_though_the_tree_cannot_be_read(sim: Sim, tmp_path: Path) -> None:
    """What binds is in the store; a bad tree frees nobody."""
    sim.write("bad.yaml", "apiVersion: propeller.dev/v1alpha1\nkind: Nonsense\n")
    for _ in range(2):
        sim.restart_manager()
        save(sim, tmp_path / "red", "e.yaml", red_yaml("e", owned=False))
        sim.run(3 * SECOND)
        assert "needs a label team" in refused(sim)
        assert list(sim.running()) == ["Daemon/default/d"]


def test_a_rule_that_comes_later_stops_nothing_and_binds_the_next_commit(tmp_path: Path) -> None:
    """What runs goes on; the App says why its commit is not taken any more; without it, it is."""
    sim = plant(tmp_path)
    save(sim, tmp_path / "red", "d.yaml", red_yaml("d", owned=False))
    sim.write("rules.wat", RULES)
    sim.write("apps.yaml", app_yaml("red", tmp_path / "red"))
    until_ready(sim)
    sim.write("plugin.yaml", RULE)
    sim.run(5 * SECOND)
    assert "needs a label team" in refused(sim)
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    sim.remove("plugin.yaml")
    assert sim.run(60 * SECOND, until=lambda: refused(sim) == "")
    assert sim.running() == {"Daemon/default/d": ["a", "b"]}
    assert not sim.started_twice()
