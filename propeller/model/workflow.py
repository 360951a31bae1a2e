"""From the canonical form of a Workflow to those of the Tasks that carry its steps out.

Called by `parse` and by `sources`. Everything is by name and derived, so that a reconciler that
lost its store makes the same Tasks of the same Workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from propeller.model.canonical import canonical_digest
from propeller.model.ids import Key, Uid
from propeller.model.steps import Input, RunIf, Step, Way, When

Canonical = Mapping[str, Any]

EDGES = ("after", "runIf", "when", "inputs", "mayFail")
"""Fields of a step that a Task has not."""


def task_name(workflow: str, step: str) -> str:
    """The name of the Task that carries a step out."""
    return f"{workflow}-{step}"


def edges(row: Canonical) -> dict[str, Any]:
    """What of a step is about the graph; defaults left out."""
    found = {name: row[name] for name in EDGES if row.get(name)}
    if found.get("runIf") == RunIf.SUCCESS.value:
        del found["runIf"]
    return found


def step_of(given: Canonical) -> Step:
    """The typed form of `spec.step` of a Task."""
    return Step(
        workflow=Uid(given["workflow"]),
        of=Key.parse(given["of"]),
        name=given["name"],
        after=tuple(given.get("after", ())),
        run_if=RunIf(given.get("runIf", RunIf.SUCCESS)),
        when=tuple(When.parse(text) for text in given.get("when", ())),
        inputs=tuple(
            Input(row["from"], Way(row["as"]), row.get("name", ""))
            for row in given.get("inputs", ())
        ),
        may_fail=given.get("mayFail", False),
    )


def flow_key(spec: Canonical) -> str:
    """16 hex digits over what one run of it does: its steps and `runKey`.

    When it runs, how long it may take and how many steps at once are left out on purpose: editing
    those runs nothing again.
    """
    told = {"steps": spec["steps"], "runKey": spec["runKey"]}
    return str(canonical_digest(told)).removeprefix("sha256:")[:16]


def task_specs(key: Key, uid: Uid, spec: Canonical) -> Iterator[tuple[str, dict[str, Any]]]:
    """(step, canonical spec of its Task), in the order written."""
    run = flow_key(spec)
    for row in spec["steps"]:
        step = {"workflow": uid, "of": str(key), "name": row["name"], **edges(row)}
        task = {name: value for name, value in row.items() if name not in (*EDGES, "name")}
        task |= {"runKey": run, "prune": spec["prune"], "step": step}
        yield row["name"], task
