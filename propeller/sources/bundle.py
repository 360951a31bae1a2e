"""Schemas of specs that stand on their own, for editors and other tools that fetch nothing.

`propeller schema` prints them. What kinds share is taken in below `$defs`, and a reference to it
points there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from propeller.sources.schemas import KINDS, SHARED, TREE_KINDS, Schema, load_schema

ANY: Final = "specs"
"""The name of the one schema for files of any kind."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def bundled(kind: str) -> Schema:
    """The schema of one kind (`Task`), with nothing left to look up. Raises KeyError."""
    whole = _local(load_schema(kind))
    return {**whole, "$defs": _shared()}


def any_kind() -> Schema:
    """A schema for a document of any kind: its `kind` chooses which one holds."""
    kinds = (*KINDS, *TREE_KINDS)
    below: dict[str, Any] = {}
    for kind in kinds:
        whole = dict(_local(load_schema(kind)))
        # An `$id` in here would change what `#/$defs` means.
        del whole["$id"], whole["$schema"]
        below[f"kind{kind}"] = whole
    return {
        "$schema": _DIALECT,
        "$id": f"https://propeller.dev/schemas/spec/{ANY}.schema.json",
        "title": "Propeller specs",
        "description": "A spec of any kind.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "kind": {"enum": list(kinds), "description": "Which schema this is."},
        },
        "allOf": [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": {"$ref": f"#/$defs/kind{kind}"},
            }
            for kind in kinds
        ],
        "$defs": {**_shared(), **below},
    }


def _shared() -> dict[str, Any]:
    shared: dict[str, Any] = _local(load_schema(SHARED)["$defs"])
    return shared


def _local(node: Any) -> Any:
    """`node` with references to the shared file turned into references to this one."""
    if isinstance(node, Mapping):
        return {
            key: _here(value) if key == "$ref" else _local(value) for key, value in node.items()
        }
    if isinstance(node, list):
        return [_local(each) for each in node]
    return node


def _here(reference: str) -> str:
    return f"#{reference.partition('#')[2]}"
