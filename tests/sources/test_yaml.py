"""What the loader reads out of YAML and JSON."""

from __future__ import annotations

import json

import pytest

from propeller.sources.jsontext import parse_json
from propeller.sources.nodes import Build, Map, Number, Seq, line_of
from propeller.sources.yamltext import parse_yaml, plain_scalar


def values(text):
    build = Build()
    parse_yaml(text.encode(), build)
    return [document.value for document in build.documents]


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("0", 0),
     ("42", 42), ("-7", -7), ("9007199254740991", 9007199254740991)],
)  # fmt: skip
def test_only_the_core_words_and_plain_decimals_are_more_than_text(text, value):
    """YAML 1.2 core, less the spellings of numbers that readers disagree on."""
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "y", "TrUe", "2026-11-24", "12:30:45", "1.2.3", "1e", "-", "."],
)
def test_old_booleans_dates_and_sexagesimals_are_text(text):
    """What YAML 1.1 would convert stays what was written."""
    assert plain_scalar(text) == text
    assert type(plain_scalar(text)) is str


@pytest.mark.parametrize(
    "text",
    ["0.01", "1.10", "1e3", ".5", "012", "0o14", "0x1F", "+5", "-0", "1_000", ".inf", "-.inf",
     ".nan", "123456789012345678901"],
)  # fmt: skip
def test_other_numbers_keep_their_source_text(text):
    """1.10 stays 1.10, and 012 is neither 10 nor 12."""
    assert plain_scalar(text) == text
    assert type(plain_scalar(text)) is Number


def test_quotes_and_blocks_are_always_text():
    """`"true"`, `'5'` and block scalars are never converted; nor is an explicit !!str."""
    text = "a: \"true\"\nb: '5'\nc: |\n  null\nd: !!str 5\ne: >-\n  1\n"
    assert values(text) == [{"a": "true", "b": "5", "c": "null\n", "d": "5", "e": "1"}]


def test_keys_are_the_text_they_are_written_as():
    """A key `on` or `1` or `true` is a name."""
    assert values("on: 1\n1: 2\ntrue: 3\n") == [{"on": 1, "1": 2, "true": 3}]


def test_several_documents_know_their_lines():
    """Comments and separators do not shift them."""
    build = Build()
    parse_yaml(b"# c\n---\na: 1\n---\n\n# d\nb:\n  - x\n  - y: 2\n", build)
    first, second = build.documents
    assert (first.line, second.line) == (3, 7)
    assert line_of(second.value, ("b", 1, "y"), 0) == 9
    assert line_of(second.value, ("b", 5, "y"), 0) == 7


def test_aliases_stand_for_what_they_name():
    """Anchors of values and of keys, within one document."""
    assert values("a: &x {b: 1}\nc: *x\nd: [&k name]\ne: {*k : 2}\n") == [
        {"a": {"b": 1}, "c": {"b": 1}, "d": ["name"], "e": {"name": 2}}
    ]


@pytest.mark.parametrize(
    "value",
    [{}, [], {"a": [1, {"b": None}], "c": True}, "text", 5, {"u": '\u00e9\U0001f600\n\t"\\/'}],
)
def test_json_is_read_as_json(value):
    """The same value as the standard reader's, whatever the white space."""
    for text in (json.dumps(value), json.dumps(value, indent="\t", ensure_ascii=False)):
        build = Build()
        parse_json(text, build)
        assert build.documents[0].value == value


def test_json_knows_its_lines():
    """Of keys and of items."""
    build = Build()
    parse_json('{\n "a": [\n  1,\n  2\n ]\n}', build)
    value = build.documents[0].value
    assert isinstance(value, Map) and isinstance(value["a"], Seq)
    assert value.lines == {"a": 2}
    assert value["a"].lines == [3, 4]


def test_json_keeps_the_text_of_numbers():
    """As in YAML."""
    build = Build()
    parse_json("[0.10, 1e3, 5]", build)
    assert build.documents[0].value == ["0.10", "1e3", 5]


def test_a_json_key_given_twice_is_a_fault():
    """The standard reader would take the last one."""
    build = Build()
    parse_json('{"a": 1,\n"a": 2}', build)
    (flaw,) = build.documents[0].flaws
    assert (flaw.line, flaw.path, flaw.message) == (
        2,
        ("a",),
        "duplicate key, first given in line 1",
    )
