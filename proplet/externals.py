"""Engines besides our own, as the device's configuration allows them: a command each.

Read by `config`, asked by `supervisor`. The command is a path and words that never change; what an
entry brings stands in places of its own, so that nothing in a document is ever read as a flag.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from propeller.capabilities import EXTERNAL, WASI_NN
from propeller.wire.messages import Entry

MODULE, ARGS, NAME, VALUE = "{module}", "{args}", "{name}", "{value}"
MARK = "PROPLET_GUEST"
"""The variable by which a later boot finds what engines of this agent left."""
MOST_WORDS = 64
_ENGINE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_IMPORT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BRACES = re.compile(r"\{[^{}]*\}")
_NAMES = {"wasi-nn": WASI_NN}

Variables = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """One engine. words: its command, `{module}` and `{args}` standing alone.

    imports: modules it offers besides WASI preview 1. env: patterns of variables that an entry may
    set for its process.
    """

    words: tuple[str, ...]
    imports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def _named(self) -> bool:
        """Whether its command takes variables, one word each."""
        return any(NAME in word for word in self.words)

    @property
    def _shown(self) -> bool:
        """Whether values of variables stand in its command."""
        return any(VALUE in word for word in self.words)

    def refusal(self, entry: Entry) -> str:
        """Why its command cannot carry what the entry brings, in words, or ""."""
        if entry.entrypoint != "_start":
            return "an external engine runs commands: the entry point is _start"
        granted = (entry.mounts, entry.models, entry.topics, entry.points, entry.http)
        if any(granted):
            words = "mounts, models, topics, points and HTTP requests"
            return f"{words} are not given to external engines"
        if entry.fuel is not None:
            return "external engines count no fuel"
        if entry.args and ARGS not in self.words:
            return f"the command of the engine {entry.external} takes no arguments"
        flags = [one for one in entry.args if one.startswith("-")]
        if flags and "--" not in self.words[: self.words.index(ARGS)]:
            words = f"the engine {entry.external} might take the argument {flags[0][:40]!r} as its"
            return f"{words} own: this device has to put -- into its command"
        hidden = [name for name, _ in entry.sealed]
        plain = [name for name, _ in entry.env]
        for name in [*hidden, *(plain if not self._shown else ())]:
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.env):
                return f"the variable {name[:80]} is not among those of externalEnv"
        if hidden and self._shown:
            return "its secrets would stand in the engine's command line, for all to see"
        return ""

    def command(self, module: Path, entry: Entry) -> list[str]:
        """The words to start. `refusal` said nothing."""
        made: list[str] = []
        for word in self.words:
            if word == ARGS:
                made += entry.args
            elif word == MODULE:
                made.append(str(module))
            elif NAME in word:
                told = entry.env if self._shown else (*entry.env, *entry.sealed)
                made += [_filled(word, name, value) for name, value in told]
            else:
                made.append(word)
        return made

    def environment(self, entry: Entry, secrets: Variables) -> dict[str, str]:
        """All that its process finds in its environment, but for the mark of its agent."""
        return dict(secrets if self._shown else (*entry.env, *secrets))


NONE: Mapping[str, External] = {}


def _filled(word: str, name: str, value: str) -> str:
    return _BRACES.sub(lambda found: {NAME: name, VALUE: value}[found[0]], word)


def offered(engines: Mapping[str, External]) -> tuple[str, ...]:
    """What the agent says of them."""
    words: list[str] = []
    for name, engine in sorted(engines.items()):
        words.append(f"{EXTERNAL}{name}")
        words += [f"{EXTERNAL}{name}:{module}" for module in engine.imports]
    return tuple(words)


def shown(engines: Mapping[str, External]) -> list[str]:
    """Each with its command, and what it has and takes besides."""
    lines = []
    for name, engine in sorted(engines.items()):
        more = "".join(f" +{module}" for module in engine.imports)
        lines.append(f"{name}={shlex.join(engine.words)}{more}")
    return lines


# -- settings ---------------------------------------------------------------------------------


def read_engine(text: str) -> tuple[str, External]:
    """`NAME=COMMAND`. Raises ValueError with what is wrong."""
    name, equals, rest = text.partition("=")
    if not equals or _ENGINE.fullmatch(name) is None:
        raise ValueError(f"{text[:80]!r} is not NAME=COMMAND, the name in lowercase letters")
    words = shlex.split(rest)
    if len(words) == 1:
        words += ["--", MODULE, ARGS]
    if not words or len(words) > MOST_WORDS:
        raise ValueError(f"{name}: wanted a command of at most {MOST_WORDS} words")
    program = Path(words[0])
    if not program.is_absolute() or not os.access(program, os.X_OK) or not program.is_file():
        raise ValueError(f"{name}: {words[0][:200]} is not the absolute path of a program")
    if program.stat().st_mode & stat.S_IWOTH:
        raise ValueError(f"{name}: {program} may be written by anybody")
    _check_places(name, words)
    return name, External(words=tuple(words))


def _check_places(name: str, words: list[str]) -> None:
    for word in words:
        found = _BRACES.findall(word)
        if set(found) - {MODULE, ARGS, NAME, VALUE}:
            known = ", ".join((MODULE, ARGS, NAME, VALUE))
            raise ValueError(f"{name}: {word[:80]!r}: known are {known}")
        if {MODULE, ARGS} & set(found) and word not in (MODULE, ARGS):
            raise ValueError(f"{name}: {word[:80]!r}: {MODULE} and {ARGS} are words of their own")
        if VALUE in found and NAME not in found:
            raise ValueError(f"{name}: {word[:80]!r}: {VALUE} stands beside {NAME}")
        if NAME in found and not word.startswith("-"):
            raise ValueError(f"{name}: {word[:80]!r}: wanted a flag, as --env={NAME}={VALUE}")
    if words.count(MODULE) != 1 or words.count(ARGS) > 1:
        raise ValueError(f"{name}: wanted {MODULE} once, and {ARGS} at most once")
    if ARGS in words and words[-1] != ARGS:
        raise ValueError(f"{name}: {ARGS} is the last word")
    if sum(NAME in word for word in words) > 1:
        raise ValueError(f"{name}: wanted one word with {NAME}")


def read_import(text: str) -> tuple[str, str]:
    """`NAME=MODULE`; `wasi-nn` stands for its import module. Raises ValueError."""
    name, _, module = text.partition("=")
    module = _NAMES.get(module, module)
    if _ENGINE.fullmatch(name) is None or _IMPORT.fullmatch(module) is None:
        raise ValueError(f"{text[:80]!r} is not NAME=MODULE, as wasmedge=wasi-nn")
    return name, module


def read_variable(text: str) -> str:
    """A pattern of names of variables. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}\*?", text):
        raise ValueError(f"{text[:80]!r} is not a variable's name, or the start of one with *")
    return text


def together(
    engines: tuple[tuple[str, External], ...],
    imports: tuple[tuple[str, str], ...],
    env: tuple[str, ...],
) -> dict[str, External]:
    """The three settings as one. Raises ValueError for an engine that is given twice or not."""
    made = dict(engines)
    if len(made) < len(engines):
        raise ValueError("an engine is given twice")
    strange = sorted({name for name, _ in imports} - set(made))
    if strange:
        raise ValueError(f"externalImports: there is no engine {strange[0]}")
    return {
        name: replace(
            engine,
            imports=tuple(sorted({module for other, module in imports if other == name})),
            env=env,
        )
        for name, engine in made.items()
    }
