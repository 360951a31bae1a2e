"""`propeller tasks list|start|stop|results`: runs of Tasks.

`start` edits the spec, since what is written is what runs; `stop` holds the object at run time.
"""

from __future__ import annotations

import argparse
import sys

from propeller.cli import results
from propeller.cli.asking import ask, named_object
from propeller.cli.context import Client, add_state, who
from propeller.cli.output import add_dry_run, add_output, say
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `tasks`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = below.add_parser("list", help="every Task, as `get tasks`")
    listing.add_argument("-n", "--namespace", metavar="NS", help="only this namespace")
    listing.add_argument("--status-selector", metavar="TYPE=STATUS", help="as in `get`")
    add_state(listing)
    add_output(listing)
    start = below.add_parser("start", help="run it again: edits its spec and lifts any hold")
    _named(start)
    start.add_argument("--specs", metavar="DIR", help="the spec tree (default: where it came from)")
    start.add_argument("--commit", action="store_true", help="commit the edit with git")
    add_dry_run(start)
    stop = below.add_parser("stop", help="stop it and keep it stopped until `start` or `resume`")
    _named(stop)
    stop.add_argument("--reason", default="stopped", metavar="R", help="why, for the record")
    stop.add_argument("--once", action="store_true", help="only cancel what runs now")
    add_dry_run(stop)
    shown = below.add_parser("results", help="what its runs answered, bare")
    _named(shown)
    shown.add_argument("--proplet", metavar="P", help="only the run on this proplet")
    shown.add_argument("--all", action="store_true", help="older runs too, newest first")
    shown.add_argument(
        "-o",
        "--output",
        choices=("bare", "table", "wide", "json", "yaml", "name"),
        default="bare",
        help="how to print it (default bare: the results alone)",
    )


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    match args.action:
        case "list":
            from propeller.cli import get

            args.what, args.watch = ["tasks"], False
            return get.run(args)
        case "start":
            from propeller.cli.starting import start

            return start(args)
        case "stop":
            return _stop(args)
        case _:
            return results.show(args)


def _stop(args: argparse.Namespace) -> int:
    state, _, key = named_object(args, args.name)
    if key.kind not in ("Task", "Daemon", "Function"):
        raise UsageError(f"{key} does not run")
    if args.dry_run:
        say(f"{key} would be {'cancelled once' if args.once else f'held: {args.reason}'}")
        return 0
    if not args.once:
        suspend = {"reason": args.reason, "by": who(), "until": None}
        ask(state, "/api/v1/hold", {"key": str(key), "suspend": suspend})
        say(f"{key} is stopped; `propeller tasks start {key.name}` runs it again")
        return 0
    return _cancel(Client(state), str(key))


def _cancel(client: Client, key: str) -> int:
    from propeller.cli.context import Refused

    failed = False
    try:
        for answer in client.stream("/api/v1/operate", {"verb": "cancel", "key": key}):
            if answer.get("done"):
                good = answer.get("state") == "done"
                failed |= not good
                words = "cancelled" if good else answer.get("text") or answer.get("state")
                print(f"{answer.get('proplet', '-')}: {words}", file=sys.stderr)
    except Refused as error:
        raise UsageError(str(error)) from error
    return 2 if failed else 0
