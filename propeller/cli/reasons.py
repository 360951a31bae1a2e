"""Reasons and words that Propeller says, each with its meaning and what to do: `explain REASON`.

The pages `docs/reference/events.md` and `errors.md` are where they are written, and held to the
code by tests. They go with the package (`propeller/reference` is a link to them), so that a machine
without the documents knows as much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).parents[1] / "reference"
SECTIONS: Final = {
    "events.md": {
        "Reasons of conditions": "condition",
        "Reasons of events": "event",
        "Faults of modules": "fault of a module",
    },
    "errors.md": {
        "Exit codes": "exit code",
        "Words of the wire": "word of the wire",
        "Words of a receiver": "word of a receiver",
    },
}
_ROW = re.compile(r"^\| `?([^|`]+?)`? \| (.+?) \| (.+?) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Reason:
    """One row. where: the page and its section, as a link within the documents."""

    word: str
    kind: str
    meaning: str
    do: str
    where: str


@cache
def known() -> Mapping[str, tuple[Reason, ...]]:
    """Every word in lower case; one may be a condition and an event."""
    found: dict[str, tuple[Reason, ...]] = {}
    for one in _rows():
        found[one.word.lower()] = (*found.get(one.word.lower(), ()), one)
    return found


def find(word: str) -> tuple[Reason, ...]:
    """What is known of a word, in any case; of an exit code too. Empty: nothing."""
    return known().get(word.lower(), ())


def near(word: str) -> str:
    """A word that may be meant; "" for none."""
    import difflib

    table = known()
    found = difflib.get_close_matches(word.lower(), table, n=1, cutoff=0.75)
    return table[found[0]][0].word if found else ""


def _rows() -> Iterator[Reason]:
    for page, sections in SECTIONS.items():
        text = (PAGES / page).read_text("utf-8")
        for title, kind in sections.items():
            part = re.split(rf"^#+ {re.escape(title)}$", text, flags=re.MULTILINE)[1]
            part = re.split(r"^#+ ", part, flags=re.MULTILINE)[0]
            where = f"docs/reference/{page}#{title.lower().replace(' ', '-')}"
            for word, meaning, do in _ROW.findall(part):
                if set(meaning) != {"-"} and do != "what to do":
                    yield Reason(word, kind, _plain(meaning), _plain(do), where)


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text)
