"""Every shared vector, run against our code: what the firmware must pass, we pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from propeller.errors import WireError
from propeller.wire import codec, messages
from propeller.wire.frame import open_frame, seal
from propeller.wire.keyring import Holder, Keyring, keyring_from_trust
from propeller.wire.reject import Reject
from propeller.wire.schema import file_name
from propeller.wire.signing import SigningKey, VerifyKey
from propeller.wire.topics import Channel

Read = Callable[[str], Any]


def class_of(case: Mapping[str, Any]) -> type[Any]:
    found: type[Any] = getattr(messages, case["message"])
    return found


def plain(value: object) -> object:
    """A message as the vectors show it, spelled here a second time."""
    if dataclasses.is_dataclass(value):
        made = {}
        for field in dataclasses.fields(value):
            words = field.name.split("_")
            key = words[0] + "".join(word.title() for word in words[1:])
            made[key] = plain(getattr(value, field.name))
        return made
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    return value


def test_the_files_are_what_the_maker_makes(maker: ModuleType, wire_root: Path) -> None:
    """Schemas and vectors are current; `python tests/wire/wire_vectors.py` writes them anew."""
    made = maker.all_files()
    found = {
        str(path.relative_to(wire_root)): path.read_text(encoding="utf-8")
        for pattern in ("*.schema.json", "vectors/*.json")
        for path in wire_root.glob(pattern)
    }
    assert {name: found.get(name) for name in made} == made
    schemas = {name for name in found if name.endswith(".schema.json")}
    assert schemas == {name for name in made if name.endswith(".schema.json")}


def test_every_case_reads_from_both_encodings(vectors: Read) -> None:
    """JSON and CBOR of a case are one message, with every default filled in."""
    for case in vectors("messages")["cases"]:
        for body in (case["json"].encode(), bytes.fromhex(case["cbor"])):
            assert plain(codec.decode(class_of(case), body)) == case["value"], case["name"]


def test_every_case_writes_the_same_bytes_again(vectors: Read) -> None:
    """What is read writes back byte for byte: one message, one spelling an encoding."""
    for case in vectors("messages")["cases"]:
        message = codec.decode(class_of(case), case["json"].encode())
        assert codec.encode(message).decode() == case["json"], case["name"]
        assert codec.encode(message, encoding="cbor").hex() == case["cbor"], case["name"]


def test_every_message_has_a_case(vectors: Read) -> None:
    """No message of the protocol is without a vector."""
    covered = {case["message"] for case in vectors("messages")["cases"]}
    covered |= {case["message"] for case in vectors("blobs")["good"]}
    assert covered == {kind.__name__ for kind in messages.Message.__args__}


def test_every_case_satisfies_its_schema(vectors: Read, wire_root: Path) -> None:
    """The JSON we write is what the schema files say."""
    for case in vectors("messages")["cases"]:
        schema = json.loads((wire_root / file_name(case["message"])).read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(json.loads(case["json"]))


def test_every_blob_case_satisfies_its_schema(vectors: Read, wire_root: Path) -> None:
    """Binary bodies have a schema for how vectors show them."""
    for case in vectors("blobs")["good"]:
        schema = json.loads((wire_root / file_name(case["message"])).read_text(encoding="utf-8"))
        Draft202012Validator(schema).validate(case["value"])


def test_odd_but_allowed_bodies_are_read(vectors: Read) -> None:
    """Unknown fields, white space and another order of keys do not matter."""
    odd = vectors("messages")["also_read"]
    bodies = [case["json"].encode() for case in odd["json"]]
    bodies += [bytes.fromhex(case["cbor"]) for case in odd["cbor"]]
    for body in bodies:
        assert plain(codec.decode(messages.Status, body)) == odd["value"], body


def refused_with(case: Mapping[str, Any], act: Callable[[], object]) -> None:
    with pytest.raises(WireError) as caught:
        act()
    assert caught.value.reject == case["reject"], (case["name"], str(caught.value))


def test_every_reject_is_refused_with_its_word(vectors: Read) -> None:
    """Each broken body gives WireError with exactly the shared word."""
    rejects = vectors("rejects")
    for case in rejects["json"]:
        refused_with(case, lambda case=case: codec.decode(class_of(case), case["json"].encode()))
    for case in rejects["cbor"]:
        body = bytes.fromhex(case["cbor"])
        refused_with(case, lambda case=case, body=body: codec.decode(class_of(case), body))


def test_no_json_reject_for_a_field_passes_its_schema(vectors: Read, wire_root: Path) -> None:
    """What the codec refuses in a field, the schema refuses too, where a schema can say it."""
    sayable = {"missing_field", "bad_id", "bad_enum", "too_many", "conflicting_fields"}
    cases = [case for case in vectors("rejects")["json"] if case["reject"] in sayable]
    assert len(cases) > 15
    for case in cases:
        if case["name"] == "an id with a newline at its end":
            continue  # `$` of Python's re lets it pass; ECMA's, which schemas mean, does not
        schema = json.loads((wire_root / file_name(case["message"])).read_text(encoding="utf-8"))
        assert not Draft202012Validator(schema).is_valid(json.loads(case["json"])), case["name"]


def test_blob_bodies(vectors: Read) -> None:
    """Chunks and puts read and write byte for byte, and bad ones are refused."""
    blobs = vectors("blobs")
    for case in blobs["good"]:
        body = bytes.fromhex(case["body"])
        message = codec.decode(class_of(case), body)
        assert plain(message) == case["value"], case["name"]
        assert codec.encode(message) == body, case["name"]
    for case in blobs["bad"]:
        body = bytes.fromhex(case["body"])
        refused_with(case, lambda case=case, body=body: codec.decode(class_of(case), body))


def test_topics(vectors: Read) -> None:
    """Every topic is told apart, and what is none is foreign."""
    told = vectors("topics")
    channel = Channel(told["domain"], told["channel"])
    for case in told["good"]:
        heard = channel.parse(case["topic"])
        assert heard is not None, case["topic"]
        wanted = (case["kind"], case["proplet"], case["extra"])
        assert (heard.kind.value, heard.proplet, heard.extra) == wanted
    for topic in told["bad"]:
        assert channel.parse(topic) is None, topic
    filters = told["device_filters"]
    assert list(channel.device_filters(filters["of"])) == filters["filters"]


def ring(frames: Mapping[str, Any]) -> Keyring:
    """Every key of the vectors that has a role."""
    keys = (
        (VerifyKey.parse(key["text"]), frozenset(key["roles"]))
        for key in frames["keys"]
        if key["roles"]
    )
    return Keyring({key.kid: Holder(key, roles) for key, roles in keys})


def test_keys_of_the_vectors(vectors: Read) -> None:
    """Seeds give the public keys, texts and kids that are written down."""
    for key in vectors("frames")["keys"]:
        made = SigningKey.from_seed(bytes.fromhex(key["seed"]), key["alg"])
        found = (made.public.raw.hex(), made.public.text, made.kid)
        assert found == (key["public"], key["text"], key["kid"])


def test_frames(vectors: Read) -> None:
    """Good frames open to their body; bad ones are refused with their word."""
    frames = vectors("frames")
    kids = {key["name"]: key["kid"] for key in frames["keys"]}
    for case in frames["good"]:
        opened = open_frame(case["purpose"], bytes.fromhex(case["frame"]), ring(frames))
        assert (opened.kid, opened.body.hex()) == (kids[case["key"]], case["body"]), case["name"]
    for case in frames["bad"]:
        frame = bytes.fromhex(case["frame"])
        refused_with(
            case, lambda case=case, frame=frame: open_frame(case["purpose"], frame, ring(frames))
        )


def test_sealing_gives_the_frames_of_the_vectors(vectors: Read) -> None:
    """Signatures are deterministic, so a frame can be compared byte for byte."""
    frames = vectors("frames")
    keys = {
        key["name"]: SigningKey.from_seed(bytes.fromhex(key["seed"]), key["alg"])
        for key in frames["keys"]
    }
    for case in frames["good"]:
        sealed = seal(case["purpose"], bytes.fromhex(case["body"]), keys[case["key"]])
        assert sealed.hex() == case["frame"], case["name"]


def test_trust_documents(vectors: Read) -> None:
    """The root's document gives keys with their roles; a key that is not its kid's is refused."""
    trust = vectors("trust")
    root = VerifyKey.parse(trust["root"])
    opened = open_frame("trust", bytes.fromhex(trust["frame"]), Keyring.of_roots(root))
    keyring = keyring_from_trust(codec.decode(messages.Trust, opened.body), root)
    found = {}
    for kid in keyring:
        holder = keyring.find(kid)
        assert holder is not None
        found[kid] = sorted(holder.roles)
    assert found == trust["keyring"]
    for case in trust["bad"]:
        bad = codec.decode(messages.Trust, case["json"].encode())
        refused_with(case, lambda bad=bad: keyring_from_trust(bad, root))


def test_digests(vectors: Read) -> None:
    """Lists have one canonical text, and the digests are over it."""
    digests = vectors("digests")
    for case in digests["tasks"]:
        for body in (case["canonical"].encode(), bytes.fromhex(case["cbor"])):
            entries = codec.decode_tasks(body)
            assert codec.tasks_digest(entries) == case["digest"]
            assert codec.encode_tasks(reversed(entries)).decode() == case["canonical"]
    for case in digests["inventories"]:
        for body in (case["canonical"].encode(), bytes.fromhex(case["cbor"])):
            runs = codec.decode_inventory(body)
            assert codec.inventory_digest(runs) == case["digest"]
            assert codec.encode_inventory(reversed(runs)).decode() == case["canonical"]
    tasks = codec.decode_tasks(digests["tasks"][1]["canonical"].encode())
    assert sorted(codec.entry_digest(one) for one in tasks) == sorted(
        case["digest"] for case in digests["entries"]
    )


def test_the_words_are_the_closed_list(vectors: Read) -> None:
    """The C side makes its enum from this list; every word a vector uses is in it."""
    words = vectors("words")["reject"]
    assert words == [word.value for word in Reject]
    rejects = vectors("rejects")
    used = {case["reject"] for case in rejects["json"] + rejects["cbor"]}
    used |= {case["reject"] for case in vectors("blobs")["bad"] + vectors("frames")["bad"]}
    assert used <= set(words)
