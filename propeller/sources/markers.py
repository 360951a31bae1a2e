"""Lines of a spec file that a program may edit: `image: ...  # propeller: {policy: semver, ...}`.

Finds the marked images of YAML text, all documents of it, and puts another value in their place
without touching anything else: comments, quotes, layout and line ends stay as they are. What cannot
be edited so is refused in words. JSON has no comments, so it has no markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from propeller.errors import Fault, SpecError
from propeller.sources.nodes import Build, Path, UnreadableError, dotted
from propeller.sources.yamltext import parse_yaml

MARK: Final = b"# propeller:"
MAX_MARKS: Final = 1_000

_MARK: Final = re.compile(r"(?:^|(?<=\s))#\s*propeller:\s*(.*?)\s*\Z")
_FIELD: Final = "image"
_DIGEST: Final = "digest"


@dataclass(frozen=True, slots=True)
class Span:
    """A scalar in the text. start, end: characters, quotes included. path: in that document, of a
    key the path of its mapping."""

    start: int
    end: int
    value: str
    document: int
    path: Path
    is_value: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked image. line: of the marker, from 1. fields: what the marker says.

    digest: the value beside the image, where there is one.
    """

    line: int
    fields: Mapping[str, str]
    image: Span
    digest: Span | None

    @property
    def path(self) -> str:
        """Where the image stands in its document: `spec.module.image`."""
        return dotted(self.image.path)


class MarkedText:
    """One YAML file. Raises SpecError where it, or a marker of it, cannot be read."""

    def __init__(self, file: str, data: bytes) -> None:
        self._file = file
        self._data = data
        try:
            self._text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise self._fault(1, "is not UTF-8") from None
        self._values = _values(data, self._fault)
        self._places = list(_places(self._text, self._fault))
        self.marks = tuple(self._find())

    @property
    def documents(self) -> list[Any]:
        """What its documents say, as plain data."""
        return [_plain(value) for value in self._values]

    def span(self, document: int, path: Path) -> Span:
        """A scalar by its place. Raises SpecError where none stands there, or one that cannot be
        replaced by another on its line."""
        found = [one for one in self._places[document].scalars if one.path == path and one.is_value]
        if len(found) != 1:
            raise self._fault(1, "has no value there", path)
        span = found[0]
        raw = self._text[span.start : span.end]
        if not raw or raw[0] in "&!*|>" or "\n" in raw or "${" in raw:
            line = self._text.count("\n", 0, span.start) + 1
            raise self._fault(line, "cannot be edited: write the value out on its line", path)
        return span

    def replaced(self, edits: Mapping[Span, str | int]) -> bytes:
        """The file with other values at these spans, and nothing else changed.

        Raises SpecError where that cannot be done.
        """
        text = self._text
        expected = [_plain(value) for value in self._values]
        for span in sorted(edits, key=lambda one: one.start, reverse=True):
            old = text[span.start : span.end]
            quote = old[0] if old[:1] in {'"', "'"} and isinstance(edits[span], str) else ""
            text = f"{text[: span.start]}{quote}{edits[span]}{quote}{text[span.end :]}"
            _put(expected[span.document], span.path, edits[span])
        data = text.encode()
        try:
            after = [_plain(value) for value in _values(data, self._fault)]
        except SpecError:
            after = []
        if after != expected:
            first = min(edits, key=lambda one: one.start)
            line = self._text.count("\n", 0, first.start) + 1
            raise self._fault(line, "cannot be edited without changing something else", first.path)
        return data

    # -- inside -------------------------------------------------------------------------------

    def _find(self) -> Iterator[Mark]:
        places = self._places
        scalars = [span for place in places for span in place.scalars]
        lines = _line_starts(self._text)
        found = 0
        for number, start in enumerate(lines):
            end = lines[number + 1] if number + 1 < len(lines) else len(self._text)
            line = self._text[start:end].rstrip("\r\n")
            comment = _MARK.search(line)
            if comment is None:
                continue
            at = start + comment.start()
            if any(span.start <= at < span.end for span in scalars):
                continue  # it is part of a text and no comment
            found += 1
            if found > MAX_MARKS:
                raise self._fault(number + 1, f"more than {MAX_MARKS} markers in one file")
            yield self._mark(places, (start, at), number + 1, comment[1])

    def _mark(
        self, places: Iterable[_Document], reach: tuple[int, int], line: int, words: str
    ) -> Mark:
        start, end = reach
        chosen = []
        for document in places:
            for holder in document.images:
                parts = [one for one in (holder.image, holder.digest) if one is not None]
                if any(one.start < end and one.end > start for one in parts) or any(
                    start <= one < end for one in holder.keys
                ):
                    chosen.append(holder)
        fields = self._fields(line, words)
        if not chosen:
            raise self._fault(line, "the marker stands beside no image")
        if len(chosen) > 1:
            raise self._fault(line, "the marker stands beside several images; give each a line")
        holder = chosen[0]
        if holder.trouble:
            raise self._fault(line, holder.trouble)
        assert holder.image is not None
        return Mark(line, fields, holder.image, holder.digest)

    def _fields(self, line: int, words: str) -> Mapping[str, str]:
        def refuse(_line: int, message: str, _path: Path = ()) -> SpecError:
            return self._fault(line, f"the marker cannot be read: {message}")

        values = _values(words.encode(), refuse)
        fields = values[0] if len(values) == 1 else None
        if not isinstance(fields, dict) or not fields:
            raise refuse(0, "write for instance {policy: tag}")
        texts = {str(name): value for name, value in fields.items()}
        for name, value in texts.items():
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise refuse(0, f"{name} must be text")
        return {name: str(value) for name, value in texts.items()}

    def _fault(self, line: int, message: str, path: Path = ()) -> SpecError:
        return SpecError([Fault(self._file, line, dotted(path), message)])


@dataclass(slots=True)
class _Holder:
    """A mapping with an `image`. keys: where its two keys stand. trouble: why it is not edited."""

    image: Span | None
    digest: Span | None
    keys: tuple[int, ...]
    trouble: str = ""


@dataclass(slots=True)
class _Document:
    number: int
    images: list[_Holder]
    scalars: list[Span]


def _places(text: str, fault: Any) -> Iterator[_Document]:
    """Where scalars stand. The strict reader has read the text before, so it is bounded."""
    import yaml

    try:
        # The pure parser: it counts characters, which is what the text is edited by.
        for number, root in enumerate(yaml.compose_all(text, yaml.SafeLoader)):
            document = _Document(number, [], [])
            if root is not None:
                _walk(text, root, (), document, set())
            yield document
    except yaml.YAMLError as error:
        raise fault(1, f"cannot be read: {str(error).splitlines()[0]}") from error


def _walk(
    text: str, node: Any, path: Path, out: _Document, seen: set[int], *, key: bool = False
) -> None:
    import yaml

    if id(node) in seen:
        return  # an alias: what it stands for was walked where it is written
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        start, end = node.start_mark.index, node.end_mark.index
        if node.style in {"|", ">"}:
            start = text.find("\n", start, end) + 1 or end  # behind its head a comment may stand
        out.scalars.append(Span(start, end, node.value, out.number, path, not key))
    elif isinstance(node, yaml.SequenceNode):
        for index, below in enumerate(node.value):
            _walk(text, below, (*path, index), out, seen)
    elif isinstance(node, yaml.MappingNode):
        members = {
            one.value: (one, value) for one, value in node.value if isinstance(one, yaml.ScalarNode)
        }
        if _FIELD in members and isinstance(members[_FIELD][1], yaml.ScalarNode):
            out.images.append(_holder(text, members, path, out.number))
        for name, value in node.value:
            _walk(text, name, path, out, seen, key=True)
            step = name.value if isinstance(name, yaml.ScalarNode) else ""
            _walk(text, value, (*path, step), out, seen)


def _holder(
    text: str, members: Mapping[str, tuple[Any, Any]], path: Path, document: int
) -> _Holder:
    holder = _Holder(None, None, ())
    for name in (_FIELD, _DIGEST):
        if name not in members:
            continue
        key, value = members[name]
        start, end = value.start_mark.index, value.end_mark.index
        holder.keys += (key.start_mark.index,)
        raw = text[start:end]
        if start < key.end_mark.index:
            holder.trouble = f"{name} is an alias: write the value out"
        elif raw[:1] in {"&", "!"}:
            holder.trouble = f"{name} has an anchor or a tag: write the value plainly"
        elif raw[:1] in {"|", ">"} or "\n" in raw:
            holder.trouble = f"{name} goes over several lines: write it on one"
        elif "${" in raw:
            holder.trouble = f"{name} has a variable: write the name out"
        elif not value.value:
            holder.trouble = f"{name} is empty"
        if name == _FIELD:
            holder.image = Span(start, end, value.value, document, (*path, name))
        else:
            holder.digest = Span(start, end, value.value, document, (*path, name))
    return holder


def _values(data: bytes, fault: Any) -> list[Any]:
    build = Build()
    try:
        parse_yaml(data, build)
    except UnreadableError as error:
        raise fault(error.flaw.line, error.flaw.message, error.flaw.path) from error
    for document in build.documents:
        for flaw in document.flaws:
            raise fault(flaw.line, flaw.message, flaw.path)
    return [document.value for document in build.documents]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    return value


def _put(value: Any, path: Path, new: str | int) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def _line_starts(text: str) -> list[int]:
    starts = [0]
    starts += [one.end() for one in re.finditer(r"\r\n|\n|\r", text)]
    return starts
