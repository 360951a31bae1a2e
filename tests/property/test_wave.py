"""WAVE of any type and value reads back as it was written; any other text is refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime.component import Record, Variant

from proplet.runtime.component_values import Misfit
from proplet.runtime.shapes import Bytes, Cases, Fields, Many, Plain, Row, Shape, Words
from proplet.runtime.values import shortest_f32
from proplet.runtime.wave import read_wave, write_wave

NAMES = ("a", "b-2", "true", "inf", "none", "ok", "some", "longer-name")
BITS = {f"{sign}{bits}": bits for sign in "su" for bits in (8, 16, 32, 64)}


def number(name: str, bits: int) -> st.SearchStrategy[int]:
    low, high = (0, 2**bits - 1) if name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(low, high)


PLAIN: dict[str, st.SearchStrategy[object]] = {
    "bool": st.booleans(),
    "char": st.characters(codec="utf-8"),
    "string": st.text(st.characters(codec="utf-8"), max_size=8) | st.just("\\ \" ' \n\t\0"),
    "f32": st.floats(width=32, allow_nan=False).map(lambda one: float(shortest_f32(one))),
    "f64": st.floats(allow_nan=False),
    **{name: number(name, bits) for name, bits in BITS.items()},
}
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)


def cases(kind: str, rows: list[tuple[str, Shape | None]]) -> Cases:
    return Cases(kind, tuple(rows), True, ())


def within(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    maybe = inner | st.none()
    return st.one_of(
        inner.map(Many),
        st.lists(inner, min_size=1, max_size=3).map(lambda rows: Row(tuple(rows))),
        names.flatmap(
            lambda all_: st.tuples(*(inner for _ in all_)).map(
                lambda kinds: Fields(tuple(zip(all_, kinds, strict=True)))
            )
        ),
        names.flatmap(
            lambda all_: st.tuples(*(maybe for _ in all_)).map(
                lambda kinds: cases("variant", list(zip(all_, kinds, strict=True)))
            )
        ),
        inner.map(lambda one: cases("option", [("none", None), ("some", one)])),
        st.tuples(maybe, maybe).map(lambda two: cases("result", [("ok", two[0]), ("err", two[1])])),
    )


leaves = st.one_of(
    st.sampled_from(sorted(PLAIN)).map(Plain),
    st.just(Bytes()),
    st.tuples(names, st.booleans()).map(lambda two: Words(tuple(two[0]), two[1])),
)
shapes: st.SearchStrategy[Shape] = st.recursive(leaves, within, max_leaves=6)


def value_of(shape: Shape) -> st.SearchStrategy[object]:
    match shape:
        case Plain():
            return PLAIN[shape.name]
        case Bytes():
            return st.binary(max_size=5)
        case Many():
            return st.lists(value_of(shape.element), max_size=3)
        case Row():
            return st.tuples(*map(value_of, shape.elements))
        case Fields():
            return st.tuples(*(value_of(one) for _, one in shape.fields)).map(
                lambda values: record(dict(zip(dict(shape.fields), values, strict=True)))
            )
        case Words():
            one = st.sampled_from(shape.names)
            return st.sets(one) if shape.several else one
        case Cases():
            return st.sampled_from(shape.cases).flatmap(
                lambda case: (
                    st.just(Variant(case[0]))
                    if case[1] is None
                    else value_of(case[1]).map(lambda value: Variant(case[0], value))
                )
            )


def record(fields: dict[str, object]) -> Record:
    made = Record()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def read_one(shape: Shape, text: str) -> object:
    (value,) = read_wave([("x", shape)], f"({text})".encode())
    return value


@given(shapes.flatmap(lambda shape: st.tuples(st.just(shape), value_of(shape))))
@settings(max_examples=120)
def test_what_is_written_reads_back(pair: tuple[Shape, object]) -> None:
    """Any value of any type: the same value, and the same text again."""
    shape, value = pair
    text = write_wave(shape, value)
    again = read_one(shape, text)
    assert again == value
    assert write_wave(shape, again) == text


@given(shapes, st.text(st.sampled_from('({["\\\'%:,)]} ok1.e-au"/\n'), max_size=30))
@settings(max_examples=120)
def test_any_text_is_a_value_or_a_misfit(shape: Shape, text: str) -> None:
    """Nothing else, and a value that it was is one that can be written."""
    try:
        value = read_one(shape, text)
    except Misfit:
        return
    assert read_one(shape, write_wave(shape, value)) == value


U32 = Plain("u32")
OPTION = cases("option", [("none", None), ("some", U32)])
RESULT = cases("result", [("ok", Plain("string")), ("err", None)])


@pytest.mark.parametrize(
    ("shape", "text", "value"),
    [
        (OPTION, "7", Variant("some", 7)),
        (OPTION, "none", Variant("none")),
        (RESULT, '"fine"', Variant("ok", "fine")),
        (RESULT, "err", Variant("err")),
        (cases("variant", [("ok", U32)]), "%ok(1)", Variant("ok", 1)),
        (Many(U32), "[1, 2, // three\n 3,]", [1, 2, 3]),
        (Plain("string"), r'"\u{1F642}\t\"\n"', '\U0001f642\t"\n'),
        (Plain("f64"), "1e-5", 1e-5),
        (Plain("f32"), "-inf", float("-inf")),
        (Words(("read", "write"), True), "{write}", {"write"}),
    ],
)
def test_what_others_write_is_read(shape: Shape, text: str, value: object) -> None:
    """Options and results without their word, comments, commas at the end, escapes."""
    assert read_one(shape, text) == value


def test_fields_that_are_options_may_be_left_out() -> None:
    """All of them as `{:}`; others may not."""
    shape = Fields((("a", OPTION), ("b", U32)))
    made = read_one(shape, "{b: 2}")
    assert (made.a, made.b) == (Variant("none"), 2)  # type: ignore[attr-defined]  # a Record
    with pytest.raises(Misfit, match="x lacks 'b'"):
        read_one(shape, "{:}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(1", r"'\)' expected, but it ends"),
        ("1, 2", r"'\(' expected, not '1, 2' at character 1"),
        ("(1)", "it takes 2 arguments"),
        ("(1, 2, 3)", r"'\)' expected, not '3\)'"),
        ("(1, 2) 3", "nothing more expected"),
        ("(1, 4294967296)", "b must be a whole number from 0 to 4294967295"),
        ("(1, 01)", "b must be a whole number"),
        ("(1, two)", "b must be a whole number, not 'two"),
    ],
)
def test_what_is_no_call_is_refused_with_its_place(text: str, words: str) -> None:
    """What was expected, and what is there."""
    with pytest.raises(Misfit, match=words):
        read_wave([("a", U32), ("b", U32)], text.encode())
