"""Scores of proplets by plugins: who gives them, what is asked, and what came back. Pure.

An object carries its scorers (`Meta.scorers`), so that a plan depends on nothing else. A question
is named by a digest over scorer, object and what is known of a proplet: equal questions have one
answer, whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from propeller.model.ids import Digest, Uid

Pairs = tuple[tuple[str, str], ...]


class Failing(StrEnum):
    """What holds where a plugin cannot answer: nothing new is taken, or it is as if it were not
    there."""

    CLOSED = "Closed"
    OPEN = "Open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """A plugin that scores proplets for an object. Fields as those of `plugins.Plugin`."""

    name: str
    digest: Digest
    failing: Failing
    fuel: int
    memory: int
    timeout: int
    python: str = ""
    parameters: Pairs = ()

    @property
    def version(self) -> str:
        """Its name, and enough of its digest to tell two apart."""
        return f"{self.name}@{self.digest.removeprefix('sha256:')[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What came of a question. failed: why nothing did. again: Unix ms from when on to ask anew,
    None where that would give the same."""

    points: int = 0
    failed: str = ""
    again: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A question that a plan wants answered before it can place an object."""

    name: Digest
    uid: Uid
    scorer: Scorer
    question: bytes


def scorer_form(scorer: Scorer) -> dict[str, Any]:
    """JSON-able, and the inverse of `scorer_of`."""
    return {
        "name": scorer.name,
        "digest": scorer.digest,
        "onFailure": str(scorer.failing),
        "fuel": scorer.fuel,
        "memory": scorer.memory,
        "timeout": scorer.timeout,
        "python": scorer.python,
        "parameters": dict(scorer.parameters),
    }


def scorer_of(form: Mapping[str, Any]) -> Scorer:
    """From its stored form."""
    return Scorer(
        name=form["name"],
        digest=Digest(form["digest"]),
        failing=Failing(form["onFailure"]),
        fuel=form["fuel"],
        memory=form["memory"],
        timeout=form["timeout"],
        python=form["python"],
        parameters=tuple(sorted(form["parameters"].items())),
    )
