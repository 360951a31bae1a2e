"""The envelope of a model update: what is packed is read, and nothing else is taken."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import pytest

from propeller.errors import WireError
from propeller.wire.updates import (
    ENCODINGS,
    HEAD_SIZE,
    Flag,
    Update,
    pack,
    signed_bytes,
    unpack,
    update_id,
)

UPDATE = Update(
    encoding="f32-delta",
    job=bytes(range(16)),
    round=3,
    attempt=1,
    samples=40,
    count=2,
    base="sha256:" + "ab" * 32,
    layout="sha256:" + "cd" * 32,
    steps=7,
    flags=Flag.CLIPPED,
    meta={"metric.loss": "0.5", "z": 1},
    body=struct.pack("<2f", 1.0, -2.0),
)


def test_a_known_update_has_known_bytes() -> None:
    """C firmware reads this: each field where the table of the module says."""
    data = pack(UPDATE)
    assert data[:8] == b"PFU1\x01\x01\x02\x00"
    assert data[8:24] == bytes(range(16))
    assert struct.unpack_from("<4I3Q", data, 24) == (3, 1, 7, 20, 40, 2, 8)
    assert data[64:96] == b"\xab" * 32
    assert data[96:128] == b"\xcd" * 32
    assert data[128:148] == b"\xa2\x6bmetric.loss\x630.5" + b"\x61z\x01"
    assert data[148:] == UPDATE.body
    assert unpack(data, max_body=8) == UPDATE


def test_an_update_without_base_layout_and_meta_is_read_back() -> None:
    """Round 1 of a job without a model has neither."""
    bare = replace(UPDATE, base="", layout="", meta={}, flags=Flag(0))
    assert unpack(pack(bare), max_body=8) == bare


def test_the_name_of_an_update_leaves_the_signature_out() -> None:
    """Signing does not rename; anything else does."""
    signed = replace(UPDATE, signature=bytes(64))
    unsigned = pack(UPDATE)
    assert update_id(pack(signed)) == update_id(pack(replace(signed, signature=b"\x01" * 64)))
    assert update_id(unsigned) == "sha256:" + hashlib.sha256(unsigned).hexdigest()
    assert update_id(pack(replace(signed, round=4))) != update_id(pack(signed))


def test_what_is_signed_names_update_and_assignment() -> None:
    """An answer cannot be replayed for another assignment."""
    identifier = "sha256:" + "12" * 32
    one, other = (signed_bytes(identifier, nonce * 16) for nonce in ("00", "01"))
    assert one == b"propeller-fl-update-v1\0" + b"\x12" * 32 + bytes(16)
    assert one != other


@pytest.mark.parametrize(
    ("at", "value", "word"),
    [
        (0, b"PFU2", "bad_frame"),
        (4, b"\x02", "unsupported_version"),
        (5, b"\x63", "bad_enum"),
        (6, b"\x10", "bad_enum"),
        (7, b"\x02", "bad_enum"),
        (7, b"\x01", "bad_frame"),
        (24, bytes(4), "integer_range"),
        (28, bytes(4), "integer_range"),
        (36, struct.pack("<I", 4097), "too_long"),
        (40, b"\xff" * 8, "integer_range"),
        (48, b"\xff" * 8, "integer_range"),
        (56, struct.pack("<Q", 1 << 60), "too_big"),
        (56, struct.pack("<Q", 7), "bad_frame"),
        (128, b"\x80", "malformed"),
    ],
)
def test_a_bent_header_is_refused_by_name(at: int, value: bytes, word: str) -> None:
    """Each field with what it must not hold."""
    data = bytearray(pack(UPDATE))
    data[at : at + len(value)] = value
    with pytest.raises(WireError) as caught:
        unpack(bytes(data), max_body=1 << 20)
    assert caught.value.reject == word


def test_a_body_over_the_limit_is_refused_before_it_is_looked_at() -> None:
    """The limit is the caller's, from the spec."""
    with pytest.raises(WireError, match="a body of 8 bytes, at most 7"):
        unpack(pack(UPDATE), max_body=7)


def test_every_cut_is_refused() -> None:
    """No prefix of an update is one."""
    data = pack(UPDATE)
    for size in range(len(data)):
        with pytest.raises(WireError):
            unpack(data[:size], max_body=8)
    with pytest.raises(WireError):
        unpack(data + b"\0", max_body=8)


@pytest.mark.parametrize(
    "bent",
    [
        replace(UPDATE, job=b"short"),
        replace(UPDATE, job=bytes(17)),
        replace(UPDATE, round=0),
        replace(UPDATE, round=1 << 32),
        replace(UPDATE, samples=-1),
        replace(UPDATE, base="sha256:abcd"),
        replace(UPDATE, layout="no hex"),
        replace(UPDATE, signature=bytes(63)),
        replace(UPDATE, encoding="zip"),
        replace(UPDATE, meta={"long": "x" * 5000}),
        replace(UPDATE, meta={"yes": True}),
    ],
)
def test_what_no_reader_would_take_is_not_written(bent: Update) -> None:
    """A field of a wrong size is refused, not padded or cut."""
    with pytest.raises(WireError):
        pack(bent)


def test_encodings_have_the_numbers_of_the_format() -> None:
    """They are only ever added."""
    assert list(ENCODINGS.values()) == [*range(1, 11), 128]
    assert HEAD_SIZE == 128
