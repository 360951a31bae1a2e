"""Pages and verbs name each other."""

from __future__ import annotations

import re

from propeller.cli.verbs import VERBS

NAMED = re.compile(r"(?:^|`|\$ |&& )propeller (?!-)([a-z]+)", re.MULTILINE)


def test_every_verb_named_in_a_page_exists(reading):
    """`propeller X` in a page is a verb of the command."""
    named = {name for page in reading.PAGES for name in NAMED.findall(page.read_text())}
    assert named >= {"up", "get", "diff", "validate"}
    assert named - VERBS.keys() == set()
