"""`propeller release add|withdraw|show|require|take`: which modules exist at all.

A release list is signed by a key that no machine which runs things holds. `add` and `withdraw` are
typed where that key is; `require` and `take` where the fleet's keys are, with the list as a file.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.clock import now_ms
from propeller.cli.images import add_registry, place_of, read_module
from propeller.cli.keyfiles import add_password, private_key, public_key, read_small
from propeller.cli.output import add_data, add_dry_run, print_data, say
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.registry.cosignkey import PrivateKey
    from propeller.state.keys import Keys
    from propeller.wire.messages import Releases
    from propeller.wire.signing import SigningKey, VerifyKey

DEFAULT_LIST = "releases.frame"
DEFAULT_FOR = "365d"
UNLIMITED = "Unlimited"
_MODULES = "a .wasm or .wat file, sha256:..., or an image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `release`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, summary in (
        ("add", "put modules on the list, and sign it"),
        ("withdraw", "take modules off the list, and sign it"),
    ):
        one = below.add_parser(action, help=summary)
        one.add_argument("modules", metavar="MODULE", nargs="+", help=_MODULES)
        one.add_argument("--key", metavar="FILE", required=True, help="the release key of `keygen`")
        _add_list(one)
        one.add_argument(
            "--for",
            dest="lasts",
            metavar="TIME",
            default=DEFAULT_FOR,
            help=f"after it nothing new starts by this list (default {DEFAULT_FOR}; {UNLIMITED})",
        )
        add_password(one)
        add_registry(one)
        add_dry_run(one)
    show = below.add_parser("show", help="what the list names")
    show.add_argument("--pub", metavar="FILE", help="the release key's public half")
    _add_list(show)
    _add_keys(show)
    add_data(show)
    require = below.add_parser("require", help="from now on, only what is listed exists")
    require.add_argument("pub", metavar="PUB", help="the release key's public half (NAME.pub)")
    _add_list(require)
    _add_keys(require)
    add_dry_run(require)
    take = below.add_parser("take", help="carry a newer list to the devices")
    _add_list(take)
    _add_keys(take)
    add_dry_run(take)


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--list",
        dest="path",
        metavar="FILE",
        default=DEFAULT_LIST,
        help=f"the signed list (default {DEFAULT_LIST})",
    )


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", metavar="DIR", help="key directory (default: in the state)")
    add_registry(parser)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    match args.action:
        case "add" | "withdraw":
            return _change(args)
        case "show":
            return _show(args)
        case "require":
            return _require(args)
        case _:
            return _take(args)


# -- where the release key is -----------------------------------------------------------------


def _change(args: argparse.Namespace) -> int:
    from propeller.wire.releases import next_list, sealed_list

    digests = [_digest(args, text) for text in args.modules]
    key = private_key(args, args.key)
    path = Path(args.path)
    last = _read(path, signing(key).public) if path.exists() else None
    fresh = next_list(
        last,
        add=digests if args.action == "add" else (),
        withdraw=digests if args.action == "withdraw" else (),
        not_after=_end(args.lasts),
    )
    words = f"release list {fresh.version}: {len(fresh.modules)} modules{_until(fresh)}"
    if args.dry_run:
        say(f"would write {path}, {words}")
        return 0
    frame = sealed_list(fresh, signing(key))
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(frame)
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    print(path)
    say(f"{words}; where the fleet's keys are: propeller release take --list {path}")
    return 0


def signing(key: PrivateKey) -> SigningKey:
    """The key of `keygen` as the protocol signs with it."""
    from propeller.wire.signing import SigningKey

    return SigningKey.from_pem(key.pkcs8_pem())


def _digest(args: argparse.Namespace, text: str) -> str:
    """The digest of what travels to devices."""
    from propeller.model.ids import is_digest, sha256_digest
    from propeller.registry.wasm import inspect

    if is_digest(text):
        return text
    path = Path(text)
    if path.is_file():
        data = read_module(path)
        inspect(data)
        return sha256_digest(data)
    if path.suffix in (".wasm", ".wat"):
        raise UsageError(f"no file {path}")
    with place_of(args, text) as place:
        pinned = place.artifacts.resolve(place.reference)
    if pinned.packed:
        raise UsageError(f"{text}: its module is packed", hint="pull it, and name the file")
    return pinned.digest


def _end(text: str) -> int | None:
    from propeller.model.quantities import duration_ms

    if text == UNLIMITED:
        return None
    try:
        return now_ms() + duration_ms(text)
    except ValueError as error:
        raise UsageError(f"--for {text!r}: {error}", hint="for example 90d") from error


# -- where the fleet's keys are ---------------------------------------------------------------


def _keys(args: argparse.Namespace) -> Keys:
    from propeller.cli.context import state_dir
    from propeller.cli.settings import fleet_of
    from propeller.state.keys import Keys

    place = fleet_of(args).keyed(state_dir(args)).keys
    if not (place / "root.pub").exists():
        raise UsageError(f"{place}: no keys of a fleet", hint="--keys DIR or --state DIR")
    return Keys(place)


def _require(args: argparse.Namespace) -> int:
    keys, key = _keys(args), verifying(args.pub)
    frame = read_small(Path(args.path))
    first = _read(Path(args.path), key)
    if args.dry_run:
        say(f"would let only {len(first.modules)} modules exist{_until(first)}")
        return 0
    keys.require_releases(key, frame)
    say(
        f"trust version {keys.trust().version} names the release key {key.kid};"
        f" devices start only what list {first.version} names: {len(first.modules)} modules"
    )
    return 0


def _take(args: argparse.Namespace) -> int:
    keys = _keys(args)
    frame = read_small(Path(args.path))
    if args.dry_run:
        say(f"would carry {args.path}")
        return 0
    taken = keys.take_releases(frame)
    say(f"release list {taken.version} is carried: {len(taken.modules)} modules{_until(taken)}")
    return 0


def _show(args: argparse.Namespace) -> int:
    path = Path(args.path)
    if args.pub is not None:
        found = _read(path, verifying(args.pub))
    else:
        carried = _keys(args).releases()[1]
        if carried is None:
            raise UsageError(
                "no release list is carried here: any module may be started",
                hint="`propeller release require` begins it; --pub PUB --list FILE shows a file",
            )
        found = carried
    if args.output != "text":
        document = {"version": found.version, "notAfter": found.not_after}
        print_data(args.output, {**document, "modules": list(found.modules)})
        return 0
    for module in found.modules:
        print(module)
    say(f"release list {found.version}: {len(found.modules)} modules{_until(found)}")
    return 0


def verifying(path: str) -> VerifyKey:
    """The public half of `keygen` as the protocol knows it."""
    from propeller.wire.signing import P256, VerifyKey

    return VerifyKey(P256, public_key(path).point())


def _read(path: Path, key: VerifyKey) -> Releases:
    from propeller.wire.releases import read_releases

    return read_releases(read_small(path), key, where=str(path))


def _until(releases: Releases) -> str:
    if releases.not_after is None:
        return ""
    end = datetime.fromtimestamp(releases.not_after / 1000, UTC)
    late = ", which is over" if releases.not_after < now_ms() else ""
    return f", new ones until {end:%Y-%m-%d}{late}"
