"""Whatever bytes are said to be a site's update: a site, or a refusal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from propeller.fl.errors import Refusal
from propeller.fl.layout import Layout
from propeller.fl.partial import Partial, Range
from propeller.fl.sites import Folded, Site, packed, read_site

LAYOUT = Layout.flat(3)
GOOD = packed(
    Folded(
        job="0f8fad5b-d9cb-469f-a165-70867728950e",
        round=1,
        attempt=1,
        base="",
        layout=LAYOUT.digest,
        partial=Partial(range=Range(first="a", last="b"), samples=9, sums=np.ones(3)),
        members=2,
        contributors="",
        record="",
    ),
    lambda message: bytes(64),
)


def read(data: bytes) -> Site:
    """With a key that takes any signature: what comes after it is looked at too."""
    return read_site(data, base="", layout=LAYOUT, keys=[lambda signature, message: True])


def test_it_is_one() -> None:
    """What the others here change."""
    assert read(GOOD).members == 2


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(GOOD)),
)
def test_changed_bytes_are_a_site_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    """Nothing else is ever raised, and no site has numbers that are not finite."""
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    for given_ in (bytes(data), bytes(data[:cut])):
        try:
            site = read(given_)
        except Refusal:
            continue
        assert np.isfinite(site.partial.sums).all()
        assert 1 <= site.members <= site.partial.samples
        assert site.partial.range.first <= site.partial.range.last
