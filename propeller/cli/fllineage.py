"""`propeller fl lineage NAME`: from a model back to where training started, each step checked.

Each committed round names the model it started from and the record before it; a record is a digest
over the round, so that a past round cannot be changed without changing every later one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from propeller.cli.flfind import Found, add_name, metrics_text, opened
from propeller.cli.flverify import record_check
from propeller.cli.names import short_digest
from propeller.cli.output import Row, add_output, print_list, say
from propeller.cli.table import Cell
from propeller.errors import UsageError
from propeller.model.ids import Digest
from propeller.model.rounds import Round, RoundState

BROKEN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl lineage`."""
    add_name(parser)
    parser.add_argument("--round", type=int, metavar="N", help="begin here (default: the last)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print, newest first; 3 where the chain is broken."""
    with opened(args) as found:
        if found.job is None or not found.job.done:
            raise UsageError(f"{found.key} has no committed round yet")
        if args.round is not None:
            found.round(args.round)
        items = list(walk(found, args.round or found.job.done))
    print_list(
        args.output,
        items,
        heads=("ROUND", "MODEL", "FROM", "CONTRIBUTORS", "RECORD", "METRICS OR FAULT"),
        row=_row,
        name=lambda item: str(item["model"]),
        wide_heads=("STRATEGY", "GENERATION", "SAMPLES"),
        wide_row=lambda item: (item["strategy"], str(item["generation"]), str(item["samples"])),
    )
    broken = [one for one in items if one["faults"]]
    if broken:
        say(f"the chain is broken at round {broken[0]['round']}: {broken[0]['faults'][0]}")
    elif items[-1]["round"] > 1:
        say(f"rounds before {items[-1]['round']} are not in the store any more")
    return BROKEN if broken else 0


def _row(item: Mapping[str, Any]) -> Row:
    said = Cell(item["faults"][0], "bad") if item["faults"] else item["measured"]
    base = item["base"]
    return (
        str(item["round"]),
        short_digest(item["model"] or "-"),
        short_digest(base) if base else "zeros",
        f"{item['accepted']}, {short_digest(item['contributorsDigest'])}",
        short_digest(item["record"]),
        said,
    )


def walk(found: Found, newest: int) -> Iterator[dict[str, Any]]:
    """The rounds from `newest` back to the first the store has, each with what is wrong with it."""
    attempts = found.attempts(10_000)
    records: dict[Digest, Round] = {one.record: one for one in attempts if one.record}
    committed = {one.number: one for one in attempts if one.state is RoundState.COMMITTED}
    for number in range(newest, 0, -1):
        round_ = committed.get(number)
        if round_ is None:
            if any(below < number for below in committed):
                yield _missing(number)
            return
        faults = list(_faults(round_, committed.get(number - 1), records))
        yield {**describe(round_), "faults": faults}


def describe(round_: Round) -> dict[str, Any]:
    """What made the model of a round: the statement of its record, in plain fields."""
    fold = round_.fold
    return {
        "round": round_.number,
        "attempt": round_.attempt,
        "job": round_.job,
        "model": str(fold.model.digest) if fold is not None else "",
        "base": str(round_.base.digest),
        "generation": round_.generation,
        "strategy": round_.terms.strategy,
        "accepted": len(round_.accepted),
        "samples": sum(part.samples for part in round_.accepted),
        "contributorsDigest": str(round_.contributors),
        "record": str(round_.record),
        "parent": str(round_.parent),
        "metrics": dict(round_.metrics),
        "measured": metrics_text(round_),
    }


def _faults(round_: Round, before: Round | None, records: Mapping[Digest, Round]) -> Iterator[str]:
    if round_.parts and not record_check(round_).good:
        yield "its record is not the digest of what the store has of it"
    if before is not None:
        made = before.fold.model.digest if before.fold is not None else ""
        if round_.terms.mode == before.terms.mode and made and round_.base.digest != made:
            base = short_digest(round_.base.digest)
            yield f"it starts from {base}, and round {before.number} made {short_digest(made)}"
    if before is not None and round_.parent and round_.parent not in records:
        yield f"the record before it, {short_digest(round_.parent)}, is not in the store"


def _missing(number: int) -> dict[str, Any]:
    return {
        "round": number, "attempt": 0, "job": "", "model": "", "base": "", "generation": 0,
        "strategy": "", "accepted": 0, "samples": 0, "contributorsDigest": "-", "record": "-",
        "parent": "", "metrics": {}, "measured": "", "faults": ["it is not in the store"],
    }  # fmt: skip
