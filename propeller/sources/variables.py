"""`${NAME}` in the scalar values of a document: strict, once, and nothing that could be a program.

Called by `overlays`. `${NAME}` must be known, `${NAME:-default}` need not be, `$${` is a plain
`${`. Keys are left alone, and a value is never looked into again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from propeller.errors import Fault
from propeller.sources.explain import did_you_mean
from propeller.sources.nodes import Map, Path, Place, Plain, Seq, dotted
from propeller.sources.yamltext import plain_scalar

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_PART = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})(?::-(?P<default>[^{}]*))?\}|\$\{"
)
MAX_TEXT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Variable:
    """A value as it was written (text, number or boolean), and where."""

    value: Any
    place: str

    @property
    def text(self) -> str:
        """The value inside other text."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return str(self.value)


@dataclass(slots=True)
class Substitution:
    """The variables of one overlay, put into documents of one file after another.

    overlay: its file, for messages. used: the names that were needed.
    """

    variables: Mapping[str, Variable]
    overlay: str
    faults: list[Fault] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def into(self, value: Any, *, file: str, line: int, path: Path = ()) -> Any:
        """`value` with its variables replaced; the same object where there are none."""
        if isinstance(value, Map):
            return self._map(value, file, path)
        if isinstance(value, Seq):
            return self._seq(value, file, path)
        if isinstance(value, str) and "${" in value:
            return self._scalar(value, file, line, path)[0]
        return value

    def _map(self, value: Map, file: str, path: Path) -> Map:
        out = value
        for key, below in value.items():
            made, place = self._below(below, value.lines[key], file, (*path, key))
            if made is below:
                continue
            if out is value:
                out = Map(value.line)
                out.update(value)
                out.lines = dict(value.lines)
            out[key] = made
            out.lines[key] = place
        return out

    def _seq(self, value: Seq, file: str, path: Path) -> Seq:
        out = value
        for index, below in enumerate(value):
            made, place = self._below(below, value.lines[index], file, (*path, index))
            if made is below:
                continue
            if out is value:
                out = Seq(value.line)
                out.extend(value)
                out.lines = list(value.lines)
            out[index] = made
            out.lines[index] = place
        return out

    def _below(self, value: Any, line: int, file: str, path: Path) -> tuple[Any, int]:
        if isinstance(value, str):
            return self._scalar(value, file, line, path) if "${" in value else (value, line)
        return self.into(value, file=file, line=line, path=path), line

    def _scalar(self, text: str, file: str, line: int, path: Path) -> tuple[Any, int]:
        """The value that stands there then, and its line with a note on where it is from."""
        notes: list[str] = []
        if isinstance(line, Place):
            file, notes = line.file, [line.note]
        out: list[str] = []
        at = 0
        whole: Any = None
        for part in _PART.finditer(text):
            out.append(text[at : part.start()])
            at = part.end()
            name = part["name"]
            if name is None:
                out.append("${")
                if part[0] == "${":
                    self._fault(file, line, path, _unreadable(text[part.start() :]))
                continue
            self.used.add(name)
            known = self.variables.get(name)
            if known is not None:
                out.append(known.text)
                notes.append(f"${{{name}}} is from {known.place}")
                whole = known.value if part[0] == text else None
            elif part["default"] is not None:
                out.append(part["default"])
                notes.append(f"${{{name}}} is its default")
            else:
                self._fault(file, line, path, self._undefined(name))
        made = "".join([*out, text[at:]])
        if len(made) > MAX_TEXT:
            self._fault(file, line, path, f"must be at most {MAX_TEXT} characters with its values")
            made = ""
        value: Any = made
        if isinstance(text, Plain):
            value = plain_scalar(made)
        elif whole is not None:
            value = whole
        return value, Place(line, file, "; ".join(notes))

    def _fault(self, file: str, line: int, path: Path, message: str) -> None:
        self.faults.append(Fault(file, int(line), dotted(path), message))

    def _undefined(self, name: str) -> str:
        near = did_you_mean(name, self.variables)
        hint = f', did you mean "{near}"?' if near else "; write ${NAME:-default} if it may be"
        return f"${{{name}}} is not among the variables of {self.overlay}{hint}"


def _unreadable(text: str) -> str:
    shown = text[:40] + ("..." if len(text) > 40 else "")
    return f"{shown} must be ${{NAME}} or ${{NAME:-default}}; a plain ${{ is written $${{"
