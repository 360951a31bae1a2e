"""Hypothesis against the wire: what is said is heard, and noise is refused, never a crash."""

from __future__ import annotations

import base64
import json
import string
import typing
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propeller.errors import WireError
from propeller.wire import cbor_codec, codec, entry_fields, fields
from propeller.wire import messages as m
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Keyring
from propeller.wire.reject import Broken, Reject
from propeller.wire.shapes import Shape
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Kind

KINDS: tuple[type[Any], ...] = typing.get_args(m.Message)
SHAPES: dict[type[Any], Shape] = {
    shape.cls: shape
    for shape in (*vars(entry_fields).values(), *vars(fields).values())
    if isinstance(shape, Shape)
}
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
NAME = st.text(
    string.ascii_letters + string.digits + "_-", min_size=1, max_size=8
) | st.sampled_from(["op", "report", "proplet", "control", "answer"])


def of_schema(schema: Any) -> st.SearchStrategy[Any]:
    """Values of one field, from what its schema says (lists of objects are made elsewhere)."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("contentEncoding") == "base64":
        return st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
    if "x-cbor" in schema or schema.get("pattern", "").startswith("^["):
        return st.from_regex(schema["pattern"].removesuffix("$") + r"\Z", fullmatch=True)
    match schema["type"]:
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "boolean":
            return st.booleans()
        case "string":
            return TEXT
    raise AssertionError(schema)


def of_field(name: str, schema: Any, cls: type[Any]) -> st.SearchStrategy[Any]:
    hint = typing.get_type_hints(cls)[name]
    inner = [one for one in flat(hint) if one in SHAPES]
    if inner:
        made = messages(inner[0])
        return st.lists(made, max_size=3).map(tuple) if "tuple" in str(hint) else made
    if name == "env":
        return st.lists(st.tuples(NAME, TEXT), max_size=3).map(tuple)
    if schema["type"] == "object":
        values = of_schema(schema["additionalProperties"])
        return st.dictionaries(TEXT, values, max_size=3).map(lambda made: tuple(made.items()))
    if schema["type"] == "array":
        return st.lists(of_schema(schema["items"]), max_size=3).map(tuple)
    return of_schema(schema)


def flat(hint: Any) -> list[Any]:
    inside = typing.get_args(hint)
    return [hint] if not inside else [one for part in inside for one in flat(part)]


def messages(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Any message of this class that the protocol allows."""
    shape = SHAPES[cls]
    schemas = typing.cast("dict[str, Any]", shape.kind.schema["properties"])
    always: dict[str, st.SearchStrategy[Any]] = {}
    maybe: dict[str, st.SearchStrategy[Any]] = {}
    exclusive = shape.exclusive.names if shape.exclusive else ()
    for field in shape.fields:
        if field.name not in exclusive:
            made = of_field(field.name, schemas[field.key], cls)
            (always if field.name in shape.required else maybe)[field.name] = made
    whole = st.fixed_dictionaries(always, optional=maybe)
    if shape.exclusive is None:
        return whole.map(lambda given: cls(**given))
    choices: list[st.SearchStrategy[dict[str, Any]]] = [
        of_field(name, schemas[next(f.key for f in shape.fields if f.name == name)], cls).map(
            lambda value, name=name: {name: value}
        )
        for name in exclusive
    ]
    if not shape.exclusive.needed:
        choices.append(st.just({}))
    return st.tuples(whole, st.one_of(choices)).map(lambda both: cls(**both[0], **both[1]))


BODIES = st.one_of([messages(cls) for cls in fields.BODIES])


@given(BODIES, st.sampled_from(["json", "cbor"]))
def test_what_is_said_is_heard(message: Any, encoding: Any) -> None:
    """Decoding gives back exactly what was encoded, in both encodings."""
    body = codec.encode(message, encoding=encoding)
    assert codec.decode(type(message), body) == message


@given(BODIES)
def test_both_encodings_say_the_same(message: Any) -> None:
    """A message that went through CBOR encodes to the same JSON."""
    through = codec.decode(type(message), codec.encode(message, encoding="cbor"))
    assert codec.encode(through) == codec.encode(message)


@given(BODIES)
def test_cbor_is_the_spelling_of_another_library(message: Any) -> None:
    """cbor2 reads our bytes and would have written the same ones."""
    body = codec.encode(message, encoding="cbor")
    assert cbor2.dumps(cbor2.loads(body)) == body


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT | st.binary(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(TEXT | st.integers(-9, 300), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_our_cbor_agrees_with_another_library_on_any_value(value: Any) -> None:
    """Bytes from cbor2 read to the same value, or to a refusal for depth."""
    body = cbor2.dumps(value)
    try:
        read = cbor_codec.loads(body)
    except Broken as broken:
        assert broken.word == "too_deep"
    else:
        assert read == value
        assert cbor_codec.dumps(value) == body


def refuses_or_reads(act: Callable[[], object]) -> None:
    try:
        act()
    except WireError as error:
        assert error.reject in set(Reject)


NOISE = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=200).map(lambda tail: b"{" + tail),
    st.binary(max_size=200).map(lambda tail: b"\xa3" + tail),
    st.binary(max_size=200).map(lambda tail: b"B\x01\x01" + tail),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps({"v": 1, "x": value}).encode()),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(body=NOISE)
@settings(max_examples=40)
def test_any_bytes_are_read_or_refused(kind: Any, body: bytes) -> None:
    """Noise gives WireError, nothing else."""
    refuses_or_reads(lambda: codec.decode(kind, body))


@given(BODIES, st.data())
@settings(max_examples=300)
def test_a_damaged_message_is_read_or_refused(message: Any, data: st.DataObject) -> None:
    """One byte changed, added or lost: WireError or another valid message; what is read can be
    written again."""
    body = bytearray(codec.encode(message, encoding=data.draw(st.sampled_from(["json", "cbor"]))))
    at = data.draw(st.integers(0, len(body) - 1))
    match data.draw(st.sampled_from(["change", "add", "lose"])):
        case "change":
            body[at] = data.draw(st.integers(0, 255))
        case "add":
            body.insert(at, data.draw(st.integers(0, 255)))
        case _:
            del body[at]
    try:
        read = codec.decode(type(message), bytes(body))
    except WireError:
        return
    assert codec.decode(type(message), codec.encode(read)) == read


@given(BODIES, st.data())
def test_a_message_with_wrong_values_in_its_fields_is_refused_or_read(
    message: Any, data: st.DataObject
) -> None:
    """Any JSON value anywhere in a real message: WireError, nothing else."""
    tree = json.loads(codec.encode(message))
    key = data.draw(st.sampled_from(sorted(tree)))
    tree[key] = data.draw(
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())
        | st.dictionaries(st.text(), st.text())
    )  # fmt: skip
    refuses_or_reads(lambda: codec.decode(type(message), json.dumps(tree).encode()))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"P1\x01\x10" + tail))
def test_any_bytes_are_no_frame(frame: bytes) -> None:
    """Nobody but the holder of a key makes a frame."""
    with pytest.raises(WireError):
        open_frame("report", frame, RING)


@given(st.binary(max_size=100), st.data())
@settings(max_examples=50)
def test_any_change_to_a_frame_is_seen(body: bytes, data: st.DataObject) -> None:
    """There is no byte of a frame that could be another."""
    frame = bytearray(seal("report", body, KEY))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        open_frame("report", bytes(frame), RING)


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda end: CHANNEL.base + "proplet/" + end))
def test_any_text_is_one_topic_or_none(topic: str) -> None:
    """parse never raises, and the id it finds stands in the topic as it was."""
    heard = CHANNEL.parse(topic)
    assert heard is None or topic.startswith(f"{CHANNEL.base}proplet/{heard.proplet}/")


@given(NAME, NAME, NAME, NAME)
def test_ids_come_back_from_their_topics(domain: str, channel: str, proplet: str, op: str) -> None:
    """Whatever the ids are, even words of the protocol."""
    fleet = Channel(domain, channel)
    heard = fleet.parse(fleet.op_answer(proplet, op))
    assert heard is not None
    assert (heard.kind, heard.proplet, heard.extra) == (Kind.OP_ANSWER, proplet, op)


KEY = SigningKey.from_seed(bytes(32))
RING = Keyring.of_device(KEY.public)
CHANNEL = Channel("d", "c")
