"""Which files are specs."""

from __future__ import annotations

import pytest

from propeller.sources.select import Selection


@pytest.mark.parametrize(
    ("ignore", "path", "taken"),
    [
        ("", "a/b.yaml", True),
        ("b.yaml", "a/b.yaml", False),
        ("/b.yaml", "a/b.yaml", True),
        ("/b.yaml", "b.yaml", False),
        ("a/", "a/b.yaml", False),
        ("a/", "x/a/b.yaml", False),
        ("a/", "a.yaml", True),
        ("a/b.yaml", "x/a/b.yaml", True),
        ("*.gen.yaml", "a/x.gen.yaml", False),
        ("*.gen.yaml", "a/x.yaml", True),
        ("a/*.yaml", "a/b/c.yaml", True),
        ("a/**/c.yaml", "a/b/d/c.yaml", False),
        ("a/**/c.yaml", "a/c.yaml", False),
        ("a/**", "a/b/c.yaml", False),
        ("**/c.yaml", "c.yaml", False),
        ("?.yaml", "a.yaml", False),
        ("?.yaml", "ab.yaml", True),
        ("[a-c].yaml", "b.yaml", False),
        ("[!a-c].yaml", "b.yaml", True),
        ("*.yaml\n!keep.yaml", "keep.yaml", True),
        ("*.yaml\n!keep.yaml", "drop.yaml", False),
        ("# b.yaml\n\n  \n", "b.yaml", True),
        ("\\#b.yaml", "#b.yaml", False),
        ("a(b.yaml", "a(b.yaml", False),
        ("node_modules", "x/node_modules/p/a.yaml", False),
    ],
)
def test_the_ignore_file_reads_like_gitignore(ignore, path, taken):
    """Anchors, folders, wildcards and exceptions."""
    assert Selection(ignore.encode()).is_spec(path) is taken


def test_modules_and_specs_are_told_apart_by_suffix():
    """Everything else is not looked at."""
    selection = Selection()
    assert selection.is_module("a.wasm") and selection.is_module("x/a.wat")
    assert not selection.is_module("a.yaml") and not selection.is_spec("a.wasm")
    assert not selection.is_spec("a.toml")


def test_a_hostile_pattern_ends():
    """Stars do not multiply into hours."""
    selection = Selection(("*a" * 30 + "b\n").encode() * 3)
    assert selection.is_spec("a" * 200 + ".yaml")
