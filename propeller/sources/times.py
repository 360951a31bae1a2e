"""Cron expressions and time zones as people write them: what is wrong with one, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from propeller.sources.explain import did_you_mean


@lru_cache(maxsize=4096)
def cron_problem(expression: str) -> str:
    """What is wrong with a cron expression, "" when nothing is."""
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        return 'must be five cron fields such as "*/15 * * * *" (minute hour day month weekday)'
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return f'must be five cron fields such as "*/15 * * * *": {str(error).lower()}'
    except StopIteration:
        return f'"{expression}" never comes: no date fits it'
    return ""


@lru_cache(maxsize=1024)
def zone_problem(name: str) -> str:
    """What is wrong with a time zone, "" when nothing is."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        near = did_you_mean(name, zoneinfo.available_timezones())
        hint = f', did you mean "{near}"?' if near else ""
        return f'must be an IANA time zone such as Europe/Belgrade, not "{name}"{hint}'
    return ""
