"""`propeller history`: the revisions that were tried, or what one object has been before."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import age, now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.names import short_digest, short_revision
from propeller.cli.output import Row, add_output, print_list, say
from propeller.cli.table import Cell
from propeller.errors import UsageError
from propeller.model.conditions import moment

if TYPE_CHECKING:
    from propeller.state.records import PlanRecord
    from propeller.state.sqlite import SqliteStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `history`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an object (default: the source)")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="at most this many (50)")
    add_state(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print, newest first; returns the exit code."""
    if not 1 <= args.limit <= 100_000:
        raise UsageError("--limit must be from 1 to 100000")
    store = open_store(existing_state(args))
    try:
        if args.name is None:
            _revisions(store, args)
        else:
            _object(store, args)
    finally:
        store.close()
    return 0


def _revisions(store: SqliteStore, args: argparse.Namespace) -> None:
    now = now_ms()
    plans: dict[str, list[PlanRecord]] = {}
    for plan in store.plans():
        plans.setdefault(plan.revision, []).append(plan)
    items = [
        {
            "at": moment(one.at),
            "atMs": one.at,
            "revision": one.name,
            "digest": one.digest,
            "outcome": one.outcome,
            "author": one.author,
            "signer": one.signed_by,
            "plans": [
                {"app": plan.source, "digest": plan.digest, "planned": moment(plan.at)}
                for plan in plans.get(one.name, ())
            ],
            "message": one.message,
            "committed": moment(one.time) if one.time else None,
            "source": one.source,
            "faults": list(one.faults),
        }
        for one in store.revisions(args.limit)
    ]

    def row(item: Mapping[str, Any]) -> Row:
        good = item["outcome"] == "accepted"
        faults = item["faults"]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        first = f"{faults[0]}{more}" if faults else ""
        message = item["message"].partition("\n")[0]
        return (
            age(item["atMs"], now),
            short_revision(item["revision"]) or "-",
            Cell(item["outcome"], "good" if good else "bad"),
            item["author"],
            message if good else first,
        )

    if not items and args.output in ("table", "wide"):
        say("no revision was taken yet")
        return
    print_list(
        args.output,
        items,
        heads=("TAKEN", "REVISION", "OUTCOME", "AUTHOR", "MESSAGE"),
        row=row,
        name=lambda item: str(item["revision"]),
        wide_heads=("SOURCE", "DIGEST", "SIGNER", "PLAN"),
        wide_row=lambda item: (
            item["source"],
            short_digest(item["digest"]),
            item["signer"],
            ", ".join(short_digest(plan["digest"]) for plan in item["plans"]),
        ),
    )


def _object(store: SqliteStore, args: argparse.Namespace) -> None:
    from propeller.cli.chainfacts import Facts
    from propeller.cli.find import find
    from propeller.cli.pasts import pasts

    now = now_ms()
    uid, key = find(store, args.name, namespace=args.namespace)
    with store.transaction():
        items = pasts(Facts(store, now), uid, key)[: args.limit]
    if not items and args.output in ("table", "wide"):
        say(f"{key} has no past yet")
        return

    def row(item: Mapping[str, Any]) -> Row:
        return (
            age(item["lastMs"], now),
            str(item["generation"]),
            Cell(item["outcome"], _TONES.get(item["outcome"], "odd")),
            item["state"],
            short_revision(item["revision"]),
            item["author"],
            item["approvedBy"],
            f"{item['endedBy']}: {item['why']}" if "endedBy" in item else "",
        )

    def wide(item: Mapping[str, Any]) -> Row:
        plan, spec = short_digest(item["plan"]), short_digest(item["specDigest"])
        return (item["first"], item["signer"], plan, spec)

    print_list(
        args.output,
        items,
        heads=(
            *("LAST", "GENERATION", "OUTCOME", "STATE", "REVISION", "AUTHOR", "APPROVED BY"),
            "ENDED BY",
        ),
        row=row,
        name=lambda item: f"{item['generation']}:{item['outcome']}",
        wide_heads=("FIRST", "SIGNER", "PLAN", "SPEC"),
        wide_row=wide,
    )


_TONES = {"deployed": "good", "failed": "bad", "rolled back": "bad", "rejected": "bad"}
