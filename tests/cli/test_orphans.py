"""`orphans`, `forget` and `adopt`: what left the source and is still there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from propeller.model.specs import Prune
from propeller.reconcile.events import GiveUp
from propeller.registry.blobs import BlobStore


@pytest.fixture
def left(fleet, specs):
    """The Daemon `filter` left the source; it is protected, so it was kept."""
    held = fleet.held("Daemon", "plant-a", "filter")
    meta = replace(held.object.meta, protect=True)
    gone = replace(held, object=replace(held.object, meta=meta), deleted_at=fleet.now, orphan=True)
    with fleet.store.transaction():
        fleet.store.put_held(gone)
    return gone


def test_nothing_left_is_said(cli, fleet):
    """And exits 0."""
    said = cli("orphans")
    assert (said.code, said.out) == (0, "")
    assert "nothing" in said.err


def test_what_was_kept_is_listed_with_its_reason(cli, fleet, left):
    """Where it runs, whose it was, and why nobody took it away."""
    (item,) = json.loads(cli("orphans", "-o", "json").out)["items"]
    assert (item["object"], item["app"], item["state"]) == (
        "Daemon/plant-a/filter", "default", "Kept",
    )  # fmt: skip
    assert item["why"] == "metadata.protect"
    assert item["proplets"]
    assert cli("orphans", "-o", "name").out == "Daemon/plant-a/filter\n"


@pytest.mark.parametrize(
    ("prune", "why"),
    [(Prune.NEVER, "prune: Never"), (Prune.ENABLED, "prune: Never of App default")],
)
def test_other_reasons_to_keep(cli, fleet, left, prune, why):
    """The object's own policy, or its App's."""
    spec = {**left.object.meta.spec, "prune": str(prune)}
    meta = replace(left.object.meta, protect=False, spec=spec)
    with fleet.store.transaction():
        fleet.store.put_held(replace(left, object=replace(left.object, meta=meta)))
    assert json.loads(cli("orphans", "-o", "json").out)["items"][0]["why"] == why


def test_forget_asks_the_reconciler(cli, fleet, left, loop):
    """With a name and a reason for the record; what was not confirmed is said."""
    said = cli("forget", "filter", "--reason", "scrapped")
    assert said.code == 0
    (event,) = loop.asked
    assert isinstance(event, GiveUp)
    assert (str(event.key), event.reason) == ("Daemon/plant-a/filter", "scrapped")
    assert "not confirmed by gateway-2" in said.err


@pytest.mark.parametrize("verb", ["forget", "adopt"])
def test_what_is_in_the_source_is_refused(cli, fleet, loop, verb):
    """Its spec is the place to say it."""
    said = cli(verb, "filter")
    assert said.code == 2
    assert "is wanted" in said.err
    assert loop.asked == []


def test_adopt_prints_a_spec_that_changes_nothing(cli, fleet, left, specs):
    """Taken back it is the object it was: same uid, same spec, nothing restarts."""
    said = cli("adopt", "filter")
    assert said.code == 0
    assert "hunter2" in said.out, "it is the person's own spec, as written"
    (specs / "filter.yaml").write_text(said.out + "---\n" + _rest(specs))
    plan = json.loads(cli("plan", "plant", "-o", "json").out)
    (change,) = (one for one in plan["changes"] if one["object"] == "Daemon/plant-a/filter")
    assert (change["object"], change["op"], change["how"]) == (
        "Daemon/plant-a/filter", "create", "none",
    )  # fmt: skip
    assert change["fields"] == []


def _rest(specs):
    return (specs / "filter.yaml").read_text().partition("---\n")[2]


def test_adopt_writes_the_spec_where_its_module_is(cli, fleet, left, specs):
    """Beside the module; it never writes over a file."""
    assert cli("adopt", "filter", "--into", "plant/filter.yaml").code == 2
    said = cli("adopt", "filter", "--into", "plant/back.yaml")
    assert said.code == 0, said.err
    assert said.out == "plant/back.yaml\n"
    assert "uid:" in (specs / "back.yaml").read_text()


def test_adopt_says_when_the_module_is_lost(cli, fleet, left, specs):
    """Text that was never kept cannot be brought back by us."""
    said = cli("adopt", "filter", "--into", "elsewhere/filter.yaml")
    assert said.code == 2
    assert "is missing" in said.err
    assert not (specs.parent / "elsewhere").exists()


def test_adopt_brings_a_module_back_from_the_blob_store(cli, fleet, left, specs, state):
    """Wasm bytes are kept by digest."""
    data = b"\0asm\1\0\0\0"
    blobs = BlobStore(state.blobs)
    digest = blobs.put(data)
    ref = replace(left.object.module, file="m.wasm", digest=digest)
    module = next(one for one in fleet.store.modules().values())
    meta = left.object.meta
    spec = {**meta.spec, "module": {"file": "m.wasm", "digest": digest}}
    thing = replace(left.object, module=ref, meta=replace(meta, spec=spec))
    with fleet.store.transaction():
        fleet.store.put_held(replace(left, object=thing))
        fleet.store.put_module(ref, replace(module, identity=digest, digest=digest))
    said = cli("adopt", "filter", "--into", "elsewhere/filter.yaml")
    assert said.code == 0, said.err
    assert (specs.parent / "elsewhere" / "m.wasm").read_bytes() == data


def test_dry_runs_do_nothing(cli, fleet, left, loop, specs):
    """They say what would be done."""
    assert cli("forget", "filter", "--dry-run").code == 0
    assert cli("adopt", "filter", "--into", "plant/back.yaml", "--dry-run").code == 0
    assert loop.asked == []
    assert not (specs / "back.yaml").exists()
