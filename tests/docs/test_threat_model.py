"""docs/explanation/security.md: each promise has a test, and the test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE.partition("## Promises")[2], re.MULTILINE)
PROMISES = [(what, test) for what, test in ROWS if what not in ("promise", "---")]
NAMED = re.compile(r"^`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`$")


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file, those in classes too."""
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("what", "test"), PROMISES, ids=[what[:50] for what, _ in PROMISES])
def test_each_promise_names_a_test_that_exists(what: str, test: str) -> None:
    """A promise whose test was renamed or removed is no promise any more."""
    found = NAMED.match(test)
    assert found is not None, f"{what}: {test} is not `tests/...py::test_...`"
    file = ROOT / found[1]
    assert file.exists(), f"{what}: {found[1]} is gone"
    assert found[2] in functions_of(file), f"{what}: {found[2]} is not in {found[1]}"


def test_there_are_promises_of_every_kind_and_things_not_promised() -> None:
    """The page was read as it is meant to be read."""
    assert len(PROMISES) > 40
    assert len(re.findall(r"^- \*\*", PAGE.partition("## What is not promised")[2], re.M)) > 9
    assert "docs/explanation/security.md" in (ROOT / "SECURITY.md").read_text()
