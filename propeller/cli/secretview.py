"""Secrets where no reconciler is at hand: what `diff` and `plan` may know of them.

What the reconciler noted in the store holds for files that did not change since. Others are opened
with the identities of this command, if it has any; where it has none, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.settings import Fleet, identities_of
from propeller.model.secrets import KnownSecret
from propeller.model.specs import Secret

if TYPE_CHECKING:
    from propeller.model.revision import Revision
    from propeller.reconcile.secretbook import Noted
    from propeller.secrets.vault import Vault

_NOBODY = bytes(32)
"""In place of a fleet's secret that was not made yet: there is nothing to compare with either."""


def vault_of(fleet: Fleet, keys: Path) -> Vault:
    """What opens Secrets for this command. Makes nothing."""
    from propeller.secrets.vault import Vault
    from propeller.state.keys import peek_fleet_secret

    return Vault(identities_of(fleet), peek_fleet_secret(keys) or _NOBODY)


def secrets_under(
    revision: Revision, noted: Mapping[tuple[str, str], Noted], vault: Vault
) -> dict[tuple[str, str], KnownSecret]:
    """What is known of the Secrets of a revision, with what was noted of those before it."""
    from propeller.secrets.age import Locked

    known: dict[tuple[str, str], KnownSecret] = {}
    for thing in revision.objects.values():
        if not isinstance(thing, Secret):
            continue
        name = (thing.meta.key.namespace, thing.meta.key.name)
        before = noted.get(name)
        if before is not None and before.spec == thing.meta.spec_digest:
            known[name] = KnownSecret(digests=before.digests, previous=before.previous)
            continue
        try:
            digests = vault.digests(thing)
        except Locked as error:
            words = error.what.removeprefix(f"{thing.meta.key}: ")
            known[name] = KnownSecret(trouble=words)
            continue
        known[name] = KnownSecret(
            digests=digests, previous=before.digests if before is not None else {}
        )
    return known
