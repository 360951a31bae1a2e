"""Blobs over the wire: what is served down, what is acknowledged up, and in which order."""

from __future__ import annotations

import os

import pytest

from propeller.model.ids import sha256_digest
from propeller.registry.blobs import BlobStore
from propeller.registry.pacing import Pacer
from propeller.registry.serve import answer, busy, receive, reopen, stored
from propeller.registry.spool import Spool
from propeller.wire.messages import BlobAck, BlobChunk, BlobGet, BlobPut

DATA = bytes(range(256)) * 10
DIGEST = sha256_digest(DATA)


def _get(off: int = 0, length: int = 1000, digest: str = DIGEST, req: int = 1) -> BlobGet:
    return BlobGet(id="p1", digest=digest, off=off, len=length, req=req)


def test_a_blob_is_served_piece_by_piece(blobs: BlobStore):
    """Asking on from where the last answer ended gives the whole blob and an empty end."""
    blobs.put(DATA)
    got = b""
    while True:
        chunk = answer(_get(len(got), 700), allowed={DIGEST}, blobs=blobs, max_chunk=500)
        assert (chunk.error, chunk.total, chunk.off) == ("", len(DATA), len(got))
        assert len(chunk.data) <= 500
        if not chunk.data:
            break
        got += chunk.data
    assert got == DATA


def test_a_device_gets_what_it_should_hold_and_nothing_else(blobs: BlobStore):
    """A blob of somebody else and one that does not exist look the same."""
    other = blobs.put(b"other")
    for digest in (other, sha256_digest(b"nowhere"), "../../secret"):
        chunk = answer(_get(digest=digest), allowed={DIGEST}, blobs=blobs, max_chunk=500)
        assert chunk == BlobChunk(digest=digest, off=0, total=0, req=1, error="not_yours")


def test_a_blob_not_here_yet_is_unknown(blobs: BlobStore):
    """The device may have heard of it before we fetched it."""
    chunk = answer(_get(), allowed=[DIGEST], blobs=blobs, max_chunk=500)
    assert chunk.error == "unknown_digest"


@pytest.mark.parametrize(("off", "length"), [(-1, 10), (len(DATA) + 1, 10), (0, 0), (0, -5)])
def test_what_is_out_of_range_is_said_with_the_total(blobs: BlobStore, off: int, length: int):
    """A confused device learns how long the blob is."""
    blobs.put(DATA)
    chunk = answer(_get(off, length), allowed={DIGEST}, blobs=blobs, max_chunk=500)
    assert (chunk.error, chunk.total, chunk.data) == ("out_of_range", len(DATA), b"")


def test_a_refused_offer_is_answered_busy():
    """The device then waits and asks again."""
    assert busy(_get(req=7)).error == "busy"
    assert busy(_get(req=7)).req == 7


# ---------------------------------------------------------------- uploads


@pytest.fixture
def spool(blobs: BlobStore) -> Spool:
    return Spool(blobs.directory.parent / "spool", blobs)


def _put(data: bytes, off: int = 0, *, of: bytes = DATA, proplet: str = "p1") -> BlobPut:
    return BlobPut(
        id=proplet, inst="i", digest=sha256_digest(of), off=off, total=len(of), data=data
    )


def _receive(put: BlobPut, spool: Spool, quota: int = 10_000, max_blob: int = 5_000) -> BlobAck:
    return receive(put, spool=spool, quota=quota, max_blob=max_blob, max_open=3)


def test_an_upload_is_stored_once_whole(spool: Spool):
    """Each piece is acknowledged by how much is held; the last one by `stored`."""
    first = _receive(_put(DATA[:1000]), spool)
    assert (first.have, first.state) == (1000, "open")
    last = _receive(_put(DATA[1000:], 1000), spool)
    assert (last.have, last.state) == (len(DATA), "stored")
    assert spool.blobs.read(DIGEST) == DATA
    assert stored(spool, "p1", DIGEST)


def test_an_upload_goes_on_after_a_restart(spool: Spool):
    """A new process re-acknowledges what is open; the device continues there."""
    _receive(_put(DATA[:1000]), spool)
    again = Spool(spool.directory, spool.blobs)
    assert reopen(again, "p1") == (BlobAck(id="p1", digest=DIGEST, have=1000, state="open"),)
    assert _receive(_put(DATA[1000:], 1000), again).state == "stored"
    assert reopen(again, "p1") == ()


def test_pieces_repeated_or_missing_change_nothing(spool: Spool):
    """QoS 1 repeats, brokers lose: the answer always says where to go on."""
    assert _receive(_put(DATA[500:600], 500), spool).have == 0
    assert _receive(_put(DATA[:600]), spool).have == 600
    assert _receive(_put(DATA[:600]), spool).have == 600
    assert _receive(_put(DATA[900:1000], 900), spool).have == 600
    assert _receive(_put(DATA[300:900], 300), spool).have == 900
    assert _receive(_put(DATA[900:], 900), spool).state == "stored"
    assert spool.blobs.read(DIGEST) == DATA


def test_an_empty_put_asks(spool: Spool):
    """Opening and asking are the same message; a stored one is said to be stored again."""
    assert (_receive(_put(b""), spool).have, _receive(_put(b""), spool).state) == (0, "open")
    _receive(_put(DATA), spool)
    assert _receive(_put(b""), spool).state == "stored"
    assert _receive(_put(b"", len(DATA)), spool).state == "stored"


def test_an_empty_blob_is_stored_at_once(spool: Spool):
    """Nothing is also something a task may print."""
    assert _receive(_put(b"", of=b""), spool).state == "stored"
    assert spool.blobs.has(sha256_digest(b""))


def test_bytes_that_are_not_what_they_should_be_start_again(spool: Spool):
    """A wrong digest at the end throws the part away."""
    wrong = b"!" + DATA[1:]
    refused = _receive(_put(wrong), spool)
    assert (refused.have, refused.state, refused.reason) == (0, "refused", "digest_mismatch")
    assert not spool.blobs.has(DIGEST)
    assert _receive(_put(DATA), spool).state == "stored"


def test_the_quota_counts_open_and_stored_uploads_of_one_device(spool: Spool):
    """One device's greed is its own trouble; what was collected no longer counts."""
    a, b = b"a" * 3000, b"b" * 3000
    assert _receive(_put(a, of=a), spool, quota=5000).state == "stored"
    refused = _receive(_put(b[:10], of=b), spool, quota=5000)
    assert (refused.state, refused.reason) == ("refused", "quota")
    assert _receive(_put(b, of=b, proplet="p2"), spool, quota=5000).state == "stored"
    spool.blobs.delete(sha256_digest(a))
    assert _receive(_put(b, of=b), spool, quota=5000).state == "stored"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"total": 5_001}, "too_large"),
        ({"total": -1}, "out_of_range"),
        ({"off": -1}, "out_of_range"),
        ({"total": len(DATA) - 1}, "out_of_range"),
        ({"digest": "sha256:xyz"}, "bad_digest"),
        ({"id": "../p1"}, "bad_id"),
    ],
)
def test_nonsense_is_refused_in_one_word(spool: Spool, change: dict[str, object], reason: str):
    """Nothing a device says raises, and nothing is written for it."""
    fields = {"id": "p1", "inst": "i", "digest": DIGEST, "off": 0, "total": len(DATA)}
    refused = _receive(BlobPut(**{**fields, "data": DATA, **change}), spool)
    assert (refused.state, refused.reason) == ("refused", reason)
    assert not spool.uploads()


def test_another_total_for_the_same_blob_is_refused(spool: Spool):
    """One of the two is wrong; what is held stays."""
    _receive(_put(DATA[:100]), spool)
    put = BlobPut(id="p1", inst="i", digest=DIGEST, off=100, total=200, data=DATA[100:200])
    assert _receive(put, spool).reason == "out_of_range"
    assert spool.have("p1", DIGEST) == 100


def test_too_many_open_uploads_are_refused(spool: Spool):
    """An upload more than the device may have open at once."""
    for each in (b"a" * 10, b"b" * 10, b"c" * 10):
        assert _receive(_put(each[:1], of=each), spool).state == "open"
    assert _receive(_put(b"d", of=b"d" * 10), spool).reason == "too_many"


def test_what_somebody_else_uploaded_is_not_given_away(spool: Spool):
    """Naming a digest that exists proves nothing: the bytes must come."""
    _receive(_put(DATA, proplet="p2"), spool)
    assert (_receive(_put(b""), spool).have, _receive(_put(b""), spool).state) == (0, "open")


def test_abandoned_parts_are_collected(spool: Spool):
    """Nobody added to it for a day."""
    _receive(_put(DATA[:10]), spool)
    (part,) = (spool.directory / "p1").iterdir()
    os.utime(part, (1000, 1000))
    assert spool.collect(now=2000, grace=3600) == 0
    assert spool.collect(now=5000, grace=3600) == 1
    assert spool.uploads() == ()


# ---------------------------------------------------------------- pacing


def _ask(pacer: Pacer, proplet: str, req: int, now: int = 0, off: int | None = None) -> bool:
    off = req * 10 if off is None else off
    return pacer.offer(BlobGet(id=proplet, digest=DIGEST, off=off, len=10, req=req), now)


def _turn(pacer: Pacer, now: int = 0) -> list[tuple[str, int]]:
    return [(get.id, get.req) for get in pacer.ready(now)]


def test_a_device_has_no_more_answers_in_flight_than_allowed():
    """Its next request shows that the one before the last has arrived."""
    pacer = Pacer(per_device=2, in_all=10, waiting=8)
    for req in range(1, 5):
        assert _ask(pacer, "p1", req)
    assert _turn(pacer) == [("p1", 1), ("p1", 2)]
    assert _turn(pacer) == []
    assert _ask(pacer, "p1", 5)
    assert _turn(pacer) == [("p1", 3), ("p1", 4)]


def test_devices_take_turns_when_tokens_are_short():
    """One that asks for much does not push the others aside."""
    pacer = Pacer(per_device=4, in_all=4)
    for req in range(1, 5):
        _ask(pacer, "greedy", req)
    _ask(pacer, "a", 1)
    _ask(pacer, "b", 1)
    assert _turn(pacer) == [("greedy", 1), ("a", 1), ("b", 1), ("greedy", 2)]


def test_tokens_end_by_themselves():
    """An answer that got lost does not block the device for ever."""
    pacer = Pacer(per_device=1, in_all=1, expires=1000)
    _ask(pacer, "a", 1)
    _ask(pacer, "b", 1)
    assert _turn(pacer, 0) == [("a", 1)]
    assert pacer.next_at() == 1000
    assert _turn(pacer, 999) == []
    assert _turn(pacer, 1000) == [("b", 1)]
    assert pacer.next_at() is None
    assert pacer.in_flight() == 1


def test_one_request_too_many_is_refused_and_a_repeat_is_not():
    """A repeat takes the place of the one that waits."""
    pacer = Pacer(per_device=1, in_all=1, waiting=2)
    assert _ask(pacer, "a", 1, off=0)
    assert _ask(pacer, "a", 2, off=10)
    assert not _ask(pacer, "a", 3, off=20)
    assert _ask(pacer, "a", 4, off=10)
    assert _turn(pacer) == [("a", 1)]


def test_a_device_that_left_is_forgotten():
    """Its tokens are free for others at once."""
    pacer = Pacer(per_device=1, in_all=1)
    _ask(pacer, "a", 1)
    _ask(pacer, "b", 1)
    assert _turn(pacer) == [("a", 1)]
    pacer.forget("a")
    assert _turn(pacer) == [("b", 1)]


def test_a_device_is_sent_no_more_than_its_rate() -> None:
    """10 bytes a second: an answer of 10 bytes takes a second, and others are not held up."""
    pacer = Pacer(per_device=2, in_all=10, rate={"slow": 10}.get)
    for proplet in ("slow", "fast"):
        for req in (1, 2, 3):
            assert _ask(pacer, proplet, req)
    assert sorted(_turn(pacer)) == [("fast", 1), ("fast", 2), ("slow", 1)]
    assert pacer.next_at() == 1000
    assert _turn(pacer, 999) == []
    assert sorted(_turn(pacer, 1000)) == [("fast", 3), ("slow", 2)]
    assert _turn(pacer, 1500) == []
    assert _turn(pacer, 2000) == [("slow", 3)]
    assert pacer.next_at() is None
