"""Small edits of a spec file that keep its comments and layout: one line in, or a few out.

Lines come from the strict loader. Whatever the layout, the result is read again and must differ in
the one field meant and in nothing else; otherwise nothing is written and the person is told what to
write where.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propeller.errors import UsageError
from propeller.model.ids import Key

_RUN_KEY = re.compile(r"""(["']?runKey["']?\s*:\s*)("[^"]*"|'[^']*'|[^\s,}\]#"']+)""")
_SUSPEND = re.compile(r"""["']?suspend["']?\s*:\s*\{[^{}]*\}\s*""")


class SpecText:
    """One document of a spec file, open for edits. Raises UsageError when it cannot be found."""

    def __init__(self, path: Path, key: Key, line: int) -> None:
        self.path = path
        try:
            self._data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        self._json = path.suffix == ".json"
        self._index = self._find(key, line)

    @property
    def _spec(self) -> Any:
        return _documents(self._data, json=self._json)[self._index].value["spec"]

    @property
    def line(self) -> int:
        """Where `spec` stands."""
        document = _documents(self._data, json=self._json)[self._index].value
        line: int = document.lines["spec"]
        return line

    @property
    def run_key(self) -> str:
        """What `runKey` says now, "" when nothing."""
        return str(self._spec.get("runKey") or "")

    @property
    def suspended(self) -> bool:
        """Whether the spec itself suspends the object."""
        return self._spec.get("suspend") is not None

    def bump_run_key(self) -> str:
        """Give `runKey` its next value, which is returned."""
        new = next_run_key(self.run_key)
        lines, spec = self._lines(), self._spec
        wanted = f'write runKey: "{new}" under spec'
        if "runKey" in spec.lines:
            at = spec.lines["runKey"] - 1
            lines[at] = _RUN_KEY.sub(lambda found: f'{found[1]}"{new}"', lines[at], count=1)
        else:
            at = self.line - 1
            inserted = f'"runKey": "{new}",' if self._json else f'runKey: "{new}"'
            _insert(lines, at, inserted, min(spec.lines.values(), default=at + 2) - 1)
        self._take(lines, {**_plain(spec), "runKey": new}, wanted)
        return new

    def clear_suspend(self) -> None:
        """Take `suspend` out."""
        lines, spec = self._lines(), self._spec
        at = spec.lines["suspend"] - 1
        if re.match(r"""\s*["']?suspend["']?\s*:""", lines[at]) and not self._json:
            del lines[at : _end_of_block(lines, at)]
        else:
            lines[at] = _without(lines[at])
        rest = {name: value for name, value in _plain(spec).items() if name != "suspend"}
        self._take(lines, rest, "remove suspend from the spec")

    def write(self) -> None:
        """Replace the file, in one piece and with its mode."""
        temporary = self.path.with_name(f".{self.path.name}.new")
        try:
            temporary.write_bytes(self._data)
            shutil.copymode(self.path, temporary)
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UsageError(f"{self.path}: {error.strerror}") from error

    def _find(self, key: Key, line: int) -> int:
        fits = []
        for index, one in enumerate(_documents(self._data, json=self._json)):
            value = one.value
            if not isinstance(value, Mapping) or not isinstance(value.get("spec"), Mapping):
                continue
            meta = value.get("metadata")
            if (
                value.get("kind") == key.kind
                and isinstance(meta, Mapping)
                and meta.get("name") == key.name
                and meta.get("namespace") in (None, key.namespace)
            ):
                fits.append((one.line != line, index))
        if not fits:
            raise UsageError(
                f"{self.path}: has no {key} any more", hint="`propeller apply` or save it first"
            )
        return min(fits)[1]

    def _lines(self) -> list[str]:
        return self._data.decode("utf-8").split("\n")

    def _take(self, lines: list[str], spec: Mapping[str, Any], wanted: str) -> None:
        """Keep the edit if it did what it should and nothing else."""
        line = self.line
        data = "\n".join(lines).encode()
        before = [_plain(one.value) for one in _documents(self._data, json=self._json)]
        before[self._index] = {**before[self._index], "spec": dict(spec)}
        try:
            after = [_plain(one.value) for one in _documents(data, json=self._json)]
        except UsageError:
            after = []
        if before != after:
            raise UsageError(
                f"{self.path}:{line}: cannot be edited without changing its layout",
                hint=f"{wanted} yourself",
            )
        self._data = data


def next_run_key(old: str) -> str:
    """The next value: "" (the first run) becomes 2, a number counts on, a word gets a number."""
    if not old:
        return "2"
    found = re.search(r"[0-9]{1,15}\Z", old)
    if found is None:
        return f"{old[:61]}-2"
    return old[: found.start()] + str(int(found[0]) + 1)


def _documents(data: bytes, *, json: bool) -> list[Any]:
    from propeller.sources.jsontext import parse_json
    from propeller.sources.nodes import Build, UnreadableError
    from propeller.sources.yamltext import parse_yaml

    build = Build()
    try:
        text = data.decode("utf-8")
        if json:
            parse_json(text, build)
        else:
            parse_yaml(data, build)
    except (UnreadableError, UnicodeDecodeError) as error:
        raise UsageError(f"the spec file cannot be read: {error}") from error
    found: list[Any] = build.documents
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    return value


def _insert(lines: list[str], at: int, text: str, first: int) -> None:
    """Put a member at the head of the mapping whose key stands in line `at`.

    first: the line of its first member now, from 0.
    """
    ending = "\r" if lines[at].endswith("\r") else ""
    found = re.search(r"""["']?spec["']?\s*:\s*\{""", lines[at])
    if found is not None:
        head, tail = lines[at][: found.end()], lines[at][found.end() :]
        if tail.strip():
            comma = "" if text.endswith(",") else ","
            lines[at] = f"{head}{text}{comma} {tail.lstrip()}"
            return
        text = text if text.endswith(",") else f"{text},"
    if first <= at or first >= len(lines):
        return
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    lines.insert(at + 1, f"{indent}{text}{ending}")


def _end_of_block(lines: list[str], at: int) -> int:
    """The line after the last one that belongs to the key in line `at`."""
    width = len(lines[at]) - len(lines[at].lstrip())
    end = at + 1
    for number in range(at + 1, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        if len(line) - len(line.lstrip()) <= width:
            break
        end = number + 1
    return end


def _without(line: str) -> str:
    """A line without `suspend: {...}` and the comma that goes with it."""
    found = _SUSPEND.search(line)
    if found is None:
        return line
    head, tail = line[: found.start()], line[found.end() :]
    if tail.startswith(","):
        return head + tail[1:].lstrip()
    return head.rstrip().removesuffix(",") + tail
