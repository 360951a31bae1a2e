"""Rule 14 of CONTRIBUTING.md, held by a machine: small rooms, one idea a file."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

LARGEST = 450
"""Lines of a Python file of ours, at most."""

STILL_TOO_LARGE = {
    "propeller/wire/messages.py": 560,
}
"""Older than the rule, and how large each may be. Take a file off once it is split; add none."""


def lines_of(path: Path) -> int:
    """As an editor counts them."""
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_larger_than_one_idea() -> None:
    """A file that has grown past the limit has two ideas in it: give each a file and a name."""
    grown = {
        name: lines
        for room in ("propeller", "proplet")
        for path in sorted((ROOT / room).rglob("*.py"))
        for name, lines in [(path.relative_to(ROOT).as_posix(), lines_of(path))]
        if lines > STILL_TOO_LARGE.get(name, LARGEST)
    }
    assert grown == {}


def test_what_is_excused_needs_it() -> None:
    """The list of larger files only shrinks: one that was split or moved is on it no more."""
    small = {
        name
        for name in STILL_TOO_LARGE
        if not (ROOT / name).is_file() or lines_of(ROOT / name) <= LARGEST
    }
    assert small == set()
