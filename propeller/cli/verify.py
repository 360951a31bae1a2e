"""`propeller verify IMAGE --key PUB`: who vouches for a module in a registry.

With `--policy` the keys are those of `modulePolicies`, and what each rule says is told.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from propeller.cli.images import add_registry, place_of
from propeller.cli.keyfiles import public_key
from propeller.cli.output import add_data, print_data, say
from propeller.cli.table import printable
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.registry.artifacts import Pinned
    from propeller.registry.cosign import Vouched


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `verify`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="HOST/REPOSITORY[:TAG][@DIGEST] or oci-layout://DIR:TAG"
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FILE",
        help="a public key that counts (cosign.pub); may be repeated",
    )
    parser.add_argument(
        "--policy",
        action="store_true",
        help="hold it against modulePolicies of the configuration, whatever its namespace and App",
    )
    add_registry(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print who signed it; returns 0 when one of the keys did. Raises UsageError when none did."""
    from propeller.registry.cosign import vouched

    if args.policy == bool(args.key):
        raise UsageError("either --key FILE or --policy")
    if args.policy:
        return _against_policies(args)
    keys = [public_key(path) for path in args.key]
    with place_of(args, args.image) as place:
        pinned = place.artifacts.resolve(place.reference)
        found = vouched(place.artifacts, pinned.reference, keys)
    if not found:
        named = ", ".join(f"{path} ({key.id})" for path, key in zip(args.key, keys, strict=True))
        raise UsageError(
            f"{pinned.reference}: no signature of {named}",
            hint=f"sign it: propeller sign {args.image} --key cosign.key",
        )
    _show(args, pinned, found)
    return 0


def _against_policies(args: argparse.Namespace) -> int:
    """Returns 0 when every Required rule about its repository is content, else raises."""
    from propeller.cli.modulepolicies import signing_of
    from propeller.cli.settings import fleet_of
    from propeller.model.signing import Mode
    from propeller.plan.admission import allows, repository_of
    from propeller.registry.cosign import vouched

    rules, keys = signing_of(fleet_of(args))
    repository = repository_of(args.image)
    mine = [rule for rule in rules if allows(rule, repository)]
    if not mine:
        raise UsageError(
            f"{args.image}: no rule of modulePolicies is about {repository}",
            hint="an object that a rule is about may not use it" if rules else "there is no rule",
        )
    with place_of(args, args.image) as place:
        pinned = place.artifacts.resolve(place.reference)
        found = {one.key.id for one in vouched(place.artifacts, pinned.reference, keys)}
    bad = [rule for rule in mine if not found & set(rule.keys)]
    for rule in mine:
        words = "no signature of its keys" if rule in bad else "signed"
        print(f"{rule.name}  {rule.mode.value}  {words}")
    required = [rule.name for rule in bad if rule.mode is Mode.REQUIRED]
    if required:
        raise UsageError(
            f"{pinned.reference}: not as {', '.join(required)} wants it",
            hint=f"sign it: propeller sign {args.image} --key cosign.key",
        )
    return 0


def _show(args: argparse.Namespace, pinned: Pinned, found: tuple[Vouched, ...]) -> None:
    if args.output != "text":
        rows = [
            {"key": one.key.id, "reference": one.said.reference, **_annotations(one)}
            for one in found
        ]
        document = {
            "reference": str(pinned.reference),
            "manifest": pinned.manifest,
            "module": pinned.digest,
            "signatures": rows,
        }
        print_data(args.output, document)
        return
    print(f"{args.image.partition('@')[0]}@{pinned.manifest}")
    for one in found:
        told = "".join(f", {name}={value}" for name, value in one.said.annotations.items())
        say(printable(f"signed by {one.key.id} as {one.said.reference}{told}"))


def _annotations(one: Vouched) -> dict[str, object]:
    return {"annotations": dict(one.said.annotations)} if one.said.annotations else {}
