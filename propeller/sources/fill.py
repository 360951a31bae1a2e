"""Written spec -> canonical spec, driven by the schemas: defaults filled, quantities as integers.

Called for every document of every revision, so the schemas are compiled once into functions that
either answer or raise `RefusedError`. That one says nothing on purpose: `explain` then asks
jsonschema what is wrong and puts it into words. A property test holds the two to one verdict.

A schema that uses a keyword this module does not know is refused when it is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

from propeller.model import quantities
from propeller.model.canonical import Value
from propeller.sources.schemas import Schema, load_schema, resolved

Fill: TypeAlias = Callable[[Any], Any]

_ANNOTATIONS: Final = frozenset(
    ("$schema", "$id", "$defs", "title", "description", "examples", "default", "x-allowed", "type")
)
_OF_OBJECTS: Final = frozenset(
    (
        "properties", "required", "additionalProperties", "propertyNames",
        "minProperties", "maxProperties", "oneOf",
    )
)  # fmt: skip
_OF_LISTS: Final = frozenset(("items", "minItems", "maxItems"))
_OF_SCALARS: Final = frozenset(
    ("enum", "const", "pattern", "maxLength", "minimum", "maximum", "x-quantity", "x-min", "x-max")
)


class RefusedError(Exception):
    """The value does not fit its schema. Carries no message: `explain` has the words."""


@cache
def fill_for(kind: str) -> Fill:
    """The function that takes a whole document of `kind` and gives its canonical form."""
    return _compile(load_schema(kind))


def spelled(kind: str, spec: Mapping[str, Value]) -> dict[str, Any]:
    """A canonical spec as a person would write it: the inverse of `fill_for`, for display."""
    if kind == "Secret":
        spec = {name: value for name, value in spec.items() if name != "sops"}
    if kind == "Task":  # nobody writes a step's place in its Workflow
        spec = {name: value for name, value in spec.items() if name != "step"}
    return dict(_spelled(load_schema(kind)["properties"]["spec"], spec))


def read_quantity(name: str, text: str) -> int | str:
    """What `x-quantity: name` makes of `text`. Raises ValueError."""
    if text == quantities.UNLIMITED:
        return text
    match name:
        case "duration":
            return quantities.duration_ms(text)
        case "size":
            return quantities.size_bytes(text)
        case "timestamp":
            return quantities.timestamp_ms(text)
        case "percent":
            return quantities.percent(text)
        case "uuid":
            return text.lower()
        case _:
            raise AssertionError(f"no quantity {name!r}")


def strict_pattern(pattern: str) -> re.Pattern[str]:
    """A schema's pattern where `$` means the end, not also the place before a last line break."""
    return re.compile(re.sub(r"\$\Z", r"\\Z", pattern))


def _types(schema: Schema) -> frozenset[str]:
    given = schema["type"]
    return frozenset((given,) if isinstance(given, str) else given) - {"null"}


def _compile(unresolved: Schema) -> Fill:
    schema = resolved(unresolved)
    types = _types(schema)
    if types == {"object"}:
        _known(schema, _OF_OBJECTS)
        if schema.get("additionalProperties") is True:
            return _foreign
        return _object(schema) if "properties" in schema else _map(schema)
    if types == {"array"}:
        _known(schema, _OF_LISTS)
        return _list(schema)
    _known(schema, _OF_SCALARS)
    if types == {"boolean"}:
        return _boolean
    if types == {"integer"}:
        return _integer(schema)
    if types == {"integer", "string"}:
        return _integer_or_word(schema)
    if types in ({"string"}, {"string", "number"}):
        return _text(schema, numbers="number" in types)
    raise AssertionError(f"no way to fill {sorted(types)}")


def _known(schema: Schema, allowed: frozenset[str]) -> None:
    strange = set(schema) - allowed - _ANNOTATIONS
    if strange:
        raise AssertionError(f"schema keywords nobody checks: {sorted(strange)}")


_MISSING: Final = object()


def _object(schema: Schema) -> Fill:
    if schema.get("additionalProperties") is not False:
        raise AssertionError("an object with named fields must refuse others")
    fields: list[tuple[str, Fill, Any, bool]] = []
    required = frozenset(schema.get("required", ()))
    for name, below in schema["properties"].items():
        field, default = _compile(below), resolved(below).get("default", _MISSING)
        ready = default if default is _MISSING else field(default)
        fields.append((name, field, ready, name in required))
    names = frozenset(schema["properties"])
    exclusive = _exclusive(schema)
    least = schema.get("minProperties", 0)

    def fill(value: Any) -> Any:
        if not isinstance(value, dict) or not names.issuperset(value):
            raise RefusedError
        out: dict[str, Any] = {}
        present = 0
        for name, field, default, needed in fields:
            given = value.get(name)
            if given is not None:
                out[name] = field(given)
                present += 1
            elif needed:
                raise RefusedError
            elif default is not _MISSING:
                out[name] = default
        if present < least or (exclusive and sum(name in out for name in exclusive) != 1):
            raise RefusedError
        return out

    return fill


def _exclusive(schema: Schema) -> tuple[str, ...]:
    """The names of `oneOf: [{required: [a]}, {required: [b]}]`."""
    names: list[str] = []
    for branch in schema.get("oneOf", ()):
        if set(branch) != {"required"} or len(branch["required"]) != 1:
            raise AssertionError("oneOf may only choose between single required fields")
        names += branch["required"]
    return tuple(names)


def _map(schema: Schema) -> Fill:
    key, item = _compile(schema["propertyNames"]), _compile(schema["additionalProperties"])
    least, most = schema.get("minProperties", 0), schema["maxProperties"]

    def fill(value: Any) -> Any:
        if not isinstance(value, dict) or not least <= len(value) <= most:
            raise RefusedError
        return {key(name): item(below) for name, below in value.items()}

    return fill


def _foreign(value: Any) -> Any:
    """What another tool keeps there: its own business, and read by who knows that tool."""
    if not isinstance(value, dict):
        raise RefusedError
    return value


def _list(schema: Schema) -> Fill:
    item = _compile(schema["items"])
    least, most = schema.get("minItems", 0), schema["maxItems"]

    def fill(value: Any) -> Any:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise RefusedError
        return [item(below) for below in value]

    return fill


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        raise RefusedError
    return value


def _integer(schema: Schema) -> Fill:
    least, most = schema["minimum"], schema["maximum"]

    def fill(value: Any) -> Any:
        if type(value) is not int or not least <= value <= most:
            raise RefusedError
        return value

    return fill


def _integer_or_word(schema: Schema) -> Fill:
    number, word = _integer(schema), strict_pattern(schema["pattern"])

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            if word.search(value) is None:
                raise RefusedError
            return str(value)
        return number(value)

    return fill


def _text(schema: Schema, *, numbers: bool) -> Fill:
    allowed: Sequence[Any] | None = schema.get("enum")
    if "const" in schema:
        allowed = [schema["const"]]
    words = None if allowed is None else frozenset(word for word in allowed if word is not None)
    longest = schema.get("maxLength")
    pattern = strict_pattern(schema["pattern"]) if "pattern" in schema else None
    convert = _quantity(schema)

    def fill(value: Any) -> Any:
        if numbers and type(value) is int:
            value = str(value)
        if not isinstance(value, str):
            raise RefusedError
        text = str(value)
        if words is not None and text not in words:
            raise RefusedError
        if longest is not None and len(text) > longest:
            raise RefusedError
        if pattern is not None and pattern.search(text) is None:
            raise RefusedError
        return text if convert is None else convert(text)

    return fill


def _quantity(schema: Schema) -> Callable[[str], int | str] | None:
    name = schema.get("x-quantity")
    if name is None:
        return None
    bounds = tuple(
        None if edge not in schema else read_quantity(name, schema[edge])
        for edge in ("x-min", "x-max")
    )
    least, most = bounds

    def convert(text: str) -> int | str:
        try:
            number = read_quantity(name, text)
        except ValueError:
            raise RefusedError from None
        if isinstance(number, int):
            if isinstance(least, int) and number < least:
                raise RefusedError
            if isinstance(most, int) and number > most:
                raise RefusedError
        return number

    return convert


def _spelled(unresolved: Schema, value: Any) -> Any:
    schema = resolved(unresolved)
    if isinstance(value, Mapping):
        fields = schema.get("properties")
        if fields is None:
            return dict(value)
        return {name: _spelled(fields[name], below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(schema["items"], below) for below in value]
    if type(value) is not int:
        return value
    match schema.get("x-quantity"):
        case "duration":
            return quantities.duration_text(value)
        case "size":
            return quantities.size_text(value)
        case "timestamp":
            return quantities.timestamp_text(value)
        case "percent":
            return quantities.percent_text(value)
        case _:
            return value
