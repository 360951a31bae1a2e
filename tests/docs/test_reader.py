"""The reader of sessions: a page that does not tell the truth fails."""

from __future__ import annotations

import pytest

FENCE = "```"


def page(tmp_path, text):
    """A page with `text`, where ~~~ stands for a fence."""
    path = tmp_path / "page.md"
    path.write_text(text.replace("~~~", FENCE))
    return path


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["42"], ["42"], True),
        (["42"], ["42", "43"], False),
        (["42"], [], False),
        (["..."], [], True),
        (["...", "b"], ["a", "a", "b"], True),
        (["...", "b"], ["a", "b", "c"], False),
        (["a...c"], ["abc"], True),
        (["a...c"], ["abcd"], False),
        (["a.c"], ["abc"], False),
    ],
)
def test_dots_stand_for_anything_and_nothing_else_does(reading, expected, printed, same):
    """Lines are compared whole; only three dots are loose."""
    assert reading.matches(expected, printed) is same


def test_a_true_page_passes(reading, tmp_path):
    """Files are written, commands share one shell, output is compared."""
    told = page(
        tmp_path,
        "~~~yaml\n# a/b.yaml\nx: 1\n~~~\n\n~~~console\n$ cd a\n$ N=2\n~~~\n"
        "~~~console\n$ cat b.yaml && echo $N\n...\nx: 1\n2\n"
        '$ false || echo "exit $?"\nexit 1\n~~~\n',
    )
    reading.type_page(told, tmp_path, timeout=10)


@pytest.mark.parametrize(
    ("session", "complaint"),
    [
        ("$ echo 41\n42\n", "printed"),
        ("$ false\n", "exit status 1"),
        ("$ sleep 60\n", "no end"),
        ("$ true\n$ exit 0\n", "ended early"),
    ],
    ids=["output", "status", "time", "end"],
)
def test_a_false_page_fails(reading, tmp_path, session, complaint):
    """Whatever is not as the page says is named with its command."""
    told = page(tmp_path, f"~~~console\n{session}~~~\n")
    with pytest.raises((AssertionError, pytest.fail.Exception), match=complaint):
        reading.type_page(told, tmp_path, timeout=1)
