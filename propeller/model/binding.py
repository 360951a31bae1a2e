"""Plugins of the tree that is followed which bind the sources of Apps as well. Pure.

They go from the tree to the readers of those sources by way of the store, so that they hold before
the tree was read again after a restart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from propeller.model.canonical import canonical_bytes, canonical_digest
from propeller.model.ids import Digest
from propeller.model.plugins import Hook, Plugin
from propeller.model.scoring import Failing


@dataclass(frozen=True, slots=True)
class Binding:
    """plugins: in the order of their names. name: what tells two bindings apart, "" for none."""

    plugins: tuple[Plugin, ...] = ()

    @property
    def name(self) -> str:
        """See the class."""
        return str(canonical_digest([_form(one) for one in self.plugins])) if self.plugins else ""


NONE = Binding()


def binding(plugins: Iterable[Plugin]) -> Binding:
    """Of these."""
    return Binding(tuple(sorted(plugins, key=lambda one: one.name)))


def binding_text(given: Binding) -> str:
    """Canonical JSON."""
    return canonical_bytes([_form(one) for one in given.plugins]).decode()


def binding_of(text: str) -> Binding:
    """The inverse of `binding_text`; none for ""."""
    rows: list[dict[str, Any]] = json.loads(text) if text else []
    return binding(_plugin(row) for row in rows)


def _form(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "digest": plugin.digest,
        "hooks": sorted(plugin.hooks),
        "kinds": sorted(plugin.kinds),
        "namespaces": list(plugin.namespaces),
        "onFailure": str(plugin.failing),
        "fuel": plugin.fuel,
        "memory": plugin.memory,
        "timeout": plugin.timeout,
        "python": plugin.python,
        "parameters": dict(plugin.parameters),
    }


def _plugin(row: dict[str, Any]) -> Plugin:
    return Plugin(
        name=row["name"],
        digest=Digest(row["digest"]),
        hooks=frozenset(Hook(one) for one in row["hooks"]),
        kinds=frozenset(row["kinds"]),
        namespaces=tuple(row["namespaces"]),
        failing=Failing(row["onFailure"]),
        fuel=row["fuel"],
        memory=row["memory"],
        timeout=row["timeout"],
        python=row["python"],
        parameters=tuple(sorted(row["parameters"].items())),
    )
