"""`propeller token create | list | revoke`: who may use the API and the dashboard.

A token is shown once, when it is made; only its hash is kept, beside the keys. Works with and
without a running reconciler: the gateway reads the file again when it changed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from propeller.cli.clock import age, now_ms, span
from propeller.cli.context import add_state, state_dir
from propeller.cli.output import add_output, print_list, say
from propeller.cli.settings import add_config, fleet_of
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.gateway.access.tokens import Tokens

DEFAULT_TTL = "90d"
ROLES = ("viewer", "operator", "deployer", "admin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `token`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    create = verbs.add_parser("create", help="make one and print it, once")
    create.add_argument("name", metavar="NAME", help="whose it is; stands in records")
    create.add_argument("--role", required=True, choices=ROLES, help="what they may")
    create.add_argument(
        "-n",
        "--namespace",
        action="append",
        metavar="NS",
        help="where they may; several times for several, left out for all",
    )
    create.add_argument(
        "--ttl", default=DEFAULT_TTL, metavar="T", help=f"how long it lives ({DEFAULT_TTL})"
    )
    listing = verbs.add_parser("list", help="those that were made")
    add_output(listing)
    revoke = verbs.add_parser("revoke", help="take one away, at once")
    revoke.add_argument("name", metavar="NAME", help="its name or id")
    for one in (create, listing, revoke):
        add_state(one)
        add_config(one)
        one.add_argument("--keys", metavar="DIR", help="key directory (default: in the state)")


def run(args: argparse.Namespace) -> int:
    """Do it; returns the exit code."""
    from propeller.gateway.access.tokens import Tokens

    state = fleet_of(args).keyed(state_dir(args))
    tokens = Tokens(state.tokens, now_ms)
    if args.verb == "create":
        return _create(args, tokens)
    if args.verb == "revoke":
        for one in tokens.revoke(args.name):
            say(f"token {one.name} ({one.id}) is revoked; its sessions end too")
        return 0
    return _list(args, tokens)


def _create(args: argparse.Namespace, tokens: Tokens) -> int:
    from propeller.gateway.access.roles import EVERYWHERE, Role
    from propeller.model.quantities import duration_ms

    try:
        ttl = duration_ms(args.ttl)
    except ValueError as error:
        raise UsageError(f"--ttl {args.ttl!r}: {error}") from error
    namespaces = tuple(args.namespace or (EVERYWHERE,))
    token, text = tokens.create(
        args.name, Role(args.role), namespaces, ttl=ttl, chance=os.urandom(38)
    )
    say(
        f"token {token.name} ({token.id}): {token.role} in {_where(token.namespaces)},"
        f" for {span(ttl)}; it is shown only now"
    )
    print(text)
    return 0


def _list(args: argparse.Namespace, tokens: Tokens) -> int:
    now = now_ms()
    items = [
        {
            "name": one.name,
            "id": one.id,
            "role": str(one.role),
            "namespaces": list(one.namespaces),
            "created": one.created,
            "expires": one.expires,
            "expired": one.expires <= now,
        }
        for one in tokens.all()
    ]
    if not items and args.output in ("table", "wide"):
        say("there are no tokens; `propeller token create NAME --role viewer` makes one")
        return 0

    def row(item: Mapping[str, Any]) -> Sequence[str]:
        left = "expired" if item["expired"] else span(item["expires"] - now)
        where = _where(item["namespaces"])
        return (item["name"], item["id"], item["role"], where, age(item["created"], now), left)

    print_list(
        args.output,
        items,
        heads=("NAME", "ID", "ROLE", "NAMESPACES", "AGE", "EXPIRES IN"),
        row=row,
        name=lambda item: str(item["name"]),
    )
    return 0


def _where(namespaces: Sequence[str]) -> str:
    return "all namespaces" if "*" in namespaces else ",".join(namespaces)
