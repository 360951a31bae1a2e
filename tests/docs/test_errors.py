"""docs/reference/errors.md is complete: the family, the codes, the answers, every word."""

from __future__ import annotations

import ast
import re

import pytest

from propeller import errors
from propeller.cli.reference import page as command_line
from propeller.gateway.problem import TITLES
from propeller.wire.reject import Reject
from tests.docs.conftest import ROOT

PAGE = (ROOT / "docs" / "reference" / "errors.md").read_text()
ROW = re.compile(r"^\| `?(\w+)`? \| (.+?) \| (.+?) \|$", re.MULTILINE)


def section(title: str) -> dict[str, tuple[str, str]]:
    """First cell to the two others, of the table below a heading."""
    text = re.split(rf"^##+ {title}$", PAGE, flags=re.MULTILINE)[1]
    rows = ROW.finditer(re.split(r"^##", text, flags=re.MULTILINE)[0])
    found = {row[1]: (row[2], row[3]) for row in rows}
    return {key: row for key, row in found.items() if "what to do" not in row}


def words_of_receivers() -> set[str]:
    """What is said in a WireError, or in a refusal of a document, and is no word of the wire."""
    found = set()
    for room in ("propeller", "proplet"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                match node:
                    case ast.Call(
                        func=ast.Name(id="WireError"), args=[ast.Constant(value=word), *_]
                    ):
                        found.add(word)
                    case ast.Call(func=ast.Name(id="_refused"), args=[_, ast.Constant(value=word)]):
                        found.add(word)
                    case ast.FunctionDef(name="_why_not") if path.name == "documents.py":
                        found |= {
                            each.value
                            for done in ast.walk(node)
                            if isinstance(done, ast.Return) and done.value is not None
                            for each in ast.walk(done.value)
                            if isinstance(each, ast.Constant) and isinstance(each.value, str)
                        } - {"", "same"}  # taken, and taken before
    return found - set(Reject)


def test_the_family_is_complete() -> None:
    """Every error of `propeller/errors.py`, and no other."""
    family = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, errors.PropellerError)
    }
    assert section("The family").keys() == family


def test_every_word_of_the_wire_is_told() -> None:
    """The closed list, in its order: a new word needs its row."""
    assert list(section("Words of the wire")) == [word.value for word in Reject]


def test_every_word_of_a_receiver_is_told() -> None:
    """Words that only one side uses are found in its source."""
    found = words_of_receivers()
    assert {"stale", "not_wasm", "expired", "repeated_run"} <= found
    assert section("Words of a receiver").keys() == found


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    """The columns of the table by verb, and an interrupt."""
    heads = next(line for line in command_line() if line.startswith("| verb |"))
    codes = re.findall(r"\d+", heads)
    assert list(section("Exit codes")) == [*codes, "130"]


def test_the_answers_of_the_api_are_told() -> None:
    """Status and title as the gateway writes them."""
    told = {int(status): title for status, (title, _) in section("Answers of the API").items()}
    assert told == TITLES


@pytest.mark.parametrize(
    "title", ["The family", "Exit codes", "Answers of the API", "Words of the wire"]
)
def test_each_says_what_to_do(title: str) -> None:
    """No empty cell."""
    assert all(meaning.strip() and todo.strip() for meaning, todo in section(title).values())
