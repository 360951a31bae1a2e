"""`propeller proplets list|label|cordon|uncordon|drain`: devices, and what operators say of them.

What is said here is kept beside the specs and wins over them until it is taken back.
"""

from __future__ import annotations

import argparse
import re

from propeller.cli.asking import ask
from propeller.cli.clock import now_ms
from propeller.cli.context import add_state, existing_state, open_store, who
from propeller.cli.output import add_dry_run, add_output, say
from propeller.cli.proplettable import print_proplets, proplet_items, tell_silence
from propeller.errors import UsageError

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?\Z")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?\Z")

_SCHEDULING = {
    "cordon": ("Cordon", "takes no new work", "give it no new work; what it runs stays"),
    "uncordon": ("Enabled", "takes work again", "let it take work again"),
    "drain": ("Drain", "gives its work away", "move its work elsewhere and give it none"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `proplets`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = below.add_parser("list", help="every proplet, declared or discovered")
    add_state(listing)
    add_output(listing)
    label = below.add_parser("label", help="set labels (NAME=VALUE) or take them away (NAME-)")
    label.add_argument("proplet", metavar="PROPLET", help="its id")
    label.add_argument("labels", nargs="+", metavar="LABEL", help="NAME=VALUE, or NAME- to remove")
    add_state(label)
    add_dry_run(label)
    for action, (_, _, summary) in _SCHEDULING.items():
        one = below.add_parser(action, help=summary)
        one.add_argument("proplet", metavar="PROPLET", help="its id")
        one.add_argument("--reason", default="", metavar="R", help="why, for the record")
        add_state(one)
        add_dry_run(one)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    if args.action == "list":
        state = existing_state(args)
        store = open_store(state)
        try:
            print_proplets(args.output, proplet_items(store, now_ms()))
        finally:
            store.close()
        tell_silence(state)
        return 0
    _known(args)
    if args.action == "label":
        return _label(args)
    scheduling, words, _ = _SCHEDULING[args.action]
    if args.dry_run:
        say(f"{args.proplet} would be set to: {words}")
        return 0
    body = {
        "proplet": args.proplet,
        "scheduling": scheduling,
        "by": who(),
        "reason": args.reason,
    }
    ask(existing_state(args), "/api/v1/proplet", body)
    say(f"{args.proplet} {words}")
    return 0


def _label(args: argparse.Namespace) -> int:
    labels: dict[str, str | None] = {}
    for text in args.labels:
        name, equals, value = text.partition("=")
        if not equals and text.endswith("-"):
            name, value = text[:-1], None
        elif not equals:
            raise UsageError(
                f"{text!r} is no label", hint="write NAME=VALUE, or NAME- to remove it"
            )
        if not _LABEL.match(name) or (value is not None and not _LABEL_VALUE.match(value)):
            raise UsageError(
                f"{text!r} is no label", hint="letters, digits, '-', '_' and '.', at most 63"
            )
        labels[name] = value
    told = ", ".join(
        f"{name} removed" if value is None else f"{name}={value}" for name, value in labels.items()
    )
    if args.dry_run:
        say(f"{args.proplet} would be labelled: {told}")
        return 0
    ask(
        existing_state(args),
        "/api/v1/proplet",
        {"proplet": args.proplet, "labels": labels, "by": who()},
    )
    say(f"{args.proplet} is labelled: {told}")
    return 0


def _known(args: argparse.Namespace) -> None:
    """Refuse a proplet nobody knows. Raises UsageError."""
    import difflib

    store = open_store(existing_state(args))
    try:
        names = {str(seen.id) for seen in store.fleet()}
        names |= {row.key.name for row in store.statuses() if row.key.kind == "Proplet"}
    finally:
        store.close()
    if args.proplet not in names:
        near = difflib.get_close_matches(args.proplet, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`propeller proplets list` lists them"
        raise UsageError(f"no proplet is called {args.proplet!r}", hint=hint)
