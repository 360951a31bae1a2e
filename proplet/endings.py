"""What a run's end means: over for good, or to be started again, and when. Pure.

Called by `runs` with the record as the guest left it and the reason the agent had to stop it, if it
was the agent.
"""

from __future__ import annotations

import random
from dataclasses import replace

from propeller.wire.messages import Entry
from proplet.live import Why, cut
from proplet.records import RunRecord, State

STABLE = 60_000
"""Ms a daemon must have run for its earlier failures to be forgotten."""


def once_ended(record: RunRecord, *, why: Why, ok: bool) -> RunRecord:
    """A once-run is over, whatever ended it."""
    if ok:
        state, error = State.SUCCEEDED, ""
    elif why is Why.CANCELLED:
        state, error = State.FAILED, "cancelled by an operator"
    elif why is Why.NONE:
        state, error = State.FAILED, record.error
    else:
        words = "the proplet was stopped" if why is Why.DRAINED else "no longer listed"
        state, error = State.INTERRUPTED, f"cut short: {words}"
    return replace(record, state=state, error=error)


def daemon_ended(entry: Entry, record: RunRecord, *, why: Why, ok: bool, ran: int) -> RunRecord:
    """A daemon's guest is gone after `ran` ms.

    The state says what follows: Pending starts it again at once, BackOff after `delay`, anything
    else is the end.
    """
    match why:
        case Why.CANCELLED:
            return replace(record, state=State.FAILED, error="cancelled by an operator")
        case Why.REMOVED | Why.REPLACED | Why.RESTARTED | Why.DRAINED | Why.ALONE:
            return replace(record, state=State.PENDING, failures=0, error="")
        case Why.NONE:
            pass
    stable = ran >= max(entry.ready_after, STABLE)
    failures = (0 if stable else record.failures) + 1
    again = entry.restart == "Always" or (entry.restart == "OnFailure" and not ok)
    if not again:
        return replace(record, state=State.SUCCEEDED if ok else State.FAILED)
    if entry.max_restarts is not None and failures > entry.max_restarts:
        last = record.error or "it returned"
        words = cut(f"gave up after {entry.max_restarts} restarts; the last time: {last}")
        return replace(record, state=State.FAILED, error=words)
    return replace(record, state=State.BACK_OFF, failures=failures)


def delay(entry: Entry, failures: int, rng: random.Random) -> int:
    """Ms until it is started again after so many failures in a row: doubling, half of it chance."""
    full = min(entry.backoff_cap, entry.backoff_base << min(failures - 1, 40))
    return full // 2 + rng.randint(0, max(0, full - full // 2))
