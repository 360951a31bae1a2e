"""The kinds of values a field can have: how each is read and written in JSON and in CBOR.

Called while the tables of `fields` are built, so that reading a message is calling ready-made
functions. In CBOR whatever is hexadecimal in JSON (digests, uids, runs, inst, kid) is raw bytes and
the words of an enumeration are their index. Readers and writers raise Broken; both check alike,
so nothing leaves that the other side would refuse.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from propeller.wire.reject import Broken, Reject

MAX_INTEGER = 2**53 - 1
MAX_U32 = 2**32 - 1

Change = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: four conversions and what the JSON Schema says about it."""

    from_json: Change
    to_json: Change
    from_cbor: Change
    to_cbor: Change
    schema: Mapping[str, object]


def _alike(check: Change, schema: Mapping[str, object]) -> Kind:
    return Kind(check, check, check, check, schema)


def text(limit: int, *, nul: bool = False) -> Kind:
    """Text of at most `limit` bytes of UTF-8. A NUL only where `nul`: guests cannot be told one."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise Broken(Reject.WRONG_TYPE, f"wanted text, got {type(value).__name__}")
        if len(value) > limit:
            raise Broken(Reject.TOO_LONG, f"{len(value)} characters, at most {limit} bytes")
        if not value.isascii():
            try:
                size = len(value.encode())
            except UnicodeEncodeError:
                raise Broken(Reject.BAD_TEXT, "a lone surrogate") from None
            if size > limit:
                raise Broken(Reject.TOO_LONG, f"{size} bytes, at most {limit}")
        if not nul and "\0" in value:
            raise Broken(Reject.BAD_TEXT, "a NUL")
        return value

    return _alike(check, {"type": "string", "maxLength": limit})


def spelled(pattern: str, what: str) -> Kind:
    """Text that matches `pattern` whole; ASCII only by its pattern."""
    matches = re.compile(pattern).fullmatch

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise Broken(Reject.WRONG_TYPE, f"wanted text, got {type(value).__name__}")
        if matches(value) is None:
            raise Broken(Reject.BAD_ID, f"{value[:80]!r} is not {what}")
        return value

    return _alike(check, {"type": "string", "pattern": f"^{pattern}$"})


def hexed(size: int, *, prefix: str = "", uuid: bool = False) -> Kind:
    """`size` bytes: in JSON hex (after `prefix`, or with the dashes of a UUID), raw in CBOR."""
    parts = (4, 2, 2, 2, 6) if uuid else (size,)
    pattern = re.escape(prefix) + "-".join(f"[0-9a-f]{{{2 * part}}}" for part in parts)
    spelling = spelled(pattern, "a uuid" if uuid else f"{prefix}{2 * size} hex digits")
    check, start = spelling.to_json, len(prefix)

    def to_cbor(value: object) -> object:
        check(value)
        assert isinstance(value, str)
        return bytes.fromhex(value[start:].replace("-", "") if uuid else value[start:])

    def from_cbor(value: object) -> object:
        if not isinstance(value, bytes):
            raise Broken(Reject.WRONG_TYPE, f"wanted bytes, got {type(value).__name__}")
        if len(value) != size:
            raise Broken(Reject.BAD_ID, f"{len(value)} bytes, wanted {size}")
        digits = value.hex()
        if uuid:
            return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return prefix + digits

    schema = {**spelling.schema, "x-cbor": f"{size} bytes"}
    return Kind(check, check, from_cbor, to_cbor, schema)


def packed(limit: int) -> Kind:
    """At most `limit` bytes: in JSON base64 in its one spelling, raw in CBOR; base64 in between."""

    def to_cbor(value: object) -> object:
        if not isinstance(value, str):
            raise Broken(Reject.WRONG_TYPE, f"wanted text, got {type(value).__name__}")
        if len(value) > 4 * -(-limit // 3):
            raise Broken(Reject.TOO_LONG, f"{len(value)} characters, at most {limit} bytes")
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise Broken(Reject.BAD_TEXT, "not base64") from None
        if base64.b64encode(data).decode("ascii") != value:
            raise Broken(Reject.BAD_TEXT, "base64 with loose ends")
        if len(data) > limit:
            raise Broken(Reject.TOO_LONG, f"{len(data)} bytes, at most {limit}")
        return data

    def check(value: object) -> object:
        to_cbor(value)
        return value

    def from_cbor(value: object) -> object:
        if not isinstance(value, bytes):
            raise Broken(Reject.WRONG_TYPE, f"wanted bytes, got {type(value).__name__}")
        if len(value) > limit:
            raise Broken(Reject.TOO_LONG, f"{len(value)} bytes, at most {limit}")
        return base64.b64encode(value).decode("ascii")

    most = 4 * -(-limit // 3)
    schema = {"type": "string", "maxLength": most, "contentEncoding": "base64", "x-cbor": "bytes"}
    return Kind(check, check, from_cbor, to_cbor, schema)


def integer(low: int = 0, high: int = MAX_INTEGER) -> Kind:
    """An integer within `low`..`high`."""

    def check(value: object) -> object:
        if type(value) is not int:
            if type(value) is float:
                raise Broken(Reject.FLOAT, "wanted an integer")
            raise Broken(Reject.WRONG_TYPE, f"wanted an integer, got {type(value).__name__}")
        if not low <= value <= high:
            raise Broken(Reject.INTEGER_RANGE, f"{value} is not within {low}..{high}")
        return value

    return _alike(check, {"type": "integer", "minimum": low, "maximum": high})


def boolean() -> Kind:
    """true or false."""

    def check(value: object) -> object:
        if value is not True and value is not False:
            raise Broken(Reject.WRONG_TYPE, f"wanted a boolean, got {type(value).__name__}")
        return value

    return _alike(check, {"type": "boolean"})


def enum(*words: str) -> Kind:
    """One of `words`. In CBOR its index: words are only ever appended."""
    index = {word: at for at, word in enumerate(words)}

    def check(value: object) -> object:
        if not isinstance(value, str):
            raise Broken(Reject.WRONG_TYPE, f"wanted a word, got {type(value).__name__}")
        if value not in index:
            raise Broken(Reject.BAD_ENUM, f"{value[:80]!r} is none of {', '.join(words)}")
        return value

    def from_cbor(value: object) -> object:
        if type(value) is not int:
            raise Broken(Reject.WRONG_TYPE, f"wanted an index, got {type(value).__name__}")
        if not 0 <= value < len(words):
            raise Broken(Reject.BAD_ENUM, f"{value} is no index of {', '.join(words)}")
        return words[value]

    def to_cbor(value: object) -> object:
        check(value)
        assert isinstance(value, str)
        return index[value]

    schema = {"type": "string", "enum": list(words), "x-cbor": "index"}
    return Kind(check, check, from_cbor, to_cbor, schema)


def listed(item: Kind, limit: int) -> Kind:
    """A list of at most `limit`; a tuple in the message."""

    def each(change: Change) -> Change:
        def run(value: object) -> object:
            if not isinstance(value, list | tuple):
                raise Broken(Reject.WRONG_TYPE, f"wanted a list, got {type(value).__name__}")
            if len(value) > limit:
                raise Broken(Reject.TOO_MANY, f"{len(value)} items, at most {limit}")
            done: list[object] = []
            try:
                for one in value:
                    done.append(change(one))  # noqa: PERF401  the length is the failing index
            except Broken as broken:
                raise broken.at(f"[{len(done)}]") from None
            return done

        return run

    def tupled(change: Change) -> Change:
        def run(value: object) -> object:
            done = change(value)
            assert isinstance(done, list)
            return tuple(done)

        return run

    return Kind(
        tupled(each(item.from_json)),
        each(item.to_json),
        tupled(each(item.from_cbor)),
        each(item.to_cbor),
        {"type": "array", "maxItems": limit, "items": item.schema},
    )


def named(item: Kind, limit: int, *, name_limit: int = 128) -> Kind:
    """A map from text to `item`, at most `limit` names; a tuple of pairs in the message."""
    check_name = text(name_limit).to_json

    def read(change: Change) -> Change:
        def run(value: object) -> object:
            if not isinstance(value, dict):
                raise Broken(Reject.WRONG_TYPE, f"wanted a map, got {type(value).__name__}")
            if len(value) > limit:
                raise Broken(Reject.TOO_MANY, f"{len(value)} names, at most {limit}")
            pairs = []
            for name, one in value.items():
                check_name(name)
                try:
                    pairs.append((name, change(one)))
                except Broken as broken:
                    raise broken.at(f".{name}") from None
            return tuple(pairs)

        return run

    def write(change: Change) -> Change:
        def run(value: object) -> object:
            if not isinstance(value, list | tuple):
                raise Broken(Reject.WRONG_TYPE, f"wanted pairs, got {type(value).__name__}")
            if len(value) > limit:
                raise Broken(Reject.TOO_MANY, f"{len(value)} names, at most {limit}")
            done = {check_name(name): change(one) for name, one in value}
            if len(done) != len(value):
                raise Broken(Reject.DUPLICATE_KEY, "one name twice")
            return done

        return run

    return Kind(
        read(item.from_json),
        write(item.to_json),
        read(item.from_cbor),
        write(item.to_cbor),
        {
            "type": "object",
            "maxProperties": limit,
            "propertyNames": {"maxLength": name_limit},
            "additionalProperties": item.schema,
        },
    )


def variables(limit: int, size: int) -> Kind:
    """An environment: a list of `NAME=value`, as WASI wants it; pairs in the message, in order."""
    plain = listed(text(size), limit)

    def read(value: object) -> object:
        items = plain.from_json(value)
        assert isinstance(items, tuple)
        pairs = []
        for at, item in enumerate(items):
            name, equals, rest = item.partition("=")
            if not name or not equals:
                raise Broken(Reject.BAD_TEXT, "not NAME=value").at(f"[{at}]")
            pairs.append((name, rest))
        return tuple(pairs)

    def write(value: object) -> object:
        assert isinstance(value, list | tuple)
        for at, (name, _) in enumerate(value):
            if not name or "=" in name:
                raise Broken(Reject.BAD_TEXT, f"{name!r} is no variable name").at(f"[{at}]")
        return plain.to_json([f"{name}={rest}" for name, rest in value])

    schema = {
        "type": "array",
        "maxItems": limit,
        "items": {"type": "string", "maxLength": size, "pattern": "^[^=]+="},
    }
    return Kind(read, write, read, write, schema)
