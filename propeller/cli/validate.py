"""`propeller validate PATH`: every fault of every file, with its line. Needs nothing running.

Faults are what was asked for, so they go to stdout. Exit: 0 valid, 2 invalid.
"""

from __future__ import annotations

import argparse
from typing import Any

from propeller.cli.context import add_state
from propeller.cli.output import add_data, print_data, say
from propeller.cli.settings import fleet_of
from propeller.cli.specread import add_specs, read_specs
from propeller.cli.table import printable
from propeller.errors import SpecError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `validate`."""
    add_specs(parser)
    add_state(parser)
    parser.add_argument("--config", metavar="FILE", help="configuration (default: propeller.yaml)")
    parser.add_argument("-q", "--quiet", action="store_true", help="only faults")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Check; returns the exit code."""
    from pathlib import Path

    from propeller.model.plugins import notes_of

    try:
        fleet = fleet_of(args, tree=Path(args.path))
        revision = read_specs(args, domain=fleet.domain)
    except SpecError as error:
        if args.output == "text":
            for fault in error.faults:
                print(fault)
            count = len(error.faults)
            say(f"invalid: {count} fault{'s' if count != 1 else ''}")
        else:
            print_data(args.output, _refusal(error))
        return 2
    if args.output != "text":
        print_data(
            args.output,
            {
                "kind": "Validation",
                "valid": True,
                "revision": revision.name,
                "digest": revision.digest,
                "objects": [str(key) for key in revision.objects],
                "skipped": list(revision.skipped),
                "plugins": [
                    {"object": str(key), "message": words}
                    for key, thing in revision.objects.items()
                    for words in notes_of(thing)
                ],
                "faults": [],
            },
        )
        return 0
    if args.quiet:
        return 0
    for key, thing in revision.objects.items():
        for words in notes_of(thing):
            print(printable(f"{thing.meta.origin.file}:{thing.meta.origin.line}: {key}: {words}"))
    for place in revision.skipped:
        print(f"{place}: skipped, it is not a document of Propeller")
    counts: dict[str, int] = {}
    for key in revision.objects:
        counts[key.kind] = counts.get(key.kind, 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "no objects"
    skipped = f"; {len(revision.skipped)} documents skipped" if revision.skipped else ""
    say(f"valid: {told}{skipped}")
    return 0


def _refusal(error: SpecError) -> dict[str, Any]:
    return {
        "kind": "Validation",
        "valid": False,
        "revision": None,
        "digest": None,
        "objects": [],
        "skipped": [],
        "plugins": [],
        "faults": [
            {"file": one.file, "line": one.line, "path": one.path, "message": one.message}
            for one in error.faults
        ],
    }
