"""`tasks start`: the edit that makes a Task run again, in the file that declares it.

Clears `spec.suspend`, or gives `runKey` its next value, and lifts an operator's hold. Where the
tree is elsewhere it says which file to commit.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.asking import ask
from propeller.cli.context import Client, existing_state, open_store
from propeller.cli.find import find
from propeller.cli.output import say
from propeller.cli.settings import CONFIG_FILE
from propeller.cli.specedit import SpecText
from propeller.errors import Unavailable, UsageError

if TYPE_CHECKING:
    from propeller.model.inventory import Held
    from propeller.state.sqlite import SqliteStore


def start(args: argparse.Namespace) -> int:
    """Edit and lift; returns the exit code."""
    state = existing_state(args)
    store = open_store(state)
    try:
        uid, key = find(store, args.name, namespace=args.namespace)
        held = next((one for one in store.inventory() if one.uid == uid), None)
        if held is None or key.kind not in ("Task", "Daemon", "FederatedTask"):
            raise UsageError(f"{key} is not something that starts")
        root = _root(store, args, held)
    finally:
        store.close()
    client = Client(state)
    running = client.running()
    if held.hold is not None and not running:
        raise Unavailable(
            f"{key} is held by {held.hold.by}, and no reconciler runs that could lift it",
            hint="start one with `propeller up SPECS` or `propeller serve SOURCE`",
        )
    spec = SpecText(root / held.object.meta.origin.file, key, held.object.meta.origin.line)
    told = _edit(spec, held)
    if args.dry_run:
        say(f"{spec.path}: {told} would be written" if told else f"{spec.path}: no edit is needed")
        if held.hold is not None:
            say(f"the hold of {held.hold.by} would be lifted")
        return 0
    if told:
        spec.write()
        print(spec.path)
        say(f"{spec.path}:{spec.line}: {told}")
        if args.commit:
            _commit(spec.path, f"Start {key}: {told}")
    if held.hold is not None:
        ask(state, "/api/v1/hold", {"key": str(key), "suspend": None})
        say(f"the hold of {held.hold.by} is lifted")
    if running:
        ask(state, "/api/v1/look", {})
    elif told:
        say("no reconciler is running: it starts with the next one")
    return 0


def _edit(spec: SpecText, held: Held) -> str:
    """Change the text as needed; what was done, "" for nothing."""
    if spec.suspended:
        spec.clear_suspend()
        return "suspend removed"
    if held.object.meta.key.kind == "Daemon":
        return ""  # it runs whenever nothing holds it
    return f'runKey is now "{spec.bump_run_key()}"'


def _root(store: SqliteStore, args: argparse.Namespace, held: Held) -> Path:
    """The spec tree on this machine. Raises UsageError saying which file to commit elsewhere."""
    file = held.object.meta.origin.file
    if args.specs is not None:
        root = Path(args.specs)
        if not root.is_dir():
            raise UsageError(f"--specs {root}: no such folder")
        return root
    accepted = next((one for one in store.revisions(100) if one.outcome == "accepted"), None)
    source = Path(accepted.source) if accepted is not None else Path()
    if accepted is not None and source.is_file():
        source = source.parent
    if accepted is not None and accepted.source and (source / file).is_file():
        return source
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG_FILE).is_file() and (folder / file).is_file():
            return folder
    where = f" of {accepted.source}" if accepted is not None else ""
    raise UsageError(
        f"{file}{where} is not on this machine",
        hint=f"commit the edit there (a new runKey in {file}:{held.object.meta.origin.line}),"
        " or say --specs DIR",
    )


def _commit(path: Path, message: str) -> None:
    folder, name = str(path.parent), path.name
    for command in (["add", "--", name], ["commit", "--quiet", "--message", message, "--", name]):
        done = subprocess.run(
            ["git", "-C", folder, *command], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()
            raise UsageError(f"{path} was edited, git {command[0]} failed: {words}")
    say(f"committed: {message}")
