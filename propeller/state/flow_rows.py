"""Runs of Workflows as text, and back: for the store and for the journal."""

from __future__ import annotations

from typing import Any

from propeller.model.flow import Flow, StepRow, StepState
from propeller.model.ids import Uid
from propeller.state.columns import from_json, to_json


def flow_text(flow: Flow) -> str:
    """Canonical JSON."""
    return to_json(
        {
            "uid": flow.uid,
            "base": flow.base,
            "key": flow.key,
            "began": flow.began,
            "ended": flow.ended,
            "timedOut": flow.timed_out,
            **({"resumed": flow.resumed} if flow.resumed else {}),
            "steps": [
                [row.name, row.state.value, row.result, row.why, row.began, row.ended]
                + ([row.again] if row.again else [])
                for row in flow.steps
            ],
        }
    )


def flow_of(text: str) -> Flow:
    """The inverse of `flow_text`."""
    told: dict[str, Any] = from_json(text)
    return Flow(
        uid=Uid(told["uid"]),
        base=told["base"],
        key=told["key"],
        began=told["began"],
        ended=told["ended"],
        timed_out=told["timedOut"],
        resumed=told.get("resumed", 0),
        steps=tuple(
            StepRow(
                name=name,
                state=StepState(state),
                result=result,
                why=why,
                began=began,
                ended=ended,
                again=again[0] if again else 0,
            )
            for name, state, result, why, began, ended, *again in told["steps"]
        ),
    )
