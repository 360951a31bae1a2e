"""Drift as the commands show it: with its fields, and never where the specs ignore it."""

from __future__ import annotations

import json
from dataclasses import replace

import fleet_rows
import pytest

from propeller.model.drift import Corrections
from propeller.model.ids import PropletId, RunId
from propeller.model.seen import Presence
from propeller.reconcile.deliver import delivered
from propeller.state.records import Asked
from propeller.wire.codec import encode, tasks_digest
from propeller.wire.messages import Desired

FILTER = "Daemon/plant-a/filter"


@pytest.fixture
def drifted(fleet):
    """gateway-1 took its document and does not report the Daemon's run any more."""
    held = fleet.held("Daemon", "plant-a", "filter")
    name = PropletId("gateway-1")
    copy = fleet.assignments[held.uid][name]
    store = fleet.store
    with store.transaction():
        _hold(store, fleet.proplets[name])
        store.put_runs(name, (), [(held.uid, copy.run)])
    return Drift(store, held, copy)


class Drift:
    """A drifted copy in a store."""

    def __init__(self, store, held, copy):
        self.store, self.held, self.copy = store, held, copy


def _hold(store, seen):
    digest = tasks_digest(())
    body = encode(
        Desired(to=seen.id, inst=seen.inst, fence=7, gen=3, iat=1, digest=digest, tasks=())
    )
    asked = Asked(
        proplet=seen.id, inst=seen.inst, fence=7, gen=3, digest=digest, asked_at=1, due=2,
        attempts=1, body=body,
    )  # fmt: skip
    seen = replace(seen, presence=Presence.ONLINE, observed_digest=digest)
    assert delivered(seen, asked)
    store.put_asked(asked)
    store.put_seen(seen)


def _edit(specs, more):
    path = specs / "filter.yaml"
    text = path.read_text()
    path.write_text(text.replace("  module: {file: filter.wat}\n", more, 1))


def test_a_lost_run_is_shown_with_what_was_asked(cli, drifted):
    """The run that is missing, what is done about it; and it is a change."""
    said = cli("diff", "plant")
    assert said.code == 1
    assert said.out.startswith(f"* {FILTER} drift (corrected) gateway-1 took the document")
    assert f'    run:  "{drifted.copy.run}" -> (none)' in said.out
    assert "no changes" not in said.err


def test_the_same_as_data(cli, drifted):
    """Beside the changes: the digest that is approved does not depend on what a device does."""
    plan = json.loads(cli("plan", "plant", "-o", "json").out)
    assert plan["changes"] == []
    assert plan["drift"] == [
        {
            "object": FILTER,
            "proplet": "gateway-1",
            "reason": "RunMissing",
            "message": "took the document and does not report the run",
            "does": "corrected",
            "fields": [{"path": "run", "asked": drifted.copy.run, "reported": None}],
        }
    ]


@pytest.mark.parametrize(
    "rule",
    [
        "  module: {file: filter.wat}\n  drift: Ignore\n",
        "  module: {file: filter.wat}\n  ignoreDrift: [{reasons: [RunMissing]}]\n",
        "  module: {file: filter.wat}\n  ignoreDrift: [{selector: {matchLabels: {zone: a}}}]\n",
    ],
    ids=["mode", "reason", "labels"],
)
def test_what_the_specs_ignore_is_not_shown(cli, drifted, specs, rule):
    """The specs that are compared decide; the only change is that they say so."""
    _edit(specs, rule)
    plan = json.loads(cli("plan", "plant", "-o", "json").out)
    assert plan["drift"] == []
    assert {change["how"] for change in plan["changes"]} == {"none"}


def test_a_rule_for_another_device_hides_nothing(cli, drifted, specs):
    """Only what fits is left out."""
    _edit(specs, "  module: {file: filter.wat}\n  ignoreDrift: [{proplets: [gateway-2]}]\n")
    (one,) = json.loads(cli("plan", "plant", "-o", "json").out)["drift"]
    assert one["proplet"] == "gateway-1"


def test_drift_that_is_left_is_no_change(cli, drifted, fleet, specs):
    """`Detect` shows it; nothing will be done, and that is what the exit code says."""
    _edit(specs, "  module: {file: filter.wat}\n  drift: Detect\n")
    plan = json.loads(cli("plan", "plant", "-o", "json").out)
    assert [one["does"] for one in plan["drift"]] == ["left"]
    with drifted.store.transaction():
        for thing in fleet_rows.revision_of(specs).objects.values():
            held = fleet.objects[thing.meta.uid]
            drifted.store.put_held(replace(held, object=thing))
    said = cli("diff", "plant")
    assert said.code == 0
    assert "drift (left)" in said.out


def test_flapping_is_said(cli, drifted):
    """Too many corrections: it is shown as one that nobody corrects, and is no change."""
    with drifted.store.transaction():
        drifted.store.put_corrections(
            Corrections(uid=drifted.held.uid, generation=1, times=(1,), flapping=True)
        )
    said = cli("diff", "plant")
    assert said.code == 0
    assert "drift (flapping)" in said.out


def test_a_device_that_did_not_take_the_document_has_not_drifted(cli, drifted, fleet):
    """It is asked again; that is no drift."""
    seen = replace(fleet.proplets[PropletId("gateway-1")], observed_gen=2)
    with drifted.store.transaction():
        drifted.store.put_seen(seen)
    assert cli("diff", "plant").code == 0


def test_get_describe_and_why_tell(cli, fleet):
    """The condition beside Ready, the fields, and the link that is not whole."""
    held = fleet.held("Daemon", "plant-a", "filter")
    store = fleet.store
    (row,) = [one for one in store.statuses() if one.uid == held.uid]
    document = json.loads(row.document)
    run = RunId("0" * 32)
    document["status"]["drift"] = [
        {"proplet": "gateway-1", "reason": "RunStray",
         "fields": [{"path": "run", "asked": None, "reported": run}]}
    ]  # fmt: skip
    document["status"]["conditions"].append(
        {**document["status"]["conditions"][0], "type": "DriftDetected", "status": "True",
         "reason": "RunStray", "message": "gateway-1 reports a run that nobody asked for"}
    )  # fmt: skip
    with store.transaction():
        store.put_status(replace(row, document=json.dumps(document)))
    assert "drift: gateway-1 reports a run that nobody asked for" in cli("get", FILTER).out
    told = cli("describe", FILTER).out.splitlines()
    heads = told.index("Drift:")
    assert told[heads + 2].split() == ["gateway-1", "RunStray", "run", "-", run]
    why = json.loads(cli("why", FILTER, "-o", "json").out)
    (link,) = [one for one in why["links"] if one["name"] == "drift"]
    assert link["state"] == "waits"
    assert link["words"] == "RunStray: gateway-1 reports a run that nobody asked for"
