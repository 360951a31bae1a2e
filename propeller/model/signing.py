"""Who has to vouch for a module before it is sent to any device, and who does. Data only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """What happens to a module that nobody vouches for."""

    REQUIRED = "Required"
    WARN = "Warn"


class Files(StrEnum):
    """Whether modules that are in no registry may be used: files of the tree, URLs."""

    ALLOWED = "Allowed"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the configuration. where: `FILE: FIELD`, for messages.

    namespaces, apps: whose modules it is about, empty for all. repositories: patterns of
    `host/repository`. keys: ids of the public keys that count, any one of them.
    """

    name: str
    where: str
    mode: Mode
    repositories: tuple[str, ...]
    keys: tuple[str, ...]
    namespaces: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    files: Files = Files.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Who vouches for a module. looked: the keys tried (`key_set`). by: ids of those that do."""

    looked: str
    by: tuple[str, ...] = ()


def key_set(keys: Iterable[str]) -> str:
    """A name for a set of key ids."""
    return hashlib.sha256("\n".join(sorted(set(keys))).encode()).hexdigest()[:16]


def keys_of(rules: Iterable[Rule]) -> str:
    """The name of all keys of some rules."""
    return key_set(key for rule in rules for key in rule.keys)
