"""`propeller apply PATH`: make PATH what is wanted, and wait until it is so.

Hands PATH to the reconciler that holds the lease; where none runs, runs one itself against the
configured broker until everything has settled. PATH may be a plan that `plan -o FILE` saved. Exit:
0 converged, 2 invalid, 3 something failed, 4 devices pending when the time was over, 5 a stale
plan, a guard that waits for a confirmation, or a lease that is held.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.context import Client, add_state, state_dir
from propeller.cli.savedplan import check, saved_plan
from propeller.cli.settings import add_fleet, endpoint_of, fleet_of
from propeller.cli.specsource import add_overlay, open_specs
from propeller.errors import Conflict, UsageError

if TYPE_CHECKING:
    from propeller.cli.planning import Planned

POLL = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `apply`."""
    parser.add_argument(
        "path", metavar="PATH", help="the directory of specs to make true, or a saved plan"
    )
    parser.add_argument(
        "--specs", metavar="DIR", help="where the specs of a saved plan are now, if they moved"
    )
    add_overlay(parser)
    add_state(parser)
    parser.add_argument("--timeout", default="5m", metavar="T", help="wait at most this long (5m)")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until it has settled")
    parser.add_argument("--dry-run", action="store_true", help="the same as `propeller diff PATH`")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Apply; returns the exit code."""
    from propeller.cli.running import deadline_ms

    args.expect = ""
    plan = saved_plan(args.path)
    if plan is not None:
        args.path = args.specs or plan.path
        args.expect, args.overlay = plan.digest, plan.overlay
        check(plan, _now(args))
    elif args.specs is not None:
        raise UsageError(f"--specs goes with a saved plan, and {args.path} is none")
    if args.dry_run:
        from propeller.cli.__main__ import main

        state = ["--state", args.state] if args.state else []
        overlay = ["--overlay", args.overlay] if args.overlay else []
        code = main(["diff", args.path, *overlay, *state])
        return 0 if code == 1 else code  # "would change" is no failure of `apply`
    timeout = deadline_ms(args.timeout)
    client = Client(state_dir(args))
    if client.running():
        return _hand_over(args, client, timeout)
    return _alone(args, timeout)


def _now(args: argparse.Namespace) -> Planned:
    """The plan that the same specs give now."""
    from propeller.cli.planning import compare

    return compare(argparse.Namespace(**{"git": False, "ref": None, **vars(args)}))


def _hand_over(args: argparse.Namespace, client: Client, timeout: int) -> int:
    here = Path(args.path)
    body = {"path": str(here.absolute()) if here.exists() else args.path}
    overlay = args.overlay or fleet_of(args, tree=here).text("source.overlay")
    if overlay:
        body["overlay"] = overlay
    wanted = client.post("/api/v1/apply", {**body, "expect": args.expect} if args.expect else body)[
        "revision"
    ]
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
    from propeller.errors import SpecError
    from propeller.reconcile.events import SourceSilent, SpecsRefused
    from propeller.reconcile.reconciler import Reconciler
    from propeller.reconcile.sourcing import read_once
    from propeller.reconcile.standing import of_reconciler

    fleet = fleet_of(args, tree=Path(args.path))
    state = fleet.keyed(state_dir(args))
    endpoint_of(fleet, "check")
    state.create()
    source = open_specs(args.path, fleet, state, overlay=args.overlay)
    narrator = Narrator(quiet=args.quiet)
    verdict: list[Mapping[str, object]] = []
    service = make_service(
        state, source, fleet, lambda name: endpoint_of(fleet, name), verb="apply"
    )
    with service:
        outcome = read_once(
            source, domain=fleet.domain, keep=service.blobs.put, images=service.plugin_images
        )
        if isinstance(outcome, SpecsRefused):
            raise SpecError(outcome.faults)
        if isinstance(outcome, SourceSilent):
            raise UsageError(outcome.reason)
        service.inbox.put(replace(outcome, expect=args.expect, reply=verdict.append))
        stop_on_signals(service)
        service.start()
        end = clock() + timeout

        def over(reconciler: Reconciler) -> bool:
            standing = narrator.look(reconciler)
            settled = reconciler.ready_to_plan and standing.settled
            started = args.no_wait and reconciler.ready_to_plan
            stale = any(words["stale"] for words in verdict)
            return stale or started or settled or clock() >= end

        service.run(until=over)
        standing = of_reconciler(service.reconciler)
    if any(words["stale"] for words in verdict):
        raise Conflict("the plan is stale: it moved just now; nothing was done")
    for line in standing.lines():
        print(line, file=sys.stderr)
    return 0 if args.no_wait else standing.exit_code
