"""Which keys one receiver believes, and for what.

A device's keyring comes from the fleet's trust document (`keyring_from_trust`), the manager's from
the keys enrolled for a device (`Keyring.of_device`). Whoever is not in it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from propeller.wire.messages import Trust, TrustedKey
from propeller.wire.reject import Reject, refusal
from propeller.wire.signing import ALG_NAMES, VerifyKey

KNOWN_ROLES = frozenset({"manager", "gateway", "release", "device"})
"""Roles a trust document can give. `root` is none: roots are configured, never announced."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A key and its roles."""

    key: VerifyKey
    roles: frozenset[str]


class Keyring:
    """kid -> key and roles. Immutable; `+` joins two, the right one winning."""

    __slots__ = ("_held",)

    def __init__(self, held: Mapping[str, Holder] | None = None) -> None:
        self._held = dict(held or {})

    @classmethod
    def of(cls, keys: Iterable[VerifyKey], *roles: str) -> Keyring:
        """These keys, each with all of `roles`."""
        return cls({key.kid: Holder(key, frozenset(roles)) for key in keys})

    @classmethod
    def of_roots(cls, *keys: VerifyKey) -> Keyring:
        """The roots a device was given when it was set up: they may sign trust, nothing else."""
        return cls.of(keys, "root")

    @classmethod
    def of_device(cls, *keys: VerifyKey) -> Keyring:
        """The keys enrolled for one device."""
        return cls.of(keys, "device")

    def find(self, kid: str) -> Holder | None:
        """The key named `kid`, if it is believed at all."""
        return self._held.get(kid)

    def has(self, role: str) -> bool:
        """Whether any key of this role is believed."""
        return any(role in held.roles for held in self._held.values())

    def __add__(self, other: Keyring) -> Keyring:
        return Keyring({**self._held, **other._held})

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        inside = ", ".join(f"{kid}: {'+'.join(sorted(h.roles))}" for kid, h in self._held.items())
        return f"Keyring({inside})"


def keyring_from_trust(trust: Trust, *roots: VerifyKey) -> Keyring:
    """The keys of `trust` (already opened with a root's signature) and the roots themselves.

    Keys of unknown algorithms and unknown roles are skipped; a `kid` that is not its key's is
    refused (bad_key), and the trust document with it.
    """
    held: dict[str, Holder] = {}
    for one in trust.keys:
        if one.alg not in ALG_NAMES:
            continue
        key = VerifyKey.parse(one.pub)
        if key.kid != one.kid or key.alg != one.alg:
            raise refusal(Reject.BAD_KEY, f"{one.kid} is not the kid of {one.pub}")
        held[one.kid] = Holder(key, KNOWN_ROLES.intersection(one.roles))
    return Keyring(held) + Keyring.of_roots(*roots)


def trusted(key: VerifyKey, *roles: str) -> TrustedKey:
    """How `key` stands in a trust document."""
    return TrustedKey(kid=key.kid, alg=key.alg, pub=key.text, roles=tuple(roles))
