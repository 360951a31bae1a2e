"""`propeller forget NAME`: let go of an object that left the source.

What was kept (`protect`, `prune: Never`) is pruned now. Proplets that are online confirm that it is
gone, as always; silent ones are not waited for any longer, and who said so is in the events.
"""

from __future__ import annotations

import argparse

from propeller.cli.asking import ask, named_object
from propeller.cli.context import add_state, open_store, who
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `forget`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument("--reason", default="", metavar="R", help="why, for the record")
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Let go; returns the exit code."""
    state, uid, key = named_object(args, args.name)
    store = open_store(state)
    try:
        held = next((one for one in store.inventory() if one.uid == uid), None)
    finally:
        store.close()
    if held is None or held.deleted_at is None:
        raise UsageError(
            f"{key} is wanted: it is in the source",
            hint="remove its spec first; `propeller suspend` stops it without that",
        )
    if args.dry_run:
        verb = "would be pruned" if held.orphan else "would be waited for no longer"
        say(f"{key} {verb}")
        return 0
    answer = ask(state, "/api/v1/give-up", {"key": str(key), "by": who(), "reason": args.reason})
    unheard = ", ".join(answer.get("unheard", ()))
    say(f"{key} is let go" + (f"; not confirmed by {unheard}" if unheard else ""))
    return 0
