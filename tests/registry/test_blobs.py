"""The blob store: complete or not at all, by digest only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from propeller.errors import DigestMismatch, Unavailable, WireError
from propeller.model.ids import sha256_digest
from propeller.registry.blobs import BlobStore

DATA = b"forty-two" * 1000
DIGEST = sha256_digest(DATA)


def _in_pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _files(blobs: BlobStore) -> list[str]:
    root = blobs.directory
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_what_was_put_is_read_back(blobs: BlobStore):
    """Whole, in part, by size and by path."""
    assert blobs.put(DATA) == DIGEST
    assert blobs.has(DIGEST)
    assert len(DATA) == blobs.size(DIGEST)
    assert DATA[5:12] == blobs.read(DIGEST, 5, 7)
    assert blobs.path(DIGEST).read_bytes() == DATA
    with blobs.open(DIGEST) as stream:
        assert stream.read() == DATA


def test_the_same_bytes_twice_are_one_file(blobs: BlobStore):
    """Content addressed: putting again changes nothing."""
    blobs.put(DATA)
    blobs.put_stream(_in_pieces(DATA), DIGEST)
    assert _files(blobs) == [f"sha256/{DIGEST[7:9]}/{DIGEST[9:]}"]


def test_a_stream_is_kept_under_what_it_turned_out_to_be(blobs: BlobStore):
    """Without an expected digest the bytes name themselves."""
    assert blobs.put_stream(_in_pieces(DATA)) == DIGEST


@pytest.mark.parametrize(
    ("options", "reject"),
    [
        ({"expected": sha256_digest(b"other")}, "digest_mismatch"),
        ({"limit": len(DATA) - 1}, "too_large"),
        ({"size": len(DATA) - 1}, "wrong_size"),
        ({"size": len(DATA) + 1}, "wrong_size"),
        ({"size": 1 << 40}, "too_large"),
    ],
)
def test_a_stream_that_breaks_its_promise_leaves_nothing(
    blobs: BlobStore, options: dict[str, int], reject: str
):
    """Digest, limit and size are all checked, and no file stays behind."""
    with pytest.raises(WireError) as caught:
        blobs.put_stream(_in_pieces(DATA), **options)
    assert reject == caught.value.reject
    assert _files(blobs) == []


def test_an_endless_stream_is_left_at_the_limit(blobs: BlobStore):
    """No more is read than is allowed."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1000
            yield b"x" * 1000

    with pytest.raises(WireError, match="too_large"):
        blobs.put_stream(endless(), limit=10_000)
    assert taken == 11_000


def test_a_stream_that_fails_leaves_nothing(blobs: BlobStore):
    """The source's own error comes through."""

    def broken() -> Iterator[bytes]:
        yield b"some"
        raise Unavailable("gone")

    with pytest.raises(Unavailable, match="gone"):
        blobs.put_stream(broken())
    assert _files(blobs) == []


@pytest.mark.parametrize("name", ["", "sha256:../../etc", "sha256:" + "A" * 64, "md5:" + "0" * 64])
def test_only_digests_are_names(blobs: BlobStore, name: str):
    """Nothing outside of the store can be named."""
    with pytest.raises(WireError, match="bad_digest"):
        blobs.path(name)


def test_collect_spares_what_is_kept_and_what_is_young(blobs: BlobStore):
    """Only old blobs nobody refers to go, and the litter of crashes with them."""
    kept, young, old = (blobs.put(each) for each in (b"kept", b"young", b"old"))
    litter = blobs.directory / "tmp" / "new-left"
    litter.write_bytes(b"half")
    for path in (blobs.path(kept), blobs.path(old), litter):
        os.utime(path, (1000, 1000))
    os.utime(blobs.path(young), (5000, 5000))
    assert blobs.collect({kept}, now=5100, grace=3600) == (old,)
    assert {kept, young} == set(blobs.digests())
    assert not litter.exists()


def test_putting_again_makes_young(blobs: BlobStore):
    """Somebody who needs a blob that is already there gets the grace for it too."""
    digest = blobs.put(b"shared")
    os.utime(blobs.path(digest), (1000, 1000))
    blobs.put(b"shared")
    now = blobs.path(digest).stat().st_mtime
    assert blobs.collect(frozenset(), now=now, grace=60) == ()


def test_the_quota_holds_over_all_blobs(tmp_path: Path):
    """One blob too many is refused in words; after a deletion there is room again."""
    blobs = BlobStore(tmp_path, quota=1000)
    first = blobs.put(b"a" * 600)
    with pytest.raises(Unavailable, match="quota of 1000 bytes"):
        blobs.put(b"b" * 500)
    assert list(blobs.digests()) == [first]
    blobs.delete(first)
    assert blobs.has(blobs.put(b"b" * 500))


def test_the_quota_sees_what_another_process_deleted(tmp_path: Path):
    """The count is taken anew before anything is refused."""
    blobs, other = BlobStore(tmp_path, quota=1000), BlobStore(tmp_path)
    first = blobs.put(b"a" * 600)
    assert blobs.used() == 600
    other.delete(first)
    assert blobs.has(blobs.put(b"b" * 900))


def test_a_rotten_blob_is_found_and_removed(blobs: BlobStore):
    """`verify` believes the bytes, not the name."""
    digest = blobs.put(DATA)
    assert blobs.verify(digest)
    blobs.path(digest).write_bytes(DATA[:-1] + b"!")
    assert not blobs.verify(digest)
    assert not blobs.has(digest)
    assert not blobs.verify(digest)


def test_a_file_is_adopted_only_if_it_is_what_it_should_be(blobs: BlobStore, tmp_path: Path):
    """Renamed into the store when its bytes are right; left alone when they are not."""
    file = tmp_path / "upload"
    file.write_bytes(DATA)
    with pytest.raises(DigestMismatch):
        blobs.adopt(file, sha256_digest(b"other"))
    assert file.exists()
    blobs.adopt(file, DIGEST)
    assert not file.exists()
    assert blobs.read(DIGEST) == DATA


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path):
    """Trouble of the machine is said in words and may be tried again."""
    (tmp_path / "blobs").write_text("a file where the directory should be")
    with pytest.raises(Unavailable, match=str(tmp_path)):
        BlobStore(tmp_path / "blobs").put(b"x")
