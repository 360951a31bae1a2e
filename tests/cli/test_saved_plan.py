"""Plans in files: what was approved is what runs, or nothing runs and it is said why."""

from __future__ import annotations

import json

import pytest

from propeller.state.records import Approval


def edit(folder, file, before, after):
    """Change a spec as a person would."""
    path = folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.fixture
def saved(cli, fleet, specs):
    """A plan for one edit, in `plan.json`."""
    edit(specs, "filter.yaml", '"5"', '"6"')
    said = cli("plan", "plant", "-o", "plan.json")
    assert said.code == 0
    assert "saved in plan.json" in said.err
    return specs.parent / "plan.json"


@pytest.fixture
def applied(loop, monkeypatch):
    """What a running reconciler was handed."""
    handed = []

    def apply(path, expect=""):
        handed.append((path, expect))
        from propeller.reconcile.events import SourceSilent

        return SourceSilent(path, "the test ends here")

    monkeypatch.setattr(loop, "apply", apply)
    return handed


def test_a_saved_plan_is_handed_over_with_its_digest(cli, saved, applied, specs):
    """The reconciler compares once more, after everything that came before."""
    cli("apply", "plan.json")
    digest = json.loads(saved.read_text())["digest"]
    assert applied == [(str(specs), digest)]


def test_a_saved_plan_says_what_it_is_about(saved, specs):
    """Data for a check on a pull request: digest, changes, guards, specs."""
    plan = json.loads(saved.read_text())
    assert (plan["kind"], plan["formatVersion"], plan["path"]) == ("Plan", 1, str(specs))
    assert [change["object"] for change in plan["changes"]] == ["Daemon/plant-a/filter"]
    assert plan["guards"] == []
    assert plan["base"]["serial"] > 0


def test_a_report_from_a_device_makes_no_plan_stale(cli, saved, applied, fleet):
    """The inventory counts, not every row of the store."""
    serial = fleet.store.serial()
    with fleet.store.transaction():
        fleet.store.set_meta("something", "else")
    assert fleet.store.serial() > serial
    cli("apply", "plan.json")
    assert len(applied) == 1


def test_specs_that_moved_make_it_stale(cli, saved, applied, specs):
    """Exit 5, and every difference by name; nothing is handed over."""
    edit(specs, "filter.yaml", '"6"', '"7"')
    (specs / "add.yaml").unlink()
    said = cli("apply", "plan.json")
    assert said.code == 5
    assert "the specs moved" in said.err
    assert "Daemon/plant-a/filter: other fields would change" in said.err
    assert "Task/default/add: delete was not planned" in said.err
    assert applied == []


def test_an_inventory_that_moved_makes_it_stale(cli, saved, applied, fleet, specs):
    """Somebody else's revision was taken in between."""
    held = fleet.held("Daemon", "plant-a", "filter")
    from dataclasses import replace

    from propeller.model.ids import sha256_digest

    meta = replace(held.object.meta, spec_digest=sha256_digest(b"other"), labels={"x": "y"})
    with fleet.store.transaction():
        fleet.store.put_held(replace(held, object=replace(held.object, meta=meta)))
    said = cli("apply", "plan.json")
    assert said.code == 5
    assert "stale" in said.err
    assert "other fields" in said.err or "inventory moved" in said.err
    assert applied == []


def test_specs_elsewhere_are_the_same_plan(cli, saved, applied, specs):
    """A check-out in another place, as on another machine."""
    other = specs.parent / "elsewhere"
    specs.rename(other)
    assert cli("apply", "plan.json").code == 2
    cli("apply", "plan.json", "--specs", "elsewhere")
    assert [path for path, _ in applied] == [str(other)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"kind": "Plan", "formatVersion": 2}', "format 2"),
        ('{"kind": "Plan", "formatVersion": 1}', "is no saved plan"),
    ],
)
def test_a_plan_that_cannot_be_read_is_two(cli, fleet, here, text, words):
    """And says what to do."""
    (here / "plan.json").write_text(text)
    said = cli("apply", "plan.json")
    assert said.code == 2
    assert words in said.err


def test_a_format_nobody_knows_is_refused(cli, fleet):
    """`-o plan.txt` is neither."""
    assert cli("plan", "plant", "-o", "plan.txt").code == 2


# -- guards ---------------------------------------------------------------------------------------


@pytest.fixture
def guarded(cli, fleet, specs):
    """The plan to delete everything of the plant, in `plan.json`."""
    for file in specs.glob("*.yaml"):
        if file.name != "propeller.yaml":
            file.unlink()
    said = cli("plan", "plant", "-o", "plan.json")
    assert said.code == 0
    return json.loads((specs.parent / "plan.json").read_text()), said


def test_a_plan_shows_the_guards_that_would_wait(guarded):
    """With the digest to confirm."""
    plan, said = guarded
    assert {row["guard"] for row in plan["guards"]} == {"neverEmpty"}
    assert "waits for a confirmation: all " in said.out
    assert f"propeller confirm {plan['digest']}" in said.out


def test_a_guarded_plan_is_not_applied_unconfirmed(cli, guarded, applied):
    """Exit 5, nothing handed over."""
    said = cli("apply", "plan.json")
    assert said.code == 5
    assert "a guard waits" in said.err
    assert applied == []


def test_a_confirmed_plan_is_applied(cli, guarded, applied, fleet):
    """The confirmation is a row in the store."""
    plan, _ = guarded
    with fleet.store.transaction():
        fleet.store.put_approval(Approval(digest=plan["digest"], by="ana", at=fleet.now))
    cli("apply", "plan.json")
    assert [expect for _, expect in applied] == [plan["digest"]]
