"""`propeller wait`: until an object, or everything, is Ready (or another condition holds).

Looks at the store only, so it works while a reconciler runs elsewhere, and before one has started:
an object that is not there yet is waited for like one that is not Ready yet. Exit: 0 met, 2 error,
3 it cannot be met without a person (Stalled, or the revision was refused), 4 the time was over.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from propeller.cli import statuses
from propeller.cli.context import add_state, open_store, state_dir
from propeller.cli.find import read_name
from propeller.cli.output import say
from propeller.cli.statuses import Document
from propeller.errors import Unavailable, UsageError
from propeller.model.ids import Key

if TYPE_CHECKING:
    from propeller.state.layout import StateDir
    from propeller.state.sqlite import SqliteStore

POLL = 0.1

LEAST = 7
"""Digits of a revision that tell it from others."""

SEEN = 1000
"""Revisions looked through for the one that is waited for."""

MET, FAILED, LATE = 0, 3, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `wait`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="objects to wait for")
    parser.add_argument("--all", action="store_true", help="wait for every object of the source")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the names are looked up")
    add_state(parser)
    parser.add_argument(
        "--for",
        dest="condition",
        default="Ready",
        metavar="TYPE[=STATUS]",
        help="the condition, or Deleted (default Ready)",
    )
    parser.add_argument(
        "--revision",
        metavar="REV",
        help="once this revision was taken: a commit (the first 7 digits will do) or a name of"
        " `history`; without it, what was taken last counts, and a push may still be on its way",
    )
    parser.add_argument("--timeout", default="5m", metavar="T", help="give up after T (5m)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")


def run(args: argparse.Namespace) -> int:
    """Wait; returns the exit code."""
    if bool(args.names) == args.all:
        raise UsageError("say what to wait for", hint="`propeller wait NAME` or `--all`")
    for name in args.names:
        read_name(name, namespace=args.namespace)
    if args.revision is not None and len(args.revision.strip()) < LEAST:
        raise UsageError(
            f"--revision {args.revision!r} is too short", hint=f"at least {LEAST} digits"
        )
    timeout = _seconds(args.timeout)
    goal = _Goal(args.condition)
    end = time.monotonic() + timeout
    told: Sequence[str] = ()
    while True:
        code, lines = _look(state_dir(args), args, goal)
        if code is not None:
            _end(code, lines, quiet=args.quiet)
            return code
        if lines != told and not args.quiet:
            for line in lines:
                if line not in told:
                    say(line)
            told = lines
        if time.monotonic() >= end:
            _end(LATE, lines if args.quiet else (), quiet=False)
            return LATE
        time.sleep(POLL)


class _Goal:
    """What is waited for: a condition with a status, or that the object is gone."""

    def __init__(self, text: str) -> None:
        kind, _, status = text.partition("=")
        known = {"true": "True", "false": "False", "unknown": "Unknown", "": "True"}
        if not kind.isalpha() or status.lower() not in known:
            raise UsageError(f"--for {text!r} is not a condition", hint="for instance Ready")
        self.gone = kind.lower() in ("deleted", "delete")
        self.kind, self.status = kind, known[status.lower()]

    def met(self, document: Document) -> bool:
        """Whether this object is where it is wanted."""
        if self.gone or "deleted" in document["metadata"]:
            return False
        found = statuses.condition(document, self.kind)
        return (found["status"] if found is not None else "False") == self.status

    def hopeless(self, document: Document) -> bool:
        """Whether only a person can still bring it there."""
        if self.gone or (self.kind.lower() == "ready" and self.status != "True"):
            return False
        stalled = statuses.condition(document, "Stalled")
        return stalled is not None and stalled["status"] == "True"


def _look(
    state: StateDir, args: argparse.Namespace, goal: _Goal
) -> tuple[int | None, Sequence[str]]:
    """The exit code once it is known, and what is not there yet, one line each."""
    if not state.database.exists():
        return None, [f"no state in {state.path} yet"]
    try:
        store = open_store(state)
    except Unavailable as error:
        return None, [error.what]  # just being made
    try:
        with store.transaction():
            if not store.meta("revision"):
                return None, ["no revision was accepted yet"]
            if args.revision is not None:
                code, lines = _taken(store, args.revision.strip())
                if code != MET:
                    return code, lines
            found = list(statuses.documents(store))
            code, lines = _judge(found, args, goal)
            if code is None or goal.gone:
                return code, lines
            # Neither "met" nor "it needs a person" counts from a status of an older spec: the
            # commit that mends a stalled object is taken before its status is written anew.
            late = _behind(store, found, args)
            return (None, late) if late else (code, lines)
    finally:
        store.close()


def _taken(store: SqliteStore, wanted: str) -> tuple[int | None, Sequence[str]]:
    """MET once `wanted` was accepted, FAILED when the last attempt at it was refused."""
    for one in store.revisions(SEEN):
        _, _, commit = one.name.rpartition(":")  # main@sha1:0123..., dir@sha256:0123...
        if one.name != wanted and not commit.startswith(wanted):
            continue
        if one.outcome == "accepted":
            return MET, []
        return FAILED, [f"{one.name} was refused", *one.faults[:8]]
    return None, [f"revision {wanted} was not taken yet"]


def _behind(
    store: SqliteStore, found: Sequence[Document], args: argparse.Namespace
) -> Sequence[str]:
    """Objects whose status does not tell of their newest spec yet, or that have none."""
    seen = {one["metadata"]["uid"]: one["metadata"]["generation"] for one in found}
    late = []
    for held in store.inventory():
        key = held.object.meta.key
        asked = args.all or any(
            read_name(text, namespace=args.namespace).fits(key, held.uid) for text in args.names
        )
        if not asked or held.object.meta.app == statuses.RUN_APP:
            continue
        if seen.get(held.uid) != held.generation:
            late.append(f"{key}: not looked at yet")
    return late


def _judge(
    found: Sequence[Document], args: argparse.Namespace, goal: _Goal
) -> tuple[int | None, Sequence[str]]:
    """What the statuses say."""
    if args.all:
        chosen = [
            one
            for one in found
            if one["metadata"]["app"] != statuses.RUN_APP and "partOf" not in one["metadata"]
        ]
        missing: list[str] = []
    else:
        chosen, missing = _named(found, args)
    if goal.gone:
        lines = [f"{statuses.key_text(one)}: {statuses.message(one)}" for one in chosen]
        return (None, lines) if chosen else (MET, [])
    waiting = [f"{name}: not there yet" for name in missing]
    stuck: list[str] = []
    for one in chosen:
        if goal.met(one):
            continue
        line = f"{statuses.key_text(one)}: {statuses.message(one)}"
        (stuck if goal.hopeless(one) else waiting).append(line)
    if stuck:
        return FAILED, stuck
    if waiting:
        return None, waiting
    named = ", ".join(statuses.key_text(one) for one in chosen)
    return MET, [f"{len(chosen)} objects" if args.all else named]


def _named(found: Sequence[Document], args: argparse.Namespace) -> tuple[list[Document], list[str]]:
    """Every object each name means; a name that means several is refused."""
    chosen: list[Document] = []
    missing: list[str] = []
    for text in args.names:
        named = read_name(text, namespace=args.namespace)
        fits = [
            one
            for one in found
            if named.fits(Key.parse(statuses.key_text(one)), one["metadata"]["uid"])
        ]
        if len(fits) > 1:
            keys = ", ".join(statuses.key_text(one) for one in fits[:8])
            raise UsageError(f"{text!r} may mean {keys}", hint="say which: KIND/NAMESPACE/NAME")
        if fits:
            chosen.append(fits[0])
        else:
            missing.append(text)
    return chosen, missing


def _end(code: int, lines: Sequence[str], *, quiet: bool) -> None:
    if code == MET:
        if not quiet:
            say(f"met: {lines[0]}" if lines else "met")
        return
    for line in lines:
        say(line)
    say("stalled: it needs a person" if code == FAILED else "not met in time")


def _seconds(text: str) -> float:
    from propeller.model.quantities import duration_ms

    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise UsageError(f"--timeout {text!r}: {error}") from error
