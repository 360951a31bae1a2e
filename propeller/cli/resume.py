"""`propeller resume NAME`: lift what `suspend` set. One in the spec is lifted by an edit."""

from __future__ import annotations

import argparse

from propeller.cli.asking import ask, named_object
from propeller.cli.context import add_state, open_store
from propeller.cli.output import add_dry_run, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `resume`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Resume; returns the exit code."""
    state, uid, key = named_object(args, args.name)
    store = open_store(state)
    try:
        held = next((one for one in store.inventory() if one.uid == uid), None)
    finally:
        store.close()
    written = held is not None and held.object.suspend is not None
    if args.dry_run:
        held_back = held is not None and held.hold is not None
        say(f"{key} would be resumed" if held_back else f"{key} is not suspended by an operator")
    else:
        ask(state, "/api/v1/hold", {"key": str(key), "suspend": None})
        say(f"{key} is resumed")
    if written and held is not None:
        origin = held.object.meta.origin
        say(f"its spec suspends it too: remove spec.suspend in {origin.file}:{origin.line}")
    return 0
