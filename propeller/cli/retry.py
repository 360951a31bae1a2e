"""`propeller retry NAME`: a run of a Workflow that failed goes on from the steps that failed."""

from __future__ import annotations

import argparse

from propeller.cli.asking import ask, named_object
from propeller.cli.context import add_state, open_store, who
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `retry`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Go on; returns the exit code."""
    from propeller.plan.resuming import waiting_again, why_not

    state, uid, key = named_object(args, args.name)
    if args.dry_run:
        store = open_store(state)
        try:
            held = next((one for one in store.inventory() if one.uid == uid), None)
            flow = next((one for one in store.flows() if one.uid == uid), None)
        finally:
            store.close()
        error = why_not(held, flow) if held is not None else f"{key} is not in the inventory"
        if error or flow is None:
            raise UsageError(error)
        say(f"{key} would go on with {', '.join(waiting_again(flow))}")
        return 0
    words = ask(state, "/api/v1/retry", {"key": str(key), "by": who()})
    steps = ", ".join(words["steps"])
    say(f"{key} goes on with {steps}; `propeller tree {key}` says how far it is")
    return 0
