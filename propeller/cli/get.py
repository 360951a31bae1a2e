"""`propeller get`: objects and how they are, from the store; nothing has to run for it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from propeller.cli import quotatable, statuses
from propeller.cli.clock import now_ms
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.names import kind_of, short_digest
from propeller.cli.output import Row, add_output, print_data, print_list, say
from propeller.cli.statuses import Document
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.state.sqlite import SqliteStore

POLL = 0.3
"""Seconds between two looks of `--watch`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `get`."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="KIND|KIND/NAME|NAME",
        help="a kind, an object, `quotas`, or nothing for all objects",
    )
    add_state(parser)
    parser.add_argument("-n", "--namespace", metavar="NS", help="only this namespace")
    parser.add_argument("-w", "--watch", action="store_true", help="go on with what changes")
    parser.add_argument(
        "--status-selector",
        metavar="TYPE=STATUS",
        help="only where conditions are so, for instance Ready=False",
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    state = existing_state(args)
    fits = statuses.selector(args.status_selector)
    store = open_store(state)
    try:
        if args.what and kind_of(args.what[0]) == "Proplet" and len(args.what) == 1:
            from propeller.cli.proplettable import print_proplets, proplet_items, tell_silence

            if args.watch:
                raise UsageError("proplets are not watched", hint="`propeller events -w` tells")
            items = [one for one in proplet_items(store, now_ms()) if fits(one)]
            print_proplets(args.output, items)
            tell_silence(state)
            return 0
        if args.what in quotatable.WORDS:
            if args.watch or args.status_selector:
                raise UsageError("quotas have no conditions and are not watched")
            quotatable.print_quotas(args.output, store, args.namespace)
            return 0
        found, single = _chosen(store, args)
        found = [document for document in found if fits(document)]
        _print(found, args, single=single)
        _tell_trouble(store)
        if args.watch:
            _follow(store, args, found)
    finally:
        store.close()
    return 0


def _chosen(store: SqliteStore, args: argparse.Namespace) -> tuple[list[Document], bool]:
    """The documents meant, and whether exactly one object was named."""
    everything = [
        document
        for document in statuses.documents(store)
        if args.namespace in (None, document["metadata"]["namespace"])
    ]
    words: list[str] = args.what
    if not words:
        return [one for one in everything if one["metadata"]["app"] != statuses.RUN_APP], False
    kind = kind_of(words[0])
    if kind is not None and len(words) == 1:
        return [document for document in everything if document["kind"] == kind], False
    if kind is not None and len(words) > 1:
        words = [f"{kind}/{word}" for word in words[1:]]
    return [_one(everything, word, args.namespace) for word in words], len(words) == 1


def _one(everything: Sequence[Document], word: str, namespace: str | None) -> Document:
    from propeller.cli.find import choose
    from propeller.model.ids import Key, Uid

    by_uid = {Uid(document["metadata"]["uid"]): document for document in everything}
    keys = {uid: Key.parse(statuses.key_text(document)) for uid, document in by_uid.items()}
    uid, _ = choose(keys, word, namespace=namespace)
    return by_uid[uid]


def _print(
    found: Sequence[Document], args: argparse.Namespace, *, single: bool, again: bool = False
) -> None:
    if single and args.output in ("json", "yaml"):
        print_data(args.output, found[0] if found else {})
        return
    if not found and args.output in ("table", "wide"):
        say("nothing here" if args.what or args.status_selector else "no objects yet")
        return
    now = now_ms()
    spaced = args.namespace is None and any(
        document["metadata"]["namespace"] != "default" for document in found
    )
    kinds = len({document["kind"] for document in found}) > 1 or not args.what
    heads = (
        *(("NAMESPACE",) if spaced else ()),
        *(("KIND",) if kinds else ()),
        *("NAME", "REVISION", "READY", "DEVICES", "AGE", "MESSAGE"),
    )

    def row(document: Document) -> Row:
        meta = document["metadata"]
        return (
            *((meta["namespace"],) if spaced else ()),
            *((document["kind"],) if kinds else ()),
            meta["name"],
            statuses.revision(document),
            statuses.ready_cell(document),
            statuses.devices(document),
            statuses.age_of(document, now),
            statuses.message(document),
        )

    def wide(document: Document) -> Row:
        meta, status = document["metadata"], document["status"]
        copies = ",".join(f"{copy['proplet']}:{copy['state']}" for copy in status.get("copies", ()))
        return (
            meta["app"],
            str(meta["generation"]),
            short_digest(status["specDigest"]),
            copies,
        )

    print_list(
        args.output,
        found,
        heads=heads,
        row=row,
        name=statuses.key_text,
        wide_heads=("APP", "GENERATION", "SPEC", "COPIES"),
        wide_row=wide,
        headless=again,
    )


def _tell_trouble(store: SqliteStore) -> None:
    """What stands in no row of the table is said once, on stderr: bad sources, tripped guards."""
    from propeller.cli.chainfacts import sources_in

    for app, row in sorted(sources_in(store).items()):
        if row["ready"] == "True":
            continue
        whose = f"the source of App {app}" if app else "the source"
        what = "was refused" if row["reason"] == "RevisionRefused" else "cannot be read"
        faults = row["faults"]
        more = len(faults) - 1 + int(row.get("more", 0))
        first = f"{faults[0]} (and {more} more)" if more else faults[0]
        say(f"{whose} {what}, the last good revision stands: {first}")
    for pause in store.pauses():
        say(f"App {pause.app} waits: {pause.message}; `propeller confirm {pause.digest}`")


def _follow(store: SqliteStore, args: argparse.Namespace, shown: Sequence[Document]) -> None:
    """Print what changed, until interrupted."""
    fits = statuses.selector(args.status_selector)
    before = {document["metadata"]["uid"]: document for document in shown}
    serial = store.serial()
    while True:
        time.sleep(POLL)
        if store.serial() == serial:
            continue
        serial = store.serial()
        try:
            found, _ = _chosen(store, args)
        except UsageError:
            found = []  # what was named is gone
        now = {one["metadata"]["uid"]: one for one in found if fits(one)}
        changed = [one for uid, one in now.items() if before.get(uid) != one]
        for uid in before.keys() - now.keys():
            say(f"gone: {statuses.key_text(before[uid])}")
        if changed:
            _print(changed, args, single=False, again=True)
        before = now
