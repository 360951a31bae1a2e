"""`propeller fl join UPDATE... --base MODEL --key KEY... --to FILE`: the sites' next model.

Each update is one of `fl fold`. All must start from that model, be of the same job and round, own
ranges of proplet ids that do not overlap, and be signed by the managers named with `--key`, one
update each. One that is not ends it, and no file is written. The same updates give the same bytes
in any order. Exit: 0, or 2 with what is wrong and in which file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propeller.cli.output import say
from propeller.errors import UsageError, WireError

if TYPE_CHECKING:
    from propeller.fl.fold import Vector
    from propeller.fl.layout import Layout
    from propeller.fl.sites import Site
    from propeller.wire.signing import VerifyKey

MAX_COUNT = 1 << 28
MAX_MODEL = 4 * MAX_COUNT + (1 << 23)
ENVELOPE = 8 * 1024
"""Bytes of an update beside its body, and some."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl join`."""
    parser.description = __doc__
    parser.add_argument("updates", nargs="+", metavar="UPDATE", help="a file of `fl fold`")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--base", metavar="FILE", help="the model that the sites started from")
    start.add_argument(
        "--zeros",
        metavar="FILE",
        help="they started from zeros, in the tensors of this model (`fl export` of any site)",
    )
    parser.add_argument(
        "--key",
        action="append",
        required=True,
        metavar="KEY",
        help="the public key of a site's manager: ed25519:... or a file that has it; one for each"
        " site",
    )
    parser.add_argument(
        "--min-clients",
        type=int,
        default=1,
        metavar="N",
        help="refuse with fewer proplets behind the updates (default 1)",
    )
    parser.add_argument("--to", required=True, metavar="FILE", help="where the model goes")
    parser.add_argument(
        "--record", metavar="FILE", help="write who sent what, as JSON, for an auditor"
    )


def run(args: argparse.Namespace) -> int:
    """Write the model and print its digest; returns the exit code."""
    from propeller.fl.model import model_digest, write_model
    from propeller.fl.sites import joined
    from propeller.model.canonical import canonical_bytes
    from propeller.state.files import replace_file

    keys = _keys(args.key)
    digest, layout, base = _start(args)
    sites = [_site(Path(name), digest, layout, keys) for name in args.updates]
    members = sum(one.members for one in sites)
    if members < args.min_clients:
        raise UsageError(f"{members} proplets are behind these updates, needs {args.min_clients}")
    try:
        data = write_model(layout, joined(base, sites))
    except WireError as error:
        raise UsageError(f"these updates cannot be joined: {error}") from error
    model = model_digest(data)
    replace_file(Path(args.to), data)
    if args.record is not None:
        told = _record(sites, keys, base=digest, layout=layout, model=model)
        replace_file(Path(args.record), canonical_bytes(told) + b"\n")
    print(model)
    samples = sum(one.partial.samples for one in sites)
    say(f"{args.to}: {members} proplets of {len(sites)} sites, {samples} samples")
    return 0


def _keys(given: list[str]) -> list[VerifyKey]:
    """Raises UsageError, also where two are the same: one key, one update."""
    from propeller.wire.signing import VerifyKey

    keys: list[VerifyKey] = []
    for text in given:
        try:
            path = Path(text)
            found = path.read_text() if path.is_file() else text
            keys.append(VerifyKey.parse(found.strip()))
        except (WireError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--key {text}: is no public key: {error}") from error
    return list(dict.fromkeys(keys))


def _start(args: argparse.Namespace) -> tuple[str, Layout, Vector]:
    """Digest ("" for zeros), layout and weights. Raises UsageError."""
    import numpy as np

    from propeller.fl.model import model_digest, read_model

    path = Path(args.base or args.zeros)
    data = _read(path, MAX_MODEL)
    try:
        layout, weights = read_model(data, max_count=MAX_COUNT)
    except WireError as error:
        raise UsageError(f"{path}: is no model: {error}") from error
    if args.zeros is not None:
        return "", layout, np.zeros(layout.count, np.float32)
    return model_digest(data), layout, weights


def _site(path: Path, base: str, layout: Layout, keys: list[VerifyKey]) -> Site:
    from propeller.fl.encodings import largest
    from propeller.fl.sites import ENCODING, read_site

    data = _read(path, largest(ENCODING, layout.count) + ENVELOPE)
    try:
        return read_site(data, base=base, layout=layout, keys=[key.verify for key in keys])
    except WireError as error:
        raise UsageError(f"{path}: {error}") from error


def _read(path: Path, most: int) -> bytes:
    """Raises UsageError for what cannot be read or has more bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(data) > most:
        raise UsageError(f"{path}: has more than {most} bytes")
    return data


def _record(
    sites: list[Site], keys: list[VerifyKey], *, base: str, layout: Layout, model: str
) -> dict[str, Any]:
    """What made the model, in order of ranges."""
    ordered = sorted(sites, key=lambda one: one.partial.range.first.encode())
    first = ordered[0].update
    return {
        "job": first.job.hex(),
        "round": first.round,
        "base": base,
        "layout": layout.digest,
        "model": model,
        "sites": [
            {
                "update": one.identifier,
                "signedBy": keys[one.signer].text,
                "first": one.partial.range.first,
                "last": one.partial.range.last,
                "members": one.members,
                "samples": one.partial.samples,
                "contributors": one.contributors,
                "record": one.record,
            }
            for one in ordered
        ],
    }
