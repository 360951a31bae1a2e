"""`propeller why NAME [--on PROPLET]`: the chain from commit to result, and what is in the way."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from propeller.cli import statuses
from propeller.cli.clock import now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.links import BROKEN, LAST, OK, Chain, Group, Link, Ready
from propeller.cli.output import add_data, colour_on, print_data
from propeller.cli.table import paint, printable
from propeller.errors import UsageError
from propeller.model.ids import PropletId

if TYPE_CHECKING:
    from propeller.cli.chainfacts import Facts

_MARKS = {OK: ("ok", "good"), BROKEN: ("!!", "bad")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `why`."""
    parser.add_argument(
        "name", metavar="NAME[@PROPLET]", help="an object, an App or a proplet; perhaps on one"
    )
    parser.add_argument("--on", metavar="PROPLET", help="only the copy on this proplet")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    add_state(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    from propeller.cli.chainfacts import Facts

    name, at, proplet = args.name.partition("@")
    if at and args.on is not None and args.on != proplet:
        raise UsageError(f"{args.name} and --on {args.on} name two proplets")
    store = open_store(existing_state(args))
    try:
        with store.transaction():
            facts = Facts(store, now_ms())
            chain = _chain(facts, name, args.namespace, args.on or proplet)
    finally:
        store.close()
    if args.output != "text":
        print_data(args.output, chain.data())
        return 0
    for line in text(chain, colour=colour_on()):
        print(line)
    return 0


def _chain(facts: Facts, name: str, namespace: str | None, proplet: str) -> Chain:
    from propeller.cli.chain import chain_of, implicit_app_chain, proplet_chain
    from propeller.cli.find import find

    only = PropletId(proplet) if proplet else None
    try:
        uid, key = find(facts.store, name, namespace=namespace)
    except UsageError:
        kind, slash, last = name.rpartition("/")
        if slash and kind.lower() in ("app", "apps"):
            found = implicit_app_chain(facts, last)
            if found is not None:
                return found
        seen = facts.fleet.get(PropletId(last))
        if seen is None or kind.lower() not in ("", "proplet", "proplets"):
            raise
        words = "was not declared; it announced itself"
        links = [Link("declared", OK, words, rule="Discovered")]
        ready = Ready("True", "Online", "is not in the specs")
        return proplet_chain(facts, seen.id, f"Proplet/{last}", ready, links)
    held = facts.inventory.get(uid)
    if held is None:
        raise UsageError(f"{key} left the inventory a moment ago")
    return chain_of(facts, held, only=only)


def text(chain: Chain, *, colour: bool) -> Iterator[str]:
    """The chain for a person, line by line."""
    status = chain.ready.status
    ready = paint(status, statuses.TONES.get(status, "odd"), colour=colour)
    told = chain.ready.message or chain.ready.reason
    yield f"{chain.object}  Ready={ready}  {printable(told)}"
    yield ""
    for link in chain.links:
        if link.name != LAST:  # the first line has said it
            yield _link(link, colour=colour)
    for group in chain.groups:
        yield from _group(group, chain.what, colour=colour)
    if chain.untold:
        yield f"  and {chain.untold} more with other stories: `-o json` or --on PROPLET"
    yield ""
    found = chain.in_the_way
    if found is None:
        yield "Nothing is in the way."
        return
    yield f"In the way: {printable(found.words)}"
    if found.link.do:
        yield f"What to do: {printable(found.link.do)}"


def _group(group: Group, what: str, *, colour: bool) -> Iterator[str]:
    count = f" ({group.count} copies, alike)" if group.count > 1 and what else ""
    if not what and len(group.links) == 1 and group.links[0].name == LAST:
        only = group.links[0]
        mark, tone = _MARKS.get(only.state, ("..", "odd"))
        yield f"  {paint(mark, tone, colour=colour)}  {group.title}: {printable(only.words)}"
        return
    yield f"  {what} {group.title}{count}" if what else f"  {group.title}"
    for link in group.links:
        yield "  " + _link(link, colour=colour)


def _link(link: Link, *, colour: bool) -> str:
    mark, tone = _MARKS.get(link.state, ("..", "odd"))
    return f"  {paint(mark, tone, colour=colour)}  {link.name:<10} {printable(link.words)}"
