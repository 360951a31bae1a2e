"""The Tasks that carry a Workflow's steps out, as documents nobody wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from propeller.model.ids import Key, uid_for
from propeller.model.workflow import task_name, task_specs
from propeller.sources.documents import Document


def tasks_of(workflow: Document, domain: str, namespace: str) -> Iterator[Document]:
    """One a step. What is wrong with one is told where the step stands.

    domain: of the fleet, which uids are derived from.
    """
    meta = workflow.meta
    key = Key("Workflow", namespace, meta["name"])
    uid = uid_for(domain, key, meta.get("uid"))
    shared = {name: meta[name] for name in ("namespace", "labels", "protect") if name in meta}
    for index, (step, spec) in enumerate(task_specs(key, uid, workflow.spec)):
        yield replace(
            workflow,
            kind="Task",
            meta={**shared, "name": task_name(meta["name"], step)},
            spec=spec,
            within=("spec", "steps", index),
        )
