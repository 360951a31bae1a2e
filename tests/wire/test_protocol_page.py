"""docs/reference/protocol.md says what the code does: its examples are vectors, its tables ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from propeller.wire.blob_frames import ERRORS
from propeller.wire.frame import PURPOSE_OF, ROLES
from propeller.wire.topics import Channel, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "protocol.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_example_is_a_vector(vectors: Callable[[str], Any]) -> None:
    """No example can drift from what is tested."""
    cases = vectors("messages")["cases"]
    known = {case["json"] for case in cases} | {case["cbor"] for case in cases}
    examples = re.findall(r"```(?:json|cbor)\n(.*?)\n```", TEXT, re.DOTALL)
    assert len(examples) >= 10
    assert [example for example in examples if example not in known] == []


def test_the_table_of_topics_is_complete_and_right() -> None:
    """Every kind has its row, with the purpose it is signed for."""
    channel = Channel("d", "c")
    rows = re.findall(
        r"^\| `(proplet/\S*|trust|releases|manager/\S*)` \|(.*)\|$", TEXT, re.MULTILINE
    )
    found = {}
    for topic, rest in rows:
        heard = channel.parse(channel.base + re.sub(r"\{\w+\}", "x", topic))
        assert heard is not None, topic
        signed = re.findall(r"`(\w+)`", rest.split("|")[-1])
        found[heard.kind] = signed[0] if signed else None
    assert found == {kind: PURPOSE_OF.get(kind) for kind in Kind}


def test_the_table_of_roles_is_right() -> None:
    """Who may sign what, read from the page."""
    rows = re.findall(
        r"^\| `(root|manager|release|gateway|device)` \| (`.*) \|$", TEXT, re.MULTILINE
    )
    found = {(role, purpose) for role, may in rows for purpose in re.findall(r"`(\w+)`", may)} - {
        ("gateway", "invoke")
    }
    assert found == {(role, purpose) for purpose, roles in ROLES.items() for role in roles}


def test_the_blob_errors_have_their_codes() -> None:
    """The numbers a device sends are the ones on the page."""
    for code, word in enumerate(ERRORS, start=1):
        assert f"{code} {word}" in TEXT


def test_every_rule_is_there() -> None:
    """(a) to (k)."""
    assert re.findall(r"^- \*\*\(([a-k])\)", TEXT, re.MULTILINE) == list("abcdefghijk")
