"""`propeller confirm`: let the reconciler go on where it waits for a person.

`fleet`: start and move work although not every declared proplet was heard after a lost store.
`sha256:...`: let the plan of this digest happen, although a guard tripped; that plan and no other,
once. A digest whose plan is not there yet is kept for it, so that a pull request may be confirmed
before it is merged. `window NAME`: let the edit that waits for a window through, this once.
A commit does the same for plans with a line `Propeller-Confirm: sha256:...`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from propeller.cli.asking import ask, named_object
from propeller.cli.context import Client, add_state, existing_state, open_store, who
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.state.layout import StateDir
    from propeller.state.records import Pause

FLEET, WINDOW = "fleet", "window"

SHORTEST = 12
"""Hex digits that a shortened digest must have at least."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `confirm`."""
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        default=FLEET,
        help="fleet, window, or the digest of a plan that waits (default fleet)",
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="with window: the object, or App, whose edit waits"
    )
    parser.add_argument(
        "--reason", default="", metavar="R", help="with window: why, for the record"
    )
    parser.add_argument("--list", action="store_true", help="only print what waits")
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Confirm; returns the exit code."""
    state = existing_state(args)
    if args.list:
        return _list(state)
    if args.what == WINDOW:
        return _window(args)
    if args.name is not None:
        raise UsageError(f"{args.name!r}: only `confirm window NAME` takes a name")
    if args.what == FLEET:
        return _fleet(args, state)
    waiting = _waiting(state)
    digest = _whole(args.what, waiting)
    apps = [one for one in waiting if digest in (one.digest, one.whole)]
    if args.dry_run:
        for one in apps:
            say(f"would let through App {one.app}: {one.message}")
        if not apps:
            say("no plan of this digest waits; it would be kept for one")
        return 0
    ask(state, "/api/v1/confirm", {"what": digest, "by": who()})
    for one in apps:
        say(f"confirmed: App {one.app}: {one.message}")
    if not apps:
        say("no plan of this digest waits; it is kept for one, for 30 days")
    return 0


def _window(args: argparse.Namespace) -> int:
    """Let through what waits for a window: this once, and it is recorded."""
    if args.name is None:
        raise UsageError("say whose window: `propeller confirm window NAME --reason R`")
    if not args.reason.strip():
        raise UsageError("--reason must say why")
    state, _, key = named_object(args, args.name)
    if args.dry_run:
        say(f"what waits for the window of {key} would be let through")
        return 0
    body = {"key": str(key), "by": who(), "reason": args.reason.strip()}
    answer = ask(state, "/api/v1/window", body)
    for one in answer.get("objects", ()):
        say(f"confirmed: {one} does not wait for its window")
    return 0


def _fleet(args: argparse.Namespace, state: StateDir) -> int:
    if args.dry_run:
        hold = Client(state).get("/api/v1/health").get("hold")
        say(f"would go on, though {hold}" if hold else "nothing waits for a confirmation")
        return 0
    ask(state, "/api/v1/confirm", {"what": FLEET, "by": who()})
    say("confirmed: work starts and moves again")
    return 0


def _list(state: StateDir) -> int:
    waiting = _waiting(state)
    for one in waiting:
        print(f"{one.digest}  App {one.app}  {one.message}")
    if not waiting:
        say("nothing waits for a confirmation")
    return 0


def _waiting(state: StateDir) -> list[Pause]:
    store = open_store(state)
    try:
        return store.pauses()
    finally:
        store.close()


def _whole(text: str, waiting: list[Pause]) -> str:
    """The digest that `text` is, or begins. Raises UsageError."""
    from propeller.model.ids import is_digest

    if is_digest(text):
        return text
    short = text.removesuffix("...").removeprefix("sha256:")
    known = {digest for one in waiting for digest in (one.digest, one.whole)}
    found = [digest for digest in known if digest.startswith(f"sha256:{short}")]
    if len(short) >= SHORTEST and len(found) == 1:
        return found[0]
    raise UsageError(
        f"{text!r} is neither fleet nor the digest of a plan that waits",
        hint="`propeller confirm --list` prints what waits",
    )
