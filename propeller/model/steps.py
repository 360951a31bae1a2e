"""What a step of a Workflow is besides a Task: its place in the graph, its conditions, its inputs.

A step is carried out as a Task of its own, `<workflow>-<step>`, so that placement, limits, retries,
secrets and results are those of every Task; `Step` is what that Task knows of its Workflow. `bound`
puts results of earlier steps into what is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from propeller.model.ids import Key, Uid
from propeller.model.parts import RunSpec

WHEN = re.compile(r"([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?) *(==|!=|>=|<=|>|<) *(\S.*)\Z")
"""STEP OPERATOR VALUE."""


class RunIf(StrEnum):
    """When a step runs, once all it comes after have ended."""

    SUCCESS = "Success"
    FAILURE = "Failure"
    ALWAYS = "Always"


class Way(StrEnum):
    """How a guest gets a result of an earlier step."""

    STDIN = "Stdin"
    ARG = "Arg"
    ENV = "Env"


@dataclass(frozen=True, slots=True)
class Input:
    """A result of `source` that is given to a step. name: the variable, with ENV."""

    source: str
    way: Way
    name: str = ""


@dataclass(frozen=True, slots=True)
class When:
    """What the result of a step must say."""

    step: str
    operator: str
    value: str

    @staticmethod
    def parse(text: str) -> When:
        """Raises ValueError for anything but STEP OPERATOR VALUE."""
        match = WHEN.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not STEP OPERATOR VALUE")
        return When(match[1], match[2], match[3].strip())

    def __str__(self) -> str:
        return f"{self.step} {self.operator} {self.value}"

    def holds(self, result: str) -> bool:
        """Whether `result` says so. Two numbers are compared as numbers, exactly; text is not
        ordered, so with any other operator than == and != it never holds."""
        said = result.strip()
        left, right = _number(said), _number(self.value)
        if left is not None and right is not None:
            order = (left > right) - (left < right)
        elif self.operator in ("==", "!="):
            order = 0 if said == self.value else 1
        else:
            return False
        match self.operator:
            case "==":
                return order == 0
            case "!=":
                return order != 0
            case ">=":
                return order >= 0
            case "<=":
                return order <= 0
            case ">":
                return order > 0
            case _:
                return order < 0


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step's place in its Workflow, known to the Task that carries it out.

    after: names of steps that must have ended. may_fail: the Workflow may succeed all the same.
    """

    workflow: Uid
    of: Key
    name: str
    after: tuple[str, ...] = ()
    run_if: RunIf = RunIf.SUCCESS
    when: tuple[When, ...] = ()
    inputs: tuple[Input, ...] = ()
    may_fail: bool = False


def bound(run: RunSpec, inputs: tuple[Input, ...], results: Mapping[str, str]) -> RunSpec:
    """`run` with the results it asks for. A step that was skipped gives an empty text."""
    for one in inputs:
        text = results.get(one.source, "")
        match one.way:
            case Way.STDIN:
                run = replace(run, stdin=text)
            case Way.ARG:
                run = replace(run, args=(*run.args, text.strip()))
            case Way.ENV:
                run = replace(run, env=(*run.env, (one.name, text.strip())))
    return run
