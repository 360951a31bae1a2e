"""How much of everything is kept: the bounds on tables that devices and time can fill."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Counts are rows, ages milliseconds, lengths characters. What is beyond goes oldest first.

    seen_runs: reported runs of one proplet; ended ones go first.
    runs, runs_per_object: the run history.
    events, events_per_owner: an owner is a proplet or a key.
    plans: what revisions meant for the inventory.
    history_age: the past of objects that left the inventory.
    ops, ops_age: operations that ended.
    uploads_per_proplet, uploads_age: uploads that are not open any more.
    minutes, minutes_age, hours, hours_age: what devices measured, a row for each of them.
    """

    seen_runs: int = 4_096
    runs: int = 300_000
    runs_per_object: int = 12_000
    events: int = 50_000
    events_per_owner: int = 1_000
    revisions: int = 1_000
    history_per_object: int = 200
    plans: int = 2_000
    history_age: int = 90 * DAY
    ops: int = 4_096
    ops_age: int = DAY
    uploads_per_proplet: int = 256
    uploads_age: int = 7 * DAY
    minutes: int = 200_000
    minutes_age: int = DAY
    hours: int = 200_000
    hours_age: int = 30 * DAY
    error_text: int = 1_024
    result_text: int = 4_096
    event_text: int = 2_048
    faults: int = 500


def clip(text: str, length: int) -> str:
    """`text`, cut to `length` characters with a mark that says so."""
    return text if len(text) <= length else text[: length - 1] + "…"
