"""Strict YAML 1.2 core, on PyYAML's event stream (libyaml where it is there).

Only `true false null` and plain whole numbers are more than text. `yes`, `on`, dates, `1:30:00`
stay text; other spellings of numbers keep theirs (`nodes.Number`). Tags, complex keys and merge
keys are refused. An alias is bounded by what it stands for, so a bomb stops at `MAX_NODES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from propeller.sources.nodes import (
    MAX_DEPTH,
    Build,
    Map,
    Number,
    Plain,
    Seq,
    UnreadableError,
    whole_number,
)

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NUMBER_LIKE = re.compile(
    r"[-+]?(?:0[xob][0-9A-Fa-f_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))\Z|\.(?:nan|NaN|NAN)\Z"
)
_OLD_BREAKS: Final = (
    (b"\xc2\x85", "U+0085"),
    (b"\xe2\x80\xa8", "U+2028"),
    (b"\xe2\x80\xa9", "U+2029"),
)
_TEXT_TAG: Final = "tag:yaml.org,2002:str"


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar means: bool, None, int, `Number` or text."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "-+.0123456789":
        number = whole_number(text)
        if number is not None:
            return number
        if _NUMBER_LIKE.match(text):
            return Number(text)
    return text


def parse_yaml(text: bytes, build: Build) -> None:
    """Reads a whole stream into `build`. Raises UnreadableError where reading cannot go on."""
    import yaml

    _refuse_old_breaks(text)
    parser = _parser(text)
    anchors: dict[str, tuple[Any, int]] = {}
    open_anchors: list[tuple[str | None, int]] = []
    next_event: Callable[[], Any] = parser.get_event
    try:
        while True:
            event = next_event()
            kind = type(event)
            line = event.start_mark.line + 1
            if kind is yaml.ScalarEvent:
                _scalar(build, anchors, event, line)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if build.wants_key:
                    raise UnreadableError(line, "a key must be text, not a mapping or list")
                if event.tag not in (None, "!"):
                    build.flaw(line, f"tags such as {_tag(event.tag)} are not allowed")
                open_anchors.append((event.anchor, build.nodes))
                build.open(Map(line) if kind is yaml.MappingStartEvent else Seq(line))
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                holder = build.close()
                anchor, before = open_anchors.pop()
                if anchor is not None:
                    anchors[anchor] = (holder, build.nodes - before + 1)
                build.put(holder, holder.line)
            elif kind is yaml.AliasEvent:
                _alias(build, anchors, event.anchor, line)
            elif kind is yaml.DocumentStartEvent:
                anchors.clear()
                build.begin(line)
            elif kind is yaml.DocumentEndEvent:
                document = build.documents[-1]
                if isinstance(document.value, Map | Seq):
                    document.line = document.value.line
            elif kind is yaml.StreamEndEvent:
                return
    except yaml.YAMLError as error:
        raise UnreadableError(*_problem(error, text)) from error


def _refuse_old_breaks(text: bytes) -> None:
    """U+0085, U+2028 and U+2029 end a line in YAML 1.1, which libyaml reads, but not in 1.2."""
    for mark, name in _OLD_BREAKS:
        at = text.find(mark)
        if at >= 0:
            line = text.count(b"\n", 0, at) + 1
            raise UnreadableError(
                line, f'must not contain {name}, a line break of old; write "\\u{name[2:]}"'
            )


def _parser(text: bytes) -> Any:
    import yaml

    if yaml.__with_libyaml__:
        return yaml.CSafeLoader(text)
    return yaml.SafeLoader(text)  # same events, several times slower


def _scalar(build: Build, anchors: dict[str, tuple[Any, int]], event: Any, line: int) -> None:
    text: str = event.value
    tag = event.tag
    if tag is not None and tag not in ("!", _TEXT_TAG):
        build.flaw(line, f"tags such as {_tag(tag)} are not allowed")
    if build.wants_key:
        if event.anchor is not None:
            anchors[event.anchor] = (text, 1)
        if text == "<<" and not event.style:
            build.flaw(line, 'merge keys ("<<") are not YAML 1.2; write the fields out', key=text)
        build.key(text, line)
        return
    plain = tag is None and event.implicit[0] and not event.style
    value = plain_scalar(text) if plain else text
    if plain and "${" in text:
        value = Plain(text)
    if event.anchor is not None:
        anchors[event.anchor] = (value, 1)
    build.put(value, line)


def _alias(build: Build, anchors: dict[str, tuple[Any, int]], name: str, line: int) -> None:
    if name not in anchors:
        raise UnreadableError(
            line, f"the alias *{name} has no anchor &{name} that is complete before it"
        )
    value, nodes = anchors[name]
    if build.wants_key:
        if not isinstance(value, str):
            raise UnreadableError(line, "a key must be text, not an alias of something else")
        build.key(value, line)
        return
    if isinstance(value, Map | Seq) and build.depth + _depth(value) > MAX_DEPTH:
        raise UnreadableError(line, f"the alias *{name} nests too deep")
    build.put(value, line, nodes=nodes)


def _depth(value: Any) -> int:
    """Levels below and including `value`; bounded, because nesting is."""
    if isinstance(value, Map):
        return 1 + max((_depth(below) for below in value.values()), default=0)
    if isinstance(value, Seq):
        return 1 + max((_depth(below) for below in value), default=0)
    return 0


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")[:40]


def _problem(error: Exception, text: bytes) -> tuple[int, str]:
    """Line and words for what PyYAML said."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a reader error: it knows the offset only, in characters or in bytes
        position = getattr(error, "position", 0) or 0
        return text.count(b"\n", 0, position) + 1, "a control character may not stand in YAML"
    line: int = min(mark.line, text.rstrip().count(b"\n")) + 1
    problem = str(getattr(error, "problem", None) or "cannot be read")
    lines = text.split(b"\n")
    here = lines[line - 1] if line <= len(lines) else b""
    if b"\t" in here[: len(here) - len(here.lstrip())] or "'\\t'" in problem:
        return line, "a tab may not indent YAML; use spaces"
    context = getattr(error, "context", None)
    return line, f"not YAML: {context}, {problem}" if context else f"not YAML: {problem}"
