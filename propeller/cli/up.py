"""`propeller up SPECS`: broker, reconciler and local proplets on this machine.

With `--until-ready` it ends as soon as everything is Ready (0), something failed for good (3) or
the time is over (4); without it follows changes until Ctrl-C. Bad specs at the start are 2.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path

from propeller.cli.context import add_state, state_dir
from propeller.cli.settings import Fleet, add_fleet, endpoint_of, fleet_of

SETTLE_MS = 300
"""How long everything must have stood still before a failure is called final."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `up`."""
    parser.add_argument("source", metavar="SPECS", help="a directory or a git repository")
    add_state(parser)
    parser.add_argument("--proplets", type=int, default=2, metavar="N", help="local proplets (2)")
    parser.add_argument("--until-ready", action="store_true", help="end once everything is Ready")
    parser.add_argument("--timeout", default="5m", metavar="T", help="with --until-ready (5m)")
    parser.add_argument("--git", action="store_true", help="SPECS is a git repository")
    parser.add_argument("--ref", help="branch, tag or commit of a git SPECS")
    parser.add_argument("--keys", metavar="DIR", help="key directory (default: in the state)")
    parser.add_argument(
        "--data", metavar="DIR", help="give each proplet DIR/<its id> as the mount `data`"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Bring it all up; returns the exit code."""
    from propeller.cli.running import Narrator, clock, deadline_ms, make_service, stop_on_signals
    from propeller.errors import UsageError
    from propeller.sources.open import open_source

    if not 0 <= args.proplets <= 64:
        raise UsageError("--proplets must be from 0 to 64")
    timeout = deadline_ms(args.timeout)
    state = state_dir(args)
    fleet = fleet_of(args, tree=Path(args.source))
    source = open_source(args.source, cache=state.git, ref=args.ref, git=args.git)
    narrator = Narrator(quiet=args.quiet)
    with contextlib.ExitStack() as stack:
        service = make_service(state, source, fleet, _endpoints(fleet, state, stack), verb="up")
        stack.enter_context(service)
        declared = _first_look(service, source, fleet)
        stack.callback(_serve(service, state, fleet))
        service.start()
        proplets = _proplets(args, service, state, fleet, declared)
        stack.callback(proplets.stop)
        proplets.start()
        stop_on_signals(service)
        narrator.say(f"state {state.path}, {args.proplets} proplets; the embedded broker has no ACL")
        return _follow(service, narrator, args, clock() + timeout)


def _follow(service, narrator, args, end):  # type: ignore[no-untyped-def]
    ...
