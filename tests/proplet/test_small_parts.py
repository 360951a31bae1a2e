"""The small parts beneath the agent: values, captured output, log reading, blobs, the store."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proplet_agent_world import MODULE, a_task

from propeller.errors import Conflict, DigestMismatch, Unavailable
from propeller.wire.messages import BlobRef, Observed
from proplet.blobs import CACHED, Blobs
from proplet.effects import (
    DropUpload,
    SaveDesired,
    SaveReleases,
    SaveRun,
    SaveTrust,
    SaveUpload,
    TailLog,
)
from proplet.live import Live, fresh
from proplet.logs import LogReads
from proplet.records import RunRecord, State, Stored
from proplet.runtime import capture
from proplet.runtime.values import read_args, shortest_f32, write_results
from proplet.store import Store
from proplet.words import milliseconds, read_milliseconds, read_size, size


class TestValues:
    """Text to Wasm values and back."""

    @given(st.integers(-(2**63), 2**64 - 1))
    def test_integers_wrap_like_wasm(self, number: int) -> None:
        """Signed and unsigned spellings of one pattern are one value."""
        (value,) = read_args(["i64"], [str(number)])
        assert isinstance(value, int)
        assert value % 2**64 == number % 2**64
        assert read_args(["i64"], [write_results(["i64"], [value])]) == [value]

    @given(st.floats(width=32))
    def test_f32_round_trips_in_the_fewest_digits(self, number: float) -> None:
        """Reading the text gives the same 32 bits, and no shorter precision would."""
        text = shortest_f32(number)
        assert struct.pack("<f", float(text))[:0] == b""
        if number == number:
            assert struct.pack("<f", float(text)) == struct.pack("<f", number)
        assert len(text) <= len(repr(number))

    @given(st.floats())
    def test_f64_round_trips(self, number: float) -> None:
        """What is written reads back the same."""
        (back,) = read_args(["f64"], [write_results(["f64"], [number])])
        assert struct.pack("<d", back) == struct.pack("<d", number) or number != number

    @pytest.mark.parametrize(
        ("text", "value"), [("0x10", 16), ("-1", -1), ("4294967295", -1), ("+7", 7), ("007", 7)]
    )
    def test_spellings(self, text: str, value: int) -> None:
        """Decimal and hexadecimal, signed and unsigned."""
        assert read_args(["i32"], [text]) == [value]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [("i32", "1.5"), ("i32", ""), ("i32", "2147483648000"), ("f32", "1e60"), ("f64", "x")],
    )
    def test_nonsense_is_refused_in_words(self, kind: str, text: str) -> None:
        """With the number of the argument."""
        with pytest.raises(ValueError, match="argument 1"):
            read_args([kind], [text])

    def test_reference_types_cannot_be_written(self) -> None:
        """An externref has no text."""
        with pytest.raises(ValueError, match="externref"):
            read_args(["externref"], ["1"])


class TestWords:
    """Sizes and durations."""

    @given(st.integers(0, 10**11))
    def test_durations_and_sizes_read_back(self, value: int) -> None:
        """Whatever unit was chosen."""
        assert read_milliseconds(milliseconds(value)) == value
        assert read_size(size(value).removesuffix(" bytes")) == value

    @pytest.mark.parametrize("text", ["", "-1s", "1 week", "1.5s", "s"])
    def test_bad_durations(self, text: str) -> None:
        """Are refused with an example."""
        with pytest.raises(ValueError, match="such as"):
            read_milliseconds(text)


class TestCapture:
    """Bounded output on disk."""

    @given(
        pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=30), limit=st.integers(2, 64)
    )
    def test_a_ring_keeps_the_newest_bytes(
        self, tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
    ) -> None:
        """At most the limit on disk, at least half of it, and always the end of the stream."""
        directory = tmp_path_factory.mktemp("ring")
        ring = capture.Capture(directory, "stderr", limit=limit, ring=True)
        for piece in pieces:
            assert ring.write(piece)
        ring.close()
        everything = b"".join(pieces)
        begin, kept = capture.read(directory, "stderr", 0, 1 << 20)
        assert everything[begin:] == kept
        assert len(kept) <= 2 * max(1, limit // 2)
        assert len(kept) >= min(len(everything), max(1, limit // 2))
        assert capture.end_of(directory, "stderr") == len(everything)

    def test_the_first_bytes_and_no_more(self, tmp_path: Path) -> None:
        """Without a ring the rest is cut, and that is told."""
        first = capture.Capture(tmp_path, "stdout", limit=5, ring=False)
        assert first.write(b"abc")
        assert not first.write(b"defg")
        first.close()
        assert capture.read(tmp_path, "stdout", 0, 100) == (0, b"abcde")

    def test_a_ring_goes_on_after_a_restart(self, tmp_path: Path) -> None:
        """Offsets count from the first incarnation of a daemon."""
        for text in (b"one", b"two"):
            ring = capture.Capture(tmp_path, "stdout", limit=100, ring=True)
            ring.write(text)
            ring.close()
        assert capture.read(tmp_path, "stdout", 3, 100) == (3, b"two")


class TestLogs:
    """Reading for `op logs`."""

    KEY = ("u", "r")

    def written(self, directory: Path, data: bytes, limit: int = 1 << 20) -> None:
        ring = capture.Capture(directory, "stdout", limit=limit, ring=True)
        ring.write(data)
        ring.close()

    def test_the_tail_of_an_ended_run(self, tmp_path: Path) -> None:
        """The last bytes asked for, then the last piece."""
        self.written(tmp_path, b"0123456789")
        reads = LogReads(lambda _: False)
        reads.begin(TailLog("op", self.KEY, "both", 4, 0), tmp_path, 0)
        told = reads.poll(0)
        assert [(piece.text, piece.last) for piece in told] == [("6789", False), ("", True)]
        assert reads.due() is None

    def test_it_follows_until_its_time_is_up(self, tmp_path: Path) -> None:
        """New bytes come as they are written, also what a ring dropped is counted."""
        self.written(tmp_path, b"a")
        reads = LogReads(lambda _: True)
        reads.begin(TailLog("op", self.KEY, "stdout", 100, 1000), tmp_path, 0)
        assert [piece.text for piece in reads.poll(0)] == ["a"]
        self.written(tmp_path, b"b" * 300, limit=100)
        (piece,) = reads.poll(500)
        assert set(piece.text) == {"b"}
        assert piece.dropped + len(piece.text) == 300
        assert reads.poll(1000)[-1].last

    def test_characters_are_never_cut(self, tmp_path: Path) -> None:
        """Pieces are whole UTF-8 of at most 4 KiB."""
        text = "ä€😀" * 3000
        self.written(tmp_path, text.encode())
        reads = LogReads(lambda _: False)
        reads.begin(TailLog("op", self.KEY, "stdout", 1 << 20, 0), tmp_path, 0)
        pieces = []
        while reads.due() is not None:
            pieces += reads.poll(0)
        assert "".join(piece.text for piece in pieces) == text
        assert all(len(piece.text.encode()) <= 4096 for piece in pieces)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class TestBlobs:
    """Modules and results on disk."""

    def test_pieces_become_a_blob_and_survive_a_reboot_half_way(self, tmp_path: Path) -> None:
        """The hash of what was there is made up for."""
        data = bytes(range(256)) * 100
        assert not Blobs(tmp_path, quota=1 << 20).write(digest(data), 0, len(data), data[:1000])
        again = Blobs(tmp_path, quota=1 << 20)
        assert again.have(digest(data)) == 1000
        assert again.write(digest(data), 1000, len(data), data[1000:])
        assert again.read(digest(data)) == data
        assert again.have(digest(data)) == 0

    def test_wrong_bytes_are_dropped(self, tmp_path: Path) -> None:
        """Verified whole before it has a name."""
        blobs = Blobs(tmp_path, quota=1 << 20)
        with pytest.raises(DigestMismatch):
            blobs.write(MODULE, 0, 3, b"abc")
        assert not blobs.has(MODULE)
        assert blobs.have(MODULE) == 0

    def test_a_piece_at_the_wrong_place_is_not_written(self, tmp_path: Path) -> None:
        """What is on disk stays as it is."""
        blobs = Blobs(tmp_path, quota=1 << 20)
        blobs.write(MODULE, 0, 10, b"abc")
        with pytest.raises(Unavailable):
            blobs.write(MODULE, 5, 10, b"abc")
        assert blobs.have(MODULE) == 3

    def test_the_quota_evicts_what_nobody_uses(self, tmp_path: Path) -> None:
        """Oldest first, never what is spared; then it is full."""
        blobs = Blobs(tmp_path, quota=250)
        used = blobs.keep(b"u" * 100)
        stale = blobs.keep(b"s" * 100)
        blobs.spare(frozenset({used.digest}))
        blobs.room_for(100)
        assert (blobs.has(used.digest), blobs.has(stale.digest)) == (True, False)
        with pytest.raises(Unavailable, match="storage is full"):
            blobs.room_for(200)

    def test_a_freed_result_is_gone_unless_it_is_used(self, tmp_path: Path) -> None:
        """The same bytes may be a module of a task."""
        blobs = Blobs(tmp_path, quota=1000)
        one, two = blobs.keep(b"1"), blobs.keep(b"2")
        blobs.spare(frozenset({two.digest}))
        blobs.free(one.digest)
        blobs.free(two.digest)
        assert (blobs.has(one.digest), blobs.has(two.digest)) == (False, True)

    def test_of_what_nobody_uses_only_the_newest_stay(self, tmp_path: Path) -> None:
        """A thousand rounds do not leave a thousand models, also not across a restart."""
        blobs = Blobs(tmp_path, quota=1 << 20)
        kept = [blobs.keep(bytes([number])) for number in range(CACHED + 5)]
        blobs.spare(frozenset({kept[0].digest}))
        left = [blob.digest for blob in kept if blobs.has(blob.digest)]
        assert left == [kept[0].digest, *(blob.digest for blob in kept[-CACHED:])]
        again = Blobs(tmp_path, quota=1 << 20)
        assert set(again.digests()) == set(left)
        assert again.used() == blobs.used() == len(left)

    def test_a_direct_pull_is_verified_like_everything(self, tmp_path: Path) -> None:
        """Wrong bytes of a registry never get the name."""
        blobs = Blobs(tmp_path, quota=1000)
        blobs.pulled(digest(b"good")).write_bytes(b"good")
        blobs.adopt(digest(b"good"))
        assert blobs.has(digest(b"good"))
        blobs.pulled(MODULE).write_bytes(b"bad")
        with pytest.raises(DigestMismatch):
            blobs.adopt(MODULE)
        assert not blobs.has(MODULE)


class TestStore:
    """What survives."""

    def open(self, directory: Path, inst: str = "a" * 32) -> Store:
        return Store(directory, new_inst=lambda: inst)

    def test_inst_stays_and_boot_counts(self, tmp_path: Path) -> None:
        """One formatting, many boots."""
        first = self.open(tmp_path)
        first.close()
        second = self.open(tmp_path, "b" * 32)
        assert (second.inst, second.boot) == ("a" * 32, 2)
        second.close()

    def test_everything_comes_back(self, tmp_path: Path) -> None:
        """Document and its signer, runs in order of birth, trust, release list, uploads."""
        store = self.open(tmp_path)
        assert store.load() == Stored()
        entries = (a_task(1), a_task(2, stdin="x", env=(("A", "b"),)))
        observed = Observed(fence=3, gen=4, digest=MODULE)
        blob = BlobRef(digest=MODULE, size=7)
        records = tuple(
            RunRecord(
                uid=a_task(n).uid,
                run=a_task(n).run,
                digest=MODULE,
                cause="once",
                mode="once",
                state=State.SUCCEEDED,
                result_blob=blob,
                starts=1,
            )
            for n in (9, 1)
        )
        store.save(
            [
                SaveDesired(observed, 5, entries, "kid"),
                SaveTrust(b"frame"),
                SaveReleases(b"list", (MODULE,)),
                SaveUpload(blob),
            ]
        )
        store.save([SaveRun(record) for record in records])
        store.close()
        store = self.open(tmp_path)
        assert store.load() == Stored(
            observed=observed,
            iat=5,
            entries=entries,
            runs=records,
            trust=b"frame",
            signer="kid",
            releases=b"list",
            held=(MODULE,),
            uploads=(blob,),
        )
        store.save([DropUpload(MODULE)])
        assert store.load().uploads == ()
        store.close()

    def test_two_agents_cannot_share_a_directory(self, tmp_path: Path) -> None:
        """The second is told so."""
        store = self.open(tmp_path)
        with pytest.raises(Conflict, match="another proplet"):
            self.open(tmp_path)
        store.close()

    def test_a_file_that_is_no_store_is_said(self, tmp_path: Path) -> None:
        """In words, not as a trace."""
        (tmp_path / "agent.db").write_bytes(b"rubbish" * 1000)
        with pytest.raises(Unavailable, match=r"agent\.db"):
            self.open(tmp_path)

    def test_the_device_key_is_made_once(self, tmp_path: Path) -> None:
        """And only we can read it."""
        store = self.open(tmp_path)
        key = store.key(None)
        assert store.key(None).public == key.public
        assert (tmp_path / "device.pem").stat().st_mode & 0o077 == 0
        with pytest.raises(Unavailable, match="no such key"):
            store.key(tmp_path / "elsewhere.pem")
        store.close()


def test_a_move_outside_the_table_is_a_bug() -> None:
    """The table of phases is the whole truth."""
    from proplet.live import Phase

    live: Live = fresh(a_task())
    with pytest.raises(AssertionError):
        live.go(Phase.STOPPING)
