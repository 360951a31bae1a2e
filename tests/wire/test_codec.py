"""What the codec promises beyond the vectors: bounds, encoding checks, messages for people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from propeller.errors import WireError
from propeller.wire import codec
from propeller.wire.codec import MAX_BODY, MAX_LIST, decode, encode
from propeller.wire.fields import BODIES
from propeller.wire.messages import (
    BlobChunk,
    BlobPut,
    BlobRef,
    Desired,
    Entry,
    Hello,
    Message,
    Observed,
    Report,
    RunReport,
    Status,
    Trust,
    WireModule,
)

INST = "00112233445566778899aabbccddeeff"
UID = "5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11"
DIGEST = "sha256:" + "ad" * 32


def a_run(number: int = 0) -> RunReport:
    return RunReport(uid=UID, run=f"{number:032x}", digest=DIGEST, cause="once", state="Running")


def an_entry(number: int = 0) -> Entry:
    return Entry(
        uid=UID,
        ref="Task/plant-a/add",
        run=f"{number:032x}",
        cause="once",
        mode="once",
        digest=DIGEST,
        module=WireModule(digest=DIGEST, size=1),
        entrypoint="add",
    )


def a_status() -> Status:
    return Status(id="gw-01", state="online", inst=INST, boot=3, conn=1)


def refused(word: str, act: object, *arguments: object, **options: object) -> WireError:
    assert callable(act)
    with pytest.raises(WireError) as caught:
        act(*arguments, **options)
    assert caught.value.reject == word, str(caught.value)
    return caught.value


def test_a_body_too_big_is_refused_before_it_is_read() -> None:
    """More than MAX_BODY bytes are refused whatever they hold; a caller may allow less."""
    refused("too_big", decode, Status, b"{" + b" " * MAX_BODY)
    refused("too_big", decode, Status, encode(a_status()), limit=20)


def test_lists_that_are_blobs_are_bounded_too() -> None:
    """4 MiB, and arrays only."""
    refused("too_big", codec.decode_tasks, b"[" + b" " * MAX_LIST)
    refused("not_map", codec.decode_tasks, b"{}")
    refused("not_map", codec.decode_inventory, b"")
    refused("too_many", codec.decode_inventory, b"[" + b",".join([b"{}"] * 1025) + b"]")


def test_deep_nesting_is_refused_not_crashed_on() -> None:
    """A hundred thousand brackets are one more refusal."""
    deep = b'{"v":1,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    assert refused("too_deep", decode, Status, deep).reject == "too_deep"
    refused("too_deep", decode, Status, b"\xa1\x18\x63" + b"\x81" * 30_000 + b"\x80")


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    """Python's own limit on digits never shows."""
    body = encode(a_status()).replace(b'"boot":3', b'"boot":' + b"9" * 5000)
    refused("integer_range", decode, Status, body)


def test_a_refusal_names_the_place() -> None:
    """Message, list index and field: what to look for in a dump."""
    report = Report(
        id="gw-01",
        inst=INST,
        boot=1,
        seq=1,
        conn=1,
        observed=Observed(),
        inventory=DIGEST,
        tasks=(a_run(0), a_run(1)),
    )
    body = encode(report).replace(b'"state":"Running"}]', b'"state":"Asleep"}]')
    error = refused("bad_enum", decode, Report, body)
    assert "Report.tasks[1].state: 'Asleep' is none of Pending," in str(error)


def test_a_newer_version_is_refused_by_name_even_when_its_fields_changed() -> None:
    """The version is looked at first."""
    error = refused("unsupported_version", decode, Status, b'{"v":7,"id":[]}')
    assert "version 7, this side speaks 1" in str(error)
    refused("unsupported_version", decode, Status, bytes.fromhex("a20007" + "0180"))


@pytest.mark.parametrize("encoding", ["json", "cbor"])
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bad_id", Status(id="gw/01", state="online", inst=INST, boot=1, conn=1)),
        ("bad_enum", replace(a_status(), state="away")),
        ("integer_range", replace(a_status(), boot=-1)),
        ("integer_range", replace(a_status(), boot=1 << 32)),
        ("bad_id", replace(a_status(), inst="short")),
        (
            "conflicting_fields",
            Desired(to="a", inst=INST, fence=1, gen=1, iat=0, digest=DIGEST),
        ),
        (
            "conflicting_fields",
            Desired(
                to="a",
                inst=INST,
                fence=1,
                gen=1,
                iat=0,
                digest=DIGEST,
                tasks=(),
                body=BlobRef(digest=DIGEST, size=1),
            ),
        ),
    ],
)
def test_nothing_leaves_that_would_be_refused(word: str, message: Message, encoding: str) -> None:
    """Encoding checks as much as decoding, so a mistake of ours is found where it is made."""
    refused(word, encode, message, encoding=encoding)


def test_text_is_checked_on_its_way_out() -> None:
    """A result too long or not encodable is the sender's error."""
    base = replace(a_run(), state="Succeeded")
    for word, run in (
        ("too_long", replace(base, result="x" * 257)),
        ("bad_text", replace(base, result="\udc80")),
    ):
        assert refused(word, codec.encode_inventory, (run,)).reject == word


def test_one_label_twice_is_refused_on_its_way_out() -> None:
    """Pairs become a map, and a map has a name once."""
    hello = decode(Hello, _hello())
    twice = replace(hello, labels=(("zone", "a"), ("zone", "b")))
    refused("duplicate_key", encode, twice)


def _hello() -> bytes:
    return encode(
        Hello(
            id="gw-01",
            inst=INST,
            boot=1,
            arch="x86_64",
            os="linux",
            runtime="wasmtime",
            runtime_version="30",
            agent="0",
            memory=1,
            storage=1,
            tasks=1,
            max_module=1,
            max_payload=1,
            min_run_interval=0,
            heartbeat=1,
            imports=(),
            components=False,
            mounts=(),
            encodings=(),
            algs=(),
            fetch=(),
            labels=(("b", "2"), ("a", "1")),
            key="ed25519:",
        )
    )


def test_order_is_kept_where_people_chose_it() -> None:
    """Labels, environment and arguments come back in the order they were written in."""
    assert decode(Hello, _hello()).labels == (("b", "2"), ("a", "1"))
    entry = replace(an_entry(), env=(("B", "2"), ("A", "1")))
    assert codec.decode_tasks(codec.encode_tasks([entry]))[0].env == (("B", "2"), ("A", "1"))


def test_defaults_are_not_sent() -> None:
    """A heartbeat is small: no field says what its absence says."""
    heartbeat = Report(
        id="gw-01", inst=INST, boot=1, seq=1, conn=1, observed=Observed(), inventory=DIGEST
    )
    assert b"tasks" not in encode(heartbeat)
    assert b"clock" not in encode(heartbeat)
    assert len(encode(heartbeat, encoding="cbor")) < 80


def test_an_empty_list_is_not_an_absent_one() -> None:
    """`tasks: []` removes everything, or says that nothing is held; absence is a heartbeat."""
    empty = Report(
        id="a", inst=INST, boot=1, seq=1, conn=1, observed=Observed(), inventory=DIGEST, tasks=()
    )
    for encoding in ("json", "cbor"):
        assert decode(Report, encode(empty, encoding=encoding)).tasks == ()
        heartbeat = replace(empty, tasks=None)
        assert decode(Report, encode(heartbeat, encoding=encoding)).tasks is None


def test_digests_do_not_depend_on_the_order_of_the_list() -> None:
    """An inventory is a set: two devices that list the same runs name them the same."""
    runs = [a_run(n) for n in range(5)]
    assert codec.inventory_digest(runs) == codec.inventory_digest(reversed(runs))
    entries = [an_entry(n) for n in range(5)]
    assert codec.tasks_digest(entries) == codec.tasks_digest(reversed(entries))
    assert codec.tasks_digest(entries) != codec.tasks_digest(entries[:4])


def test_an_entry_digest_covers_everything_but_itself() -> None:
    """Any change of what is run changes the digest; its own field and how it takes over do not."""
    entry = an_entry()
    for same in (
        replace(entry, digest="sha256:" + "00" * 32),
        replace(entry, update="HandOver"),
    ):
        assert codec.entry_digest(entry) == codec.entry_digest(same)
    for changed in (
        replace(entry, args=("1",)),
        replace(entry, memory=1),
        replace(entry, module=WireModule(digest=DIGEST, size=2)),
    ):
        assert codec.entry_digest(changed) != codec.entry_digest(entry)


def test_numbers_of_fields_are_never_moved() -> None:
    """The CBOR keys as released, by message: changing one breaks every device in the field."""
    numbers = {
        cls.__name__: {field.number: field.name for field in shape.fields}
        for cls, shape in BODIES.items()
    }
    assert all(one[0] == "v" for one in numbers.values())
    assert numbers["Status"] == {0: "v", 1: "id", 2: "state", 3: "inst", 4: "boot", 5: "conn"}
    assert numbers["Trust"] == {0: "v", 1: "version", 2: "keys"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bad_enum", BlobChunk(digest=DIGEST, off=0, total=0, req=0, error="lazy")),
        (
            "conflicting_fields",
            BlobChunk(digest=DIGEST, off=0, total=1, req=0, data=b"x", error="busy"),
        ),
        ("integer_range", BlobChunk(digest=DIGEST, off=0, total=0, req=1 << 32)),
        ("integer_range", BlobChunk(digest=DIGEST, off=1, total=1, req=0, data=b"x")),
        ("integer_range", BlobChunk(digest=DIGEST, off=-1, total=1, req=0)),
        (
            "too_long",
            BlobChunk(digest=DIGEST, off=0, total=1 << 30, req=0, data=bytes((1 << 20) + 1)),
        ),
        ("bad_id", BlobChunk(digest="sha256:AD", off=0, total=0, req=0)),
        ("bad_id", BlobPut(id="a/b", inst=INST, digest=DIGEST, off=0, total=0)),
        ("bad_id", BlobPut(id="a", inst="xyz", digest=DIGEST, off=0, total=0)),
    ],
)
def test_blob_bodies_are_checked_on_their_way_out(word: str, message: BlobChunk | BlobPut) -> None:
    """As with the others: nothing leaves that would be refused."""
    refused(word, encode, message)


def test_a_message_of_another_class_inside_is_refused() -> None:
    """A wrong object in a field is named, not half written."""
    report = Report(
        id="a",
        inst=INST,
        boot=1,
        seq=1,
        conn=1,
        observed=cast(Any, Trust(version=1)),
        inventory=DIGEST,
    )
    assert "Report.observed: wanted Observed" in str(refused("wrong_type", encode, report))
