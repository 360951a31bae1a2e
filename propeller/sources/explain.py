"""Why a document does not fit its schema, in words an author can act on.

Called by `documents` only after `fill` refused. jsonschema finds the faults; this module says what
is allowed instead, with the line of each. It stops after `MAX_FLAWS` a document.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from propeller.sources.fill import read_quantity, strict_pattern
from propeller.sources.nodes import Flaw, Map, Number, Path, Seq, line_of, printable
from propeller.sources.schemas import SHARED, Schema, load_schema, resolved, walk

MAX_FLAWS: Final = 50
_TYPE_WORDS: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "number": "a number",
}
_OLD_BOOLEANS: Final = frozenset(("yes", "no", "on", "off", "y", "n"))


def explain(kind: str, document: Map, line: int) -> list[Flaw]:
    """Every fault of `document` against the schema of `kind`; empty when there is none."""
    bare = without_nulls(document, load_schema(kind))
    flaws: list[Flaw] = []
    for error in _validator(kind).iter_errors(bare):
        for path, message in _words(kind, error):
            flaws.append(Flaw(line_of(bare, path, line), path, message))
            if len(flaws) == MAX_FLAWS:
                flaws.append(Flaw(line, (), "and more; these first"))
                return flaws
    return flaws


def without_nulls(value: Any, unresolved: Schema) -> Any:
    """A copy without the fields that are null: null is the same as leaving the field out.

    In free mappings (labels) a null stays, and is refused: dropping a label would widen a selector.
    """
    schema = resolved(unresolved)
    if isinstance(value, Map):
        fields = schema.get("properties", {})
        out = Map(value.line)
        out.lines = value.lines
        for key, below in value.items():
            if below is not None or key not in fields:
                out[key] = without_nulls(below, fields.get(key, {}))
        return out
    if isinstance(value, Seq):
        items = Seq(value.line)
        items.lines = value.lines
        items.extend(without_nulls(below, schema.get("items", {})) for below in value)
        return items
    return value


def did_you_mean(wrong: str, candidates: Iterable[str]) -> str | None:
    """The candidate somebody most likely meant, if one is near."""
    if len(wrong) > 64:
        return None
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(wrong.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[near[0]] if near else None


def show(value: Any) -> str:
    """A value as it stood in the file, short."""
    if isinstance(value, Map):
        return "a mapping"
    if isinstance(value, Seq):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Number):
        return str(value)
    text = str(value) if len(value) <= 40 else value[:37] + "..."
    return printable(json.dumps(text, ensure_ascii=False))


@cache
def _validator(kind: str) -> Any:
    from jsonschema import Draft202012Validator, validators
    from referencing import Registry, Resource

    extend: Any = validators.extend  # its stub leaves the parameters untyped
    extended = extend(
        Draft202012Validator,
        {
            "pattern": _check_pattern,
            "x-quantity": _check_quantity,
            "x-min": _check_least,
            "x-max": _check_most,
        },
    )
    shared = load_schema(SHARED)
    registry = Registry().with_resource(shared["$id"], Resource.from_contents(shared))
    return extended(load_schema(kind), registry=registry)


def _fault(message: str) -> Iterator[Any]:
    from jsonschema import ValidationError

    yield ValidationError(message)


def _check_pattern(_validator: Any, pattern: str, value: Any, _schema: Schema) -> Iterator[Any]:
    if isinstance(value, str) and strict_pattern(pattern).search(value) is None:
        yield from _fault("pattern")


def _number(name: str, value: Any) -> int | None:
    """The integer a quantity stands for; None when it is none, which its pattern says already."""
    try:
        number = read_quantity(name, value) if isinstance(value, str) else None
    except ValueError:
        return None
    return number if isinstance(number, int) else None


def _check_quantity(_validator: Any, name: str, value: Any, schema: Schema) -> Iterator[Any]:
    if isinstance(value, str) and strict_pattern(schema["pattern"]).search(value) is not None:
        try:
            read_quantity(name, value)
        except ValueError as error:
            yield from _fault(str(error))


def _check_least(_validator: Any, least: str, value: Any, schema: Schema) -> Iterator[Any]:
    name = resolved(schema)["x-quantity"]
    number, edge = _number(name, value), _number(name, least)
    if number is not None and edge is not None and number < edge:
        yield from _fault(f"must be at least {least}, not {show(value)}")


def _check_most(_validator: Any, most: str, value: Any, schema: Schema) -> Iterator[Any]:
    name = resolved(schema)["x-quantity"]
    number, edge = _number(name, value), _number(name, most)
    if number is not None and edge is not None and number > edge:
        yield from _fault(f"must be at most {most}, not {show(value)}")


def _words(kind: str, error: Any) -> Iterator[tuple[Path, str]]:
    """jsonschema's error as (path, message), one for each unknown or missing field."""
    path: Path = tuple(error.absolute_path)
    value, schema, limit = error.instance, resolved(error.schema), error.validator_value
    allowed = schema.get("x-allowed")
    match error.validator:
        case "additionalProperties":
            for name in value:
                if name not in schema["properties"]:
                    yield (*path, name), _unknown(kind, path, name, schema)
        case "required":
            for name in limit:
                if name not in value and f"'{name}'" in error.message:
                    yield (*path, name), _required(schema["properties"][name])
        case "type":
            yield path, _wrong_type(value, schema, limit)
        case "enum" | "const":
            yield path, _not_one_of(value, [limit] if error.validator == "const" else limit)
        case "pattern" if "propertyNames" in error.absolute_schema_path:
            yield path, f"{show(value)} must be {allowed}"
        case "pattern":
            yield path, f"must be {allowed}, not {show(value)}"
        case "minimum":
            yield path, f"must be at least {limit}, not {value}"
        case "maximum":
            yield path, f"must be at most {limit}, not {value}"
        case "maxLength":
            yield path, f"must be at most {limit} characters long, not {len(value)}"
        case "maxItems" | "maxProperties":
            yield path, f"must have at most {limit} entries, not {len(value)}"
        case "minItems" | "minProperties":
            yield path, f"must name {allowed}" if allowed else "must not be empty; leave it out"
        case "oneOf" if isinstance(value, Map):
            yield path, _exactly_one(value, limit)
        case "oneOf":
            return  # no mapping at all, which its type says already
        case _:
            yield path, printable(str(error.message))


def _unknown(kind: str, path: Path, name: str, schema: Schema) -> str:
    if not path and name == "status":
        return "unknown field: nobody writes status, Propeller does"
    siblings = schema["properties"]
    near = did_you_mean(name, siblings)
    if near is not None:
        return f'unknown field, did you mean "{near}"?'
    homes = _homes(kind)
    if name in homes:
        return f'unknown field here; "{name}" belongs in {homes[name]}'
    elsewhere = did_you_mean(name, homes)
    if elsewhere is not None:
        return f'unknown field, did you mean "{elsewhere}"? It belongs in {homes[elsewhere]}'
    return f"unknown field; allowed here: {', '.join(siblings)}"


@cache
def _homes(kind: str) -> Mapping[str, str]:
    """Field name -> where it belongs, for those that belong in one place only."""
    found: dict[str, list[str]] = {}
    for path, _ in walk(kind):
        parent, _, name = path.rpartition(".")
        if parent and name != "*" and not name.endswith("[]"):
            found.setdefault(name, []).append(parent)
    return {name: parents[0] for name, parents in found.items() if len(parents) == 1}


def _required(field: Schema) -> str:
    examples = resolved(field).get("examples")
    if not examples:
        return "required"
    example = examples[0]
    return f"required, for example {_inline(example)}"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_inline(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(below) for below in value) + "]"
    return str(value)


def _wrong_type(value: Any, schema: Schema, types: Any) -> str:
    wanted = [types] if isinstance(types, str) else [name for name in types if name != "null"]
    got = show(value)
    if "boolean" in wanted and isinstance(value, str) and value.lower() in _OLD_BOOLEANS:
        return f"must be true or false, not {got}: yes, no, on and off are text in YAML 1.2"
    if "integer" in wanted and isinstance(value, Number):
        return f"must be a whole number in plain decimal digits, not {got}"
    if wanted[0] == "string" and isinstance(value, bool | int):
        pattern = strict_pattern(schema.get("pattern", ""))
        quoted = f'; text goes in quotes: "{got}"' if pattern.search(got) else ""
        return f"must be {_allowed(schema, wanted)}, not {got}{quoted}"
    return f"must be {_allowed(schema, wanted)}, not {got}"


def _allowed(schema: Schema, wanted: list[str]) -> str:
    if "string" in wanted and "x-allowed" in schema:
        return str(schema["x-allowed"])
    if "string" in wanted and "enum" in schema:
        return "one of " + ", ".join(word for word in schema["enum"] if word is not None)
    return " or ".join(_TYPE_WORDS[name] for name in wanted if name != "number" or len(wanted) == 1)


def _not_one_of(value: Any, choices: list[Any]) -> str:
    words = [str(choice) for choice in choices if choice is not None]
    if not isinstance(value, str):
        return f"must be one of {', '.join(words)}, not {show(value)}"
    near = did_you_mean(value, words)
    hint = f', did you mean "{near}"?' if near else ""
    listed = words[0] if len(words) == 1 else "one of " + ", ".join(words)
    return f"must be {listed}, not {show(value)}{hint}"


def _exactly_one(value: Any, branches: list[Any]) -> str:
    names = [branch["required"][0] for branch in branches]
    present = [name for name in names if name in value]
    listed = ", ".join(names)
    if not present:
        return f"must have exactly one of {listed}; it has none"
    return f"must have exactly one of {listed}; it has {' and '.join(present)}"
