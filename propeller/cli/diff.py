"""`propeller diff PATH`: what taking PATH would change. Exit: 0 nothing, 1 something, 2 any error.

Waiting (for a silent device, a cron slot, a retry) is no change. Drift is shown as well; it is a
change where the loop puts it right.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from propeller.cli.context import add_state
from propeller.cli.output import add_data, colour_on, print_data, reader_may_leave, say
from propeller.cli.settings import add_age_key
from propeller.cli.specread import add_specs

if TYPE_CHECKING:
    from propeller.cli.planning import Planned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `diff`."""
    add_comparison(parser)
    add_data(parser)


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """What `diff` and `plan` compare."""
    add_specs(parser)
    add_state(parser)
    parser.add_argument("--config", metavar="FILE", help="configuration (default: propeller.yaml)")
    parser.add_argument("--domain", help="domain id the fleet runs under")
    add_age_key(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="only the exit code")


def run(args: argparse.Namespace) -> int:
    """Compare; returns the exit code."""
    from propeller.cli.planning import compare

    return 1 if show_plan(args, compare(args)) else 0


def show_plan(args: argparse.Namespace, planned: Planned) -> bool:
    """Print the plan; whether it has any action."""
    from propeller.cli.plantext import plan_lines

    with reader_may_leave():
        if args.quiet:
            return planned.changes > 0
        if args.output != "text":
            print_data(args.output, planned.data())
        else:
            if planned.base is None:
                say("no state yet: everything is new")
            for line in plan_lines(planned, colour=colour_on()):
                print(line)
        if not planned.lines and not planned.drift:
            say("no changes")
    return planned.changes > 0
