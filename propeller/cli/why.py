"""`propeller why NAME[@PROPLET]`: the chain from the commit to the device, and what blocks it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli import statuses
from propeller.cli.chain import BROKEN, OK, Chain, Link, chain_of
from propeller.cli.clock import now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.find import find
from propeller.cli.output import add_data, colour_on, print_data
from propeller.cli.table import paint, printable
from propeller.errors import UsageError
from propeller.model.ids import PropletId, Uid

if TYPE_CHECKING:
    from propeller.state.sqlite import SqliteStore

_MARKS = {OK: ("ok", "good"), BROKEN: ("!!", "bad")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `why`."""
    parser.add_argument("name", metavar="NAME[@PROPLET]", help="an object, perhaps on one proplet")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    name, _, proplet = args.name.partition("@")
    store = open_store(existing_state(args))
    try:
        with store.transaction():
            uid, key = find(store, name, namespace=args.namespace)
            held = next((one for one in store.inventory() if one.uid == uid), None)
            if held is None:
                raise UsageError(f"{key} left the inventory a moment ago")
            chain = chain_of(
                store,
                held,
                _conditions(store, uid),
                only=PropletId(proplet) if proplet else None,
                now=now_ms(),
            )
    finally:
        store.close()
    if args.output != "text":
        print_data(args.output, chain.data())
        return 0
    for line in _text(chain, colour=colour_on()):
        print(line)
    return 0


def _conditions(store: SqliteStore, uid: Uid) -> dict[str, Mapping[str, Any]]:
    for row in store.statuses():
        if row.uid == uid:
            found = json.loads(row.document)["status"]["conditions"]
            return {one["type"]: one for one in found}
    return {}


def _text(chain: Chain, *, colour: bool) -> Iterator[str]:
    ready = paint(chain.ready, statuses.TONES.get(chain.ready, "odd"), colour=colour)
    yield f"{chain.object}  Ready={ready}  {printable(chain.message)}"
    yield ""
    for link in chain.links:
        yield _link(link, colour=colour)
    for proplet, links in chain.copies.items():
        yield f"  on {proplet}"
        for link in links:
            yield "  " + _link(link, colour=colour)
    yield ""
    if chain.blocked:
        yield f"In the way: {printable(chain.blocked)}"
    else:
        yield "Nothing is in the way."


def _link(link: Link, *, colour: bool) -> str:
    mark, tone = _MARKS.get(link.state, ("..", "odd"))
    return f"  {paint(mark, tone, colour=colour)}  {link.name:<10} {printable(link.words)}"
