"""`tasks start`: the edit that makes a Task run again, in the file that declares it.

Clears `spec.suspend`, or gives `runKey` its next value, and lifts an operator's hold. Where the
tree is elsewhere it says which file to commit.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.asking import ask
from propeller.cli.context import Client, open_store, state_dir
from propeller.cli.find import find
from propeller.cli.output import say
from propeller.cli.specedit import SpecText
from propeller.cli.spectree import commit, followed, nearest, spec_root, written_in
from propeller.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from propeller.model.ids import Key
    from propeller.model.parts import Suspend
    from propeller.model.specs import Object
    from propeller.state.sqlite import SqliteStore


def start(args: argparse.Namespace) -> int:
    """Edit and lift; returns the exit code."""
    root, thing, hold = _known(args)
    key = thing.meta.key
    if key.kind not in ("Task", "Daemon", "Function", "FederatedTask"):
        raise UsageError(f"{key} is not something that starts")
    state = state_dir(args)
    client = Client(state)
    running = client.running()
    if hold is not None and not running:
        raise Unavailable(
            f"{key} is held by {hold.by}, and no reconciler runs that could lift it",
            hint="start one with `propeller up SPECS` or `propeller serve SOURCE`",
        )
    spec = SpecText(root / thing.meta.origin.file, key, thing.meta.origin.line)
    told = _edit(spec, key)
    if args.dry_run:
        say(f"{spec.path}: {told} would be written" if told else f"{spec.path}: no edit is needed")
        if hold is not None:
            say(f"the hold of {hold.by} would be lifted")
        return 0
    if told:
        spec.write()
        print(spec.path)
        say(f"{spec.path}:{spec.line}: {told}")
        if args.commit:
            commit(spec.path, f"Start {key}: {told}")
    if hold is not None:
        ask(state, "/api/v1/hold", {"key": str(key), "suspend": None})
        say(f"the hold of {hold.by} is lifted")
    if running:
        ask(state, "/api/v1/look", {})
    elif told:
        say("no reconciler is running: it starts with the next one")
    return 0


def _edit(spec: SpecText, key: Key) -> str:
    """Change the text as needed; what was done, "" for nothing."""
    if spec.suspended:
        spec.clear_suspend()
        return "suspend removed"
    if key.kind in ("Daemon", "Function"):
        return ""  # it runs whenever nothing holds it
    return f'runKey is now "{spec.bump_run_key()}"'


def _known(args: argparse.Namespace) -> tuple[Path, Object, Suspend | None]:
    """The tree, the object as it was read last, and who holds it. Raises UsageError.

    What no reconciler has read yet is looked up in the spec tree itself: a task that was written a
    moment ago can be started.
    """
    state = state_dir(args)
    unknown: UsageError | None = None
    if state.database.is_file():
        store = open_store(state)
        try:
            uid, _ = find(store, args.name, namespace=args.namespace)
            held = next((one for one in store.inventory() if one.uid == uid), None)
            if held is not None:
                return _root(store, args, held.object), held.object, held.hold
        except UsageError as error:
            if args.specs is None and nearest() is None and followed(store) is None:
                raise
            unknown = error
        finally:
            store.close()
    try:
        root, thing = written_in(args, args.name)
    except UsageError as error:
        raise unknown or error from error
    return root, thing, None


def _root(store: SqliteStore, args: argparse.Namespace, thing: Object) -> Path:
    """The spec tree on this machine. Raises UsageError saying which file to commit elsewhere."""
    origin = thing.meta.origin
    if args.specs is not None:
        return spec_root(args)
    for root in (followed(store), nearest()):
        if root is not None and (root / origin.file).is_file():
            return root
    accepted = next((one for one in store.revisions(100) if one.outcome == "accepted"), None)
    where = f" of {accepted.source}" if accepted is not None else ""
    raise UsageError(
        f"{origin.file}{where} is not on this machine",
        hint=f"commit the edit there ({origin.file}:{origin.line}), or say --specs DIR",
    )
