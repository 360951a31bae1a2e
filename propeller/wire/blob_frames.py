"""The two binary bodies: a piece of a blob on its way down (BlobChunk) or up (BlobPut).

Called by `codec`. Both open with the same 56 bytes, integers big endian:

    offset  size  content
         0     1  0x42, "B"
         1     1  version, 1
         2     1  1 chunk, 2 put
         3     1  chunk: error, 0 for none, else 1 + its place in ERRORS; put: length of the id
         4     4  chunk: `req` of the request; put: 0
         8     8  offset of the first byte of data
        16     8  bytes of the whole blob
        24    32  SHA-256 of the whole blob
        56        chunk: data to the end
        56    16  put: `inst`
        72   1-64 put: the id, then data to the end

A put is the body of a signature frame, so its data are signed with it. A chunk is not signed: a
device keeps nothing of a blob unless the whole of it has the digest its signed document named.
"""

from __future__ import annotations

import re
import struct

from propeller.wire.kinds import MAX_INTEGER
from propeller.wire.messages import BlobChunk, BlobPut
from propeller.wire.reject import Broken, Reject

ERRORS = ("unknown_digest", "not_yours", "out_of_range", "busy", "unavailable")
"""Words of BlobChunk.error, by their code less one. Only ever appended."""

HEADER = 56
VERSION = 1
MAX_DATA = 1 << 20
"""Bytes of data one body may carry."""

_HEAD = struct.Struct(">2sBBIQQ32s")
_MAGIC = b"B" + bytes([VERSION])
_CHUNK, _PUT = 1, 2
_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_INST = re.compile(r"[0-9a-f]{32}")


def read_chunk(body: bytes) -> BlobChunk:
    """Raises Broken."""
    code, req, off, total, digest = _read_head(body, _CHUNK)
    if code > len(ERRORS):
        raise Broken(Reject.BAD_ENUM, f"error code {code}")
    data = body[HEADER:]
    if code and data:
        raise Broken(Reject.CONFLICT, "an error with data")
    _check_place(off, len(data), total)
    return BlobChunk(
        digest=digest,
        off=off,
        total=total,
        req=req,
        data=data,
        error=ERRORS[code - 1] if code else "",
    )


def read_put(body: bytes) -> BlobPut:
    """Raises Broken."""
    id_size, zero, off, total, digest = _read_head(body, _PUT)
    if zero:
        raise Broken(Reject.MALFORMED, "bytes 4..7 of a put are not zero")
    start = HEADER + 16 + id_size
    if len(body) < start:
        raise Broken(Reject.MALFORMED, "cut short")
    name = body[HEADER + 16 : start]
    if _ID.fullmatch(name) is None:
        raise Broken(Reject.BAD_ID, "the id")
    data = body[start:]
    _check_place(off, len(data), total)
    return BlobPut(
        id=name.decode("ascii"),
        inst=body[HEADER : HEADER + 16].hex(),
        digest=digest,
        off=off,
        total=total,
        data=data,
    )


def write_chunk(chunk: BlobChunk) -> bytes:
    """Raises Broken."""
    if chunk.error and chunk.error not in ERRORS:
        raise Broken(Reject.BAD_ENUM, f"the error {chunk.error!r}")
    if chunk.error and chunk.data:
        raise Broken(Reject.CONFLICT, "an error with data")
    code = ERRORS.index(chunk.error) + 1 if chunk.error else 0
    _check_place(chunk.off, len(chunk.data), chunk.total)
    if not 0 <= chunk.req < 1 << 32:
        raise Broken(Reject.INTEGER_RANGE, "req")
    return _write_head(chunk, _CHUNK, code, chunk.req) + chunk.data


def write_put(put: BlobPut) -> bytes:
    """Raises Broken."""
    name = put.id.encode()
    if _ID.fullmatch(name) is None:
        raise Broken(Reject.BAD_ID, "the id")
    if _INST.fullmatch(put.inst) is None:
        raise Broken(Reject.BAD_ID, "inst")
    _check_place(put.off, len(put.data), put.total)
    head = _write_head(put, _PUT, len(name), 0)
    return b"".join((head, bytes.fromhex(put.inst), name, put.data))


def _read_head(body: bytes, wanted: int) -> tuple[int, int, int, int, str]:
    if body[:1] != b"B":
        raise Broken(Reject.MALFORMED, "no blob body")
    if len(body) < HEADER:
        raise Broken(Reject.MALFORMED, "cut short")
    magic, kind, third, fourth, off, total, digest = _HEAD.unpack_from(body)
    if magic != _MAGIC:
        raise Broken(Reject.UNSUPPORTED_VERSION, f"version {body[1]} of blob bodies")
    if kind != wanted:
        raise Broken(Reject.MALFORMED, f"kind {kind}, wanted {wanted}")
    return third, fourth, off, total, f"sha256:{digest.hex()}"


def _write_head(message: BlobChunk | BlobPut, kind: int, third: int, fourth: int) -> bytes:
    matched = _DIGEST.fullmatch(message.digest)
    if matched is None:
        raise Broken(Reject.BAD_ID, "the digest")
    raw = bytes.fromhex(matched[1])
    return _HEAD.pack(_MAGIC, kind, third, fourth, message.off, message.total, raw)


def _check_place(off: int, size: int, total: int) -> None:
    """Data lie within the blob; an error or an empty put may name any place within it."""
    if not (0 <= off <= MAX_INTEGER and 0 <= total <= MAX_INTEGER):
        raise Broken(Reject.INTEGER_RANGE, "off or total beyond 2^53-1")
    if size > MAX_DATA:
        raise Broken(Reject.TOO_LONG, f"{size} bytes of data, at most {MAX_DATA}")
    if size and off + size > total:
        raise Broken(Reject.INTEGER_RANGE, f"data {off}..{off + size} of {total}")
