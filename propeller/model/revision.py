"""One state of the source, whole: what `sources` makes and everything after it trusts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from propeller.model.binding import NONE, Binding
from propeller.model.ids import Digest, Key
from propeller.model.module import Module
from propeller.model.specs import ModuleRef, Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An immutable set of objects, loaded whole or not at all.

    name: `main@sha1:<40 hex>` for git (the ref as asked), `dir@sha256:<64 hex>` for a directory.
    digest: over the canonical objects; two revisions with one digest want the same.
    modules: those whose bytes came with the tree (`file`); images are resolved later.
    time: Unix milliseconds of the commit, 0 for a directory.
    skipped: paths of documents that are not ours, counted and listed by `validate`.
    signed_by: who signed the commit and with which key, "" where nobody was asked.
    absent: plugins whose module could not be had and need not be: reading again may say more.
    binding: plugins that bind the sources of Apps as well.
    """

    name: str
    digest: Digest
    objects: Mapping[Key, Object]
    modules: Mapping[ModuleRef, Module] = field(default_factory=dict)
    author: str = ""
    message: str = ""
    time: int = 0
    skipped: tuple[str, ...] = ()
    signed_by: str = ""
    absent: tuple[str, ...] = ()
    binding: Binding = NONE
