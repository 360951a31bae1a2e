"""The Secrets of the inventory: what is known of each, and the sealed values of a copy.

Owned by `world`. Keeps the keyed digests in the store, so that a reconciler that starts without its
age key still knows what it gave out, `diff` can compare without one, and a change can be told by
its name. Values stay in the vault.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from propeller.errors import WireError
from propeller.model.inventory import Assignment, Held
from propeller.model.secrets import KnownSecret
from propeller.model.seen import Seen
from propeller.model.specs import Secret, Workload
from propeller.secrets.age import Locked
from propeller.secrets.vault import Vault
from propeller.state.base import Store
from propeller.wire.boxes import Place

META = "secrets"
"""Where the store keeps `Noted`, by `namespace/name`."""

RETRY = 30_000
"""ms between two looks for an identity that opens what is locked."""

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Noted:
    """What was last known of a Secret. spec: the digest of the spec it was opened from."""

    spec: str
    digests: Mapping[str, str]
    previous: Mapping[str, str] = field(default_factory=dict)


class SecretBook:
    """See the module."""

    def __init__(self, store: Store, vault: Vault, inventory: Iterable[Held]) -> None:
        self._store = store
        self._vault = vault
        self._noted = read_noted(store)
        self._held: dict[Name, Secret] = {}
        self.known: dict[Name, KnownSecret] = {}
        self._retry_at: int | None = None
        self._unwritten = False
        for held in inventory:
            if isinstance(held.object, Secret) and held.deleted_at is None:
                self._held[_name(held.object)] = held.object
        for secret in self._held.values():
            self._look(secret)

    def put(self, held: Held) -> bool:
        """A Secret came, moved or went. Returns whether what is known of it changed.

        Inside a store transaction.
        """
        secret = held.object
        assert isinstance(secret, Secret)
        name = _name(secret)
        before = self.known.get(name)
        if held.deleted_at is not None:
            self._held.pop(name, None)
            self.known.pop(name, None)
            self._unwritten = True
            self._vault.forget(held.uid)
            return before is not None
        self._held[name] = secret
        self._look(secret)
        return self.known[name] != before

    def retry(self, now: int) -> set[Name]:
        """Try what is locked again; the Secrets that opened.

        Inside the transaction of every turn: what was learned since the last one is written too.
        """
        self._write()
        locked = [name for name, known in self.known.items() if known.trouble]
        if not locked:
            self._retry_at = None
            return set()
        if self._retry_at is None or now < self._retry_at:
            self._retry_at = self._retry_at or now + RETRY
            return set()
        self._retry_at = now + RETRY
        for name in locked:
            self._look(self._held[name])
        self._write()
        return {name for name in locked if not self.known[name].trouble}

    def due(self) -> int | None:
        """When `retry` has something to do (Unix ms)."""
        return self._retry_at

    def sealed(
        self, obj: Workload, seen: Seen, assignment: Assignment
    ) -> tuple[tuple[str, str], ...] | None:
        """The sealed variables of one copy, by name; None when one of them cannot be sealed."""
        if not obj.run.secrets:
            return ()
        if not seen.box.believed:
            return None
        made = []
        for one in obj.run.secrets:
            secret = self._held.get((obj.meta.key.namespace, one.secret))
            place = Place(
                device=seen.id,
                inst=seen.inst,
                uid=assignment.uid,
                run=assignment.run,
                name=one.name,
            )
            try:
                if secret is None:
                    return None
                value = self._vault.sealed(secret, one.key, seen.box.believed, place)
            except (Locked, KeyError, WireError):
                return None
            made.append((one.name, value))
        return tuple(sorted(made))

    def _look(self, secret: Secret) -> None:
        name = _name(secret)
        noted = self._noted.get(name)
        try:
            digests = self._vault.digests(secret)
        except Locked as error:
            words = error.what.removeprefix(f"{secret.meta.key}: ")
            self.known[name] = KnownSecret(trouble=words)
            return
        previous = dict(noted.previous) if noted is not None else {}
        if noted is not None and noted.digests != digests:
            previous = dict(noted.digests)
        now = Noted(secret.meta.spec_digest, digests, previous)
        self._unwritten = self._unwritten or now != noted
        self._noted[name] = now
        self.known[name] = KnownSecret(digests=digests, previous=previous)

    def _write(self) -> None:
        if self._unwritten:
            self._noted = {name: one for name, one in self._noted.items() if name in self._held}
            write_noted(self._store, self._noted)
            self._unwritten = False


def read_noted(store: Store) -> dict[Name, Noted]:
    """What a reconciler last knew of the Secrets of this store."""
    found: dict[Name, Noted] = {}
    for text, row in json.loads(store.meta(META) or "{}").items():
        namespace, _, name = text.partition("/")
        found[namespace, name] = Noted(row["spec"], row["digests"], row["previous"])
    return found


def write_noted(store: Store, noted: Mapping[Name, Noted]) -> None:
    """The inverse."""
    rows = {
        "/".join(name): {"spec": one.spec, "digests": one.digests, "previous": one.previous}
        for name, one in sorted(noted.items())
    }
    store.set_meta(META, json.dumps(rows, sort_keys=True))


def _name(secret: Secret) -> Name:
    return secret.meta.key.namespace, secret.meta.key.name
