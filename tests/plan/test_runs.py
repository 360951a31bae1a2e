"""How runs are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from propeller.model.ids import PropletId, run_id
from propeller.model.specs import Mount
from propeller.plan.runs import Cause, namer, parse_cause, run_digest, run_for

P1 = PropletId("p1")


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (Cause("once"), "once"),
        (Cause("once", 2), "once#2"),
        (Cause("daemon"), "daemon"),
        (Cause("cron:1750000000000"), "cron:1750000000000"),
        (Cause("cron:0", 12), "cron:0#12"),
    ],
)
def test_a_cause_reads_back_as_it_was_written(cause: Cause, text: str) -> None:
    """Causes travel to devices and back as text."""
    assert str(cause) == text
    assert parse_cause(text) == cause


@pytest.mark.parametrize(
    "text",
    ["", "twice", "once#", "once#0", "once#1", "once#02", "cron", "cron:", "cron:-1", "cron:01",
     "daemon\n", "cron:99999999999999999", "once#9999999"],
)  # fmt: skip
def test_what_is_no_cause_is_none(text: str) -> None:
    """A device may say anything; one cause has one spelling."""
    assert parse_cause(text) is None


def test_only_cron_causes_have_a_slot() -> None:
    """The slot is in the cause, so nothing else has to remember it."""
    assert Cause("cron:42", 2).slot == 42
    assert Cause("once").slot is None


@pytest.mark.parametrize(
    ("change", "reruns"),
    [
        ({"args": ("2",)}, True),
        ({"env": (("RATE", "5"),)}, True),
        ({"mounts": (Mount("data", "/data"),)}, True),
        ({"memory": 2048}, False),
        ({"retries": 9}, False),
        ({"labels": {"app": "x"}}, False),
        ({"app": "other"}, False),
        ({"run_key": "2"}, False),
    ],
)
def test_the_run_digest_covers_what_is_run_and_nothing_else(
    w: Any, change: dict[str, Any], reruns: bool
) -> None:
    """Editing limits, retries, labels or the App reruns nothing."""
    before = run_digest(w.task("add"), w.module())
    after = run_digest(w.task("add", **change), w.module())
    assert (before != after) is reruns


def test_the_run_digest_is_over_the_source_of_the_module(w: Any) -> None:
    """Another build of the same `.wat` text is the same run; other text is not."""
    built_again = replace(w.module(), digest=w.module(bytes=b"other").digest)
    assert run_digest(w.task("add"), w.module()) == run_digest(w.task("add"), built_again)
    assert run_digest(w.task("add"), w.module()) != run_digest(
        w.task("add"), w.module(bytes=b"other")
    )


def test_placement_does_not_name_runs(w: Any) -> None:
    """Moving or widening an object reruns nothing where it stays."""
    narrow, wide = w.task("add"), w.task("add", w.everywhere())
    assert run_digest(narrow, w.module()) == run_digest(wide, w.module())


def test_a_run_key_makes_a_new_run_of_a_task(w: Any) -> None:
    """`tasks start` edits it."""
    first = run_for(w.held(w.task("add")), w.module(), "once", P1)
    second = run_for(w.held(w.task("add", run_key="2")), w.module(), "once", P1)
    assert first != second


def test_a_lost_store_names_the_same_run_again(w: Any) -> None:
    """Generation, times and revision take no part in the name."""
    old = w.held(w.task("add"), generation=7, created_at=1, revision="main@9")
    new = w.held(w.task("add"))
    assert run_for(old, w.module(), "once", P1) == run_for(new, w.module(), "once", P1)


def test_naming_many_is_naming_each(w: Any) -> None:
    """The fast way gives the ids that `run_id` gives."""
    obj = w.task("add", run_key='k"2\\')
    digest = run_digest(obj, w.module())
    name = namer(obj.meta.uid, digest, obj.run_key, "cron:5#2")
    for proplet in (PropletId("p1"), PropletId("A_b-9"), PropletId("z" * 64)):
        assert name(proplet) == run_id(obj.meta.uid, digest, obj.run_key, "cron:5#2", proplet)
