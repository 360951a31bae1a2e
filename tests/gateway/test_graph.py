"""The drawing of a Workflow's steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from propeller.gateway.dashboard.graph import WIDE, graph_of


def steps(**after):
    return [
        {"name": name, "state": "Waiting", **({"after": names} if names else {})}
        for name, names in after.items()
    ]


def test_a_step_stands_right_of_all_it_comes_after():
    """In the column of the longest way to it."""
    graph = graph_of(steps(read=[], clean=["read"], peak=["clean"], join=["read", "peak"]))
    columns = {box.name: box.x for box in graph.boxes}
    assert columns["read"] < columns["clean"] < columns["peak"] < columns["join"]
    assert len(graph.lines) == 4
    assert all(line.x2 - line.x1 > 0 for line in graph.lines)


def test_no_two_boxes_overlap():
    """Steps of one column stand below each other."""
    graph = graph_of(steps(a=[], b=[], c=["a"], d=["b"]))
    assert len({(box.x, box.y) for box in graph.boxes}) == 4
    assert graph.width >= max(box.x for box in graph.boxes) + WIDE


def test_nothing_to_draw():
    """What is no Workflow, and one that has not begun."""
    assert graph_of(()) is None


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=30))
def test_whatever_a_document_says_is_drawn(edges):
    """Unknown names and circles, which no loader lets through, end no page."""
    found = [
        {"name": f"s{number}", "state": "Waiting", "after": [f"s{one}" for one in after]}
        for number, after in enumerate(edges)
    ]
    graph = graph_of(found)
    assert len(graph.boxes) == len(edges)


def test_a_long_name_is_cut():
    """The table below has it whole."""
    graph = graph_of(steps(**{"a" * 40: []}))
    assert len(graph.boxes[0].label) == 17
