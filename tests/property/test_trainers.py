"""Hypothesis against what a trainer may say: any bytes are an update or a refusal with a reason."""

from __future__ import annotations

import json
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from propeller.fl.layout import Layout, Tensor
from proplet.runtime.answers import Metrics, encoded, from_body
from proplet.runtime.contract import read_metrics, read_update
from proplet.runtime.lesson import Lesson
from proplet.runtime.samples import Samples, count, header
from proplet.runtime.virtual import Dice, Refusal

LESSON = Lesson(
    proplet="p1",
    job="11111111-2222-3333-4444-555555555555",
    round=1,
    attempt=1,
    step="train",
    format="json-f64",
    guest="Env",
    seed=bytes(8),
    params=(),
    version="",
    data=None,
    samples=None,
    base=np.ones(3, np.float32),
    layout=Layout.of(Tensor("w", (2,)), Tensor("b", ())),
)
FORMATS = ("f32-delta", "f32-full", "f16-delta", "bf16-delta", "q8-delta", "q4-delta", "topk-f32")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
NAMES = st.sampled_from(["update", "kind", "num_samples", "metrics", "steps", "w", "b", "round_id"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


def judged(stdout: bytes, lesson: Lesson) -> None:
    """Read it: an answer is finite and of the right length, and can be encoded."""
    try:
        answer = read_update(lesson, stdout, Metrics())
    except Refusal as refusal:
        assert str(refusal).startswith("rejected: ")
        return
    assert answer.delta.dtype == np.float32
    assert np.isfinite(answer.delta).all()
    assert lesson.count in (None, len(answer.delta))
    assert answer.samples is None or answer.samples > 0
    assert isinstance(encoded(lesson, answer)["body"], bytes)


@given(JSON, st.booleans())
def test_any_json_is_an_update_or_refused(value: object, known: bool) -> None:
    """Also before a layout is known."""
    lesson = LESSON if known else replace(LESSON, base=None, layout=None)
    judged(json.dumps(value).encode(), lesson)


@given(st.binary(max_size=40), st.sampled_from([*FORMATS, "json-f64"]), st.booleans())
def test_any_bytes_are_an_update_or_refused(data: bytes, name: str, known: bool) -> None:
    """In every format."""
    base, layout = (LESSON.base, LESSON.layout) if known else (None, None)
    judged(data, replace(LESSON, format=name, base=base, layout=layout))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_measurement_or_refused(data: bytes) -> None:
    """An evaluation says what it measured, or why it is none."""
    try:
        read_metrics(data, Metrics())
    except Refusal as refusal:
        assert str(refusal).startswith("rejected: ")


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_whatever_is_submitted_arrives(values: list[float]) -> None:
    """A delta in the round's own encoding is passed on byte for byte."""
    body = struct.pack("<3f", *values)
    lesson = replace(LESSON, format="f32-delta")
    assert encoded(lesson, from_body(lesson, "f32-delta", body))["body"] == body


@given(st.binary(max_size=80))
def test_any_file_is_records_or_refused(data: bytes) -> None:
    """A record file that is none is counted as none."""

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "a.pfr").write_bytes(data)
        found = count(place, "train")
        assert found is None or 32 + found * 4 <= len(data)


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(8, 60))
def test_records_come_whole_and_in_order(rows: list[int], room: int) -> None:
    """However much room the guest has, it reads the file once and then from the start."""

    body = b"".join(struct.pack("<fi", row, row) for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.pfr")
        path.write_bytes(header(1, 1, len(rows)) + body)
        samples = Samples((path,))
        for _ in range(2):
            read = b""
            while piece := samples.next(room):
                assert len(piece) % 8 == 0
                read += piece
            assert read == body
        samples.close()


@given(st.lists(st.integers(0, 100), max_size=10), st.binary(min_size=8, max_size=8))
def test_dice_do_not_depend_on_how_they_are_asked(sizes: list[int], seed: bytes) -> None:
    """The stream is one, in whatever pieces it is taken."""
    pieces, whole = Dice(seed, b"x"), Dice(seed, b"x")
    assert b"".join(pieces.bytes(size) for size in sizes) == whole.bytes(sum(sizes))
