"""`propeller push FILE IMAGE`: publish a module in a registry or an OCI layout.

`propeller push --specs DIR IMAGE` publishes a whole spec tree, which `serve` and the others take as
a source. Prints the reference with the digest of its manifest, to be pinned. A module is followed
by its bill of materials, and with `--sign` by a signature.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.images import add_registry, place_of, read_module
from propeller.cli.keyfiles import add_password, private_key
from propeller.cli.output import add_dry_run, say
from propeller.cli.sign import pair
from propeller.errors import Fault, SpecError, UsageError, WireError

if TYPE_CHECKING:
    from propeller.cli.settings import Fleet
    from propeller.model.ids import Digest
    from propeller.registry.cosignkey import PrivateKey
    from propeller.registry.registries import Place
    from propeller.sources.tree import Tree
    from propeller.state.layout import StateDir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `push`."""
    parser.add_argument(
        "file", metavar="FILE", help="a .wasm or .wat file; with --specs a directory of specs"
    )
    parser.add_argument(
        "--specs", action="store_true", help="publish a spec tree: its specs and modules"
    )
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY:TAG, local/NAME:TAG or oci-layout://DIR:TAG"
    )
    parser.add_argument(
        "--annotation", action="append", default=[], metavar="NAME=VALUE", help="say it about it"
    )
    parser.add_argument(
        "--sign", metavar="KEY", help="vouch for it with this key of `keygen`, as `sign` does"
    )
    parser.add_argument(
        "--encrypt-to",
        action="append",
        default=[],
        metavar="KEY",
        help="only these can read it: x25519:..., age1..., proplet/NAME, or a file with one a line;"
        " may be repeated",
    )
    parser.add_argument(
        "--key-path",
        metavar="PATH",
        help="where a key service has what opens it, for instance default/key/filter",
    )
    parser.add_argument(
        "--no-sbom", action="store_true", help="without its bill of materials (CycloneDX)"
    )
    parser.add_argument(
        "--source", metavar="URL", default="", help="where it was built from, for the bill"
    )
    parser.add_argument(
        "--aot",
        action="append",
        default=[],
        metavar="FILE",
        help="native code of it, made by `wamrc --enable-multi-thread` for one kind of device;"
        " may be repeated",
    )
    add_password(parser)
    add_registry(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Push; returns the exit code."""
    from propeller.cli.recipients import recipients_of
    from propeller.model.ids import sha256_digest
    from propeller.registry.encrypted import is_path, push_sealed
    from propeller.registry.wasm import inspect

    annotations = dict(pair(text) for text in args.annotation)
    path = Path(args.file)
    if args.specs:
        return _push_specs(args, path, annotations)
    data = read_module(path)
    facts = inspect(data)
    builds = _builds(args, [one.module for one in facts.imports])
    recipients = recipients_of(args, args.encrypt_to)
    if args.key_path is not None and not is_path(args.key_path):
        raise UsageError(f"--key-path {args.key_path!r}: REPOSITORY/TYPE/NAME is wanted")
    if args.key_path is not None and not recipients:
        raise UsageError("--key-path needs --encrypt-to", hint="the key that the service keeps")
    with place_of(args, args.image) as place:
        if place.reference.digest is not None:
            raise UsageError(f"{args.image}: a digest is not chosen", hint="push to a tag")
        words = f"{path}, {len(data)} bytes, {sha256_digest(data)}"
        words += "".join(f", and its build for {target}" for target in builds)
        if args.dry_run:
            say(f"would push {words} as {place.reference}")
            return 0
        key = None if args.sign is None else private_key(args, args.sign)
        if args.encrypt_to:
            manifest = push_sealed(
                place.artifacts,
                place.reference,
                data,
                recipients,
                key=args.key_path,
                title=f"{path.stem}.wasm.age",
                annotations=annotations,
            )
            words += f", encrypted to {len(recipients)} keys"
        else:
            manifest = place.artifacts.push(
                place.reference, data, title=f"{path.stem}.wasm", annotations=annotations
            )
        _about(args, place, manifest, data, key)
        _push_builds(place, manifest, builds, key)
        print(f"{args.image.partition('@')[0]}@{manifest}")
        say(f"pushed {words}" + (f", signed with {key.public.id}" if key is not None else ""))
    return 0


def _builds(args: argparse.Namespace, imports: list[str]) -> dict[str, bytes]:
    """The native builds to push, by target; each checked before anything is sent."""
    from propeller.capabilities import WASI
    from propeller.registry.aot import inspect_aot

    if args.aot and WASI in imports:
        raise UsageError(f"--aot: {args.file} imports {WASI}, which native code is not given")

    found: dict[str, bytes] = {}
    for name in args.aot:
        if args.specs or args.encrypt_to:
            raise UsageError("--aot goes with a module that is pushed in plain")
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise UsageError(f"{name}: {error.strerror}") from error
        try:
            target = inspect_aot(data).target
        except WireError as error:
            hint = "docs/how-to/native-code.md says how one is made"
            raise UsageError(f"--aot {name}: {error}", hint=hint) from error
        if target in found:
            raise UsageError(f"--aot {name}: the second build for {target}")
        found[target] = data
    return found


def _push_builds(
    place: Place, manifest: Digest, builds: dict[str, bytes], key: PrivateKey | None
) -> None:
    """Native builds refer to the module, and are signed like it."""
    from propeller.registry.aot import push_aot
    from propeller.registry.cosign import sign
    from propeller.registry.reference import Reference

    for data in builds.values():
        pinned = place.reference.pinned(manifest)
        own = push_aot(place.artifacts, pinned, manifest, data)
        if key is not None:
            sign(place.artifacts, Reference(pinned.registry, pinned.repository, None, own), key)


def _about(
    args: argparse.Namespace, place: Place, manifest: Digest, data: bytes, key: PrivateKey | None
) -> None:
    """What refers to a module that was pushed: its bill of materials, a signature."""
    from propeller import __version__
    from propeller.registry.cosign import sign
    from propeller.registry.sbom import bill, push_bill

    pinned = place.reference.pinned(manifest)
    if not args.no_sbom and not args.encrypt_to:  # the bill would tell what nobody is to see
        name = Path(args.file).stem
        document = bill(data, name=name, source=args.source, agent=f"propeller {__version__}")
        push_bill(place.artifacts, pinned, manifest, document)
    if key is not None:
        sign(place.artifacts, pinned, key)


def _push_specs(args: argparse.Namespace, path: Path, annotations: dict[str, str]) -> int:
    """Publish a tree that is valid; a bad one is refused with every fault."""
    from propeller.cli.context import state_dir
    from propeller.cli.settings import fleet_of
    from propeller.registry.specs import push_specs
    from propeller.sources.directory import DirectorySource
    from propeller.sources.select import IGNORE_FILE, Selection

    if not path.is_dir():
        raise UsageError(f"{path}: no such directory of specs")
    tree = DirectorySource(path, exclude=(state_dir(args).path,)).read()
    validate_tree(tree, fleet_of(args, tree=path), state_dir(args), path=path)
    selection = Selection(tree.files[IGNORE_FILE])
    files = {
        name: tree.files[name]
        for name in tree.files
        if selection.is_spec(name) or selection.is_module(name)
    }
    size = sum(len(data) for data in files.values())
    with place_of(args, args.image) as place:
        if place.reference.digest is not None:
            raise UsageError(f"{args.image}: a digest is not chosen", hint="push to a tag")
        words = f"{path}, {len(files)} files, {size} bytes"
        if args.dry_run:
            say(f"would push {words} as {place.reference}")
            return 0
        manifest = push_specs(place.artifacts, place.reference, files, annotations=annotations)
        print(f"{args.image.partition('@')[0]}@{manifest}")
        say(f"pushed {words}")
    return 0


def validate_tree(tree: Tree, fleet: Fleet, state: StateDir, *, path: Path) -> None:
    """Every overlay of the tree, or the tree itself where it has none. Raises SpecError."""
    from propeller.cli.pluginimages import OfRegistries
    from propeller.model.ids import sha256_digest
    from propeller.registry.wasm import inspect
    from propeller.sources.load import load
    from propeller.sources.overlays import Overlays
    from propeller.sources.select import IGNORE_FILE, Selection

    folders = sorted(Overlays(tree, Selection(tree.files[IGNORE_FILE])).folders)
    faults: dict[Fault, None] = {}
    images = OfRegistries(lambda: fleet, state)
    for overlay in folders or [""]:
        varied = replace(tree, overlay=overlay)
        try:
            load(varied, domain=fleet.domain, keep=sha256_digest, inspect=inspect, images=images)
        except SpecError as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise SpecError(
            Fault(str(path / one.file), one.line, one.path, one.message) for one in faults
        )
