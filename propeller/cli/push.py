"""`propeller push FILE IMAGE`: publish a module in a registry or an OCI layout.

Prints the reference with the digest of its manifest, to be written into a spec.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from propeller.cli.images import add_registry, place_of, read_module
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `push`."""
    parser.add_argument("file", metavar="FILE", help="a .wasm or .wat file")
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY:TAG, local/NAME:TAG or oci-layout://DIR:TAG"
    )
    parser.add_argument(
        "--annotation", action="append", default=[], metavar="NAME=VALUE", help="say it about it"
    )
    add_registry(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Push; returns the exit code."""
    from propeller.model.ids import sha256_digest
    from propeller.registry.wasm import inspect

    annotations = dict(_pair(text) for text in args.annotation)
    path = Path(args.file)
    data = read_module(path)
    inspect(data)
    with place_of(args, args.image) as place:
        if place.reference.digest is not None:
            raise UsageError(f"{args.image}: a digest is not chosen", hint="push to a tag")
        words = f"{path}, {len(data)} bytes, {sha256_digest(data)}"
        if args.dry_run:
            say(f"would push {words} as {place.reference}")
            return 0
        manifest = place.artifacts.push(
            place.reference, data, title=f"{path.stem}.wasm", annotations=annotations
        )
        print(f"{args.image.partition('@')[0]}@{manifest}")
        say(f"pushed {words}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--annotation {text!r} is not NAME=VALUE")
    return name, value
