"""The sample plant is a valid spec tree and shows a bit of everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from propeller.model.ids import Key, sha256_digest
from propeller.model.specs import App, Daemon, Proplet, Task
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree

SPECS = Path(__file__).parents[2] / "specs"


@pytest.fixture(scope="module")
def plant():
    """The sample tree as a revision."""
    files = {
        str(path.relative_to(SPECS)): path.read_bytes()
        for path in SPECS.rglob("*")
        if path.is_file()
    }
    tree = Tree(name="specs", files=files)
    return load(tree, domain="docs", keep=sha256_digest, inspect=inspect)


def test_nothing_in_it_is_skipped(plant):
    """Every document is ours."""
    assert plant.skipped == ()


def test_two_local_proplets_are_enough(plant):
    """`up --proplets 2` plays the first two declared proplets, and there are no others."""
    names = [made.meta.key.name for made in plant.objects.values() if isinstance(made, Proplet)]
    assert sorted(names) == ["gateway-1", "gateway-2"]


def test_it_shows_every_kind_and_way_to_place(plant):
    """Per proplet, replicas with spread, cron, once with a result, an App that prunes."""
    work = [made for made in plant.objects.values() if isinstance(made, Task | Daemon)]
    assert any(isinstance(made, Daemon) and made.placement.per_proplet for made in work)
    assert any(made.placement.replicas == 2 and made.placement.spread == "zone" for made in work)
    assert any(isinstance(made, Task) and made.schedule is not None for made in work)
    assert any(made.run.entrypoint == "add" for made in work)
    assert any(isinstance(made, App) for made in plant.objects.values())


def test_the_app_owns_its_folder(plant):
    """What lies under quality/ belongs to the App quality and lives in its namespace."""
    owned = {key for key, made in plant.objects.items() if made.meta.app == "quality"}
    assert owned == {Key("Task", "quality", "baseline"), Key("Daemon", "quality", "watchdog")}
