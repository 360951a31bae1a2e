"""`propeller explain KIND[.path]`: what a field means, from the schemas that check it; `explain
REASON`: what a condition, an event, an exit code or a word of the wire means, and what to do.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from propeller.cli.names import kind_of, known_kind
from propeller.cli.output import add_data, print_data
from propeller.cli.table import render
from propeller.errors import UsageError

WIDTH = 88


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `explain`."""
    parser.add_argument(
        "field", metavar="WORD", help="KIND[.PATH], as task.spec.placement, or a reason, as NoMatch"
    )
    parser.add_argument("--recursive", action="store_true", help="list fields of fields too")
    add_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print; returns the exit code."""
    from propeller.sources.schemas import TREE_KINDS, load_schema, walk

    word, _, path = args.field.partition(".")
    kind = next((one for one in TREE_KINDS if one.lower() == word.lower()), "") or kind_of(word)
    if kind is None:
        if not path and _reason(args):
            return 0
        kind = known_kind(word)
    fields = dict(walk(kind))
    path = _normal(path, fields)
    schema = fields[path] if path else load_schema(kind)
    if args.output != "text":
        print_data(args.output, {"kind": kind, "field": path, "schema": schema})
        return 0
    for line in _text(kind, path, schema, fields, recursive=args.recursive):
        print(line)
    return 0


def _reason(args: argparse.Namespace) -> bool:
    """Tell of a reason; returns whether it is one. Raises UsageError for one that is nearly one."""
    from propeller.cli.reasons import find, near

    found = find(args.field)
    if not found:
        meant = near(args.field)
        if meant:
            raise UsageError(f"no reason is called {args.field!r}", hint=f"did you mean {meant!r}?")
        return False
    if args.output != "text":
        print_data(args.output, {"kind": "Reasons", "reasons": [asdict(one) for one in found]})
        return True
    for one in found:
        rows = (("REASON", f"{one.word} ({one.kind})"), ("MEANS", one.meaning), ("DO", one.do))
        for name, text in (*rows, ("MORE", one.where)):
            lines = textwrap.wrap(text, WIDTH - 10) if name != "MORE" else [text]
            print(f"{name + ':':<10}{lines[0]}")
            for line in lines[1:]:
                print(f"{'':<10}{line}")
    return True


def _normal(path: str, fields: dict[str, Any]) -> str:
    """The path as the schema has it: any case, `[]` of lists may be left out. Raises UsageError."""
    path = path.rstrip(".")
    if not path:
        return ""
    plain: dict[str, str] = {
        name.replace("[]", "").replace(".*", "").lower(): name for name in reversed(fields)
    }
    wanted = path.replace("[]", "").replace(".*", "").lower()
    # The list itself and its items share a plain name: the shorter one, the list, is meant.
    found = plain.get(wanted) or plain.get(f"spec.{wanted}")
    if found is not None:
        return found
    import difflib

    last = wanted.rpartition(".")[2]
    by_last = {name.rpartition(".")[2]: full for name, full in plain.items()}
    near = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.7)
    best = plain[near[0]] if near else by_last.get(last)
    if best is None:
        close = difflib.get_close_matches(last, by_last, n=1)
        best = by_last[close[0]] if close else None
    hint = f"did you mean {best}?" if best else "leave out the path to see all fields"
    raise UsageError(f"no field {path!r}", hint=hint)


def _text(
    kind: str, path: str, schema: Mapping[str, Any], fields: Mapping[str, Any], *, recursive: bool
) -> Iterator[str]:
    yield f"KIND:     {kind}"
    if path:
        yield f"FIELD:    {path} <{type_words(schema)}>"
    yield ""
    yield from textwrap.wrap(str(schema.get("description", "")), WIDTH)
    facts = list(_facts(schema))
    if facts:
        yield ""
        yield from facts
    below = [
        (name, field)
        for name, field in fields.items()
        if _is_below(name, path) and (recursive or not _deeper(name, path))
    ]
    if below:
        yield ""
        yield "FIELDS:"
        rows = [
            (
                name[len(path) :].lstrip(".") if path else name,
                f"<{type_words(field)}>",
                str(field.get("description", "")),
            )
            for name, field in below
        ]
        yield from (f"  {line}" for line in render(("", "", ""), rows).split("\n")[1:])


def _is_below(name: str, path: str) -> bool:
    return not path or (name.startswith((f"{path}.", f"{path}[]")) and name != path)


def _deeper(name: str, path: str) -> bool:
    rest = name[len(path) :].lstrip(".").removeprefix("[]").lstrip(".")
    return "." in rest or "[]" in rest or rest == ""


def _facts(schema: Mapping[str, Any]) -> Iterator[str]:
    if "x-allowed" in schema:
        yield f"Allowed:  {schema['x-allowed']}"
    elif "enum" in schema:
        yield f"One of:   {', '.join(choices(schema))}"
    elif "const" in schema:
        yield f"Always:   {schema['const']}"
    limits = bounds(schema)
    if limits:
        yield f"Bounds:   {limits}"
    if "default" in schema:
        yield f"Default:  {inline(schema['default'])}"
    if schema.get("required"):
        yield f"Required: {', '.join(schema['required'])}"
    if schema.get("examples"):
        yield f"Example:  {inline(schema['examples'][0])}"


def choices(schema: Mapping[str, Any]) -> list[str]:
    """The words of an `enum`; none where there is no such list."""
    return [str(each) for each in schema.get("enum", ()) if each is not None]


def bounds(schema: Mapping[str, Any]) -> str:
    """`at least 1, at most 5`; "" where nothing bounds it."""
    return ", ".join(
        f"{word} {schema[name]}"
        for name, word in (
            ("minimum", "at least"),
            ("x-min", "at least"),
            ("maximum", "at most"),
            ("x-max", "at most"),
        )
        if name in schema
    )


def inline(value: object) -> str:
    """A value on one line: text as it is, everything else as JSON."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def type_words(schema: Mapping[str, Any]) -> str:
    """The type of a field in plain words."""
    given = schema.get("type", "any")
    names = [given] if isinstance(given, str) else [each for each in given if each != "null"]
    words = {"object": "mapping", "array": "list", "string": "text", "integer": "whole number"}
    quantity = schema.get("x-quantity")
    if quantity and "string" in names:
        return str(quantity)
    if "string" in names and "number" in names:
        return "text"
    return " or ".join(words.get(name, name) for name in names)
