"""Strict JSON (RFC 8259) with lines, into the same nodes as YAML.

The standard reader knows no lines and no duplicate keys, hence this one. It never recurses.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from propeller.sources.nodes import Build, Map, Number, Seq, UnreadableError, whole_number

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[a-zA-Z]+")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


def parse_json(text: str, build: Build) -> None:
    """Reads one JSON value into `build`. Raises UnreadableError where reading cannot go on."""
    reader = _Reader(text)
    reader.skip()
    if reader.at_end:
        return
    build.begin(reader.line)
    _value(reader, build)
    while build.depth:
        _step(reader, build)
    reader.skip()
    if not reader.at_end:
        raise UnreadableError(
            reader.line, "not JSON: something follows the value; one file holds one value"
        )


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1

    @property
    def at_end(self) -> bool:
        return self.at == len(self.text)

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        end = found.end() if found else self.at
        self.line += self.text.count("\n", self.at, end)
        self.at = end

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def expect(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise self.broken(f'"{wanted}" expected')
        self.at += 1

    def take(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.broken(f"{what} expected")
        self.at = found.end()
        return found[0]

    def broken(self, message: str) -> UnreadableError:
        return UnreadableError(self.line, f"not JSON: {message}")


def _step(reader: _Reader, build: Build) -> None:
    """What may come inside the innermost open collection."""
    holder = build.top
    closing = "}" if isinstance(holder, Map) else "]"
    empty = not holder.lines
    if reader.peek() == closing:
        reader.at += 1
        build.close()
        build.put(holder, holder.line)
        return
    if not empty:
        reader.expect(",")
    if isinstance(holder, Map):
        reader.skip()
        line = reader.line
        build.key(_string(reader), line)
        reader.expect(":")
    elif not empty and reader.peek() == closing:
        raise reader.broken("a value expected after the comma")
    _value(reader, build)


def _value(reader: _Reader, build: Build) -> None:
    first = reader.peek()
    line = reader.line
    if first == "{":
        reader.at += 1
        build.open(Map(line))
    elif first == "[":
        reader.at += 1
        build.open(Seq(line))
    elif first == '"':
        build.put(_string(reader), line)
    elif first.isalpha():
        word = reader.take(_WORD, "a value")
        if word not in _WORDS:
            raise reader.broken(f"{word[:20]!r} is no value")
        build.put(_WORDS[word], line)
    else:
        build.put(_number(reader.take(_NUMBER, "a value")), line)


def _string(reader: _Reader) -> str:
    token = reader.take(_STRING, "a string")
    try:
        text: str = json.loads(token)
        text.encode()
    except ValueError:
        raise reader.broken("a string holds an escape that is no character") from None
    return text


def _number(text: str) -> Any:
    number = whole_number(text)
    return Number(text) if number is None else number
