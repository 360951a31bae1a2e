"""WAVE, the text form of the component model's values, read and written by `shapes`. Pure.

A parser led by the type: it is as deep as the type is and looks at each character once. What comes
in was written by a caller: what is none of its type is a `Misfit` with its place. Grammar:
https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast

from wasmtime.component import Record, Variant

from proplet.runtime.component_values import Misfit, case_of, count, read
from proplet.runtime.shapes import Bytes, Cases, Fields, Many, Plain, Row, Shape, Words
from proplet.runtime.values import shortest_f32

MEDIA: Final = "text/x-wave"
"""The content type of a call whose arguments and answer are WAVE."""

_SPACE = re.compile(r"(?:[ \t\r\n]|//[^\n]*(?:\n|$))*")
_LABEL = re.compile(r"%?[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?inf|nan")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,20})")
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
_KEYWORDS = frozenset({"true", "false", "inf", "nan", "some", "none", "ok", "err"})
_LONGEST_NUMBER = 400
T = TypeVar("T")


def read_wave(params: Sequence[tuple[str, Shape]], body: bytes) -> list[object]:
    """Arguments as `(1, "two")`. Raises Misfit."""
    try:
        reader = _Reader(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise Misfit("the body is not UTF-8") from None
    reader.expect("(")
    values = []
    for name, shape in params:
        if reader.look(")"):
            break
        values.append(reader.value(shape, name))
        if not reader.take(","):
            break
    if reader.look(")"):
        count(params, len(values))
    reader.expect(")")
    reader.end()
    return values


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def value(self, shape: Shape, at: str) -> object:
        """The value of a type. at: its name, for the words. Raises Misfit."""
        match shape:
            case Plain():
                return self._plain(shape.name, at)
            case Bytes():
                return bytes(
                    cast("list[int]", self._many("[", "]", lambda i: self._int("u8", f"{at}[{i}]")))
                )
            case Many():
                return self._many("[", "]", lambda i: self.value(shape.element, f"{at}[{i}]"))
            case Row():
                return self._row(shape, at)
            case Fields():
                return self._record(shape, at)
            case Words():
                if not shape.several:
                    return self._name(shape.names, at)
                return set(self._many("{", "}", lambda _: self._name(shape.names, at)))
            case Cases():
                return self._case(shape, at)

    def _plain(self, name: str, at: str) -> object:
        match name:
            case "bool":
                return self._name(("true", "false"), at, plain=True) == "true"
            case "f32" | "f64":
                return self._float(name, at)
            case "char":
                return read(Plain(name), self._quoted("'", at), at)
            case "string":
                return self._quoted('"', at)
            case _:
                return self._int(name, at)

    def _int(self, name: str, at: str) -> int:
        return cast(int, read(Plain(name), int(self._token(_INTEGER, "a whole number", at)), at))

    def _float(self, name: str, at: str) -> object:
        text = self._token(_NUMBER, "a number", at)
        if len(text) > _LONGEST_NUMBER:
            raise Misfit(f"{at} has more than {_LONGEST_NUMBER} characters")
        number = float(text)
        if math.isinf(number) and "inf" not in text:
            raise Misfit(f"{at} is {text[:40]}, which does not fit {name}")
        return number if not math.isfinite(number) else read(Plain(name), number, at)

    def _row(self, shape: Row, at: str) -> tuple[object, ...]:
        def element(index: int) -> object:
            if index >= len(shape.elements):
                raise Misfit(f"{at} must have {len(shape.elements)} elements, has more")
            return self.value(shape.elements[index], f"{at}[{index}]")

        values = tuple(self._many("(", ")", element))
        if len(values) != len(shape.elements):
            raise Misfit(f"{at} must have {len(shape.elements)} elements, has {len(values)}")
        return values

    def _record(self, shape: Fields, at: str) -> Record:
        kinds, made = dict(shape.fields), Record()
        given: set[str] = set()

        def member(_: int) -> None:
            name = self._name(tuple(kinds), at)
            if name in given:
                raise Misfit(f"{at} has {name!r} twice")
            given.add(name)
            self.expect(":")
            setattr(made, name, self.value(kinds[name], f"{at}.{name}"))

        if self._nothing_in_braces():
            pass
        else:
            self._many("{", "}", member)
        for name, kind in shape.fields:
            if name not in given:
                if not (isinstance(kind, Cases) and kind.kind == "option"):
                    raise Misfit(f"{at} lacks {name!r}")
                setattr(made, name, _made(kind, "none", None))
        return made

    def _nothing_in_braces(self) -> bool:
        """`{:}`: a record all of whose fields are left out."""
        start = self._at
        if self.take("{") and self.take(":") and self.take("}"):
            return True
        self._at = start
        return False

    def _case(self, shape: Cases, at: str) -> object:
        cases = dict(shape.cases)
        if shape.kind in ("option", "result") and not self._says(("some", "none", "ok", "err")):
            name = "some" if shape.kind == "option" else "ok"
            inner = cases[name]
            if inner is None or (isinstance(inner, Cases) and inner.kind in ("option", "result")):
                raise Misfit(f"{at} must be {' or '.join(cases)}")
            return _made(shape, name, self.value(inner, at))
        name = self._name(tuple(cases), at, plain=shape.kind != "variant")
        inner = cases[name]
        if inner is None:
            return _made(shape, name, None)
        self.expect("(")
        value = self.value(inner, f"{at}.{name}")
        self.expect(")")
        return _made(shape, name, value)

    # -- characters ------------------------------------------------------------------------------

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def look(self, mark: str) -> bool:
        """Whether it comes next."""
        self._skip()
        return self._text.startswith(mark, self._at)

    def take(self, mark: str) -> bool:
        """Whether it came next, and is behind us."""
        if not self.look(mark):
            return False
        self._at += len(mark)
        return True

    def expect(self, mark: str) -> None:
        """Raises Misfit."""
        if not self.take(mark):
            raise Misfit(f"WAVE: {mark!r} expected, {self._here()}")

    def end(self) -> None:
        """Raises Misfit where there is more."""
        self._skip()
        if self._at < len(self._text):
            raise Misfit(f"WAVE: nothing more expected, {self._here()}")

    def _here(self) -> str:
        rest = self._text[self._at : self._at + 20]
        return f"not {rest!r} at character {self._at + 1}" if rest else "but it ends"

    def _many(self, first: str, last: str, one: Callable[[int], T]) -> list[T]:
        self.expect(first)
        values: list[T] = []
        while not self.take(last):
            values.append(one(len(values)))
            if not self.take(","):
                self.expect(last)
                break
        return values

    def _token(self, pattern: re.Pattern[str], words: str, at: str) -> str:
        self._skip()
        found = pattern.match(self._text, self._at)
        if found is None or re.match(r"[A-Za-z0-9_.]", self._text[found.end() : found.end() + 1]):
            raise Misfit(f"{at} must be {words}, {self._here()}")
        self._at = found.end()
        return found[0]

    def _says(self, words: Sequence[str]) -> bool:
        self._skip()
        found = _LABEL.match(self._text, self._at)
        return found is not None and found[0] in words

    def _name(self, allowed: Sequence[str], at: str, *, plain: bool = False) -> str:
        """plain: it is a keyword itself and stands without %."""
        start = self._at
        label = self._token(_LABEL, f"one of {', '.join(allowed)[:200]}", at)
        name = label.removeprefix("%")
        if name not in allowed or (plain and label != name):
            self._at = start
            raise Misfit(f"{at} must be one of {', '.join(allowed)[:200]}, {self._here()}")
        return name

    def _quoted(self, mark: str, at: str) -> str:
        self.expect(mark)
        pieces: list[str] = []
        plain = re.compile(rf"[^\\{mark}\n]*")
        while True:
            found = plain.match(self._text, self._at)
            assert found is not None
            pieces.append(found[0])
            self._at = found.end()
            if self._text.startswith(mark, self._at):
                self._at += 1
                return "".join(pieces)
            escape = _ESCAPE.match(self._text, self._at)
            char = None if escape is None else _unescaped(escape)
            if escape is None or char is None:
                raise Misfit(f"{at} is no text in {mark}: {self._here()}")
            pieces.append(char)
            self._at = escape.end()


def _unescaped(escape: re.Match[str]) -> str | None:
    if escape[1] is None:
        return _ESCAPED.get(escape[2])
    number = int(escape[1], 16)
    return None if number > 0x10FFFF or 0xD800 <= number < 0xE000 else chr(number)


def _made(shape: Cases, name: str, value: object) -> object:
    return Variant(name, value) if shape.tagged else value


def write_wave(shape: Shape, value: object) -> str:
    """WAVE of what a guest returned."""
    match shape:
        case Plain():
            return _write_plain(shape.name, value)
        case Bytes():
            return f"[{', '.join(map(str, cast(bytes, value)))}]"
        case Many():
            rows = cast("list[object]", value)
            return f"[{', '.join(write_wave(shape.element, one) for one in rows)}]"
        case Row():
            pairs = zip(shape.elements, cast("tuple[object, ...]", value), strict=True)
            return f"({', '.join(write_wave(kind, one) for kind, one in pairs)})"
        case Fields():
            members = (
                f"{_safe(name)}: {write_wave(one, getattr(value, name))}"
                for name, one in shape.fields
            )
            return f"{{{', '.join(members)}}}"
        case Words():
            if not shape.several:
                return _safe(str(value))
            flags = cast("set[str]", value)
            return f"{{{', '.join(_safe(name) for name in shape.names if name in flags)}}}"
        case Cases():
            name, payload = case_of(shape, value)
            inner = dict(shape.cases)[name]
            label = _safe(name) if shape.kind == "variant" else name
            return label if inner is None else f"{label}({write_wave(inner, payload)})"


def _write_plain(name: str, value: object) -> str:
    match name:
        case "bool":
            return "true" if value else "false"
        case "f32" | "f64":
            number = cast(float, value)
            if not math.isfinite(number):
                return repr(number)
            return shortest_f32(number) if name == "f32" else repr(number)
        case "char":
            return f"'{_escaped(str(value), chr(39))}'"
        case "string":
            return f'"{_escaped(str(value), chr(34))}"'
        case _:
            return str(value)


def _escaped(text: str, mark: str) -> str:
    def one(char: str) -> str:
        if char == mark:
            return f"\\{char}"
        if char in _ESCAPES:
            return _ESCAPES[char]
        return char if char.isprintable() else f"\\u{{{ord(char):x}}}"

    return "".join(map(one, text))


def _safe(name: str) -> str:
    return f"%{name}" if name in _KEYWORDS else name
