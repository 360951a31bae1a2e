"""Which files of a tree are specs, and which folders are not looked into at all.

`directory` and `git` ask before they read, `load` asks again, so a tree made by hand obeys the
same rules. Skipped: names that begin with a dot, `propeller.yaml`, and what `.propellerignore` at
the root of the specs names, in the syntax of `.gitignore`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

IGNORE_FILE: Final = ".propellerignore"
CONFIG_FILE: Final = "propeller.yaml"
SPEC_SUFFIXES: Final = (".yaml", ".yml", ".json")
MODULE_SUFFIXES: Final = (".wasm", ".wat")
_MAX_RULES: Final = 1000


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
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
        for rule in reversed(self._rules):
            if (folder or not rule.folders_only) and rule.pattern.fullmatch(path):
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
    pattern = ("" if anchored else "(?:.*/)?") + _regex(text)
    return _Rule(re.compile(pattern, re.DOTALL), keep, folders_only)


def _regex(text: str) -> str:
    """A gitignore pattern as a regular expression, without backtracking traps: runs are merged."""
    out, at = "", 0
    while at < len(text):
        rest = text[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:.*/)?", at + 3
        elif rest.startswith("**"):
            out, at = out + ".*", at + 2
        elif rest[0] == "*":
            out, at = out + "[^/]*", at + 1
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            body = rest[1:end].replace("\\", "\\\\").replace("[", "\\[")
            negate = body[0] in "!^"
            out += "[^/" + body[1:] + "]" if negate else f"[{body}]"
            at += end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            out, at = out + re.escape(rest[1]), at + 2
        else:
            out, at = out + re.escape(rest[0]), at + 1
    return out
