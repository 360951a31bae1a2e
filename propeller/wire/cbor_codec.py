"""CBOR in one spelling (RFC 8949, 4.2.1 without the order of keys): bytes to plain values and back.

Called by `codec`. Definite lengths, shortest heads, no tags, no floats, no simple values but false,
true and null; map keys are integers or text. A reader for microcontrollers needs no more, a hostile
sender gets nothing to play with, and whatever is read writes back to the same bytes. (General
libraries also take tags, indefinite lengths and doubled keys, and cannot say which word applies.)
"""

from __future__ import annotations

from propeller.wire.kinds import MAX_INTEGER
from propeller.wire.reject import Broken, Reject

MAX_DEPTH = 12
"""A guard for the stack; `shapes` allows less."""

_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}
_FLOATS = (0xF9, 0xFA, 0xFB)


def loads(body: bytes) -> object:
    """The value of `body`, all of it. Raises Broken."""
    try:
        value, end = _read(body, 0, 1)
    except IndexError:
        raise Broken(Reject.MALFORMED, "cut short") from None
    if end != len(body):
        raise Broken(Reject.MALFORMED, f"{len(body) - end} bytes after the end")
    return value


def _read(body: bytes, at: int, depth: int) -> tuple[object, int]:
    head = body[at]
    major, count = head >> 5, head & 31
    at += 1
    if major == 7:
        return _read_simple(head), at
    if count >= 24:
        count, at = _read_long(body, at, count)
    if major <= 1:
        if count > MAX_INTEGER - major:
            raise Broken(Reject.INTEGER_RANGE, "an integer beyond 2^53-1")
        return (count if major == 0 else -1 - count), at
    if major <= 3:
        end = at + count
        if end > len(body):
            raise Broken(Reject.MALFORMED, "cut short")
        chunk = body[at:end]
        if major == 2:
            return chunk, end
        try:
            return chunk.decode(), end
        except UnicodeDecodeError:
            raise Broken(Reject.MALFORMED, "text that is not UTF-8") from None
    if major == 6:
        raise Broken(Reject.MALFORMED, "a tag")
    if depth > MAX_DEPTH:
        raise Broken(Reject.TOO_DEEP, f"nested deeper than {MAX_DEPTH}")
    if major == 4:
        items = []
        for _ in range(count):
            item, at = _read(body, at, depth + 1)
            items.append(item)
        return items, at
    pairs: dict[object, object] = {}
    for seen in range(count):
        key, at = _read(body, at, depth + 1)
        if type(key) is not int and type(key) is not str:
            raise Broken(Reject.MALFORMED, "a key that is neither integer nor text")
        pairs[key], at = _read(body, at, depth + 1)
        if len(pairs) == seen:
            raise Broken(Reject.DUPLICATE_KEY, f"{key!r} twice")
    return pairs, at


def _read_simple(head: int) -> object:
    if head in _FLOATS:
        raise Broken(Reject.FLOAT, "a float")
    if head not in _SIMPLE:
        raise Broken(Reject.MALFORMED, f"the simple value 0x{head:02x}")
    return _SIMPLE[head]


def _read_long(body: bytes, at: int, size_code: int) -> tuple[int, int]:
    """A count that stands in the bytes after the head; refused where a shorter head would do."""
    if size_code > 27:
        raise Broken(Reject.MALFORMED, "an indefinite length")
    end = at + (1 << (size_code - 24))
    if end > len(body):
        raise Broken(Reject.MALFORMED, "cut short")
    count = int.from_bytes(body[at:end], "big")
    if count < (24, 1 << 8, 1 << 16, 1 << 32)[size_code - 24]:
        raise Broken(Reject.MALFORMED, "a head longer than needed")
    return count, end


def dumps(value: object) -> bytes:
    """The bytes of plain values (as `shapes` writes them)."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: object) -> None:
    if value is None:
        out.append(0xF6)
    elif value is True or value is False:
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, int):
        if value >= 0:
            _write_head(out, 0x00, value)
        else:
            _write_head(out, 0x20, -1 - value)
    elif isinstance(value, str):
        chunk = value.encode()
        _write_head(out, 0x60, len(chunk))
        out += chunk
    elif isinstance(value, bytes):
        _write_head(out, 0x40, len(value))
        out += value
    elif isinstance(value, list):
        _write_head(out, 0x80, len(value))
        for item in value:
            _write(out, item)
    else:
        assert isinstance(value, dict), type(value)
        _write_head(out, 0xA0, len(value))
        for key, item in value.items():
            _write(out, key)
            _write(out, item)


def _write_head(out: bytearray, major: int, count: int) -> None:
    if count < 24:
        out.append(major | count)
    elif count < 1 << 8:
        out += bytes((major | 24, count))
    elif count < 1 << 16:
        out.append(major | 25)
        out += count.to_bytes(2, "big")
    elif count < 1 << 32:
        out.append(major | 26)
        out += count.to_bytes(4, "big")
    else:
        out.append(major | 27)
        out += count.to_bytes(8, "big")
