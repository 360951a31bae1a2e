"""Key files that signing verbs read, and the passphrase that opens a private one.

The passphrase comes from a file, from PROPELLER_KEY_PASSWORD or COSIGN_PASSWORD, or from the
terminal; never from an argument, which others on the machine can read.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.registry.cosignkey import PrivateKey, PublicKey

VARIABLES = ("PROPELLER_KEY_PASSWORD", "COSIGN_PASSWORD")
_MAX_FILE = 64 * 1024


def add_password(parser: argparse.ArgumentParser) -> None:
    """The option that says where the passphrase is."""
    parser.add_argument(
        "--password-file",
        metavar="FILE",
        help="the passphrase of the key (default: PROPELLER_KEY_PASSWORD, COSIGN_PASSWORD,"
        " or the terminal)",
    )


def passphrase(args: argparse.Namespace, *, twice: bool = False) -> bytes:
    """The passphrase, wherever it is. twice: a new one, typed again. Raises UsageError."""
    if args.password_file is not None:
        return read_small(Path(args.password_file)).rstrip(b"\r\n")
    for variable in VARIABLES:
        if variable in os.environ:
            return os.environ[variable].encode()
    if not sys.stdin.isatty():
        raise UsageError(
            "no passphrase for the key",
            hint=f"set {VARIABLES[0]}, or say --password-file FILE (empty for none)",
        )
    first = getpass.getpass("Passphrase of the key: ")
    if twice and getpass.getpass("The same again: ") != first:
        raise UsageError("the two differ")
    return first.encode()


def private_key(args: argparse.Namespace, path: str) -> PrivateKey:
    """The private key in a file as cosign writes it. Raises UsageError."""
    from propeller.registry.cosignkey import PrivateKey

    data = read_small(Path(path))
    return PrivateKey.from_pem(data, passphrase(args), where=path)


def public_key(path: str | Path) -> PublicKey:
    """The public key in a PEM file. Raises UsageError."""
    from propeller.registry.cosignkey import PublicKey

    return PublicKey.from_pem(read_small(Path(path)), where=str(path))


def read_small(path: Path) -> bytes:
    """A file of at most 64 KiB. Raises UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise UsageError(f"{path}: more than {_MAX_FILE} bytes, which is no key file")
    return data
