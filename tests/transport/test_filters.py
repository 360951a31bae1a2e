"""Filters: what matches, what is allowed, and the tree that finds the same faster."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propeller.transport.backoff import Backoff
from propeller.transport.filters import check_filter, check_topic, is_wildcard, matches, slices
from propeller.transport.tree import FilterTree

_LEVEL = st.sampled_from(["a", "b", "", "$x"])
TOPICS = st.lists(_LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(
        st.lists(st.one_of(_LEVEL, st.just("+")), max_size=4),
        st.sampled_from([[], ["#"]]),
    )
    .map(lambda parts: "/".join(parts[0] + parts[1]))
    .filter(bool)
)


@pytest.mark.parametrize(
    ("text", "topic", "wanted"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+/b", "a/b", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "a/b", True),
        ("+", "/a", False),
        ("+/+", "/a", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_the_standard_says_what_matches(text, topic, wanted):
    """Section 4.7 of MQTT, case by case."""
    assert matches(text, topic) is wanted


@given(held=st.lists(st.tuples(FILTERS, st.integers(0, 3)), max_size=12), topic=TOPICS)
def test_the_tree_finds_what_matches(held, topic):
    """Looking up is the same as trying every filter, once for each holder."""
    tree: FilterTree[int] = FilterTree()
    for text, holder in held:
        tree.add(text, holder)
    found = tree.find(topic)
    assert len(found) == len(set(found))
    assert set(found) == {holder for text, holder in held if matches(text, topic)}


@given(held=st.sets(st.tuples(FILTERS, st.integers(0, 3)), max_size=12), topic=TOPICS)
def test_what_was_removed_is_not_found(held, topic):
    """Removing leaves the others, and an emptied tree is empty."""
    tree: FilterTree[int] = FilterTree()
    for text, holder in sorted(held):
        tree.add(text, holder)
    gone = {pair for pair in held if pair[1] % 2}
    for text, holder in sorted(gone):
        tree.remove(text, holder)
        tree.remove(text, 99)
    assert set(tree.find(topic)) == {holder for text, holder in held - gone if matches(text, topic)}


@given(FILTERS)
def test_what_the_tests_call_filters_are_filters(text):
    """And only those without wildcards may be published to."""
    check_filter(text)
    if is_wildcard(text):
        with pytest.raises(ValueError, match="wildcard"):
            check_topic(text)
    else:
        check_topic(text)


@given(
    filters=st.lists(st.text("ab/", min_size=1, max_size=30), max_size=40),
    count=st.integers(1, 10),
    size=st.integers(1, 80),
)
def test_slices_leave_nothing_out(filters, count, size):
    """In order, none empty, and never above a bound unless one filter alone is."""
    parts = list(slices(filters, count=count, size=size))
    assert [text for part in parts for text in part] == filters
    for part in parts:
        assert 1 <= len(part) <= count
        assert len(part) == 1 or sum(len(text) + 3 for text in part) <= size


def test_backoff_grows_to_its_cap_and_starts_over():
    """Full jitter: never above a doubling ceiling, and small again after a reset."""
    backoff = Backoff(random.Random(1), base=1.0, cap=8.0)
    for ceiling in (1, 2, 4, 8, 8):
        assert 0 <= backoff.next() <= ceiling
    waits = [backoff.next() for _ in range(2_000)]
    assert 7.9 < max(waits) <= 8
    assert min(waits) < 0.1, "full jitter reaches down to nothing"
    backoff.reset()
    assert backoff.next() <= 1
