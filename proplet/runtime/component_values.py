"""JSON to the values of a component's types and back, by `shapes`. Pure.

What comes in was written by a caller, what goes out by a guest: both are checked here, for
wasmtime's package cuts a number that is too large without a word. docs/reference/components.md has
the table for people.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from typing import TypeVar, cast

from wasmtime.component import Record, Variant

from proplet.runtime.shapes import (
    Bytes,
    Cases,
    Fields,
    Many,
    Plain,
    Row,
    Shape,
    Words,
    text_of,
)
from proplet.runtime.values import shortest_f32

_BITS = {"s8": 8, "s16": 16, "s32": 32, "s64": 64, "u8": 8, "u16": 16, "u32": 32, "u64": 64}
_SHOWN = 40
T = TypeVar("T")


class Misfit(ValueError):
    """A value that is none of its type; says which and where."""


def read_texts(params: Sequence[tuple[str, Shape]], texts: Sequence[str]) -> list[object]:
    """Arguments written one by one: a string as it stands, anything else as JSON.

    Raises Misfit.
    """
    count(params, len(texts))
    values = []
    for (name, shape), text in zip(params, texts, strict=True):
        if shape in (Plain("string"), Plain("char")):
            values.append(read(shape, text, name))
        elif isinstance(shape, Words) and not shape.several and text in shape.names:
            values.append(text)
        else:
            values.append(read(shape, _json(text, f"argument {name}"), name))
    return values


def read_body(params: Sequence[tuple[str, Shape]], body: bytes) -> list[object]:
    """Arguments as one JSON document: a list, an object by their names, or the only one itself.

    Raises Misfit.
    """
    try:
        given = _json(body.decode("utf-8"), "the body")
    except UnicodeDecodeError:
        raise Misfit("the body is not UTF-8") from None
    if isinstance(given, dict) and given.keys() == {name for name, _ in params}:
        given = [given[name] for name, _ in params]
    elif not isinstance(given, list):
        given = [given]
    count(params, len(given))
    return [read(shape, value, name) for (name, shape), value in zip(params, given, strict=True)]


def count(params: Sequence[tuple[str, Shape]], given: int) -> None:
    """Raises Misfit where there are more arguments than parameters, or fewer."""
    if len(params) != given:
        wanted = ", ".join(f"{name}: {text_of(shape)}" for name, shape in params)
        words = "argument" if len(params) == 1 else "arguments"
        raise Misfit(f"it takes {len(params)} {words} ({wanted[:200]}), {given} given")


def _json(text: str, what: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Misfit(f"{what} is not JSON") from None


def _no_constant(_: str) -> object:
    raise ValueError


def read(shape: Shape, value: object, at: str) -> object:
    """The value of a type from JSON. at: its name, for the words. Raises Misfit."""
    match shape:
        case Plain():
            return _plain(shape.name, value, at)
        case Bytes():
            return _bytes(value, at)
        case Many():
            rows = _a(list, value, "a list", at)
            return [read(shape.element, one, f"{at}[{i}]") for i, one in enumerate(rows)]
        case Row():
            rows = _a(list, value, "a list", at)
            if len(rows) != len(shape.elements):
                raise Misfit(f"{at} must be a list of {len(shape.elements)}, has {len(rows)}")
            pairs = zip(shape.elements, rows, strict=True)
            return tuple(read(one, row, f"{at}[{i}]") for i, (one, row) in enumerate(pairs))
        case Fields():
            found = _a(dict, value, "an object", at)
            names = {name for name, _ in shape.fields}
            if found.keys() != names:
                strange = sorted(set(found) ^ names)[0]
                word = "lacks" if strange in names else "has no field"
                raise Misfit(f"{at} {word} {strange[:_SHOWN]!r}")
            made = Record()
            for name, one in shape.fields:
                setattr(made, name, read(one, found[name], f"{at}.{name}"))
            return made
        case Words():
            return _words(shape, value, at)
        case Cases():
            return _case(shape, value, at)


def _a(kind: type[T], value: object, words: str, at: str) -> T:
    if not isinstance(value, kind):
        raise Misfit(f"{at} must be {words}, not {_shown(value)}")
    return value


def _plain(name: str, value: object, at: str) -> object:
    if name in _BITS:
        return _integer(name, value, at)
    if name in ("f32", "f64"):
        return _float(name, value, at)
    if name == "bool":
        return _a(bool, value, "true or false", at)
    text = _a(str, value, "text", at)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Misfit(f"{at} has half of a surrogate pair, which is no character") from None
    if name == "char" and len(text) != 1:
        raise Misfit(f"{at} must be one character, not {_shown(value)}")
    return text


def _integer(name: str, value: object, at: str) -> int:
    bits, signed = _BITS[name], name[0] == "s"
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if isinstance(value, str) and len(value) <= 21 and value.removeprefix("-").isdecimal():
        value = int(value)  # as others write what is larger than their floats
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Misfit(f"{at} must be a whole number from {least} to {most}, not {_shown(value)}")
    return value


def _float(name: str, value: object, at: str) -> float:
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Misfit(f"{at} must be a number, not {_shown(value)}")
    try:
        number = float(value)
        if name == "f32":
            struct.pack("<f", number)
    except OverflowError:
        raise Misfit(f"{at} is {_shown(value)}, which does not fit {name}") from None
    return number


def _bytes(value: object, at: str) -> bytes:
    if isinstance(value, list):
        try:
            return bytes(_integer("u8", one, at) for one in value)
        except Misfit:
            raise Misfit(f"{at} must be bytes: numbers from 0 to 255, or base64") from None
    try:
        return base64.b64decode(_a(str, value, "base64 or a list of bytes", at), validate=True)
    except (binascii.Error, ValueError):
        raise Misfit(f"{at} must be bytes: numbers from 0 to 255, or base64") from None


def _words(shape: Words, value: object, at: str) -> object:
    allowed = ", ".join(shape.names)[:200]
    if not shape.several:
        if not isinstance(value, str) or value not in shape.names:
            raise Misfit(f"{at} must be one of {allowed}, not {_shown(value)}")
        return value
    rows = _a(list, value, f"a list of {allowed}", at)
    for one in rows:
        if not isinstance(one, str) or one not in shape.names:
            raise Misfit(f"{at} must be a list of {allowed}, not of {_shown(one)}")
    return set(rows)


def _case(shape: Cases, value: object, at: str) -> object:
    if shape.kind == "option":
        name, given = ("none", None) if value is None else ("some", value)
        if value is not None and _nested(shape):
            name, given = _named(shape, value, at)
    else:
        name, given = _named(shape, value, at)
    inner = dict(shape.cases)[name]
    made = None if inner is None else read(inner, given, f"{at}.{name}")
    return Variant(name, made) if shape.tagged else made


def _named(shape: Cases, value: object, at: str) -> tuple[str, object]:
    """The case and its value: `{"case": value}`, or `"case"` where it has none."""
    cases = dict(shape.cases)
    if isinstance(value, str) and value in cases and cases[value] is None:
        return value, None
    if isinstance(value, dict) and len(value) == 1:
        name, given = next(iter(value.items()))
        if name in cases and (cases[name] is not None or given is None):
            return name, given
    forms = " or ".join(
        f'"{name}"' if inner is None else f'{{"{name}": ...}}' for name, inner in shape.cases[:4]
    )
    raise Misfit(f"{at} must be {forms}, not {_shown(value)}")


def _nested(shape: Cases) -> bool:
    """An option of an option: null alone would not say which of them is none."""
    inner = shape.cases[1][1]
    return isinstance(inner, Cases) and inner.kind == "option"


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except RecursionError:
        return "what is nested too deep"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def write(shape: Shape, value: object) -> str:
    """JSON of what a guest returned. A float that is not finite stands as text."""
    match shape:
        case Plain():
            return _write_plain(shape.name, value)
        case Bytes():
            return json.dumps(base64.b64encode(cast(bytes, value)).decode("ascii"))
        case Many():
            rows = cast("list[object]", value)
            return f"[{','.join(write(shape.element, one) for one in rows)}]"
        case Row():
            pairs = zip(shape.elements, cast("tuple[object, ...]", value), strict=True)
            return f"[{','.join(write(kind, one) for kind, one in pairs)}]"
        case Fields():
            members = (
                f"{json.dumps(name)}:{write(one, getattr(value, name))}"
                for name, one in shape.fields
            )
            return f"{{{','.join(members)}}}"
        case Words():
            if shape.several:
                flags = cast("set[str]", value)
                return f"[{','.join(json.dumps(name) for name in shape.names if name in flags)}]"
            return json.dumps(value)
        case Cases():
            return _write_case(shape, value)


def _write_plain(name: str, value: object) -> str:
    if name in ("f32", "f64"):
        number = cast(float, value)
        if not math.isfinite(number):
            return f'"{number!r}"'
        return shortest_f32(number) if name == "f32" else repr(number)
    return json.dumps(value, ensure_ascii=False)


def case_of(shape: Cases, value: object) -> tuple[str, object]:
    """Which case wasmtime's package gave back, and its value."""
    if shape.tagged:
        made = cast(Variant, value)
        return made.tag, made.payload
    kind = object if value is None else type(value)
    for (name, _), classes in zip(shape.cases, shape.classes, strict=True):
        if kind in classes:
            return name, value
    raise Misfit(f"a {type(value).__name__} came back as a {shape.kind}")


def _write_case(shape: Cases, value: object) -> str:
    name, payload = case_of(shape, value)
    inner = dict(shape.cases)[name]
    if shape.kind == "option":
        if inner is None:
            return "null"
        text = write(inner, payload)
        return f'{{"some":{text}}}' if _nested(shape) else text
    if inner is None:
        return f'{{"{name}":null}}' if shape.kind == "result" else json.dumps(name)
    return f"{{{json.dumps(name)}:{write(inner, payload)}}}"
