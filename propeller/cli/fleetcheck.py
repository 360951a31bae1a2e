"""The devices as `doctor` sees them in the store: clocks that are wrong, and who gets no work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from propeller.cli.checks import GOOD, WARN, Check
from propeller.model.seen import Seen

AHEAD_MS = 60_000
"""A run that began so much later than its device was heard last was timed by a clock ahead."""

SHOWN = 3


def check_devices(fleet: Iterable[Seen]) -> Iterator[Check]:
    """From all that is known of the fleet. Nothing where there is none."""
    seen = list(fleet)
    if not seen:
        return
    ahead = [one.id for one in seen if _ahead(one) > AHEAD_MS]
    if ahead:
        most = max(_ahead(one) for one in seen) // 1000
        yield Check(
            "device clocks",
            WARN,
            f"{_few(ahead)}: ahead of this machine by up to {most} s",
            "set the clocks there (chrony), or the one here; schedules and expiry go by them",
        )
    else:
        yield Check("device clocks", GOOD, "no device tells of times to come")
    kept_out = [f"{one.id} ({one.quarantine})" for one in seen if one.quarantine]
    if kept_out:
        yield Check(
            "devices",
            WARN,
            f"{_few(kept_out)}: get no work",
            "`propeller why Proplet/NAME` says what is wrong with each",
        )


def _ahead(seen: Seen) -> int:
    """ms by which its clock must be ahead at least, judged by when its runs began and ended."""
    times = [max(run.started, run.ended) for run in seen.runs.values()]
    return max(times, default=0) - seen.last_heard if seen.last_heard else 0


def _few(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
