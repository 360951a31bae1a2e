"""The canonical form of a rollout and its checks, as typed objects.

Part of `parse`, and under its rules: the schema has checked everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from propeller.model.checks import (
    Bounds,
    Check,
    Http,
    Metric,
    Over,
    Prometheus,
    RunFact,
    Source,
)
from propeller.model.quantities import UNLIMITED
from propeller.model.rollout import Amount, Errors, OfflinePolicy, OnFailure, Rollout, Update

Canonical: TypeAlias = Mapping[str, Any]


def rollout_of(given: Canonical | None) -> Rollout | None:
    """What `spec.rollout` says, None where it is left out."""
    if given is None:
        return None
    errors = given["errors"]
    return Rollout(
        steps=tuple(Amount.parse(step) for step in given["steps"]),
        soak=given["soak"],
        max_unavailable=Amount.parse(given["maxUnavailable"]),
        offline=OfflinePolicy(given["offline"]),
        offline_after=given["offlineAfter"],
        on_failure=OnFailure(given["onFailure"]),
        errors=Errors(max=Amount.parse(errors["max"]), min=errors["min"]),
        success=given["success"],
        deadline=None if given["deadline"] == UNLIMITED else int(given["deadline"]),
        update=Update(given.get("update", Update.DOWNLOAD_THEN_KILL)),
        checks=tuple(_check(row) for row in given.get("checks", ())),
    )


def _check(row: Canonical) -> Check:
    source: Source
    if "metric" in row:
        source = Metric(row["metric"])
    elif "run" in row:
        source = RunFact(row["run"])
    elif "prometheus" in row:
        source = Prometheus(row["prometheus"]["url"], row["prometheus"]["query"])
    else:
        source = Http(row["http"]["url"], row["http"]["jsonPointer"])
    return Check(
        name=row["name"],
        source=source,
        over=Over(row["over"]),
        others=row["against"] == "Others",
        success=_bounds(row["success"]),
        failure=_bounds(row["failure"]) if "failure" in row else None,
        interval=row["interval"],
        count=row["count"],
        failure_limit=row["failureLimit"],
        inconclusive_limit=row["inconclusiveLimit"],
    )


def _bounds(given: Canonical) -> Bounds:
    low, high = given.get("atLeast"), given.get("atMost")
    return Bounds(None if low is None else Decimal(low), None if high is None else Decimal(high))
