"""`propeller keygen [NAME]`: a key pair that signs modules, in the files that cosign reads too.

With `--group` a key that opens what is encrypted to a group of devices.
"""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path

from propeller.cli.keyfiles import add_password, passphrase
from propeller.cli.output import add_dry_run, say
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `keygen`."""
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        default="cosign",
        help="writes NAME.key (encrypted) and NAME.pub (default cosign)",
    )
    parser.add_argument(
        "--group",
        action="store_true",
        help="an encryption key for a group of devices: NAME.group.pem and NAME.group.pub",
    )
    add_password(parser)
    add_dry_run(parser)


def run(args: argparse.Namespace) -> int:
    """Make the pair; returns the exit code. Never replaces a key that is there."""
    from propeller.registry.cosignkey import PrivateKey

    private, public = Path(f"{args.name}.key"), Path(f"{args.name}.pub")
    if args.group:
        private, public = Path(f"{args.name}.group.pem"), Path(f"{args.name}.group.pub")
    for path in (private, public):
        if path.exists():
            raise UsageError(f"{path} is there already", hint="name another, or move it away")
    if args.dry_run:
        say(f"would write {private} and {public}")
        return 0
    if args.group:
        from propeller.wire.boxes import BoxKey

        box = BoxKey.generate()
        _write(private, box.to_pem(), 0o600)
        _write(public, box.public.text.encode() + b"\n", 0o644)
        print(f"{private}\n{public}")
        say(f"hand {private} to each device of the group: proplet --group-key {private}")
        return 0
    word = passphrase(args, twice=True)
    key = PrivateKey.generate()
    _write(private, key.to_pem(word, secrets.token_bytes), 0o600)
    _write(public, key.public.to_pem(), 0o644)
    print(f"{private}\n{public}")
    say(f"key {key.public.id}; keep {private} away from the machines that run things")
    if not word:
        say("it has no passphrase: whoever reads the file can sign")
    return 0


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
