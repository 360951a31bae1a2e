"""`propeller orphans`: what left the source and is still there, and why.

`Kept`: nobody prunes it (`protect`, `prune: Never`); it goes on running until `forget`, or until
its spec is back. `Leaving`: its proplets have not confirmed yet that it is gone. Reads the store.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.output import add_output, print_list, say
from propeller.cli.table import Cell

if TYPE_CHECKING:
    from propeller.model.inventory import Assignment, Held


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `orphans`."""
    add_state(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; returns the exit code."""
    from propeller.model.conditions import moment

    store = open_store(existing_state(args))
    try:
        with store.transaction():
            left = [held for held in store.inventory() if held.deleted_at is not None]
            copies = store.assignments()
    finally:
        store.close()
    items = []
    for held in sorted(left, key=lambda one: one.object.meta.key):
        item = _item(held, [one for one in copies if one.uid == held.uid])
        items.append({**item, "since": moment(held.deleted_at or 0)})
    if not items and args.output in ("table", "wide"):
        say("nothing that left the source is still there")
        return 0
    print_list(
        args.output,
        items,
        heads=("OBJECT", "APP", "STATE", "SINCE", "PROPLETS", "WHY"),
        row=lambda item: (
            item["object"],
            item["app"],
            Cell(item["state"], "odd" if item["state"] == "Kept" else "dim"),
            item["since"],
            ",".join(item["proplets"]) or "-",
            item["why"],
        ),
        name=lambda item: str(item["object"]),
    )
    return 0


def _item(held: Held, copies: list[Assignment]) -> dict[str, Any]:
    meta = held.object.meta
    return {
        "object": str(meta.key),
        "uid": held.uid,
        "app": meta.app,
        "state": "Kept" if held.orphan else "Leaving",
        "proplets": sorted(one.proplet for one in copies),
        "why": _why(held) if held.orphan else "its proplets have not confirmed that it is gone",
    }


def _why(held: Held) -> str:
    thing = held.object
    if thing.meta.protect:
        return "metadata.protect"
    if str(getattr(thing, "prune", "")) == "Never":
        return "prune: Never"
    return f"prune: Never of App {thing.meta.app}"
