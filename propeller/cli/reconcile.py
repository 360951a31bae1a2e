"""`propeller reconcile --once SOURCE`: one pass, for cron.

Drains what devices reported, plans, publishes, and serves blobs until it has been quiet for three
seconds or `--linger` is over, so that a fleet driven only by passes makes progress. A pass that
finds the lease held says so and exits 0: the other one does the work.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from propeller.cli.context import add_state, state_dir
from propeller.cli.serve import add_source
from propeller.cli.settings import add_fleet, endpoint_of, fleet_of
from propeller.cli.signals import add_signals, open_traces, set_up_log
from propeller.cli.specsource import open_specs

QUIET_MS = 3_000
"""ms without blob traffic, deliveries or reports of change after which a pass is over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `reconcile`."""
    add_source(parser)
    add_state(parser)
    parser.add_argument("--once", action="store_true", help="one pass, then exit (cron)")
    parser.add_argument("--linger", default="60s", metavar="T", help="at most this long (60s)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")
    add_fleet(parser)
    add_signals(parser)


def run(args: argparse.Namespace) -> int:
    """One pass (or, without --once, the same as `serve`); returns the exit code."""
    if not args.once:
        from propeller.cli import serve

        return serve.run(args)
    from propeller.cli.running import Narrator, clock, deadline_ms, make_service, stop_on_signals
    from propeller.errors import Conflict
    from propeller.reconcile.quiet import Quiet
    from propeller.reconcile.standing import of_reconciler

    linger = deadline_ms(args.linger)
    fleet = fleet_of(args, tree=Path(args.source))
    state = fleet.keyed(state_dir(args))
    state.create()
    endpoint_of(fleet, "check")
    source = open_specs(args.source, fleet, state, ref=args.ref, git=args.git, overlay=args.overlay)
    narrator = Narrator(quiet=True, structured=set_up_log(fleet))
    outbox = open_traces(fleet)
    service = make_service(
        state,
        source,
        fleet,
        lambda name: endpoint_of(fleet, name),
        verb="reconcile --once",
        trace=outbox,
    )
    try:
        service.__enter__()
    except Conflict as error:
        print(f"propeller: {error.what}; nothing to do for this pass", file=sys.stderr)
        return 0
    with service:
        stop_on_signals(service)
        service.start()
        quiet = Quiet(service, start=clock(), linger=linger, silence=QUIET_MS)
        service.run(until=lambda reconciler: quiet.over(reconciler, clock()))
        standing = of_reconciler(service.reconciler)
        trouble = service.reconciler.specs.trouble
        connected = service.reconciler.fleet.heard
    if outbox is not None:
        outbox.close()
    if not args.quiet:
        narrator.quiet = False
        narrator.say(f"{standing.ready} of {standing.total} ready")
        for line in standing.lines():
            narrator.say(line)
    if trouble:
        print(trouble, file=sys.stderr)
        return 2
    if not connected:
        print("the broker did not answer", file=sys.stderr)
        return 4
    return standing.exit_code
