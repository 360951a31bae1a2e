"""`propeller fl rounds NAME`: every round of a FederatedTask: who, what came of it, which model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from propeller.cli.clock import ago, now_ms
from propeller.cli.flfind import EVERYTHING, add_name, metrics_text, numbered, opened
from propeller.cli.flstatus import buckets_text
from propeller.cli.names import short_digest
from propeller.cli.output import Row, add_output, print_list, say
from propeller.cli.table import Cell
from propeller.errors import UsageError
from propeller.model.rounds import Round, RoundState

TONES = {RoundState.COMMITTED: "good", RoundState.ABANDONED: "bad"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl rounds`."""
    add_name(parser)
    parser.add_argument("--round", type=int, metavar="N", help="only attempts at this round")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="at most this many (50)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print, oldest first; returns the exit code."""
    from propeller.reconcile.roundfiles import round_document

    if not 1 <= args.limit <= EVERYTHING:
        raise UsageError(f"--limit must be from 1 to {EVERYTHING}")
    now = now_ms()
    with opened(args) as found:
        attempts = found.attempts(args.limit if args.round is None else EVERYTHING)
        if args.round is not None:
            attempts = [one for one in attempts if one.number == args.round][-args.limit :]
        items = [round_document(found.task, one) for one in attempts]
    if not items:
        say(f"{found.key}: no such round" if args.round is not None else "no rounds yet")
        if args.output in ("table", "wide"):
            return 0
    by_name = {(one.number, one.attempt): one for one in attempts}

    def of(item: Mapping[str, Any]) -> Round:
        return by_name[item["round"], item["attempt"]]

    def row(item: Mapping[str, Any]) -> Row:
        one = of(item)
        model = one.fold.model.digest if one.state is RoundState.COMMITTED and one.fold else ""
        return (
            numbered(one),
            Cell(str(one.state), TONES.get(one.state, "odd")),
            ago(one.ended_at or one.selected_at, now),
            str(len(one.parts) or len(one.judges)),
            buckets_text(one),
            short_digest(model) if model else "-",
            one.why or metrics_text(one),
        )

    def wide(item: Mapping[str, Any]) -> Row:
        one = of(item)
        samples = sum(part.samples for part in one.accepted)
        return (str(samples), one.terms.strategy, short_digest(one.record or "-"))

    print_list(
        args.output,
        items,
        heads=("ROUND", "STATE", "LAST", "COHORT", "UPDATES", "MODEL", "METRICS OR WHY"),
        row=row,
        name=lambda item: numbered(of(item)),
        wide_heads=("SAMPLES", "STRATEGY", "RECORD"),
        wide_row=wide,
    )
    return 0
