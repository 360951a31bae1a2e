"""`propeller confirm`: let the reconciler go on where it waits for an operator.

`fleet`: start and move work although not every declared proplet was heard after a lost store.
"""

from __future__ import annotations

import argparse

from propeller.cli.asking import ask
from propeller.cli.context import Client, add_state, existing_state, who
from propeller.cli.output import add_dry_run, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `confirm`."""
    parser.add_argument(
        "what", nargs="?", choices=("fleet",), default="fleet", help="what to confirm (fleet)"
    )
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Confirm; returns the exit code."""
    state = existing_state(args)
    if args.dry_run:
        hold = Client(state).get("/api/v1/health").get("hold")
        say(f"would go on, though {hold}" if hold else "nothing waits for a confirmation")
        return 0
    ask(state, "/api/v1/confirm", {"what": args.what, "by": who()})
    say("confirmed: work starts and moves again")
    return 0
