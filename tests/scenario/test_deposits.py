"""Objects that come through the API: planned like all others, decided about by no source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plants import plant, until_ready
from specs_text import EVERYWHERE, daemon_yaml, task_yaml

from propeller.model.ids import Key, uid_for
from propeller.model.specs import Daemon
from propeller.reconcile.deposits import API_APP, Deposit, Withdraw
from propeller.rehearse.fleet import SECOND, Sim

D = Key("Daemon", "default", "d")
MINE = Key("Daemon", "default", "mine")


@pytest.fixture
def sim(tmp_path: Path) -> Sim:
    """A plant with a Daemon from its source."""
    sim = plant(tmp_path)
    sim.write("d.yaml", daemon_yaml("d", EVERYWHERE))
    until_ready(sim)
    return sim


def _thing(sim: Sim, key: Key = MINE) -> Daemon:
    held = sim.manager.reconciler.world.find(D)
    assert held is not None
    thing = held.object
    assert isinstance(thing, Daemon)
    uid = uid_for(sim.channel.domain, key)
    return replace(thing, meta=replace(thing.meta, key=key, uid=uid, app=API_APP))


def _put(sim: Sim, thing: Daemon, *, dry: bool = False) -> dict[str, object]:
    answers = sim.manager.ask(
        lambda reply: Deposit(object=thing, by="token:ci", dry=dry, reply=reply)
    )
    sim.run(SECOND)
    return dict(answers[0])


def _drop(sim: Sim, key: Key, *, dry: bool = False) -> dict[str, object]:
    answers = sim.manager.ask(
        lambda reply: Withdraw(key=key, app=API_APP, by="token:ci", dry=dry, reply=reply)
    )
    sim.run(SECOND)
    return dict(answers[0])


def test_what_is_put_runs_until_it_is_deleted_whatever_sources_do(sim: Sim) -> None:
    """No revision prunes it; deleted, it leaves every device and then the inventory."""
    thing = _thing(sim)
    assert _put(sim, thing)["op"] == "create"
    until_ready(sim)
    assert sim.running()[str(MINE)] == ["a", "b"]
    sim.write("t.yaml", task_yaml("t"))
    sim.remove("d.yaml")
    sim.run(20 * SECOND)
    assert sim.running() == {str(MINE): ["a", "b"]}
    assert _drop(sim, MINE)["op"] == "delete"
    sim.run(20 * SECOND)
    assert sim.running() == {}
    assert sim.manager.reconciler.world.find(MINE) is None


def test_the_same_again_changes_nothing_and_a_change_moves_the_generation(sim: Sim) -> None:
    """Putting is safe to repeat."""
    thing = _thing(sim)
    assert _put(sim, thing)["op"] == "create"
    assert _put(sim, thing)["op"] == "none"
    labelled = replace(thing, meta=replace(thing.meta, labels={"tier": "gold"}))
    words = _put(sim, labelled)
    assert (words["op"], words["fields"]) == ("update", ["metadata.labels.tier"])
    held = sim.manager.reconciler.world.find(MINE)
    assert held is not None
    assert held.generation == 1, "labels are no spec"


def test_a_dry_run_only_says_what_would_happen(sim: Sim) -> None:
    """Nothing is written down, and nothing runs."""
    assert _put(sim, _thing(sim), dry=True) == {
        "done": True,
        "op": "create",
        "reason": "added in api",
        "fields": [],
        "dryRun": True,
    }
    assert sim.manager.reconciler.world.find(MINE) is None
    _put(sim, _thing(sim))
    assert _drop(sim, MINE, dry=True)["op"] == "delete"
    until_ready(sim)
    assert sim.running()[str(MINE)] == ["a", "b"]


def test_what_a_source_has_is_changed_there(sim: Sim) -> None:
    """Neither put over nor deleted; the place to edit is named."""
    for words in (_put(sim, _thing(sim, D)), _drop(sim, D)):
        assert words["exit"] == 2
        assert "d.yaml:2: change it there" in str(words["error"])
    assert sim.running()[str(D)] == ["a", "b"]


def test_what_is_not_there_is_not_deleted(sim: Sim) -> None:
    """Twice deleting is told."""
    assert _drop(sim, MINE)["missing"] is True
    _put(sim, _thing(sim))
    _drop(sim, MINE)
    assert _drop(sim, MINE)["missing"] is True


def test_put_after_delete_comes_back(sim: Sim) -> None:
    """Also while devices still let go of the first one."""
    thing = _thing(sim)
    _put(sim, thing)
    until_ready(sim)
    _drop(sim, MINE)
    assert _put(sim, thing)["op"] == "create"
    until_ready(sim)
    assert sim.running()[str(MINE)] == ["a", "b"]
