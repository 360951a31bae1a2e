"""From the configuration to what goes out and comes in by the web: status branch, commit statuses,
the secrets of alerts, webhook receivers.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.settings import Fleet
from propeller.errors import UsageError

if TYPE_CHECKING:
    from propeller.gateway.hooks import Receiver
    from propeller.gateway.hookserver import HookServer
    from propeller.reconcile.outlets import BranchPlan, CommitPlan, OutletPlan, PromotionPlan
    from propeller.reconcile.service import Service
    from propeller.sources.open import Source
    from propeller.state.layout import StateDir

MIN_INTERVAL = 1_000
"""ms: what a git host can be asked to take all day long."""


def add_hooks(parser: argparse.ArgumentParser) -> None:
    """The option that opens the door for webhooks."""
    parser.add_argument(
        "--hooks", metavar="HOST:PORT", help="receive webhooks here (receivers: propeller.yaml)"
    )


def outlets_of(fleet: Fleet, source: Source) -> OutletPlan:
    """The ways out that are configured. Raises UsageError for what cannot work."""
    from propeller.reconcile.outlets import OutletPlan

    secrets = fleet.text("alerts.secrets")
    return OutletPlan(
        status_branch=_status_branch(fleet, source),
        commit_status=_commit_status(fleet),
        promotions=_promotions(fleet, source),
        secrets=Path(secrets) if secrets else None,
        environ=dict(os.environ),
    )


def _status_branch(fleet: Fleet, source: Source) -> BranchPlan | None:
    from propeller.cli.specsource import access_of
    from propeller.model.quantities import duration_ms
    from propeller.reconcile.outlets import BranchPlan
    from propeller.sources.access import split_secret
    from propeller.sources.address import GitAddress, check_ref, parse_address
    from propeller.sources.open import address_of

    branch = fleet.text("statusBranch.branch")
    if not branch:
        return None
    check_ref(branch)
    watched = address_of(source)
    remote = fleet.text("statusBranch.remote")
    found = parse_address(remote, git=True) if remote else watched
    if not isinstance(found, GitAddress):
        raise UsageError(
            "statusBranch.remote is missing, and the specs come from no repository",
            hint="name the repository that the status goes to",
        )
    if watched is not None and watched.url == found.url and _short(watched.ref) == branch:
        raise UsageError(
            f"statusBranch.branch {branch} is the branch the specs come from",
            hint="status goes to a branch of its own",
        )
    try:
        interval = duration_ms(fleet.text("statusBranch.interval"))
    except ValueError as error:
        raise UsageError(f"statusBranch.interval: {error}") from error
    url, login = split_secret(found.url)
    return BranchPlan(
        url=url,
        shown=found.shown,
        branch=branch,
        interval=max(MIN_INTERVAL, interval),
        signing_key=_signing_key(fleet),
        login=login or access_of(fleet, found.url).of(url),
    )


def _promotions(fleet: Fleet, source: Source) -> PromotionPlan | None:
    """None where the specs are read from no branch: a folder, a registry, a tag, one commit."""
    from propeller.cli.specsource import access_of
    from propeller.reconcile.outlets import PromotionPlan
    from propeller.sources.access import split_secret
    from propeller.sources.address import is_commit
    from propeller.sources.open import address_of

    watched = address_of(source)
    if watched is None or is_commit(watched.ref) or (watched.ref or "").startswith("refs/tags/"):
        return None
    url, login = split_secret(watched.url)
    return PromotionPlan(
        url=url,
        shown=watched.shown,
        watched=watched.ref or "",
        folder=watched.path,
        signing_key=_signing_key(fleet),
        login=login or access_of(fleet, watched.url).of(url),
    )


def _signing_key(fleet: Fleet) -> Path | None:
    """What signs the reconciler's commits. Raises UsageError where it is not there."""
    key = fleet.text("statusBranch.signingKey")
    if key and not Path(key).is_file():
        raise UsageError(f"statusBranch.signingKey: no file {key}")
    return Path(key).absolute() if key else None


def _short(ref: str | None) -> str:
    return (ref or "").removeprefix("refs/heads/")


def _commit_status(fleet: Fleet) -> CommitPlan | None:
    from propeller.reconcile.outlets import CommitPlan

    names = ("commitStatus.provider", "commitStatus.url", "commitStatus.tokenFile")
    provider, url, token_file = (fleet.text(name) for name in names)
    if not provider and not url:
        return None
    missing = [name for name in names if not fleet.text(name)]
    if missing:
        raise UsageError(f"{missing[0]} is missing")
    return CommitPlan(provider=provider, url=url, token_file=Path(token_file))


def receivers_of(fleet: Fleet) -> list[Receiver]:
    """Who may call. Raises UsageError for two of one name."""
    from propeller.gateway.hooks import Receiver

    receivers: dict[str, Receiver] = {}
    for row in fleet.receivers:
        if row["name"] in receivers:
            raise UsageError(f"receivers: {row['name']} is there twice")
        receivers[row["name"]] = Receiver(
            name=row["name"], type=row["type"], secret=fleet.base / row["secretFile"]
        )
    return list(receivers.values())


def open_hooks(service: Service, state: StateDir, fleet: Fleet) -> HookServer | None:
    """Start to listen for webhooks where that is asked for; stop it with `.stop()`.

    Raises UsageError when it cannot listen there, or nobody may call.
    """
    address = fleet.text("hooks.address")
    if not address:
        return None
    from propeller.gateway.hooks import Hooks, make_hooks
    from propeller.gateway.hookserver import HookServer
    from propeller.reconcile.events import Remark

    receivers = receivers_of(fleet)
    if not receivers:
        raise UsageError(
            "nobody may call: there are no receivers in the configuration",
            hint="receivers: [{name: github, type: GitHub, secretFile: hook.secret}]",
        )

    def refused(message: str) -> None:
        service.inbox.put(Remark(severity="Warning", reason="HookRefused", message=message))

    hooks = Hooks(receivers, look=service.pokes.poke, refused=refused)
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"--hooks {address!r} is not HOST:PORT")
    server = HookServer(make_hooks(hooks), host.strip("[]") or "127.0.0.1", int(port))
    server.start()
    state.write_ports({**state.read_ports(), "hooks": server.port})
    return server
