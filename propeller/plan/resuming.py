"""A run of a Workflow that failed goes on: what becomes of its row. Pure.

Steps that succeeded stay as they are, with their results; every other one waits again and counts
its resumption, which is part of the names of its runs. So a device that ran the step before begins
it anew, and whoever looks at row and devices after a crash finds the same runs.
"""

from __future__ import annotations

from dataclasses import replace

from propeller.model.flow import Flow, StepRow, StepState
from propeller.model.inventory import Held
from propeller.model.specs import Workflow
from propeller.plan.workflow import failures


def why_not(held: Held, flow: Flow | None) -> str:
    """Why there is nothing to go on with, "" where there is."""
    whole, key = held.object, held.object.meta.key
    if not isinstance(whole, Workflow):
        return f"{key} is no Workflow; `propeller tasks start` runs a Task again"
    if held.deleted_at is not None:
        return f"{key} is being removed"
    if flow is None:
        return f"{key} has not run yet"
    if not flow.ended:
        return f"a run of {key} is under way; `propeller tree {key}` says how far it is"
    if not flow.timed_out and not failures(whole, flow):
        return f"the last run of {key} succeeded; another runKey runs all of it again"
    if flow.key != whole.key:
        return f"{key} was edited since that run: what it runs next is all of it"
    return ""


def waiting_again(flow: Flow) -> tuple[str, ...]:
    """The steps that a resumed run looks at again, in the order written."""
    return tuple(row.name for row in flow.steps if row.state is not StepState.SUCCEEDED)


def resumed(flow: Flow, now: int) -> Flow:
    """The row from which the run goes on. Its time begins anew: a timeout counts from now."""
    again = flow.resumed + 1
    return replace(
        flow,
        steps=tuple(
            row if row.state is StepState.SUCCEEDED else StepRow(name=row.name, again=again)
            for row in flow.steps
        ),
        began=now,
        ended=0,
        timed_out=False,
        resumed=again,
    )
