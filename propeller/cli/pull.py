"""`propeller pull IMAGE FILE`: fetch a module; its digests are checked on the way."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from propeller.cli.images import add_registry, place_of
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `pull`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY:TAG, local/NAME:TAG or oci-layout://DIR:TAG"
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="where to; - is stdout")
    parser.add_argument("-o", "--output", metavar="FILE", help="the same, as an option")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    add_registry(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Pull; returns the exit code."""
    from propeller.registry.blobs import BlobStore

    if (args.file is None) == (args.output is None):
        raise UsageError("say where to once", hint="`propeller pull IMAGE FILE`, - is stdout")
    place_for = args.file or args.output
    target = None if place_for == "-" else Path(place_for)
    if target is not None and target.exists() and not args.force:
        raise UsageError(f"{target} is there already", hint="--force replaces it")
    with place_of(args, args.image) as place:
        if args.dry_run:
            pinned = place.artifacts.resolve(place.reference)
            say(f"would write {pinned.size} bytes of {pinned.reference} to {place_for}")
            return 0
        with tempfile.TemporaryDirectory(prefix="propeller-pull-") as folder:
            blobs = BlobStore(Path(folder))
            pulled = place.artifacts.pull(place.reference, blobs)
            data = blobs.read(pulled.digest)
    if target is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        _write(target, data)
        print(target)
    say(f"{pulled.pinned.reference}: {pulled.size} bytes, {pulled.digest}")
    return 0


def _write(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.new")
    try:
        temporary.write_bytes(data)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UsageError(f"{target}: {error.strerror}") from error
