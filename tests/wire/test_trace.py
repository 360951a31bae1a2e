"""Where a message stands in a trace: W3C's header, read strictly, and ids that come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propeller.wire.trace import Context, parse, root

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_the_headers_of_the_standard_are_read() -> None:
    """Its example, one that is not sampled, and one of a later version with more at its end."""
    assert parse(f"00-{TRACE}-{SPAN}-01") == Context(TRACE, SPAN)
    assert parse(f" 00-{TRACE}-{SPAN}-02 ") == Context(TRACE, SPAN, sampled=False)
    assert parse(f"cc-{TRACE}-{SPAN}-01-what-comes-later") == Context(TRACE, SPAN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"cc-{TRACE}-{SPAN}-01" + "-" * 300,
    ],
)
def test_what_is_no_header_is_no_trace(text: str) -> None:
    """It is left aside, as if it were not there."""
    assert parse(text) is None


@given(st.text(max_size=80))
def test_reading_never_fails(text: str) -> None:
    """Others write it."""
    parse(text)


def test_the_same_words_have_the_same_ids_and_others_have_others() -> None:
    """So that a process that starts again goes on with a trace; words do not run together."""
    one = root("plant", "abc")
    assert one == root("plant", "abc")
    assert one != root("plan", "tabc")
    assert parse(one.header) == one
    child = one.child("publish", "gw-01", 1)
    assert (child.trace, child.span != one.span) == (one.trace, True)
    assert child == one.child("publish", "gw-01", 1)
