"""Conversations that every agent must hold: the pure agent holds them, line by line."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from agent_lines import Player
from agent_vectors import FOLDER, SCENES, all_files

from proplet.effects import Effect

NAMES = [f"{scene.__name__}.json" for scene in SCENES]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found


def test_the_files_are_what_the_maker_makes() -> None:
    """`python tests/conversation/agent_vectors.py` writes them anew."""
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert found == all_files()


@pytest.mark.parametrize("name", NAMES)
def test_the_agent_does_what_the_conversation_says(name: str) -> None:
    """Read from the file alone, as an agent in another language would."""
    script = _read(name)
    player = Player(script)
    for number, line in enumerate(script["lines"]):
        assert player.play(line) == line["effects"], f"{name}, line {number}: {line['in']}"


def test_every_call_and_every_effect_is_in_some_conversation() -> None:
    """What no conversation shows, nobody else will do right."""
    lines = [line for name in NAMES for line in _read(name)["lines"]]
    effects = {effect["do"] for line in lines for effect in line["effects"]}
    kinds = {kind for part in get_args(Effect) for kind in (get_args(part) or (part,))}
    named = {kind.__name__[0].lower() + kind.__name__[1:] for kind in kinds}
    assert named - effects == {"say"}
    assert {line["in"] for line in lines} == {
        "boot", "connected", "disconnected", "hear", "tick", "drain", "fetched", "fetchFrom",
        "fetchFailed", "prepared", "unfit", "ended", "uploadLost", "untold", "logPiece",
    }  # fmt: skip


def test_a_conversation_that_goes_otherwise_is_noticed() -> None:
    """The comparison can fail."""
    script = _read("first_contact.json")
    player = Player(script)
    first, second, *_ = script["lines"]
    player.play(first)
    assert player.play({**second, "conn": 7}) != second["effects"]
