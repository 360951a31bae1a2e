"""`propeller adopt NAME`: the spec of something that was kept, so that the source wants it again.

Printed, or written with `--into FILE` into the spec tree. It names the object's uid, so that taking
it restarts nothing. A module that came as a file must still lie where the spec says, or its bytes
are written there from the blob store.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.asking import named_object
from propeller.cli.context import add_state, open_store
from propeller.cli.output import add_dry_run, say, yaml_text
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.model.inventory import Held
    from propeller.model.module import Resolved
    from propeller.model.specs import ModuleRef
    from propeller.state.layout import StateDir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `adopt`."""
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    parser.add_argument("--into", metavar="FILE", help="write it there instead of printing it")
    add_state(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Print or write the spec; returns the exit code."""
    state, uid, key = named_object(args, args.name)
    store = open_store(state)
    try:
        held = next((one for one in store.inventory() if one.uid == uid), None)
        modules = store.modules()
    finally:
        store.close()
    if held is None or held.deleted_at is None:
        raise UsageError(f"{key} is wanted: it is in the source already")
    text = yaml_text(spec_of(held))
    if args.into is None:
        print(text, end="")
        return 0
    target = Path(args.into)
    if target.exists():
        raise UsageError(f"{target} is there already", hint="name a file that is not")
    module = _module_file(held, modules, target, state)
    if args.dry_run:
        say(f"{target} would be written" + (f", and {module[0]}" if module else ""))
        return 0
    target.parent.mkdir(parents=True, exist_ok=True)
    if module is not None:
        module[0].parent.mkdir(parents=True, exist_ok=True)
        module[0].write_bytes(module[1])
        print(module[0])
    target.write_text(text, encoding="utf-8")
    print(target)
    say(f"{key} is wanted again once this is in the source; nothing restarts")
    return 0


def spec_of(held: Held) -> dict[str, Any]:
    """The document a person would write for the object as it is."""
    from propeller.sources.fill import spelled

    meta = held.object.meta
    metadata: dict[str, Any] = {
        "name": meta.key.name,
        "namespace": meta.key.namespace,
        "uid": held.uid,
    }
    if meta.labels:
        metadata["labels"] = dict(meta.labels)
    if meta.annotations:
        metadata["annotations"] = dict(meta.annotations)
    if meta.protect:
        metadata["protect"] = True
    if meta.key.kind == "Secret":
        raise UsageError(
            f"{meta.key} is adopted with the file it was written in",
            hint="what sops signed cannot be written anew; copy the file, or take the object out",
        )
    spec = spelled(meta.key.kind, meta.spec)
    if "file" in spec.get("module", ()):
        spec["module"] = {"file": spec["module"]["file"]}
    return {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": meta.key.kind,
        "metadata": metadata,
        "spec": spec,
    }


def _module_file(
    held: Held, modules: dict[ModuleRef, Resolved], target: Path, state: StateDir
) -> tuple[Path, bytes] | None:
    """The module's file that has to be written beside the spec, None where none has to be.

    Raises UsageError when the bytes as they were written are not here.
    """
    from propeller.model.ids import sha256_digest
    from propeller.model.module import Module
    from propeller.model.specs import Daemon, Task
    from propeller.registry.blobs import BlobStore

    thing = held.object
    if not isinstance(thing, Task | Daemon) or thing.module.file is None:
        return None
    ref = thing.module
    assert ref.file is not None
    path = target.parent / ref.file
    if path.is_file():
        if sha256_digest(path.read_bytes()) == ref.digest:
            return None
        raise UsageError(
            f"{path} is not the module that runs ({ref.digest})",
            hint="write the spec into another folder",
        )
    module = modules.get(ref)
    blobs = BlobStore(state.blobs)
    if isinstance(module, Module) and module.digest == ref.digest and blobs.has(module.digest):
        return path, blobs.read(module.digest)
    raise UsageError(
        f"{path} is missing, and what was written there ({ref.digest}) is not kept",
        hint="bring that file back from the history of the source, then adopt again",
    )
