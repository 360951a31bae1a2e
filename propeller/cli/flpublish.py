"""`propeller fl publish NAME IMAGE`: the model of a round into a registry, with a signed record.

The record says what made the model: base, contributors, module, spec, strategy, metrics, and the
record before. It is signed by the fleet's manager and refers to the model, so that `oras discover`
finds it. Publishing again changes nothing.
"""

from __future__ import annotations

import argparse
from typing import Any

from propeller.cli.flfind import Found, opened
from propeller.cli.fllineage import describe
from propeller.cli.images import add_registry, place_of
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError
from propeller.model.ids import sha256_digest
from propeller.model.rounds import Round
from propeller.plan.records import record_of
from propeller.registry.blobs import BlobStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl publish`."""
    parser.description = __doc__
    parser.add_argument("name", metavar="NAME", help="NAME, KIND/NAME or KIND/NAMESPACE/NAME")
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY:TAG, local/NAME:TAG or oci-layout://DIR:TAG"
    )
    parser.add_argument("-n", "--namespace", metavar="NS", help="where the name is looked up")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--round", type=int, metavar="N", help="of this round (default: the last)")
    which.add_argument("--best", action="store_true", help="of the best round by the spec's metric")
    add_registry(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Push both and print the model's reference; returns the exit code."""
    from propeller.registry.lineage import publish
    from propeller.state.keys import Keys

    with opened(args) as found:
        round_ = _chosen(found, args)
        record = statement_of(found, round_)
        state = found.state
    fold = round_.fold
    if fold is None or not fold.model:
        raise UsageError(f"round {round_.number} made no model: it only measured one")
    blobs = BlobStore(state.blobs)
    if not blobs.has(fold.model.digest):
        raise UsageError(f"the model of round {round_.number} is not in the blob store any more")
    data = blobs.read(fold.model.digest)
    if sha256_digest(data) != fold.model.digest:
        raise UsageError(f"{fold.model.digest} has other bytes than its name says")
    with place_of(args, args.image) as place:
        if place.reference.digest is not None:
            raise UsageError(f"{args.image}: a digest is not chosen", hint="push to a tag")
        words = f"the model of round {round_.number}, {len(data)} bytes, {fold.model.digest}"
        if args.dry_run:
            say(f"would publish {words} as {place.reference}")
            return 0
        key = Keys(state.keys).manager()
        done = publish(
            place.artifacts,
            place.reference,
            data,
            record,
            key_id=key.public.kid,
            sign=key.sign,
        )
    print(f"{args.image.partition('@')[0]}@{done.model}")
    say(f"published {words}; its record is {done.record}")
    return 0


def _chosen(found: Found, args: argparse.Namespace) -> Round:
    job = found.job
    if job is None or not job.done:
        raise UsageError(f"{found.key} has no committed round yet")
    if args.best and not job.best_round:
        raise UsageError(f"{found.key}: no round has been measured", hint="say --round")
    return found.round(job.best_round if args.best else args.round or job.done)


def statement_of(found: Found, round_: Round) -> dict[str, Any]:
    """What is signed about a model. The commit and the module are said where the store still knows
    them: for rounds held under the spec there is now."""
    told = describe(round_)
    del told["measured"]
    held = next(one for one in found.store.inventory() if one.uid == found.uid)
    if held.generation == round_.generation:
        told["revision"] = held.revision
        told["specDigest"] = str(found.task.meta.spec_digest)
        told["module"] = module_digest(found)
    told["object"] = str(found.key)
    told["sealed"] = record_of(round_)
    return told


def module_digest(found: Found) -> str:
    """The digest of the module's bytes, "" while nobody resolved it."""
    resolved = found.store.modules().get(found.task.module)
    digest = getattr(resolved, "digest", None) or found.task.module.digest
    return str(digest or "")
