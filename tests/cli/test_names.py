"""What people type for a kind."""

from __future__ import annotations

import pytest

from propeller.cli.names import known_kind
from propeller.errors import UsageError
from propeller.sources.schemas import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_may_be_named(kind: str) -> None:
    """In lower case, one or many; so a kind that is new has to be added."""
    assert known_kind(kind.lower()) == known_kind(kind.lower() + "s") == kind


def test_who_names_none_is_told_which_there_are() -> None:
    """All of them, or the one that is nearly what was typed."""
    with pytest.raises(UsageError) as caught:
        known_kind("nothing-like-it")
    assert caught.value.hint == "kinds: " + ", ".join(kind.lower() for kind in KINDS)
    with pytest.raises(UsageError) as caught:
        known_kind("worklow")
    assert caught.value.hint == "did you mean 'workflow'?"
