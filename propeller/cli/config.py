"""`propeller config show`: every value that holds and where it comes from. Secrets are masked."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from propeller.cli.masking import is_secret_name
from propeller.cli.output import add_data, print_data
from propeller.cli.settings import DEFAULT, add_fleet, fleet_of
from propeller.cli.table import Cell, render


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `config`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = below.add_parser("show", help="the configuration with the origin of each value")
    show.add_argument("path", nargs="?", metavar="SPECS", help="the spec tree (default: here)")
    add_fleet(show)
    add_data(show)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    fleet = fleet_of(args, tree=Path(args.path) if args.path else None)
    values = {
        name: (_shown(name, one.value), one.origin) for name, one in sorted(fleet.values.items())
    }
    origin = str(fleet.path) if fleet.path is not None else DEFAULT
    registries = {
        host: {name: _shown(name, str(value)) for name, value in entry.items()}
        for host, entry in fleet.registries.items()
    }
    repositories = {
        host: {name: _shown(name, str(value)) for name, value in entry.items()}
        for host, entry in fleet.repositories.items()
    }
    if args.output != "text":
        data: dict[str, Any] = {
            "kind": "Configuration",
            "file": str(fleet.path) if fleet.path is not None else None,
            "values": {
                name: {"value": value, "origin": where} for name, (value, where) in values.items()
            },
            "registries": registries,
            "repositories": repositories,
        }
        print_data(args.output, data)
        return 0
    rows = [
        (name, value, Cell(where, "dim" if where == DEFAULT else ""))
        for name, (value, where) in values.items()
    ]
    for host, entry in registries.items():
        rows += [
            (f"registries.{host}.{name}", value, Cell(origin)) for name, value in entry.items()
        ]
    for host, entry in repositories.items():
        rows += [
            (f"repositories.{host}.{name}", value, Cell(origin)) for name, value in entry.items()
        ]
    print(render(("NAME", "VALUE", "ORIGIN"), rows))
    return 0


def _shown(name: str, value: str) -> str:
    """Files that hold secrets are named; a secret itself, or one inside a URL, is not."""
    from propeller.sources.address import mask

    last = name.rpartition(".")[2]
    if value and is_secret_name(last) and not last.endswith("File"):
        return "***"
    return mask(value)
