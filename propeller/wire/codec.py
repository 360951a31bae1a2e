"""Messages to bytes and back: the only door between the wire and the rest.

`decode` takes what a stranger sent and answers a message or raises WireError, nothing else. The
first byte tells the encoding: `{` is JSON, a CBOR map is CBOR, anything else is refused. `encode`
checks as much as `decode`, so nothing leaves that the other side would refuse. Signatures are
`frame`'s business and come off before, go on after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, cast

from propeller.wire import blob_frames, cbor_codec, json_codec
from propeller.wire.entry_fields import ENTRY
from propeller.wire.fields import BODIES, MAX_TASKS, RUN_REPORT
from propeller.wire.kinds import Kind, listed
from propeller.wire.messages import VERSION, BlobChunk, BlobPut, Entry, Message, RunReport
from propeller.wire.reject import Broken, Reject
from propeller.wire.shapes import Shape, json_without

Encoding = Literal["json", "cbor"]
M = TypeVar("M", bound=Message)

MAX_BODY = 64 * 1024
"""Bytes of a body that stands in a message. What is longer travels as a blob."""
MAX_LIST = 4 * 1024 * 1024
"""Bytes of a tasks list or an inventory that travels as a blob."""

_TASKS = listed(ENTRY.kind, MAX_TASKS)
_INVENTORY = listed(RUN_REPORT.kind, MAX_TASKS)
_ENTRY_WITHOUT_DIGEST = json_without(ENTRY, "digest", "update")


def encode(message: Message, *, encoding: Encoding = "json") -> bytes:
    """The bytes of `message`; fields that hold their default are left out. Raises WireError.

    BlobChunk and BlobPut are binary whatever `encoding` says.
    """
    try:
        if isinstance(message, BlobChunk):
            return blob_frames.write_chunk(message)
        if isinstance(message, BlobPut):
            return blob_frames.write_put(message)
        return _dump(BODIES[type(message)].kind, message, encoding)
    except Broken as broken:
        raise broken.told(type(message).__name__) from None


def decode(kind: type[M], body: bytes, *, limit: int = MAX_BODY) -> M:
    """The message of class `kind` in `body`, at most `limit` bytes of it. Raises only WireError."""
    try:
        if kind is BlobChunk:
            return cast(M, blob_frames.read_chunk(body))
        if kind is BlobPut:
            return cast(M, blob_frames.read_put(body))
        if len(body) > limit:
            raise Broken(Reject.TOO_BIG, f"{len(body)} bytes, at most {limit}")
        return cast(M, _load_body(BODIES[kind], body))
    except Broken as broken:
        raise broken.told(kind.__name__) from None


def _load_body(shape: Shape, body: bytes) -> object:
    first = body[0] if body else 0
    if first == 0x7B:
        value, read = json_codec.loads(body), shape.kind.from_json
    elif first >> 5 == 5:
        value, read = cbor_codec.loads(body), shape.kind.from_cbor
    else:
        raise Broken(Reject.NOT_MAP, "neither a JSON object nor a CBOR map")
    assert isinstance(value, dict)
    version = cast(Mapping[object, object], value).get("v" if first == 0x7B else 0)
    if type(version) is int and version > VERSION:
        raise Broken(Reject.UNSUPPORTED_VERSION, f"version {version}, this side speaks {VERSION}")
    return read(value)


def _dump(kind: Kind, value: object, encoding: Encoding) -> bytes:
    if encoding == "cbor":
        return cbor_codec.dumps(kind.to_cbor(value))
    return json_codec.dumps(kind.to_json(value))


# -- lists that may travel as blobs ---------------------------------------------------------------


def encode_tasks(entries: Iterable[Entry], *, encoding: Encoding = "json") -> bytes:
    """The tasks list as a blob (`Desired.body`), sorted by uid and run. As JSON it is canonical, so
    its digest is `tasks_digest`. Raises WireError."""
    return _dump_list(_TASKS, sorted(entries, key=_order), encoding, "tasks")


def decode_tasks(body: bytes) -> tuple[Entry, ...]:
    """The inverse of `encode_tasks`, of either encoding. Raises only WireError."""
    return cast("tuple[Entry, ...]", _load_list(_TASKS, body, "tasks"))


def encode_inventory(runs: Iterable[RunReport], *, encoding: Encoding = "json") -> bytes:
    """The runs of a report as a blob (`Report.body`), sorted by uid and run. Raises WireError."""
    return _dump_list(_INVENTORY, sorted(runs, key=_order), encoding, "inventory")


def decode_inventory(body: bytes) -> tuple[RunReport, ...]:
    """The inverse of `encode_inventory`, of either encoding. Raises only WireError."""
    return cast("tuple[RunReport, ...]", _load_list(_INVENTORY, body, "inventory"))


def _order(one: Entry | RunReport) -> tuple[str, str]:
    return one.uid, one.run


def _dump_list(kind: Kind, items: list[Any], encoding: Encoding, name: str) -> bytes:
    try:
        if encoding == "cbor":
            return cbor_codec.dumps(kind.to_cbor(items))
        return json_codec.canonical(kind.to_json(items))
    except Broken as broken:
        raise broken.told(name) from None


def _load_list(kind: Kind, body: bytes, name: str) -> object:
    first = body[0] if body else 0
    try:
        if len(body) > MAX_LIST:
            raise Broken(Reject.TOO_BIG, f"{len(body)} bytes, at most {MAX_LIST}")
        if first == 0x5B:
            return kind.from_json(json_codec.loads(body))
        if first >> 5 == 4:
            return kind.from_cbor(cbor_codec.loads(body))
        raise Broken(Reject.NOT_MAP, "neither a JSON nor a CBOR array")
    except Broken as broken:
        raise broken.told(name) from None


# -- digests --------------------------------------------------------------------------------------


def entry_digest(entry: Entry) -> str:
    """Over the canonical JSON of `entry` without `digest` and `update`. Raises WireError."""
    try:
        tree = _ENTRY_WITHOUT_DIGEST(entry)
    except Broken as broken:
        raise broken.told("Entry") from None
    return _sha256(json_codec.canonical(tree))


def tasks_digest(entries: Iterable[Entry]) -> str:
    """Over the canonical JSON of the tasks list, sorted by uid and run. Raises WireError."""
    return _sha256(encode_tasks(entries))


def inventory_digest(runs: Iterable[RunReport]) -> str:
    """Over the canonical JSON of the runs of a report, sorted by uid and run. Raises WireError."""
    return _sha256(encode_inventory(runs))


def _sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
