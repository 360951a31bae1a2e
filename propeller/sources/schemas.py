"""Finds and loads the JSON Schemas, the source of truth for what people write.

`fill`, `explain` and the `explain` verb call it. In an installed wheel the schemas lie in
`propeller/schemas`, in a checkout beside the package; nothing else knows where they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

API_VERSION: Final = "propeller.dev/v1alpha1"
API_GROUP: Final = "propeller.dev/"
KINDS: Final = (
    "Alert",
    "App",
    "Daemon",
    "FederatedTask",
    "Function",
    "Plugin",
    "Proplet",
    "Secret",
    "Task",
    "Workflow",
)
TREE_KINDS: Final = ("Overlay",)
"""What says how a tree is read; no object of the fleet."""
SHARED: Final = "defs"

Schema = Mapping[str, Any]


def schema_root() -> Traversable:
    """The folder that holds `spec/` and `wire/`."""
    package = files("propeller")
    installed = package / "schemas"
    if installed.is_dir():
        return installed
    return Path(str(package)).parent / "schemas"


@cache
def load_schema(name: str) -> Schema:
    """The spec schema of a kind (`Task`), or the `defs` they share. Raises KeyError."""
    if name not in (*KINDS, *TREE_KINDS, SHARED):
        raise KeyError(name)
    path = schema_root() / "spec" / f"{name.lower()}.schema.json"
    schema: Schema = json.loads(path.read_text("utf-8"))
    return schema


def resolved(schema: Schema) -> Schema:
    """`schema` with its `$ref` followed. What stands beside the `$ref` wins (default, bounds)."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    location, _, pointer = str(reference).partition("#/$defs/")
    shared = load_schema(SHARED)
    if location not in ("", shared["$id"]):
        raise AssertionError(f"a schema may only refer to {shared['$id']}, not to {reference}")
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**resolved(shared["$defs"][pointer]), **beside}


def walk(kind: str) -> Iterator[tuple[str, Schema]]:
    """Every field of a kind as (`spec.placement.replicas`, its resolved schema), in schema order.

    Items of a list are under `path[]`, values of a free mapping under `path.*`.
    """
    yield from _walk("", load_schema(kind))


def _walk(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, below in schema.get("properties", {}).items():
        field = resolved(below)
        here = f"{path}.{name}" if path else name
        yield here, field
        yield from _walk(here, field)
    if isinstance(schema.get("items"), Mapping):
        item = resolved(schema["items"])
        yield f"{path}[]", item
        yield from _walk(f"{path}[]", item)
    if isinstance(schema.get("additionalProperties"), Mapping):
        value = resolved(schema["additionalProperties"])
        yield f"{path}.*", value
        yield from _walk(f"{path}.*", value)
