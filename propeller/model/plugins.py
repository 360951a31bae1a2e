"""Plugins: who is asked about each object before it counts, what they are asked and may answer.

Pure. A plugin is a module of the spec tree or an installed Python function. It is asked with JSON
and its answer depends on that alone, so equal questions are asked once. What it says is bounded
here; who asks it is `sources.hooks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from propeller.model.canonical import canonical_bytes
from propeller.model.ids import Digest, Key
from propeller.model.parse import parse_object, stored_form
from propeller.model.scoring import Failing, Pairs, Scorer, scorer_form
from propeller.model.specs import Object

MOST_ADDED: Final = 32
"""Labels, annotations and variables that one answer may add."""
MOST_WARNINGS: Final = 8
WORDS: Final = 256
"""Bytes of a reason or a warning."""
VALUE: Final = 1024
"""Bytes of a value that is added."""
SCORE: Final = 1_000_000
"""A score is between this and its negative."""
NOTE: Final = "plugins.propeller.dev/"
"""How the annotations begin that say what plugins said."""

_KEY = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class Hook(StrEnum):
    """What a plugin may be asked."""

    ADMIT = "Admit"
    ENRICH = "Enrich"
    PLACE = "Place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One plugin. digest: of its Wasm bytes, or of the name and version of what is installed.

    python: its entry point, "" for a module. kinds, namespaces: which objects it is asked about; in
    `namespaces`, `*` is anything. fuel in wasmtime's units, memory in bytes, timeout in ms: of one
    question.
    """

    name: str
    digest: Digest
    hooks: frozenset[Hook]
    kinds: frozenset[str]
    namespaces: tuple[str, ...]
    failing: Failing
    fuel: int
    memory: int
    timeout: int
    python: str = ""
    parameters: Pairs = ()

    def concerns(self, key: Key) -> bool:
        """Whether it is asked about an object of that name."""
        return key.kind in self.kinds and any(
            fnmatchcase(key.namespace, pattern) for pattern in self.namespaces
        )

    @property
    def version(self) -> str:
        """Its name, and enough of its digest to tell two apart."""
        return f"{self.name}@{self.digest.removeprefix('sha256:')[:12]}"


def scorer(plugin: Plugin) -> Scorer:
    """The plugin as objects carry it that it scores proplets for."""
    return Scorer(
        name=plugin.name,
        digest=plugin.digest,
        failing=plugin.failing,
        fuel=plugin.fuel,
        memory=plugin.memory,
        timeout=plugin.timeout,
        python=plugin.python,
        parameters=plugin.parameters,
    )


def scoring(scorer: Scorer) -> Plugin:
    """A scorer as who is asked."""
    return Plugin(
        name=scorer.name,
        digest=scorer.digest,
        hooks=frozenset({Hook.PLACE}),
        kinds=frozenset(),
        namespaces=(),
        failing=scorer.failing,
        fuel=scorer.fuel,
        memory=scorer.memory,
        timeout=scorer.timeout,
        python=scorer.python,
        parameters=scorer.parameters,
    )


def scored(obj: Object, scorers: Iterable[Scorer]) -> Object:
    """The object with who scores proplets for it."""
    form = stored_form(obj)
    form["meta"]["scorers"] = [scorer_form(one) for one in scorers]
    return parse_object(form["kind"], form["meta"], form["spec"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it said. refused: why the object is not taken. score: of a proplet, higher is better.

    failed: why there is no answer. again: whether to ask again may help (it was late, not wrong).
    """

    refused: str = ""
    warnings: tuple[str, ...] = ()
    labels: Pairs = ()
    annotations: Pairs = ()
    env: Pairs = ()
    score: int = 0
    failed: str = ""
    again: bool = False


def question(
    plugin: Plugin, hook: Hook, obj: Object, proplet: Mapping[str, Any] | None = None
) -> bytes:
    """What it is asked: canonical JSON, the same bytes for the same question.

    proplet: what is known of the device that is to be scored.
    """
    form = stored_form(obj)
    meta = form["meta"]
    asked: dict[str, Any] = {
        "hook": str(hook),
        "object": {
            "kind": form["kind"],
            "metadata": {
                "name": meta["name"],
                "namespace": meta["namespace"],
                "app": meta["app"],
                "labels": meta.get("labels", {}),
                "annotations": {
                    name: value
                    for name, value in meta.get("annotations", {}).items()
                    if not name.startswith(NOTE)
                },
            },
            "spec": form["spec"],
        },
        "parameters": dict(plugin.parameters),
    }
    if proplet is not None:
        asked["proplet"] = proplet
    return canonical_bytes(asked)


def answer_of(told: Mapping[str, Any], hook: Hook) -> Answer:
    """The answer in what came back. Raises ValueError for what is none; nothing of it counts."""
    failed = told.get("failed")
    if isinstance(failed, str) and failed:
        return Answer(failed=_words(failed), again=told.get("again") is True)
    warnings = told.get("warnings", [])
    if not isinstance(warnings, list) or len(warnings) > MOST_WARNINGS:
        raise ValueError(f"warned more than {MOST_WARNINGS} times")
    score = told.get("score", 0)
    if type(score) is not int or not -SCORE <= score <= SCORE:
        raise ValueError(f"gave a score that is not between -{SCORE} and {SCORE}")
    added = [_pairs(told.get(name, {}), name) for name in ("labels", "annotations", "env")]
    if sum(map(len, added)) > MOST_ADDED:
        raise ValueError(f"added more than {MOST_ADDED} things")
    if any(added) and hook is not Hook.ENRICH:
        raise ValueError(f"added something when asked to {hook}")
    refused = _words(told.get("refused", ""))
    if refused and hook is not Hook.ADMIT:
        raise ValueError(f"refused when asked to {hook}")
    return Answer(
        refused=refused,
        warnings=tuple(_words(one) for one in warnings),
        labels=added[0],
        annotations=added[1],
        env=added[2],
        score=score if hook is Hook.PLACE else 0,
    )


def _words(given: object) -> str:
    if not isinstance(given, str):
        raise ValueError("said something that is no text")
    return "".join(one if one.isprintable() else "?" for one in given[:WORDS])


def _pairs(given: object, what: str) -> Pairs:
    if not isinstance(given, dict):
        raise ValueError(f"gave {what} that are no texts by name")
    for name, value in given.items():
        fits = _VARIABLE if what == "env" else _KEY
        if not isinstance(name, str) or not fits.fullmatch(name):
            raise ValueError(f"added {what} with the name {str(name)[:80]!r}, which is none")
        if "propeller.dev/" in name:
            raise ValueError(f"added {name}: names of propeller.dev are not its own")
        if not isinstance(value, str) or len(value.encode()) > VALUE or "\0" in value:
            raise ValueError(f"gave {name} a value that is no text of at most {VALUE} bytes")
        if what == "labels" and not _LABEL.fullmatch(value):
            raise ValueError(f"gave the label {name} the value {value[:80]!r}, which is none")
    return tuple(sorted(given.items()))


def enriched(obj: Object, answer: Answer) -> tuple[Object, list[str]]:
    """The object with what it lacked, and the names of that: what its author wrote stays.

    Variables are for what has a `run`; they come behind its own.
    """
    form = stored_form(obj)
    meta, spec, told = form["meta"], dict(form["spec"]), []
    for what, pairs in (("labels", answer.labels), ("annotations", answer.annotations)):
        own = meta.get(what, {})
        new = {name: value for name, value in pairs if name not in own}
        if new:
            meta[what] = {**own, **new}
            told.append(f"{what} {', '.join(new)}")
    run = spec.get("run")
    if run is not None and answer.env:
        names = {row["name"] for row in run["env"]}
        rows = [{"name": name, "value": value} for name, value in answer.env if name not in names]
        if rows:
            spec["run"] = {**run, "env": [*run["env"], *rows]}
            told.append(f"env {', '.join(row['name'] for row in rows)}")
            del meta["specDigest"]
    return (parse_object(form["kind"], meta, spec), told) if told else (obj, told)


def noted(obj: Object, plugin: Plugin, words: Iterable[str]) -> Object:
    """The object with what this plugin said of it, for people: `describe` and `why` show it."""
    form = stored_form(obj)
    name = f"{NOTE}{plugin.name}"
    text = f"{plugin.version}: {'; '.join(words)}"
    form["meta"]["annotations"] = {**form["meta"].get("annotations", {}), name: text}
    return parse_object(form["kind"], form["meta"], form["spec"])


def notes_of(obj: Object) -> list[str]:
    """What plugins said of it."""
    return [text for name, text in sorted(obj.meta.annotations.items()) if name.startswith(NOTE)]
