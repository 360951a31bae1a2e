"""`propeller provision` where members are known to a SuperMQ or Magistrala: its options."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.provision.identity import IdentityService
    from propeller.provision.record import Record, SuperMq

TOKEN_VARIABLE = "PROPELLER_SUPERMQ_TOKEN"  # noqa: S105  the name of a variable, no secret
MOST_TOKEN = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `provision fleet`."""
    parser.add_argument(
        "--supermq", metavar="URL", help="members are clients of this SuperMQ or Magistrala"
    )
    parser.add_argument(
        "--supermq-service",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="address of its domains, channels or clients where it is another one",
    )
    parser.add_argument("--broker-ca", metavar="FILE", help="who signs its broker's certificate")
    parser.add_argument(
        "--adopt", action="store_true", help="give clients of that name a new key and take them in"
    )
    add_token(parser)


def add_token(parser: argparse.ArgumentParser) -> None:
    """Where the token is."""
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"an access token of SuperMQ (or in {TOKEN_VARIABLE})",
    )


def wanted(args: argparse.Namespace, known: Record) -> Record:
    """The record with what was typed. Raises UsageError."""
    from propeller.provision.record import SuperMq

    where = known.supermq
    if where is None and not args.supermq:
        if args.supermq_service or args.broker_ca or args.adopt:
            raise UsageError("--supermq-service, --broker-ca and --adopt go with --supermq")
        return known
    if where is None and known.authorities:
        raise UsageError(
            "this fleet has certificates of its own", hint="set another one up in another folder"
        )
    services = dict(where.services) if where is not None else {}
    for text in args.supermq_service:
        name, equals, url = text.partition("=")
        if not equals or name not in ("domains", "channels", "clients"):
            raise UsageError(f"--supermq-service {text!r} is not domains|channels|clients=URL")
        services[name] = url
    if where is None:
        name, channel = args.domain or known.domain, args.channel or known.channel
        where = SuperMq(url=args.supermq, domain=name, channel=channel)
    tls = where.tls or bool(args.broker_ca)
    if not tls and known.host not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(
            "--broker-ca FILE is missing: without TLS, keys of clients would travel in clear",
            hint="the certificate that signs the broker's, or your system's file of all of them",
        )
    url = args.supermq or where.url
    return replace(known, supermq=replace(where, url=url, services=services, tls=tls))


def names(record: Record) -> tuple[str, str]:
    """What domain and channel are called by people."""
    where = record.supermq
    return (record.domain, record.channel) if where is None else (where.domain, where.channel)


def identity_of(args: argparse.Namespace, record: Record) -> IdentityService:
    """Who knows the members of this fleet. Raises UsageError without a token."""
    from propeller.provision.identity import Certificates

    if record.supermq is None:
        return Certificates()
    return _members(args, record.supermq)


def _members(args: argparse.Namespace, where: SuperMq) -> IdentityService:
    from propeller.provision.supermq import SuperMqMembers
    from propeller.provision.supermq_api import SuperMqApi

    api = SuperMqApi(where.url, _token(args), services=where.services, plain_http=_loopback(where))
    adopt = bool(getattr(args, "adopt", False))
    return SuperMqMembers(api, new_secret=lambda: secrets.token_urlsafe(32), adopt=adopt)


def _loopback(where: SuperMq) -> list[str]:
    """Only this machine may be asked without TLS: a token travels with every request."""
    hosts = [urlsplit(url).netloc for url in (where.url, *where.services.values())]
    return [host for host in hosts if host.rpartition(":")[0] in _LOOPBACK or host in _LOOPBACK]


def _token(args: argparse.Namespace) -> str:
    name = getattr(args, "token_file", None)
    environment: Mapping[str, str] = os.environ
    text = environment.get(TOKEN_VARIABLE, "")
    if name:
        try:
            with Path(name).open("rb") as file:
                text = file.read(MOST_TOKEN).decode("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name}: {error}") from error
    if not text.strip() or not text.strip().isprintable():
        raise UsageError(
            "members are known to a SuperMQ, and it wants a token",
            hint=f"--token-file FILE, or {TOKEN_VARIABLE} in the environment",
        )
    return text.strip()
