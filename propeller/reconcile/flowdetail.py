"""What the status of a Workflow tells of its run, step by step."""

from __future__ import annotations

from collections.abc import Mapping

from propeller.model.conditions import moment
from propeller.model.flow import Flow, StepRow
from propeller.model.specs import Workflow

SHOWN = 256
"""Characters of a result that a status shows."""


def workflow_detail(
    whole: Workflow, flow: Flow | None, counts: Mapping[str, int]
) -> dict[str, object]:
    """counts: of steps by state."""
    detail: dict[str, object] = {"counts": dict(counts)}
    if flow is None:
        return detail
    run: dict[str, object] = {"cause": flow.base, "began": moment(flow.began)}
    if flow.ended:
        run["ended"] = moment(flow.ended)
    detail["run"] = run
    after = {step.name: step.after for step in whole.steps}
    detail["steps"] = [_step(row, after.get(row.name, ())) for row in flow.steps]
    return detail


def _step(row: StepRow, after: tuple[str, ...]) -> dict[str, object]:
    told: dict[str, object] = {"name": row.name, "state": row.state.value}
    if after:
        told["after"] = list(after)
    if row.began:
        told["began"] = moment(row.began)
    if row.ended:
        told["ended"] = moment(row.ended)
    if row.why:
        told["why"] = row.why
    if row.result is not None:
        told["result"] = row.result[:SHOWN]
        if len(row.result) > SHOWN:
            told["resultLength"] = len(row.result)
    return told
