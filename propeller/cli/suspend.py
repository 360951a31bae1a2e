"""`propeller suspend NAME --reason R`: stop an object until it is resumed. Its spec stays."""

from __future__ import annotations

import argparse

from propeller.cli.asking import ask, named_object
from propeller.cli.clock import now_ms
from propeller.cli.context import add_state, who
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError
from propeller.model.conditions import moment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `suspend`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument(
        "--reason", required=True, metavar="R", help="why; shown wherever it stands"
    )
    parser.add_argument(
        "--until", metavar="T", help="resume by itself: after 2h, or at 2027-01-15T06:00:00Z"
    )
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Suspend; returns the exit code."""
    reason = args.reason.strip()
    if not reason:
        raise UsageError("--reason must say why")
    until = until_ms(args.until)
    state, _, key = named_object(args, args.name)
    told = f" until {moment(until)}" if until is not None else ""
    if args.dry_run:
        say(f"{key} would be suspended{told}: {reason}")
        return 0
    suspend = {"reason": reason, "by": who(), "until": until}
    ask(state, "/api/v1/hold", {"key": str(key), "suspend": suspend})
    say(f"{key} is suspended{told}; `propeller resume {key}` lifts it")
    return 0


def until_ms(text: str | None) -> int | None:
    """A duration from now or a time as Unix ms. Raises UsageError for what is past or neither."""
    from propeller.model.quantities import duration_ms, timestamp_ms

    if text is None:
        return None
    now = now_ms()
    try:
        at = timestamp_ms(text) if "T" in text else now + duration_ms(text)
    except ValueError as error:
        raise UsageError(f"--until {text!r}: {error}") from error
    if at <= now:
        raise UsageError(f"--until {text!r} is over already")
    return at
