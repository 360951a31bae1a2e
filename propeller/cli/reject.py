"""`propeller reject NAME|DIGEST`: never run that version.

NAME means the version its spec names now: its copies go back to the last good one. DIGEST (or its
first eight digits) means a version that was good once: it is not brought back by a later commit.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from propeller.cli.asking import named_object
from propeller.cli.context import add_state, existing_state, open_store
from propeller.cli.find import keys_of
from propeller.cli.output import add_dry_run, say
from propeller.cli.rollout import steer
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.model.ids import Key
    from propeller.state.layout import StateDir

_DIGEST = re.compile(r"sha256:[0-9a-f]{8,64}\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `reject`."""
    parser.add_argument(
        "what", metavar="NAME|DIGEST", help="an object, or a version as sha256:... of one"
    )
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument(
        "--reason", required=True, metavar="R", help="why; shown wherever it stands"
    )
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Reject; returns the exit code."""
    if not args.reason.strip():
        raise UsageError("--reason must say why")
    if args.what.startswith("sha256:"):
        state, key = _owner(args)
        version, more = args.what, {"digest": args.what}
    else:
        state, _, key = named_object(args, args.what)
        version, more = "the version that its spec names", {}
    if args.dry_run:
        say(f"{version} of {key} would be rejected")
        return 0
    steer(state, key, "reject", reason=args.reason, **more)
    return 0


def _owner(args: argparse.Namespace) -> tuple[StateDir, Key]:
    """The one object that has, or had, that version."""
    if _DIGEST.match(args.what) is None:
        raise UsageError(f"{args.what!r} is no version: sha256: and at least eight hex digits")
    state = existing_state(args)
    store = open_store(state)
    try:
        uids = set(store.holders_of_version(args.what))
        for course in store.courses():
            known = (course.good, course.target)
            if any(one is not None and one.digest.startswith(args.what) for one in known):
                uids.add(course.uid)
        keys = keys_of(store)
    finally:
        store.close()
    found = sorted(keys[uid] for uid in uids if uid in keys)
    if len(found) == 1:
        return state, found[0]
    if not found:
        raise UsageError(
            f"no object has, or had, version {args.what}",
            hint="`propeller rollout status NAME` shows the versions of an object",
        )
    raise UsageError(
        f"{args.what} is a version of {', '.join(str(key) for key in found)}: name the object"
    )
