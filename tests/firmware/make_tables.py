"""Writes the C tables of the protocol: `python tests/firmware/make_tables.py`.

The tables in `propeller.wire.fields` are the only place where fields, numbers and limits are said;
`firmware/core/tables.c` and `firmware/include/proplet/tables.h` are made from them, checked in, and
held to them by a test.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from propeller.wire import cbor_codec, entry_fields  # noqa: E402  found by the path set above
from propeller.wire import fields as wire_fields  # noqa: E402
from propeller.wire.blob_frames import ERRORS  # noqa: E402
from propeller.wire.reject import Broken, Reject  # noqa: E402
from propeller.wire.shapes import Field, Shape  # noqa: E402

HEADER, SOURCE = "firmware/include/proplet/tables.h", "firmware/core/tables.c"
ABSENT = 6
"""Bytes of a row of `pp_absents`: the longest default and its length."""
NOTE = "/* Made by tests/firmware/make_tables.py from propeller/wire: change it there. */\n"


def shapes() -> dict[str, Shape]:
    """Every shape, by the name of its message; nested ones first."""
    found = [v for m in (entry_fields, wire_fields) for v in vars(m).values()]
    return {one.cls.__name__: one for one in found if isinstance(one, Shape)}


def snake(name: str) -> str:
    """`RunReport` is `run_report`, `maxPayload` is `max_payload`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


class Tables:
    """Collects kinds, each once, in the order they are needed."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.words: dict[tuple[str, ...], str] = {}
        self.limits: dict[int, int] = {0: 0}
        self.absents: dict[bytes, int] = {b"": 0}

    def limit(self, value: int) -> int:
        """Its place among the limits: a byte in a table where the number takes eight."""
        return self.limits.setdefault(value, len(self.limits))

    def absent(self, held: bytes) -> int:
        """The place of what a field holds when it is absent; 0: there is nothing to leave out."""
        return self.absents.setdefault(held, len(self.absents))

    def kind(self, schema: Mapping[str, Any], *, nul: bool = False) -> str:
        """The C name of a kind, as its schema tells it."""
        made = self._initialiser(schema, nul)
        return self.kinds.setdefault(made, f"kind_{len(self.kinds)}")

    def _initialiser(self, schema: Mapping[str, Any], nul: bool) -> str:
        def put(kind: str, low: int = 0, high: int = 0, more: str = "NULL", flag: int = 0) -> str:
            return f"{{{kind}, {flag}, {self.limit(low)}, {self.limit(high)}, {more}}}"

        if "title" in schema:
            return put("PP_SHAPE", more=f"&pp_shape_{snake(schema['title'])}")
        match schema["type"]:
            case "boolean":
                return put("PP_BOOL")
            case "integer":
                return put("PP_INT", schema["minimum"], schema["maximum"])
            case "array":
                item = schema["items"]
                if item.get("pattern") == "^[^=]+=":
                    return put("PP_ENV", item["maxLength"], schema["maxItems"])
                return put("PP_LIST", 0, schema["maxItems"], f"&{self.kind(item)}")
            case "object":
                item = self.kind(schema["additionalProperties"])
                names = schema["propertyNames"]["maxLength"]
                return put("PP_NAMED", names, schema["maxProperties"], f"&{item}")
        assert schema["type"] == "string", schema
        if "enum" in schema:
            words = tuple(schema["enum"])
            name = self.words.setdefault(words, f"words_{len(self.words)}")
            return put("PP_ENUM", high=len(words), more=name)
        if "contentEncoding" in schema:
            return put("PP_PACKED", high=schema["maxLength"] // 4 * 3)
        if "x-cbor" in schema:
            size = int(schema["x-cbor"].split()[0])
            style = 1 if "-" in schema["pattern"].replace("0-9a-f", "") else 0
            return put("PP_HEX", high=size, flag=2 if "sha256" in schema["pattern"] else style)
        if "pattern" in schema:
            return put("PP_REF" if "/" in schema["pattern"] else "PP_ID")
        return put("PP_TEXT", high=schema["maxLength"], flag=int(nul))


def number(value: int) -> str:
    """A C constant of 64 bits."""
    return f"INT64_C({value})"


def takes_nul(field: Field) -> bool:
    """Whether a text may hold a NUL: the schema cannot say it, so it is tried."""
    try:
        field.kind.to_json("\0")
    except Broken:
        return False
    return True


def default(shape: Shape, field: Field) -> bytes:
    """The CBOR of what the field holds when it is absent; b"" where nothing is left out."""
    declared = next(one for one in fields(shape.cls) if one.name == field.name)
    if field.name in shape.required:
        return b""
    value = declared.default if declared.default is not MISSING else ()
    try:
        return cbor_codec.dumps(field.kind.to_cbor(value))
    except Broken:
        return b""  # None, or "" where a digest would stand: it has no spelling but absence


def row(data: bytes) -> str:
    """The length and the bytes, as a row of `pp_absents`."""
    return f"\t{{{', '.join([str(len(data)), *(f'0x{byte:02x}' for byte in data)])}}},\n"


def source() -> str:
    """tables.c."""
    tables = Tables()
    bodies = []
    for name, shape in shapes().items():
        low = snake(name)
        rows = []
        for field in shape.fields:
            nul = field.kind.schema.get("type") == "string" and takes_nul(field)
            kind = tables.kind(field.kind.schema, nul=nul)
            absent = tables.absent(default(shape, field))
            must = int(field.name in shape.required)
            rows.append(f'\t{{{field.number}, {must}, {absent}, "{field.key}", &{kind}}},')
        order = sorted(range(len(rows)), key=lambda at: shape.fields[at].key)
        names = [field.name for field in shape.fields]
        rule = shape.exclusive
        first, second = (names.index(one) + 1 for one in rule.names) if rule else (0, 0)
        needed = int(rule is not None and rule.needed)
        bodies.append(
            f"static const struct pp_field {low}_fields[] = {{\n" + "\n".join(rows) + "\n};\n"
            f"static const uint8_t {low}_sorted[] = {{{', '.join(map(str, order))}}};\n"
            f"const struct pp_shape pp_shape_{low} = {{\n"
            f'\t"{name}", {low}_fields, {low}_sorted, '
            f"{len(rows)}, {first}, {second}, {needed},\n}};\n"
        )
    words = [
        f"static const char *const {name}[] = {{{', '.join(map(json.dumps, known))}}};\n"
        for known, name in tables.words.items()
    ]
    kinds = [
        f"static const struct pp_kind {name} = {made};\n" for made, name in tables.kinds.items()
    ]
    lists = "".join(
        f"const struct pp_kind pp_kind_{name} = "
        f"{{PP_LIST, 0, 0, {tables.limit(wire_fields.MAX_TASKS)}, "
        f"&{tables.kind(shape.kind.schema)}}};\n"
        for name, shape in (("tasks", entry_fields.ENTRY), ("inventory", wire_fields.RUN_REPORT))
    )
    rejects = "".join(f'\t"{word.value}",\n' for word in Reject)
    limits = "".join(f"\t{number(value)},\n" for value in tables.limits)
    absents = "".join(map(row, tables.absents))
    assert max(len(tables.limits), len(tables.absents)) <= 256
    assert max(map(len, tables.absents)) < ABSENT
    return (
        NOTE
        + '#include "proplet/tables.h"\n\n#include <stddef.h>\n\n'
        + f'static const char *const rejects[] = {{\n\t"",\n{rejects}}};\n\n'
        + "const char *pp_reject_word(enum pp_reject reject)\n{\n\treturn rejects[reject];\n}\n\n"
        + f"const int64_t pp_limits[] = {{\n{limits}}};\n\n"
        + f"const uint8_t pp_absents[][{ABSENT}] = {{\n{absents}}};\n\n"
        + "\n".join(["".join(words), "".join(kinds), lists, "\n".join(bodies)])
    )


def header() -> str:
    """tables.h."""
    rejects = "".join(f"\tPP_{word.name},\n" for word in Reject)
    errors = "".join(f"\tPP_BLOB_{word.upper()},\n" for word in ERRORS)
    lines = []
    for name, shape in shapes().items():
        low = snake(name)
        lines.append(f"extern const struct pp_shape pp_shape_{low};")
        numbers = ", ".join(
            f"PP_{low.upper()}_{field.name.upper()} = {field.number}" for field in shape.fields
        )
        lines.append(f"enum pp_{low}_field {{ {numbers} }};")
        for field in shape.fields:
            for at, word in enumerate(field.kind.schema.get("enum", ())):
                constant = snake(word).upper() or "NONE"
                lines.append(f"#define PP_{low.upper()}_{field.name.upper()}_{constant} {at}")
        lines.append("")
    return (
        NOTE
        + """#ifndef PROPLET_TABLES_H
#define PROPLET_TABLES_H

#include <stdint.h>

/* Why a body is refused; the words are those of every other implementation. */
enum pp_reject {
\tPP_TAKEN = 0,
"""
        + rejects
        + """};

const char *pp_reject_word(enum pp_reject reject);

/* Errors of a blob chunk, as they stand in its header. */
enum pp_blob_error {
\tPP_BLOB_FINE = 0,
"""
        + errors
        + """};

enum pp_kind_type {
\tPP_TEXT,   /* high: bytes; flag: may hold NUL */
\tPP_ID,
\tPP_REF,
\tPP_HEX,    /* high: bytes; flag: 1 uuid, 2 sha256: before it */
\tPP_INT,    /* low..high */
\tPP_BOOL,
\tPP_ENUM,   /* high: words; more: const char *const * */
\tPP_LIST,   /* high: items; more: kind of an item */
\tPP_NAMED,  /* low: bytes of a name; high: names; more: kind of a value */
\tPP_PACKED, /* high: bytes; base64 in JSON */
\tPP_ENV,    /* low: bytes of an item; high: items */
\tPP_SHAPE,  /* more: shape */
};

/* Tables are flash, and most of them are small numbers: a limit is its place in pp_limits. */
struct pp_kind {
\tuint8_t type, flag;
\tuint8_t low, high;
\tconst void *more;
};
extern const int64_t pp_limits[];

struct pp_field {
\tuint8_t number, required;
\tuint8_t absent; /* place in pp_absents; 0: nothing is left out */
\tconst char *key;
\tconst struct pp_kind *kind;
};
/* CBOR of what a field holds when it is absent, which is never written: length, bytes. */
extern const uint8_t pp_absents[][@@];

struct pp_shape {
\tconst char *name;
\tconst struct pp_field *fields;
\tconst uint8_t *sorted; /* places of the fields in the order of their keys */
\tuint8_t count;
\tuint8_t first, second; /* place + 1 of two fields that exclude each other */
\tuint8_t one_needed;
};

""".replace("@@", str(ABSENT))
        + "/* Lists that travel as blobs. */\n"
        + "extern const struct pp_kind pp_kind_tasks, pp_kind_inventory;\n\n"
        + "\n".join(lines)
        + "#endif\n"
    )


def all_files() -> dict[str, str]:
    """Path in the repository -> text."""
    return {HEADER: header(), SOURCE: source()}


if __name__ == "__main__":
    for name, text in all_files().items():
        (ROOT / name).write_text(text, encoding="utf-8")
        print(name)
