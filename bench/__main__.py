"""`python -m bench`: measure, print a table with the budget beside each, write one JSON file."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.rows import HEAD, Row, line, machine, write

MODULES = (
    *("start", "guests", "functions", "edits", "idle", "fl_rounds"),
    *("throughput", "scale", "autoscale", "gitops", "losses", "fl"),
)
"""In this order: what a busy machine disturbs most comes first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 0 even where a budget is missed: a person judges that."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), metavar="FILE")
    parser.add_argument("--only", action="append", choices=MODULES, metavar="NAME", default=[])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only that it runs")
    args = parser.parse_args(argv)
    rows: list[Row] = []
    print(machine())
    print(HEAD)
    for name in MODULES:
        if args.only and name not in args.only:
            continue
        for row in importlib.import_module(f"bench.{name}").measure(quick=args.quick):
            rows.append(row)
            print(line(row), flush=True)
    write(rows, args.out, where=machine())
    missed = [row.name for row in rows if row.met is False]
    print(f"{len(rows)} rows in {args.out}; missed: {', '.join(missed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
