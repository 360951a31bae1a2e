"""`propeller fl export NAME -o FILE`: the model of a round as a safetensors file."""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from pathlib import Path

from propeller.cli.flfind import Found, add_name, opened
from propeller.cli.output import say
from propeller.errors import DigestMismatch, UsageError
from propeller.model.rounds import Blob
from propeller.registry.blobs import BlobStore

PIECE = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl export`."""
    add_name(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--round", type=int, metavar="N", help="of this round (default: the last)")
    which.add_argument("--best", action="store_true", help="of the best round by the spec's metric")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="where the model goes"
    )


def run(args: argparse.Namespace) -> int:
    """Write the file and print its digest; returns the exit code."""
    with opened(args) as found:
        blob, words = _chosen(found, args)
        blobs = BlobStore(found.state.blobs)
    if not blobs.has(blob.digest):
        raise UsageError(
            f"the model of {words}, {blob.digest}, is not in the blob store any more",
            hint="models of the newest hundred rounds are kept, and the best one",
        )
    _write(blobs, blob, Path(args.output))
    print(blob.digest)
    say(f"{args.output}: {blob.size} bytes, the model of {words}")
    return 0


def _chosen(found: Found, args: argparse.Namespace) -> tuple[Blob, str]:
    job = found.job
    if job is None or not job.done:
        raise UsageError(f"{found.key} has no committed round yet")
    if args.best:
        if not job.best_round:
            raise UsageError(
                f"{found.key}: no round has been measured",
                hint="spec.evaluation says how; without it, say --round",
            )
        return job.best_model, f"round {job.best_round}, the best"
    if args.round is None:
        return job.model, f"round {job.done}"
    round_ = found.round(args.round)
    if round_.fold is None or not round_.fold.model:
        raise UsageError(f"round {args.round} made no model: it only measured one")
    return round_.fold.model, f"round {args.round}"


def _write(blobs: BlobStore, blob: Blob, path: Path) -> None:
    """In one piece, and only if it is what it should be."""
    try:
        with (
            blobs.open(blob.digest) as source,
            tempfile.NamedTemporaryFile(dir=path.absolute().parent, delete=False) as out,
        ):
            temporary = Path(out.name)
            try:
                hashed = hashlib.sha256()
                while piece := source.read(PIECE):
                    hashed.update(piece)
                    out.write(piece)
                got = f"sha256:{hashed.hexdigest()}"
                if got != blob.digest:
                    raise DigestMismatch(blob.digest, got, where=str(path))
                out.flush()
                umask = os.umask(0)
                os.umask(umask)
                temporary.chmod(0o666 & ~umask)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
