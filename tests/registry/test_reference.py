"""Names of artifacts: what is understood, and what is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from propeller.errors import UsageError
from propeller.model.ids import Digest
from propeller.registry.reference import LayoutReference, Reference, parse_location

D = Digest("sha256:" + "ab" * 32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci://r.example/a/b:1.4", Reference("r.example", "a/b", "1.4")),
        ("r.example/fl-model:v1", Reference("r.example", "fl-model", "v1")),
        ("r.example/a", Reference("r.example", "a", "latest")),
        ("localhost/a", Reference("localhost", "a", "latest")),
        ("local/a:1", Reference("local", "a", "1")),
        ("127.0.0.1:5000/a.b/c:x", Reference("127.0.0.1:5000", "a.b/c", "x")),
        ("[::1]:5000/a", Reference("[::1]:5000", "a", "latest")),
        (f"r.example/a@{D}", Reference("r.example", "a", None, D)),
        (f"r.example/a:1@{D}", Reference("r.example", "a", "1", D)),
    ],
)
def test_references_are_understood(text: str, expected: Reference):
    """Schemeless means oci; no tag and no digest means latest; the text form reads back."""
    assert Reference.parse(text) == expected
    assert Reference.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("add:1", "which registry"),
        ("library/add:1", "which registry"),
        ("", "which registry"),
        ("https://r.example/a", "scheme"),
        ("r.example/Upper", "repository"),
        ("r.example/a//b", "repository"),
        ("r.example/../b", "repository"),
        ("r.example/a:", "tag"),
        ("r.example/a:b c", "tag"),
        ("r.example/a@sha256:12", "digest"),
        ("r.example/a@sha512:" + "0" * 128, "digest"),
        ("user:secret@r.example/a", "digest"),
        ("r.example/" + "a" * 300, "repository"),
    ],
)
def test_what_is_no_reference_is_refused_in_words(text: str, words: str):
    """The message quotes the text and says which part is wrong."""
    with pytest.raises(UsageError, match=words):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci-layout://oci:add", LayoutReference(Path("oci"), "add")),
        ("oci-layout:///srv/oci", LayoutReference(Path("/srv/oci"), "latest")),
        ("oci-layout://./a:b/oci:1", LayoutReference(Path("a:b/oci"), "1")),
        (f"oci-layout://oci@{D}", LayoutReference(Path("oci"), None, D)),
        ("r.example/a:1", Reference("r.example", "a", "1")),
    ],
)
def test_a_location_may_be_a_layout_directory(text: str, expected: object):
    """The tag comes after the last slash; everything before is the directory."""
    assert parse_location(text) == expected


def test_a_layout_without_a_directory_is_refused():
    """There is no default place."""
    with pytest.raises(UsageError, match="no directory"):
        parse_location("oci-layout://:tag")
