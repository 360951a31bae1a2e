"""The targets that pages name are there."""

from __future__ import annotations

import re

NAMED = re.compile(r"(?:^|`|\$ )make (?!-)([a-z]+)", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)


def test_every_make_target_named_in_a_page_exists(reading):
    """`make X` in a page is a target of the Makefile, or of the one beside the example modules."""
    makefiles = (reading.ROOT / "Makefile", reading.ROOT / "examples" / "modules" / "Makefile")
    targets = {name for path in makefiles for name in TARGET.findall(path.read_text())}
    named = {name for page in reading.PAGES for name in NAMED.findall(page.read_text())}
    assert named >= {"demo", "test", "lint", "update"}
    assert named - targets == set()


def test_help_names_what_a_person_types(reading):
    """`make help` tells of every target that a page names in the root Makefile."""
    text = (reading.ROOT / "Makefile").read_text()
    told = set(re.findall(r'@echo "make ([a-z]+)', text))
    daily = {"demo", "test", "coverage", "lint", "examples", "bench", "soak", "clean"}
    assert told == daily | {"fuzz", "lock", "wheel", "sbom"}
    assert told <= set(TARGET.findall(text))
