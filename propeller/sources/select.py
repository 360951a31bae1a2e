"""Which files of a tree are specs, and which folders are not looked into at all.

`directory` and `git` ask before they read, `load` asks again, so a tree made by hand obeys the
same rules. Skipped: names that begin with a dot, `propeller.yaml`, and what `.propellerignore` at
the root of the specs names, in the syntax of `.gitignore`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

IGNORE_FILE: Final = ".propellerignore"
CONFIG_FILE: Final = "propeller.yaml"
SPEC_SUFFIXES: Final = (".yaml", ".yml", ".json")
MODULE_SUFFIXES: Final = (".wasm", ".wat", ".safetensors")
_MAX_RULES: Final = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _One:
    """One character: any of `characters`, or any but those."""

    characters: str
    negate: bool


Glob: TypeAlias = "tuple[_One | None, ...] | None"
"""A segment of a pattern; None is `**`, any run of segments."""


@dataclass(frozen=True, slots=True)
class _Rule:
    segments: tuple[Glob, ...]
    keep: bool
    folders_only: bool


class Selection:
    """The rules of one tree. `ignore` is the text of its `.propellerignore`."""

    def __init__(self, ignore: bytes = b"") -> None:
        lines = ignore.decode("utf-8", "replace").splitlines()[:_MAX_RULES]
        rules = [rule for line in lines if (rule := _rule(line)) is not None]
        self._rules = tuple(rules)
        self._folders: dict[str, bool] = {"": True}

    def enters(self, folder: str) -> bool:
        """Whether anything below `folder` counts. The root is ""."""
        known = self._folders.get(folder)
        if known is None:
            parent, _, name = folder.rpartition("/")
            known = (
                not name.startswith(".")
                and self.enters(parent)
                and not self._ignored(folder, folder=True)
            )
            self._folders[folder] = known
        return known

    def is_spec(self, path: str) -> bool:
        """Whether `path` is to be read as a spec file."""
        return path.endswith(SPEC_SUFFIXES) and self._counts(path)

    def is_module(self, path: str) -> bool:
        """Whether `path` may be a module that a spec names."""
        return path.endswith(MODULE_SUFFIXES) and self._counts(path)

    def _counts(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        if name.startswith(".") or name == CONFIG_FILE or not self.enters(parent):
            return False
        return not self._rules or not self._ignored(path, folder=False)

    def _ignored(self, path: str, *, folder: bool) -> bool:
        segments = path.split("/")
        for rule in reversed(self._rules):
            if (folder or not rule.folders_only) and _runs(rule.segments, segments, _segment):
                return not rule.keep
        return False


def _rule(line: str) -> _Rule | None:
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    keep = text.startswith("!")
    text = text[1:] if keep else text
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    text = text.lstrip("/")
    if not text:
        return None
    segments: list[Glob] = [] if anchored else [None]
    segments += [None if part == "**" else _glob(part) for part in text.split("/")]
    return _Rule(tuple(segments), keep, folders_only)


def _glob(text: str) -> Glob:
    """One segment of a pattern as tokens: None for `*`, else the set of characters it takes."""
    tokens: list[_One | None] = []
    at = 0
    while at < len(text):
        character = text[at]
        end = text.find("]", at + 2) if character == "[" else -1
        if character == "*":
            tokens.append(None)
        elif character == "?":
            tokens.append(_One("", negate=True))
        elif end > 0:
            body = text[at + 1 : end]
            negate = body[0] in "!^"
            tokens.append(_One(_expand(body[1:] if negate else body), negate=negate))
            at = end
        elif character == "\\" and at + 1 < len(text):
            at += 1
            tokens.append(_One(text[at], negate=False))
        else:
            tokens.append(_One(character, negate=False))
        at += 1
    return tuple(tokens)


def _expand(body: str) -> str:
    """`a-c` as `abc`. Ranges wider than 256 are cut."""
    out, at = "", 0
    while at < len(body):
        if body[at + 1 : at + 2] == "-" and at + 2 < len(body):
            first, last = ord(body[at]), ord(body[at + 2])
            out += "".join(map(chr, range(first, min(last, first + 255) + 1)))
            at += 3
        else:
            out += body[at]
            at += 1
    return out


def _character(token: _One, character: str) -> bool:
    return (character in token.characters) is not token.negate


def _segment(glob: tuple[_One | None, ...], segment: str) -> bool:
    return _runs(glob, segment, _character)


def _runs(
    pattern: Sequence[T | None], items: Sequence[str], fits: Callable[[T, str], bool]
) -> bool:
    """Whether `items` fit `pattern`, where None stands for any run of items.

    Only the last None is ever widened, so the time is a product and never a power.
    """
    at = item = 0
    widen: tuple[int, int] | None = None
    while item < len(items):
        token = pattern[at] if at < len(pattern) else None
        if at < len(pattern) and token is None:
            widen = (at, item)
            at += 1
        elif token is not None and fits(token, items[item]):
            at, item = at + 1, item + 1
        elif widen is not None:
            widen = (widen[0], widen[1] + 1)
            at, item = widen[0] + 1, widen[1]
        else:
            return False
    return all(token is None for token in pattern[at:])
