"""`propeller keyservice add|serve FOLDER`: keys of encrypted modules, for devices that prove which
they are, in software: it stands where a key broker with attestation belongs.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from propeller.cli.clock import now_ms
from propeller.cli.context import add_state, state_dir
from propeller.cli.output import add_dry_run, say
from propeller.cli.settings import add_config, fleet_of
from propeller.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `keyservice`."""
    below = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = below.add_parser("add", help="make a key, and say which devices get it")
    add.add_argument("folder", metavar="FOLDER", help="where the service keeps its keys")
    add.add_argument("path", metavar="PATH", help="REPOSITORY/TYPE/NAME: default/key/filter")
    add.add_argument(
        "--allow", action="append", default=[], metavar="PROPLET", help="a device that gets it"
    )
    add_dry_run(add)
    serve = below.add_parser("serve", help="give keys to devices, by their signature alone")
    serve.add_argument("folder", metavar="FOLDER", help="where the service keeps its keys")
    serve.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:7444")
    serve.add_argument("--cert", metavar="FILE", help="its certificate (PEM); needs --cert-key")
    serve.add_argument("--cert-key", metavar="FILE", help="the certificate's private key (PEM)")
    serve.add_argument("--keys", metavar="DIR", help="key directory (default: in the state)")
    add_config(serve)
    add_state(serve)


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    folder = Path(args.folder)
    if args.action == "serve":
        return _serve(args, folder)
    from propeller.provision.keyservice import add_resource

    if args.dry_run:
        say(f"would make {args.path} in {folder} for {', '.join(args.allow) or 'nobody'}")
        return 0
    print(add_resource(folder, args.path, args.allow))
    say(f"{args.path} is given to {', '.join(sorted(args.allow)) or 'nobody'}; encrypt with")
    say(f"propeller push FILE IMAGE --encrypt-to THAT --key-path {args.path}")
    return 0


def _serve(args: argparse.Namespace, folder: Path) -> int:
    import logging

    import uvicorn

    from propeller.provision.keyservice import KeyService, make_app, software
    from propeller.state.keys import Keys

    if not (folder / "resources").is_dir():
        raise UsageError(f"{folder}: no keys there", hint="`propeller keyservice add`")
    if bool(args.cert) != bool(args.cert_key):
        raise UsageError("--cert and --cert-key come together")
    place = fleet_of(args).keyed(state_dir(args)).keys
    if not (place / "root.pub").exists():
        raise UsageError(f"{place}: no keys of a fleet", hint="--keys DIR or --state DIR")
    keys = Keys(place)
    host, colon, port = args.listen.rpartition(":")
    if not colon or not port.isdecimal():
        raise UsageError(f"--listen {args.listen!r}: HOST:PORT is wanted")
    service = KeyService(
        folder, software(keys.enrolled), clock=now_ms, randomness=secrets.token_bytes
    )
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    scheme = "https" if args.cert else "http"
    say(f"key service on {scheme}://{args.listen}: SOFTWARE attestation, no hardware is asked")
    uvicorn.run(
        make_app(service),
        host=host.strip("[]"),
        port=int(port),
        ssl_certfile=args.cert,
        ssl_keyfile=args.cert_key,
        log_level="warning",
        access_log=False,
    )
    return 0
