"""`propeller rollout status|pause|resume|abort NAME`: how far a rollout is, and what to do with it.

`resume` goes on where a pause stopped, forgiving what has failed so far; after a rollback it tries
the rejected version once more, from the first step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from propeller.cli.asking import ask, named_object
from propeller.cli.context import add_state, open_store, who
from propeller.cli.names import short_digest, short_revision
from propeller.cli.output import add_data, add_dry_run, print_data, say
from propeller.cli.table import printable
from propeller.model.ids import Key, Uid

if TYPE_CHECKING:
    from propeller.state.layout import StateDir

ACTIONS = {
    "pause": ("give the version to no further proplet", "would be paused"),
    "resume": ("go on; after a rollback: try the rejected version again", "would go on"),
    "abort": ("reject the version and go back to the last good one", "would go back"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rollout`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = below.add_parser("status", help="how far it is")
    _add_name(status)
    add_state(status)
    add_data(status)
    for action, (summary, _) in ACTIONS.items():
        one = below.add_parser(action, help=summary)
        _add_name(one)
        one.add_argument("--reason", default="", metavar="R", help="why, for the record")
        add_state(one)
        add_dry_run(one)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    state, uid, key = named_object(args, args.name)
    if args.action == "status":
        return _status(args, key, _stored(state, uid))
    if args.dry_run:
        say(f"the rollout of {key} {ACTIONS[args.action][1]}")
        return 0
    steer(state, key, args.action, reason=args.reason)
    return 0


def steer(state: StateDir, key: Key, verb: str, *, reason: str, **more: object) -> None:
    """Ask the reconciler, and say what it answered."""
    body = {"key": str(key), "verb": verb, "by": who(), "reason": reason.strip(), **more}
    say(str(ask(state, "/api/v1/steer", body).get("words", "done")))


def _stored(state: StateDir, uid: Uid) -> Mapping[str, Any] | None:
    store = open_store(state)
    try:
        documents = [row.document for row in store.statuses() if row.uid == uid]
    finally:
        store.close()
    found = json.loads(documents[0])["status"].get("rollout") if documents else None
    return found if isinstance(found, dict) else None


def _status(args: argparse.Namespace, key: Key, rollout: Mapping[str, Any] | None) -> int:
    if args.output != "text":
        print_data(args.output, {"object": str(key), "rollout": rollout})
    elif rollout is None:
        say(f"{key} has no rollout: every copy follows its spec")
    else:
        for line in _lines(key, rollout):
            print(printable(line))
    return 0


def _lines(key: Key, rollout: Mapping[str, Any]) -> Iterator[str]:
    step = f", step {rollout['step']} of {rollout['of']}" if "step" in rollout else ""
    yield f"{key}: {rollout['phase']}{step}"
    if "version" in rollout:
        generation = f"generation {rollout['generation']}"
        yield f"  version   {short_digest(rollout['version'])} ({generation})"
    moved, total = rollout["moved"], rollout["total"]
    yield (
        f"  copies    {moved} of {total} have it: {rollout['ready']} ready, "
        f"{rollout['failed']} failed"
    )
    for name in ("since", "until", "by", "why"):
        if name in rollout:
            yield f"  {name:<9} {rollout[name]}"
    for check in rollout.get("checks", ()):
        counts = (
            f"{check['successful']} successful, {check['failed']} failed, "
            f"{check['inconclusive']} inconclusive"
        )
        said = f"; last: {check['said']}" if check.get("said") else ""
        yield f"  check     {check['name']} {check['verdict']}: {counts}{said}"
    good = rollout.get("good")
    if good is not None:
        revision = short_revision(good["revision"])
        yield f"  good      {short_digest(good['version'])} ({revision})"
    for one in rollout.get("rejected", ()):
        by = f" by {one['by']}" if one["by"] else ""
        yield f"  rejected  {short_digest(one['version'])} at {one['at']}{by}: {one['why']}"
