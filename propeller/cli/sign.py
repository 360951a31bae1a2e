"""`propeller sign IMAGE --key KEY`: vouch for a module in a registry, as cosign does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from propeller.cli.images import add_registry, place_of
from propeller.cli.keyfiles import add_password, private_key
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.registry.cosignkey import PrivateKey
    from propeller.registry.registries import Place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `sign`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY[:TAG][@DIGEST] or oci-layout://DIR:TAG"
    )
    parser.add_argument("--key", metavar="FILE", required=True, help="cosign.key, of `keygen`")
    parser.add_argument(
        "-a",
        "--annotation",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="signed along with it",
    )
    add_password(parser)
    add_registry(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Sign; returns the exit code."""
    told = dict(pair(text) for text in args.annotation)
    with place_of(args, args.image) as place:
        pinned = place.artifacts.resolve(place.reference)
        if args.dry_run:
            say(f"would sign {pinned.reference}")
            return 0
        key = private_key(args, args.key)
        sign_pinned(place, key, told)
        print(f"{args.image.partition('@')[0]}@{pinned.manifest}")
        say(f"signed with {key.public.id}")
    return 0


def sign_pinned(place: Place, key: PrivateKey, annotations: dict[str, str]) -> None:
    """Sign the manifest of the module that the place means now."""
    from propeller.registry.cosign import sign

    pinned = place.artifacts.resolve(place.reference)
    sign(place.artifacts, pinned.reference, key, annotations=annotations)


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--annotation {text!r} is not NAME=VALUE")
    return name, value
