"""What a reconciler can do with Secrets: say whether a value changed, and seal it to a device.

Values are in clear only in here, in memory, from the first time a Secret is opened until it changes
or the process ends. Two keys come out of the fleet's one secret: one makes the keyed digests that
runs are named by (so a new value is a new run, and sealing the file anew is none), the other the
ephemeral keys of `wire.boxes`.

Called by `reconcile.secretbook` and, to compare without a reconciler, by `diff` and `plan`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from propeller.model.ids import Digest, Uid
from propeller.model.specs import Secret
from propeller.secrets.age import Identities, Locked
from propeller.secrets.sops import open_secret
from propeller.wire.boxes import BoxPublic, Place, seal_value

MAX_SEALED = 100_000
"""Sealed values kept, so that asking a device again costs nothing."""


class Vault:
    """See the module. fleet_secret: 32 bytes of `keys/`, the same in every life of the fleet."""

    def __init__(self, identities: Identities, fleet_secret: bytes) -> None:
        self._identities = identities
        self._digest_key = hmac.digest(fleet_secret, b"propeller secret digests v1", "sha256")
        self._seal_key = hmac.digest(fleet_secret, b"propeller sealing v1", "sha256")
        self._opened: dict[Uid, tuple[Digest, Mapping[str, str]]] = {}
        self._sealed: dict[tuple[str, str, Place], str] = {}

    @classmethod
    def closed(cls) -> Vault:
        """One that opens nothing sealed: where no identities are configured."""
        return cls(Identities(), bytes(32))

    def digests(self, secret: Secret) -> dict[str, str]:
        """A keyed digest of each value, by key. Raises Locked when it cannot be opened."""
        return {name: self._digest(value) for name, value in self._open(secret).items()}

    def sealed(self, secret: Secret, key: str, box: str, place: Place) -> str:
        """The value of `key` for one place. box: the device's encryption key as text.

        Raises Locked, KeyError (no such key), WireError (the box is no key).
        """
        value = self._open(secret)[key]
        name = (self._digest(value), box, place)
        made = self._sealed.get(name)
        if made is None:
            if len(self._sealed) >= MAX_SEALED:
                self._sealed.clear()
            public = BoxPublic.parse(box)
            made = seal_value(value.encode(), public, place, secret=self._seal_key)
            self._sealed[name] = made
        return made

    def forget(self, uid: Uid) -> None:
        """The Secret is gone."""
        self._opened.pop(uid, None)

    def _open(self, secret: Secret) -> Mapping[str, str]:
        uid, digest = secret.meta.uid, secret.meta.spec_digest
        known = self._opened.get(uid)
        if known is not None and known[0] == digest:
            return known[1]
        self._opened.pop(uid, None)
        try:
            values = open_secret(secret.meta.spec, self._identities)
        except Locked as error:
            raise Locked(f"{secret.meta.key}: {error.what}", hint=error.hint) from None
        self._opened[uid] = (digest, values)
        return values

    def _digest(self, value: str) -> str:
        return hmac.digest(self._digest_key, value.encode(), "sha256").hex()

    def __repr__(self) -> str:
        return f"Vault({self._identities!r})"
