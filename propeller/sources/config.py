"""`propeller.yaml`: the same strict reading as specs, against `schemas/config.schema.json`.

The command line calls it. Small enough to be checked here, without jsonschema: it is read by verbs
that must start quickly. A test holds the two to one verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from propeller.sources.explain import did_you_mean, show
from propeller.sources.nodes import Build, Flaw, Map, Number, Path, Seq, UnreadableError
from propeller.sources.schemas import Schema, schema_root
from propeller.sources.yamltext import parse_yaml

MAX_CONFIG_BYTES: Final = 256 << 10


@cache
def config_schema() -> Schema:
    """The schema of `propeller.yaml`."""
    schema: Schema = json.loads((schema_root() / "config.schema.json").read_text("utf-8"))
    return schema


def read_config(data: bytes) -> tuple[Mapping[str, Any], tuple[Flaw, ...]]:
    """The mapping in `data` and everything wrong with it. Never raises for any bytes.

    The mapping is a `nodes.Map`: it knows the line of each key. Null is the same as left out.
    """
    empty = Map(1)
    if len(data) > MAX_CONFIG_BYTES:
        return empty, (Flaw(0, (), f"must be at most {MAX_CONFIG_BYTES} bytes"),)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return empty, (Flaw(line, (), "must be UTF-8"),)
    build = Build()
    try:
        parse_yaml(text.encode(), build)
    except UnreadableError as error:
        return empty, (error.flaw,)
    documents = [one for one in build.documents if one.value is not None]
    if not documents:
        return empty, ()
    if len(documents) > 1:
        return empty, (Flaw(documents[1].line, (), "must be one document, this is the second"),)
    one = documents[0]
    flaws = [*one.flaws]
    if isinstance(one.value, Map):
        flaws += _check(one.value, config_schema(), (), one.line)
        return one.value, tuple(sorted(flaws, key=lambda flaw: flaw.line))
    return empty, (*flaws, Flaw(one.line, (), f"must be a mapping, not {show(one.value)}"))


def _check(value: Any, schema: Schema, path: Path, line: int) -> Iterator[Flaw]:
    if schema["type"] == "object":
        if not isinstance(value, Map):
            yield Flaw(line, path, f"must be a mapping, not {show(value)}")
            return
        yield from _members(value, schema, path)
        yield from _missing(value, schema, path, line)
        return
    if schema["type"] == "array":
        yield from _items(value, schema, path, line)
        return
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            yield Flaw(line, path, f"must be a whole number from {low} to {high}")
        return
    if isinstance(value, Number | int) and not isinstance(value, bool):
        yield Flaw(line, path, f'must be text, not {show(value)}; text goes in quotes: "{value}"')
    elif not isinstance(value, str):
        yield Flaw(line, path, f"must be text, not {show(value)}")
    elif "enum" in schema and value not in schema["enum"]:
        near = did_you_mean(value, schema["enum"])
        hint = f', did you mean "{near}"?' if near else ""
        listed = ", ".join(schema["enum"])
        yield Flaw(line, path, f"must be one of {listed}, not {show(value)}{hint}")
    elif "pattern" in schema:
        from propeller.sources.fill import strict_pattern

        if strict_pattern(schema["pattern"]).search(value) is None:
            yield Flaw(line, path, f"must be {schema['x-allowed']}, not {show(value)}")


def _members(value: Map, schema: Schema, path: Path) -> Iterator[Flaw]:
    fields: Mapping[str, Schema] = schema.get("properties", {})
    other = schema["additionalProperties"]
    for name, below in value.items():
        if below is None:
            continue
        line = value.lines[name]
        field = fields.get(name) or (other if isinstance(other, Mapping) else None)
        if field is None:
            near = did_you_mean(name, fields)
            hint = f'did you mean "{near}"?' if near else f"allowed here: {', '.join(fields)}"
            yield Flaw(line, (*path, name), f"unknown field, {hint}")
        else:
            yield from _check(below, field, (*path, name), line)


def _missing(value: Map, schema: Schema, path: Path, line: int) -> Iterator[Flaw]:
    for name in schema.get("required", ()):
        if value.get(name) is None:
            example = schema["properties"][name]["examples"][0]
            yield Flaw(line, (*path, name), f"required, for example {example}")


def _items(value: Any, schema: Schema, path: Path, line: int) -> Iterator[Flaw]:
    if not isinstance(value, Seq):
        yield Flaw(line, path, f"must be a list, not {show(value)}")
        return
    if len(value) > schema["maxItems"]:
        yield Flaw(line, path, f"must have at most {schema['maxItems']} entries")
        return
    for index, below in enumerate(value):
        yield from _check(below, schema["items"], (*path, index), value.lines[index])
