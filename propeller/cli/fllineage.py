"""`propeller fl lineage NAME`: from a model back to where training started, each step checked.

`--image REFERENCE` walks what a registry has of it instead, by its signed records.

Each committed round names the model it started from and the record before it; a record is a digest
over the round, so that a past round cannot be changed without changing every later one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.context import existing_state
from propeller.cli.flfind import Found, metrics_text, opened
from propeller.cli.flverify import record_check
from propeller.cli.images import add_registry, place_of
from propeller.cli.names import short_digest
from propeller.cli.output import Row, add_output, print_list, say
from propeller.cli.table import Cell
from propeller.errors import UsageError, WireError
from propeller.model.ids import Digest
from propeller.model.rounds import Round, RoundState

if TYPE_CHECKING:
    from propeller.wire.signing import VerifyKey

BROKEN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl lineage`."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME"
    )
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument(
        "--image", metavar="REF", help="walk a model in a registry: HOST/REPOSITORY:TAG"
    )
    parser.add_argument(
        "--key",
        metavar="KEY",
        help="whose signatures count with --image: ed25519:... or a file that has it (default: this"
        " fleet's manager)",
    )
    add_registry(parser)
    parser.add_argument("--round", type=int, metavar="N", help="begin here (default: the last)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print, newest first; 3 where the chain is broken."""
    if (args.name is None) == (args.image is None):
        raise UsageError("say either NAME or --image REF")
    items = _of_image(args) if args.image is not None else _of_store(args)
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
        where = "store" if args.image is None else "registry"
        say(f"rounds before {items[-1]['round']} are not in the {where} any more")
    return BROKEN if broken else 0


def _of_store(args: argparse.Namespace) -> list[dict[str, Any]]:
    with opened(args) as found:
        if found.job is None or not found.job.done:
            raise UsageError(f"{found.key} has no committed round yet")
        if args.round is not None:
            found.round(args.round)
        return list(walk(found, args.round or found.job.done))


def _of_image(args: argparse.Namespace) -> list[dict[str, Any]]:
    from propeller.cli.flshelf import walk as walk_shelf

    if args.round is not None:
        raise UsageError("--round is said by the tag of --image")
    key = _key(args)
    with place_of(args, args.image) as place:
        return list(walk_shelf(place.artifacts, place.reference, key.verify))


def _key(args: argparse.Namespace) -> VerifyKey:
    """Whose signatures count. Raises UsageError."""
    from propeller.state.keys import Keys
    from propeller.wire.signing import VerifyKey

    if args.key is None:
        return Keys(existing_state(args).keys).manager().public
    try:
        path = Path(args.key)
        text = path.read_text() if path.is_file() else args.key
        return VerifyKey.parse(text.strip())
    except (WireError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--key {args.key}: is no public key: {error}") from error


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
