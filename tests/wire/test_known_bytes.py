"""Bytes worked out by hand or by other libraries: vectors alone could agree with a mistake."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from propeller.wire.codec import decode, encode, entry_digest
from propeller.wire.frame import seal
from propeller.wire.messages import BlobChunk, BlobPut, Entry, Status, WireModule
from propeller.wire.schema import file_name
from propeller.wire.signing import SigningKey

Read = Callable[[str], Any]
INST = "00112233445566778899aabbccddeeff"
DIGEST = "sha256:" + "ad" * 32


def test_a_status_in_json() -> None:
    """The text a person would write."""
    status = Status(id="gw-01", state="online", inst=INST, boot=3, conn=1)
    text = f'{{"v":1,"id":"gw-01","state":"online","inst":"{INST}","boot":3,"conn":1}}'
    assert encode(status) == text.encode()


def test_a_status_in_cbor() -> None:
    """The bytes RFC 8949 gives for {0:1, 1:"gw-01", 2:0, 3:h'inst', 4:3, 5:1}."""
    status = Status(id="gw-01", state="online", inst=INST, boot=3, conn=1)
    by_hand = "a60001016567772d303102000350" + INST + "04030501"
    assert encode(status, encoding="cbor").hex() == by_hand


def test_another_cbor_library_reads_what_the_json_says(vectors: Read, wire_root: Path) -> None:
    """cbor2 and the schemas' `x-cbor-key` lead from CBOR to the very JSON of the case."""
    for case in vectors("messages")["cases"]:
        schema = json.loads((wire_root / file_name(case["message"])).read_text(encoding="utf-8"))
        tree = cbor2.loads(bytes.fromhex(case["cbor"]))
        assert _named(tree, schema) == json.loads(case["json"]), case["name"]
        assert cbor2.dumps(tree).hex() == case["cbor"], "one spelling, and cbor2 has the same"


def _named(value: Any, schema: Mapping[str, Any]) -> Any:
    """CBOR values with the names and spellings of JSON, by the schema alone."""
    form = schema.get("x-cbor")
    if form == "index":
        return schema["enum"][value]
    if form == "bytes":
        return base64.b64encode(value).decode()
    if "additionalProperties" in schema and form is None:
        return {name: _named(item, schema["additionalProperties"]) for name, item in value.items()}
    if form is not None:
        return _spelled(value.hex(), schema["pattern"])
    if "properties" in schema:
        fields = {one["x-cbor-key"]: (key, one) for key, one in schema["properties"].items()}
        return {fields[at][0]: _named(item, fields[at][1]) for at, item in value.items()}
    if schema["type"] == "array":
        return [_named(item, schema["items"]) for item in value]
    return value


def _spelled(digits: str, pattern: str) -> str:
    if pattern.startswith("^sha256:"):
        return "sha256:" + digits
    if "-" in pattern.replace("0-9a-f", "").replace("a-f", ""):
        cuts = (0, 8, 12, 16, 20, 32)
        return "-".join(digits[a:b] for a, b in pairwise(cuts))
    return digits


def test_an_entry_digest_by_hand() -> None:
    """SHA-256 over sorted keys, no white space, the digest itself and the defaults left out."""
    entry = Entry(
        uid="5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11",
        ref="Task/plant-a/add",
        run="1f2e3d4c5b6a79880102030405060708",
        cause="once",
        mode="once",
        digest="",
        module=WireModule(digest=DIGEST, size=317),
        entrypoint="add",
        args=("40", 'é"\n\u0001'),
        output=1,
    )
    text = (
        '{"args":["40","é\\"\\n\\u0001"],"cause":"once","entrypoint":"add","mode":"once",'
        f'"module":{{"digest":"{DIGEST}","size":317}},"output":1,"ref":"Task/plant-a/add",'
        '"run":"1f2e3d4c5b6a79880102030405060708","uid":"5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11"}'
    )
    assert entry_digest(entry) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_a_frame_built_without_our_code() -> None:
    """The layout of the frame, with the library's own Ed25519 key."""
    seed, body = bytes(range(32)), b'{"v":1}'
    private = Ed25519PrivateKey.from_private_bytes(seed)
    kid = hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest()[:16].encode()
    signed = b"propeller/1/desired\x00" + hashlib.sha256(body).digest()
    by_hand = b"P1" + b"\x01" + b"\x10" + kid + private.sign(signed) + body
    assert seal("desired", body, SigningKey.from_seed(seed)) == by_hand


def test_a_p256_frame_verifies_without_our_code(vectors: Read) -> None:
    """r and s of the frame, put into the form the library wants, hold over the same bytes."""
    frames = vectors("frames")
    keys = {key["name"]: key for key in frames["keys"]}
    cases = [case for case in frames["good"] if keys[case["key"]]["alg"] == 2]
    assert cases
    for case in cases:
        frame = bytes.fromhex(case["frame"])
        assert frame[:4] == b"P1\x02\x10"
        r, s = (int.from_bytes(frame[at : at + 32], "big") for at in (20, 52))
        point = bytes.fromhex(keys[case["key"]]["public"])
        public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
        public.verify(encode_dss_signature(r, s), bytes.fromhex(case["signed"]), ECDSA(SHA256()))


def test_a_chunk_byte_by_byte() -> None:
    """Magic, version, kind, error, req, offset, total, digest, data."""
    chunk = BlobChunk(digest=DIGEST, off=258, total=70_000, req=9, data=b"\x00asm")
    by_hand = (
        b"B\x01\x01\x00"
        + b"\x00\x00\x00\x09"
        + b"\x00\x00\x00\x00\x00\x00\x01\x02"
        + b"\x00\x00\x00\x00\x00\x01\x11\x70"
        + b"\xad" * 32
        + b"\x00asm"
    )
    assert encode(chunk) == by_hand
    assert decode(BlobChunk, by_hand) == chunk


def test_an_error_chunk_byte_by_byte() -> None:
    """`busy` is the fourth error."""
    chunk = BlobChunk(digest=DIGEST, off=0, total=0, req=1, error="busy")
    assert encode(chunk) == b"B\x01\x01\x04\x00\x00\x00\x01" + bytes(16) + b"\xad" * 32


def test_a_put_byte_by_byte() -> None:
    """The same header, then inst, then the id with its length at byte 3, then data."""
    put = BlobPut(id="gw-01", inst=INST, digest=DIGEST, off=1, total=3, data=b"xy")
    by_hand = (
        b"B\x01\x02\x05\x00\x00\x00\x00"
        + b"\x00\x00\x00\x00\x00\x00\x00\x01"
        + b"\x00\x00\x00\x00\x00\x00\x00\x03"
        + b"\xad" * 32
        + bytes.fromhex(INST)
        + b"gw-01"
        + b"xy"
    )
    assert encode(put) == by_hand
    assert decode(BlobPut, by_hand) == put
