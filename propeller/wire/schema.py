"""The JSON Schemas of every message, from the same tables the codec runs on.

`tests/wire/wire_vectors.py` writes them to `schemas/wire/`; nothing reads them at run time. Beside
the standard words: `x-cbor-key` is a field's integer key in CBOR, `x-cbor` what stands there when
it is not what stands in JSON (raw bytes for hex, the index for a word). Lengths of text are bytes
of UTF-8 on the wire, which JSON Schema cannot say; `maxLength` is the bound it can check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields

from propeller.wire.basic_fields import DIGEST, ID, INST, SIZE, U32
from propeller.wire.blob_frames import ERRORS, MAX_DATA
from propeller.wire.entry_fields import ENTRY
from propeller.wire.fields import BODIES, MAX_TASKS, RUN_REPORT
from propeller.wire.kinds import listed
from propeller.wire.messages import BlobChunk, BlobPut

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HOME = "https://propeller.dev/schemas/wire/"

_BINARY: Mapping[type, Mapping[str, tuple[Mapping[str, object], str]]] = {
    BlobChunk: {
        "digest": (DIGEST.schema, "The blob, bytes 24..55."),
        "off": (SIZE.schema, "First byte of data, bytes 8..15."),
        "total": (SIZE.schema, "Bytes of the whole blob, bytes 16..23."),
        "req": (U32.schema, "Of the request, bytes 4..7."),
        "data": (
            {"type": "string", "maxLength": 2 * MAX_DATA},
            "In hex here; bytes 56 to the end.",
        ),
        "error": ({"enum": ["", *ERRORS]}, "Its place in this list is byte 3."),
    },
    BlobPut: {
        "id": (ID.schema, "The device; its length is byte 3, itself from byte 72."),
        "inst": (INST.schema, "Bytes 56..71."),
        "digest": (DIGEST.schema, "The blob, bytes 24..55."),
        "off": (SIZE.schema, "First byte of data, bytes 8..15."),
        "total": (SIZE.schema, "Bytes of the whole blob, bytes 16..23."),
        "data": ({"type": "string", "maxLength": 2 * MAX_DATA}, "In hex here; after the id."),
    },
}


def schemas() -> dict[str, dict[str, object]]:
    """File name -> schema, for every message and the two lists that travel as blobs."""
    made: dict[str, dict[str, object]] = {}
    for cls, shape in BODIES.items():
        _add(made, cls.__name__, shape.kind.schema)
    _add(made, "Tasks", _list_of("Tasks", ENTRY.kind.schema, "The tasks of a desired document."))
    _add(made, "Inventory", _list_of("Inventory", RUN_REPORT.kind.schema, "The runs of a report."))
    for binary, parts in _BINARY.items():
        _add(made, binary.__name__, _binary(binary, parts))
    return made


def file_name(title: str) -> str:
    """`OpAnswer` is in `op-answer.schema.json`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", title).lower() + ".schema.json"


def _add(made: dict[str, dict[str, object]], title: str, schema: Mapping[str, object]) -> None:
    name = file_name(title)
    made[name] = {"$schema": _DIALECT, "$id": _HOME + name, **schema}


def _list_of(title: str, item: Mapping[str, object], what: str) -> dict[str, object]:
    bound = listed(ENTRY.kind, MAX_TASKS).schema
    text = f"{what} Travels as a blob when it is too long for its message."
    return {**bound, "title": title, "description": text, "items": item}


def _binary(cls: type, parts: Mapping[str, tuple[Mapping[str, object], str]]) -> dict[str, object]:
    assert set(parts) == {field.name for field in fields(cls)}
    return {
        "title": cls.__name__,
        "description": "A binary body (docs/reference/protocol.md), as its vectors show it.",
        "type": "object",
        "required": list(parts),
        "additionalProperties": False,
        "properties": {
            name: {**schema, "description": text} for name, (schema, text) in parts.items()
        },
    }
