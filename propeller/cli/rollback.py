"""`propeller rollback NAME [--to GENERATION]`: go back to a version that was good.

The version that the spec names is rejected, so that the next sync does not bring it back; another
one in the source lifts that.
"""

from __future__ import annotations

import argparse

from propeller.cli.asking import named_object
from propeller.cli.context import add_state
from propeller.cli.output import add_dry_run, say
from propeller.cli.rollout import steer
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rollback`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument(
        "--to",
        type=int,
        metavar="GENERATION",
        help="as `propeller history NAME` counts them (default: the last good one)",
    )
    parser.add_argument("--reason", default="", metavar="R", help="why, for the record")
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Go back; returns the exit code."""
    if args.to is not None and args.to < 1:
        raise UsageError("--to must be a generation, from 1")
    state, _, key = named_object(args, args.name)
    where = f"generation {args.to}" if args.to is not None else "the last good version"
    if args.dry_run:
        say(f"{key} would go back to {where}")
        return 0
    more = {} if args.to is None else {"to": args.to}
    steer(state, key, "rollback", reason=args.reason, **more)
    return 0
