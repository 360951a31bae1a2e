"""A Function in the fleet of `fleet_rows`, calls of it, and what its device tells; no loop."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from propeller.gateway.calls import End, Outcome
from propeller.model.ids import Key, Uid
from propeller.model.samples import MINUTE, Sample
from propeller.state.calls import CallRow
from propeller.state.records import StatusRow

FUNCTION = Key("Function", "plant-a", "resize")
FUNCTION_UID = Uid("5ca1ab1e-7d2e-5f61-8c3a-4be0b8d7e902")


def report(fleet, name, at, **metrics):
    """A proplet tells what it and its guests take, and the minute is kept."""
    seen = next(one for one in fleet.store.fleet() if one.id == name)
    with fleet.store.transaction():
        fleet.store.put_seen(replace(seen, metrics=metrics, metrics_at=at))
        minute = at - at % MINUTE
        fleet.store.put_sample(Sample(proplet=seen.id, span=MINUTE, at=minute, mean=metrics))


def a_function(fleet):
    """A Function with a copy on gateway-1, as its status has it."""
    document = {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"name": "resize", "namespace": "plant-a", "generation": 1, "app": "plant"},
        "status": {
            "lastAppliedRevision": "",
            "devices": {"desired": 1, "ready": 1},
            "copies": [{"proplet": "gateway-1", "run": "r", "state": "Running"}],
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "Running", "message": "1 of 1 ready"}
            ],
        },
    }
    with fleet.store.transaction():
        fleet.store.put_status(
            StatusRow(
                uid=FUNCTION_UID,
                key=FUNCTION,
                ready="True",
                document=json.dumps(document),
                changed_at=fleet.now,
            )
        )


def call(number, at, *, state="ended", end=End.DONE, cause="", took=0, body="", of="resize"):
    """A kept call."""
    outcome = Outcome(end=end, cause=cause, proplet="gateway-1", took=took, wait=500, body=body)
    place = {"proplet": "gateway-1", "run": "r", "inst": "i", "boot": 1, "wire": "w"}
    return CallRow(
        id=f"{number:032x}",
        function=f"plant-a/{of}",
        digest="d",
        state=state,
        at=at,
        expires=at + 3_600_000,
        request={"body": "s3cret"},
        place=None if state == "taken" else place,
        outcome={**asdict(outcome), "end": end.value} if state == "ended" else None,
    )
