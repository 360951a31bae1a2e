"""`propeller audit`: what was asked of the API, and whether the log is as it was written.

`verify` ends with 1 when a line was altered, taken out or put in, and says which. `head` prints the
newest hash, to be noted elsewhere: `verify --head HASH` also finds a log that was cut or rewritten.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.context import add_state, existing_state
from propeller.cli.output import say
from propeller.errors import UsageError
from propeller.model.conditions import moment

if TYPE_CHECKING:
    from propeller.gateway.access.audit import Audit

ALTERED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `audit`."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("show", "verify", "head"),
        default="show",
        help="show the newest lines, verify the chain, or print its newest hash",
    )
    parser.add_argument("--last", type=int, default=50, metavar="N", help="show: how many (50)")
    parser.add_argument("--who", metavar="NAME", help="show: only what they asked")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--head", metavar="HASH", help="verify: a hash that must be in the chain")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from propeller.gateway.access.audit import Audit

    audit = Audit(existing_state(args).audit)
    match args.what:
        case "verify":
            return _verify(audit, args.head or "")
        case "head":
            number, newest = audit.head()
            print(newest)
            say(f"of line {number}; note it where nobody of this machine can write")
            return 0
        case _:
            return _show(audit, args)


def _verify(audit: Audit, head: str) -> int:
    count, broken = audit.verify(head)
    if broken is None:
        say(f"{count} lines, each follows from the one before it")
        return 0
    where = f"{broken.file}:{broken.line}" if broken.line else broken.file
    say(f"{where}: {broken.why}; {count} lines before it hold")
    return ALTERED


def _show(audit: Audit, args: argparse.Namespace) -> int:
    if args.last < 1:
        raise UsageError("--last must be 1 or more")
    wanted = (one for one in audit.lines() if args.who in (None, one.get("who")))
    kept: deque[Mapping[str, Any]] = deque(wanted, maxlen=args.last)
    for one in kept:
        if args.output == "json":
            print(json.dumps(one))
        else:
            note = f"  {one['note']}" if one.get("note") else ""
            when = moment(int(one.get("at", 0)))
            parts = (str(one.get(name, "")) for name in ("who", "from", "outcome", "what"))
            print("  ".join((when, *parts)) + note)
    if not kept:
        say("nothing was asked yet")
    return 0
