"""`propeller serve SOURCE`: follow a source continuously against a broker somebody runs."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.context import add_state, state_dir
from propeller.cli.doors import start_with_doors
from propeller.cli.gateway import add_dashboard
from propeller.cli.outward import add_hooks
from propeller.cli.settings import add_fleet, endpoint_of, fleet_of
from propeller.cli.signals import add_signals, open_traces, set_up_log
from propeller.cli.specsource import WHAT, add_overlay, open_specs

if TYPE_CHECKING:
    from propeller.transport.endpoint import Endpoint


def add_source(parser: argparse.ArgumentParser) -> None:
    """SOURCE and how to read it, for the verbs that take one."""
    parser.add_argument("source", metavar="SOURCE", help=WHAT)
    parser.add_argument("--git", action="store_true", help="SOURCE is a git repository")
    parser.add_argument("--ref", help="branch, tag or commit of a git SOURCE")
    add_overlay(parser)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `serve`."""
    add_source(parser)
    add_state(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")
    add_fleet(parser)
    add_hooks(parser)
    add_dashboard(parser)
    add_signals(parser)


def run(args: argparse.Namespace) -> int:
    """Follow until SIGINT or SIGTERM; returns the exit code."""
    from propeller.cli.running import Narrator, make_service, stop_on_signals
    from propeller.reconcile.reconciler import Reconciler

    fleet = fleet_of(args, tree=Path(args.source))
    state = fleet.keyed(state_dir(args))
    state.create()
    endpoint_of(fleet, "check")  # a missing broker is said before anything is started
    source = open_specs(args.source, fleet, state, ref=args.ref, git=args.git, overlay=args.overlay)
    narrator = Narrator(quiet=args.quiet, structured=set_up_log(fleet))

    def told(reconciler: Reconciler) -> bool:
        narrator.tell(reconciler)
        return False

    def way(name: str) -> Endpoint:
        return endpoint_of(fleet, name)

    with contextlib.ExitStack() as stack:
        outbox = open_traces(fleet)
        if outbox is not None:
            stack.callback(outbox.close)
        service = stack.enter_context(
            make_service(state, source, fleet, way, verb="serve", trace=outbox)
        )
        start_with_doors(stack, service, state, fleet, way=way, trace=outbox, narrator=narrator)
        stop_on_signals(service)
        service.run(until=told)
    return 0
