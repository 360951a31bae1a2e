"""`propeller fl bisect NAME --metric M --below X`: where a metric turned, and what changed there.

Every committed round has its metrics, so nothing is run again: the last measured round on the good
side and the first one after it on the bad side are found, and the rounds in between compared.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from typing import Any

from propeller.cli.flfind import Found, add_name, metric_of, opened, points
from propeller.cli.flstatus import buckets_text
from propeller.cli.names import short_digest
from propeller.cli.output import add_data, print_data
from propeller.cli.table import printable
from propeller.errors import UsageError
from propeller.model.rounds import Round
from propeller.plan.records import terms_digest

SHOWN = 20
"""Suspects that are described as text."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl bisect`."""
    add_name(parser)
    parser.add_argument("--metric", metavar="M", help="which (default: the one the spec watches)")
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--below", type=float, metavar="X", help="bad is below X")
    side.add_argument("--above", type=float, metavar="X", help="bad is above X")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    limit = args.below if args.below is not None else args.above
    if not math.isfinite(limit):
        raise UsageError("--below and --above want a finite number")
    with opened(args) as found:
        rounds = found.committed()
        metric = metric_of(found, rounds, args.metric)
        answer = bisect(found, rounds, metric, limit, below=args.below is not None)
    if args.output != "text":
        print_data(args.output, answer)
        return 0
    good, bad = answer["good"], answer["bad"]
    print(printable(
        f"{metric} turned in round {bad['round']}: {bad['value']:.6g}, "
        f"after {good['value']:.6g} in round {good['round']}"
    ))  # fmt: skip
    for one in answer["suspects"][:SHOWN]:
        print(printable(f"round {one['round']}: {one['updates']}; model {one['model']}"))
        for change in one["changed"]:
            print(f"  {printable(change)}")
    left = len(answer["suspects"]) - SHOWN
    if left > 0:
        print(f"and {left} more rounds that nobody measured")
    return 0


def bisect(
    found: Found, rounds: list[Round], metric: str, limit: float, *, below: bool
) -> dict[str, Any]:
    """The newest turn from good to bad. Raises UsageError where there is none."""
    measured = points(rounds, metric)
    if not measured:
        raise UsageError(
            f"no committed round of {found.key} has the metric {metric!r}",
            hint="`propeller fl rounds` shows which there are",
        )

    def is_bad(value: float) -> bool:
        return value < limit if below else value > limit

    turns = [
        (before, after)
        for before, after in pairwise(measured)
        if is_bad(after[1]) and not is_bad(before[1])
    ]
    word = "below" if below else "above"
    if not turns:
        if is_bad(measured[0][1]) and all(is_bad(value) for _, value in measured):
            raise UsageError(f"{metric} was {word} {limit:g} in every round that was measured")
        raise UsageError(f"{metric} never turned: no round was {word} {limit:g} after a good one")
    good, bad = turns[-1]
    by_number = {one.number: one for one in rounds}
    suspects = [
        _suspect(by_number[number], by_number.get(number - 1))
        for number in range(good[0] + 1, bad[0] + 1)
        if number in by_number
    ]
    return {
        "object": str(found.key),
        "metric": metric,
        "good": {"round": good[0], "value": good[1]},
        "bad": {"round": bad[0], "value": bad[1]},
        "suspects": suspects,
    }


def _suspect(round_: Round, before: Round | None) -> dict[str, Any]:
    model = round_.fold.model.digest if round_.fold is not None else ""
    return {
        "round": round_.number,
        "model": short_digest(model or "-"),
        "updates": buckets_text(round_),
        "changed": [] if before is None else changes(before, round_),
    }


def changes(before: Round, after: Round) -> list[str]:
    """What is different between two rounds, apart from their models."""
    told = []
    if before.generation != after.generation:
        told.append(f"the spec: generation {before.generation} -> {after.generation}")
    if terms_digest(before.terms) != terms_digest(after.terms):
        names = [
            name
            for name in after.terms.__slots__
            if getattr(before.terms, name) != getattr(after.terms, name)
        ]
        told += [
            f"{name}: {_text(getattr(before.terms, name))} -> {_text(getattr(after.terms, name))}"
            for name in names
        ]
    came = {part.proplet for part in after.accepted} - {part.proplet for part in before.accepted}
    gone = {part.proplet for part in before.accepted} - {part.proplet for part in after.accepted}
    if came or gone:
        told.append(f"contributors: {len(came)} others came, {len(gone)} left")
    samples = [sum(part.samples for part in one.accepted) for one in (before, after)]
    if samples[0] != samples[1]:
        told.append(f"samples: {samples[0]} -> {samples[1]}")
    return told


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{name} {text}" for name, text in value) or "none"
    return str(value)
