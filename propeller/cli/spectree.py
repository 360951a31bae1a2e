"""The spec tree on this machine that a verb edits: which folder it is, what it holds, committing.

`--specs`, else the nearest folder above with a `propeller.yaml`, else the folder the reconciler of
this state reads. A tree that is elsewhere cannot be edited, and is said to be.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from propeller.cli.context import state_dir
from propeller.cli.output import say
from propeller.cli.pluginimages import OfRegistries
from propeller.cli.settings import CONFIG_FILE
from propeller.errors import Fault, SpecError, UsageError

if TYPE_CHECKING:
    from propeller.model.revision import Revision
    from propeller.state.sqlite import SqliteStore


def add_tree(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that edits specs."""
    parser.add_argument(
        "--specs", metavar="DIR", help="the spec tree (default: where propeller.yaml is)"
    )
    parser.add_argument("--commit", action="store_true", help="commit the edit with git")


def spec_root(args: argparse.Namespace) -> Path:
    """The tree to edit. Raises UsageError saying how to name one."""
    if args.specs is not None:
        root = Path(args.specs)
        if not root.is_dir():
            raise UsageError(f"--specs {root}: no such folder")
        return root
    root_ = nearest()
    if root_ is None:
        root_ = _followed(args)
    if root_ is None:
        raise UsageError(
            f"there is no {CONFIG_FILE} here or above, so no spec tree to write to",
            hint="say --specs DIR, or change to the folder of your specs",
        )
    return root_


def nearest() -> Path | None:
    """The nearest folder, from here up, that holds a configuration; relative where it is here."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG_FILE).is_file():
            return Path() if folder == here else folder
    return None


def _followed(args: argparse.Namespace) -> Path | None:
    """The folder that the reconciler of this state reads, None where there is none on this disk."""
    from propeller.cli.context import open_store

    state = state_dir(args)
    if not state.database.is_file():
        return None
    store = open_store(state)
    try:
        return followed(store)
    finally:
        store.close()


def followed(store: SqliteStore) -> Path | None:
    """The folder that was read last and accepted, None where it is not one of this disk."""
    accepted = next((one for one in store.revisions(100) if one.outcome == "accepted"), None)
    if accepted is None or not accepted.source:
        return None
    source = Path(accepted.source)
    if source.is_file():
        source = source.parent
    return source if source.is_dir() else None


def read_tree(
    args: argparse.Namespace, root: Path, added: Mapping[str, bytes] | None = None
) -> Revision:
    """The tree, with the files of `added` in it. Raises SpecError with every fault of it."""
    from propeller.cli.settings import fleet_of
    from propeller.model.ids import sha256_digest
    from propeller.registry.wasm import inspect
    from propeller.sources.directory import DirectorySource
    from propeller.sources.load import load

    fleet = fleet_of(args, tree=root)
    tree = DirectorySource(root, exclude=(state_dir(args).path,)).read()
    files = ChainMap(dict(added or {}), cast("dict[str, bytes]", tree.files))
    tree = replace(tree, files=files, overlay=fleet.text("source.overlay"))
    return load(
        tree,
        domain=fleet.domain,
        keep=sha256_digest,
        inspect=inspect,
        images=OfRegistries(lambda: fleet, state_dir(args)),
    )


def faults_brought(
    args: argparse.Namespace, root: Path, added: Mapping[str, bytes]
) -> tuple[Fault, ...]:
    """What would be wrong with the tree because of these files, and is not wrong now."""
    try:
        read_tree(args, root, added)
    except SpecError as error:
        try:
            read_tree(args, root)
        except SpecError as before:
            return tuple(one for one in error.faults if one not in before.faults)
        return error.faults
    return ()


def written_in(args: argparse.Namespace, text: str, kind: str | None = None) -> tuple[Path, Any]:
    """The object that `text` means in the tree itself, and the tree. Raises UsageError."""
    from propeller.cli.find import choose

    root = spec_root(args)
    revision = read_tree(args, root)
    known = {thing.meta.uid: key for key, thing in revision.objects.items()}
    _, key = choose(known, text, namespace=args.namespace, kind=kind)
    return root, revision.objects[key]


def commit(path: Path, message: str) -> None:
    """Commit one file with the git of whoever types. Raises UsageError with git's words."""
    folder, name = str(path.parent), path.name
    for command in (["add", "--", name], ["commit", "--quiet", "--message", message, "--", name]):
        done = subprocess.run(
            ["git", "-C", folder, *command], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()
            raise UsageError(f"{path} was written, git {command[0]} failed: {words}")
    say(f"committed: {message}")
