"""Conditions over results, and results put into what is run."""

from __future__ import annotations

import pytest

from propeller.model.parts import RunSpec
from propeller.model.steps import Input, Way, When, bound


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        ("a == 1", "1.0\n", True),
        ("a == 1", "2", False),
        ("a != ok", "ok", False),
        ("a != ok", "not ok", True),
        ("a >= 10", "9", False),
        ("a > 9", "10", True),
        ("a < 1e3", "999.9", True),
        ("a <= 0.1", "0.1", True),
        ("a < b", "a", False),
        ("a >= 1", "NaN", False),
        ("a == NaN", "NaN", True),
        ("a == two words", "two words", True),
    ],
)
def test_a_condition_over_a_result(text: str, result: str, holds: bool) -> None:
    """Two numbers are compared as numbers, exactly; text only for being the same."""
    assert When.parse(text).holds(result) is holds


@pytest.mark.parametrize("text", ["", "a", "a =", "a = 1", "A == 1", "a == "])
def test_what_is_no_condition(text: str) -> None:
    """Refused, not guessed."""
    with pytest.raises(ValueError, match="STEP OPERATOR VALUE"):
        When.parse(text)


def test_results_are_put_into_what_is_run() -> None:
    """Standard input as it is; arguments and variables without the last line break."""
    run = RunSpec(args=("x",), env=(("A", "1"),))
    inputs = (Input("a", Way.STDIN), Input("b", Way.ARG), Input("c", Way.ENV, "C"))
    given = bound(run, inputs, {"a": "one\n", "b": "two\n", "c": "three\n"})
    assert given.stdin == "one\n"
    assert given.args == ("x", "two")
    assert given.env == (("A", "1"), ("C", "three"))


def test_a_step_that_was_skipped_gives_an_empty_text() -> None:
    """Its reader runs with `runIf: Always`, and can tell."""
    assert bound(RunSpec(), (Input("a", Way.ARG),), {}).args == ("",)
