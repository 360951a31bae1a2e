"""`propeller fl fold NAME ROUND --to FILE`: a site's round as one signed update.

Several fleets hold a round of the same FederatedTask, each with its own reconciler and broker.
Each folds its round and hands over the sums, of the size of the model however many proplets it
has; `fl join` makes the next model of them. The round is computed again first (`fl verify`), so it
needs `retainUpdates: Enabled`. Exit: 0, 2, or 3 where the round is not what its updates make.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.flfind import Found, add_name, opened
from propeller.cli.flverify import DIFFERS, verify
from propeller.cli.output import say
from propeller.errors import UsageError
from propeller.registry.blobs import BlobStore

if TYPE_CHECKING:
    from propeller.fl.partial import Range
    from propeller.model.rounds import Round


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fl fold`."""
    parser.description = __doc__
    add_name(parser)
    parser.add_argument("round", type=int, metavar="ROUND", help="number of a committed round")
    parser.add_argument(
        "--range",
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="the proplet ids that this site owns (default: from the first to the last of the"
        " cohort)",
    )
    parser.add_argument("--to", required=True, metavar="FILE", help="where the update goes")


def run(args: argparse.Namespace) -> int:
    """Write the update and print its digest; returns the exit code."""
    from propeller.reconcile.sitework import site_update, why_not
    from propeller.state.files import replace_file
    from propeller.state.keys import Keys
    from propeller.wire.updates import update_id

    with opened(args) as found:
        round_ = found.round(args.round)
        why = why_not(round_)
        if why:
            raise UsageError(f"round {round_.number} cannot be folded for a join: {why}")
        bad = _bad(found, round_)
        if bad:
            say(f"round {round_.number} of {found.key} is not what its updates make: {bad}")
            return DIFFERS
        key = Keys(found.state.keys).manager()
        range_ = _range(args, round_)
        blobs = BlobStore(found.state.blobs)
        data = site_update(round_, blobs, range_=range_, sign=key.sign)
    replace_file(Path(args.to), data)
    print(update_id(data))
    say(
        f"{args.to}: {len(data)} bytes, {len(round_.accepted)} updates of {range_.first} to"
        f" {range_.last}, signed by {key.public.text}"
    )
    return 0


def _bad(found: Found, round_: Round) -> str:
    return ", ".join(one.what for one in verify(found, round_) if not one.good)


def _range(args: argparse.Namespace, round_: Round) -> Range:
    from propeller.fl.partial import Range, checked
    from propeller.fl.sites import MAX_ID

    if args.range is not None:
        for text in args.range:
            if not (text.isascii() and text.isprintable() and 0 < len(text) <= MAX_ID):
                raise UsageError(f"--range {text!r}: the ends are ids of proplets, or like them")
        return checked([Range(first=args.range[0], last=args.range[1])])[0]
    ids = sorted(round_.parts, key=str.encode)
    return Range(first=ids[0], last=ids[-1])
