"""An outcome over HTTP: a status that says whether to try again, and the words beside it.

docs/reference/functions.md has the table. What a guest answers goes out as its own, save what it
may not say in our name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

from propeller.gateway.callbook import outcome_of
from propeller.gateway.callrequests import KEPT_BACK
from propeller.gateway.calls import End, Outcome
from propeller.gateway.problem import Problem
from propeller.state.calls import CallRow

_NOT_ITS_OWN = KEPT_BACK | {"set-cookie", "content-security-policy", "clear-site-data", "server"}
"""What a guest may not say in our name."""


def error_of(status: int, text: str, *, retry: int = 0) -> Response:
    """No, and why. retry: seconds after which it may be yes, 0 for never."""
    headers = {"Retry-After": str(retry)} if retry else {}
    return JSONResponse({"error": text, "exit": _exit(status)}, status, headers)


def problem_of(problem: Problem) -> Response:
    """A problem as the callers of Functions are told."""
    words = {"error": problem.detail, "exit": problem.exit}
    return JSONResponse(words, problem.status, problem.headers())


def _exit(status: int) -> int:
    """What a command should end with."""
    return 4 if status in (429, 503, 504) else 3 if status == 502 else 2


_STATUS: Mapping[str, int] = {
    "notFound": 404,
    "request": 400,
    "busy": 429,
    "absent": 503,
    "stopping": 503,
    "cancelled": 409,
    "timeout": 504,
}


def status_of(outcome: Outcome) -> int:
    """The HTTP status of an outcome."""
    if outcome.end is End.DONE:
        return outcome.status
    return _STATUS.get(outcome.cause, 502)


def response_of(id_: str, outcome: Outcome, *, again: bool = False) -> Response:
    """What the caller gets."""
    # A guest's page is not one of ours, though it has our address: it may do nothing here.
    told = {"Propeller-Call": id_, "Content-Security-Policy": "sandbox; default-src 'none'"}
    if outcome.proplet:
        told["Propeller-Proplet"] = outcome.proplet
    if again:
        told["Idempotent-Replay"] = "true"
    status = status_of(outcome)
    if outcome.end is End.DONE:
        told["Server-Timing"] = f"wait;dur={outcome.wait / 1000}, run;dur={outcome.took / 1000}"
        if outcome.held is not None:
            told["Server-Timing"] += f", copy;dur={outcome.held}"
        response = Response(base64.b64decode(outcome.body), status, headers=told)
        for name, value in outcome.headers:
            if name not in _NOT_ITS_OWN and not name.startswith(("propeller-", "access-control-")):
                response.headers[name] = value
        return response
    if outcome.retry_after:
        told["Retry-After"] = str(outcome.retry_after)
    words = {
        "error": outcome.error,
        "cause": outcome.cause,
        "fate": outcome.end.value,
        "call": id_,
        "exit": _exit(status),
    }
    return Response(json.dumps(words), status, told, "application/json")


def result_of(id_: str, outcome: Outcome) -> dict[str, object]:
    """What became of a call, as JSON: the last event of a stream."""
    told: dict[str, object] = {
        "call": id_,
        "fate": outcome.end.value,
        "status": status_of(outcome),
        "proplet": outcome.proplet,
        "wait": outcome.wait,
        "took": outcome.took,
    }
    if outcome.end is End.DONE:
        return told | {"headers": dict(outcome.headers), "body": outcome.body}
    told |= {"error": outcome.error, "cause": outcome.cause, "exit": _exit(status_of(outcome))}
    return told | ({"retryAfter": outcome.retry_after} if outcome.retry_after else {})


def told_of(row: CallRow) -> dict[str, object]:
    """A call that was promised an answer, as JSON."""
    told: dict[str, object] = {
        "call": row.id,
        "function": row.function,
        "state": {"taken": "Waiting", "sent": "Running", "ended": "Ended"}[row.state],
        "at": row.at,
    }
    if row.outcome is None:
        return told
    outcome = outcome_of(row.outcome)
    told |= {
        "fate": outcome.end.value,
        "status": status_of(outcome),
        "proplet": outcome.proplet,
        "took": outcome.took,
        "expires": row.expires,
    }
    if outcome.end is End.DONE:
        told |= {"headers": dict(outcome.headers), "body": outcome.body}
    else:
        told |= {"error": outcome.error, "cause": outcome.cause}
    return told
