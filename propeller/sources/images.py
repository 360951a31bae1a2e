"""Modules of plugins that are in a registry: what `load` asks for, and what it may be told.

Whoever calls `load` hands somebody in who pulls (`reconcile.pluginimages`): this room asks no
registry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from propeller.model.ids import Digest
from propeller.model.module import Module
from propeller.model.signing import Rule
from propeller.model.specs import ModuleRef


@dataclass(frozen=True, slots=True)
class Pulled:
    """A module that is here, with its Wasm bytes."""

    module: Module
    wasm: bytes


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a module is not here. again: whether asking again may help."""

    why: str
    again: bool


class Images(Protocol):
    """Who has modules of a registry."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Who has to vouch for them."""
        ...

    def fetch(self, refs: Sequence[ModuleRef]) -> Mapping[ModuleRef, Pulled | Absent]:
        """Each of these, as far as it is to be had within a bounded time. Never raises for what a
        registry does."""
        ...

    def forget(self, ref: ModuleRef) -> None:
        """Look again next time: what is known of its signatures was not enough."""
        ...


class _Nowhere:
    """No registry is asked."""

    rules: tuple[Rule, ...] = ()

    def fetch(self, refs: Sequence[ModuleRef]) -> Mapping[ModuleRef, Pulled | Absent]:
        """See `Images`."""
        why = "no registry is asked for a tree that came with a request"
        return {ref: Absent(why, again=False) for ref in refs}

    def forget(self, ref: ModuleRef) -> None:
        """See `Images`."""


NOWHERE: Final[Images] = _Nowhere()


def pinned(ref: ModuleRef) -> Digest | None:
    """The digest that says which module is meant: of its bytes, else of its manifest."""
    if ref.digest is not None:
        return ref.digest
    _, at, digest = (ref.image or "").partition("@")
    return Digest(digest) if at else None
