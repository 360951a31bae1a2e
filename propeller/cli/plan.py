"""`propeller plan PATH`: the plan that `diff` shows, for reading, as data, or saved for `apply`.

`-o FILE.json` saves it: `apply FILE.json` carries it out, and refuses when anything it rests on has
moved. Exit: 0, or 2.
"""

from __future__ import annotations

import argparse

from propeller.cli import diff
from propeller.cli.output import say

FORMATS = ("text", "json", "yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `plan`."""
    diff.add_comparison(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FORMAT|FILE.json",
        type=_output,
        default="text",
        help="text, json or yaml; or the file to save the plan in, for `apply` (default text)",
    )


def _output(text: str) -> str:
    if text not in FORMATS and not text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"{text!r} is not {', '.join(FORMATS)} or a .json file")
    return text


def run(args: argparse.Namespace) -> int:
    """Print or save the plan; whether it has actions does not show in the exit code."""
    from propeller.cli.planning import compare
    from propeller.cli.savedplan import save

    planned = compare(args)
    file, args.output = args.output, "text" if args.output not in FORMATS else args.output
    diff.show_plan(args, planned)
    if file not in FORMATS:
        save(file, args, planned)
        say(f"saved in {file}; carry it out with `propeller apply {file}`")
    return 0
