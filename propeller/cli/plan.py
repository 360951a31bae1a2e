"""`propeller plan PATH`: the plan that `diff` shows, for reading or as data. Exit: 0, or 2."""

from __future__ import annotations

import argparse

from propeller.cli import diff


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `plan`."""
    diff.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the plan; whether it has actions does not show in the exit code."""
    diff.show_plan(args)
    return 0
