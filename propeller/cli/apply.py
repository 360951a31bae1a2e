"""`propeller apply PATH`: make PATH what is wanted, and wait until it is so.

Hands PATH to the reconciler that holds the lease; where none runs, runs one itself against the
configured broker until everything has settled. Exit: 0 converged, 2 invalid, 3 something failed,
4 devices pending when the time was over.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from propeller.cli.context import Client, add_state, state_dir
from propeller.cli.settings import add_fleet, endpoint_of, fleet_of

POLL = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `apply`."""
    parser.add_argument("path", metavar="PATH", help="the directory of specs to make true")
    add_state(parser)
    parser.add_argument("--timeout", default="5m", metavar="T", help="wait at most this long (5m)")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it has settled")
    parser.add_argument("--dry-run", action="store_true", help="the same as `propeller diff PATH`")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Apply; returns the exit code."""
    from propeller.cli.running import deadline_ms

    if args.dry_run:
        from propeller.cli.__main__ import main

        state = ["--state", args.state] if args.state else []
        code = main(["diff", args.path, *state])
        return 0 if code == 1 else code  # "would change" is no failure of `apply`
    timeout = deadline_ms(args.timeout)
    client = Client(state_dir(args))
    if client.running():
        return _hand_over(args, client, timeout)
    return _alone(args, timeout)


def _hand_over(args: argparse.Namespace, client: Client, timeout: int) -> int:
    wanted = client.post("/api/v1/apply", {"path": str(Path(args.path).absolute())})["revision"]
    if args.no_wait:
        return 0
    end = time.monotonic() + timeout / 1000
    told: list[str] = []
    while True:
        standing = client.get("/api/v1/standing")
        arrived = standing["revision"] == wanted
        code, lines = int(standing["exit"]), list(standing["lines"])
        if arrived and code != 4:
            break
        if arrived and lines != told and not args.quiet:
            told = lines
            print(f"{standing['ready']} of {standing['total']} ready", file=sys.stderr)
        if time.monotonic() >= end:
            code = 4
            break
        time.sleep(POLL)
    for line in lines:
        print(line, file=sys.stderr)
    if code == 0 and not args.quiet:
        print(f"converged: {standing['total']} objects at {wanted}", file=sys.stderr)
    return code


def _alone(args: argparse.Namespace, timeout: int) -> int:
    from propeller.cli.running import Narrator, clock, make_service, stop_on_signals
    from propeller.errors import SpecError, UsageError
    from propeller.reconcile.events import SourceSilent, SpecsRefused
    from propeller.reconcile.reconciler import Reconciler
    from propeller.reconcile.sourcing import read_once
    from propeller.reconcile.standing import of_reconciler
    from propeller.sources.open import open_source

    state = state_dir(args)
    fleet = fleet_of(args, tree=Path(args.path))
    endpoint_of(fleet, "check")
    state.create()
    source = open_source(args.path, cache=state.git, exclude=(state.path,))
    narrator = Narrator(quiet=args.quiet)
    service = make_service(
        state, source, fleet, lambda name: endpoint_of(fleet, name), verb="apply"
    )
    with service:
        outcome = read_once(source, domain=fleet.domain, keep=service.blobs.put)
        if isinstance(outcome, SpecsRefused):
            raise SpecError(outcome.faults)
        if isinstance(outcome, SourceSilent):
            raise UsageError(outcome.reason)
        service.inbox.put(outcome)
        stop_on_signals(service)
        service.start()
        end = clock() + timeout

        def over(reconciler: Reconciler) -> bool:
            standing = narrator.look(reconciler)
            settled = reconciler.ready_to_plan and standing.settled
            started = args.no_wait and reconciler.ready_to_plan
            return started or settled or clock() >= end

        service.run(until=over)
        standing = of_reconciler(service.reconciler)
    for line in standing.lines():
        print(line, file=sys.stderr)
    return 0 if args.no_wait else standing.exit_code
