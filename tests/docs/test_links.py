"""Links lead somewhere, and pages show nothing of the machine they were written on."""

from __future__ import annotations

import re

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text):
    """The names that headings get on the usual hosts."""
    names = set()
    for heading in HEADING.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(name)
    return names


def test_links_resolve(page):
    """A relative link names a file of the repository, its anchor a heading; others are https."""
    broken = []
    for target in LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there.read_text())):
            broken.append(target)
    assert broken == []


def test_every_page_is_reachable(reading):
    """Nobody writes a page that no other page leads to."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in reading.PAGES
        for target in LINK.findall(page.read_text())
    }
    assert set(reading.PAGES) - linked - {reading.ROOT / "README.md"} == set()


def test_the_readme_is_short(reading):
    """Under 120 lines, or nobody reads it."""
    assert len((reading.ROOT / "README.md").read_text().splitlines()) < 120
