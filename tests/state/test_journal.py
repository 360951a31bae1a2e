"""The journal: every entry or a clear word about which line is damaged."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from propeller.errors import Unavailable, WireError
from propeller.state.journal import NAME, FileJournal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal directory that does not exist yet."""
    return tmp_path / "journal"


def fill(folder: Path, count: int) -> None:
    """`count` entries, each a key of its own."""
    journal = FileJournal(folder)
    for number in range(count):
        journal.append("slot", {"uid": f"u{number}", "slot": number})
    journal.close()


def test_entries_come_back_in_order(folder: Path) -> None:
    """What was appended is read back by another one, with nested values and any text."""
    journal = FileJournal(folder)
    journal.append("hold", {"uid": "u1", "suspend": {"reason": "Größe\n", "by": "ann"}})
    journal.append("hold", {"uid": "u1", "suspend": None})
    journal.append("confirm", {"what": "bootstrap"})
    journal.close()
    assert list(FileJournal(folder).read()) == [
        ("hold", {"uid": "u1", "suspend": {"reason": "Größe\n", "by": "ann"}}),
        ("hold", {"uid": "u1", "suspend": None}),
        ("confirm", {"what": "bootstrap"}),
    ]


def test_no_journal_reads_as_an_empty_one(folder: Path) -> None:
    """Reading creates nothing."""
    assert list(FileJournal(folder).read()) == []
    assert not folder.exists()


def test_the_journal_is_private(folder: Path) -> None:
    """Reasons people gave are nobody else's business."""
    fill(folder, 1)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600


def test_a_later_process_goes_on_where_the_first_stopped(folder: Path) -> None:
    """Appending after reopening continues the count."""
    fill(folder, 2)
    journal = FileJournal(folder)
    journal.append("slot", {"uid": "u9", "slot": 9})
    journal.close()
    assert [entry["uid"] for _, entry in FileJournal(folder).read()] == ["u0", "u1", "u9"]


def test_every_torn_last_line_is_dropped_and_written_over(folder: Path) -> None:
    """Cut the file at every byte of its last line: the lines before it stand, appending goes on."""
    fill(folder, 3)
    path = folder / NAME
    whole = path.read_bytes()
    second_ends = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for cut in range(second_ends, len(whole)):
        path.write_bytes(whole[:cut])
        assert [entry["uid"] for _, entry in FileJournal(folder).read()] == ["u0", "u1"]
    journal = FileJournal(folder)
    journal.append("slot", {"uid": "u7", "slot": 7})
    journal.close()
    assert [entry["uid"] for _, entry in FileJournal(folder).read()] == ["u0", "u1", "u7"]


@pytest.mark.parametrize(
    "tail", [b"\0" * 500, b"\xff\xfe", b'{"entry":{}\n', b"{}\n", b"[" * 60_000]
)
def test_rubbish_at_the_end_is_dropped(folder: Path, tail: bytes) -> None:
    """A power cut may leave zeros or pieces where the last line was to be."""
    fill(folder, 1)
    with (folder / NAME).open("ab") as file:
        file.write(tail)
    assert len(list(FileJournal(folder).read())) == 1


def test_a_damaged_middle_names_its_line(folder: Path) -> None:
    """Whatever byte of a middle line changes, reading stops there instead of guessing."""
    fill(folder, 4)
    path = folder / NAME
    whole = bytearray(path.read_bytes())
    begin = whole.index(b"\n") + 1
    end = whole.index(b"\n", begin)
    for at in range(begin, end):
        damaged = bytearray(whole)
        damaged[at] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(WireError, match=f"{NAME}:2") as caught:
            list(FileJournal(folder).read())
        assert caught.value.reject == "journal_damaged"
        assert "suspend" in caught.value.hint


def test_a_missing_or_repeated_line_is_noticed(folder: Path) -> None:
    """Lines are numbered: taking one out or putting one twice is damage too."""
    fill(folder, 4)
    path = folder / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    for wrong in (lines[:1] + lines[2:], lines[:2] + lines[1:]):
        path.write_bytes(b"".join(wrong))
        with pytest.raises(WireError, match="is entry"):
            list(FileJournal(folder).read())


def test_nothing_is_appended_to_a_damaged_journal(folder: Path) -> None:
    """Going on after damage would bury it."""
    fill(folder, 3)
    path = folder / NAME
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    before = path.read_bytes()
    with pytest.raises(WireError):
        FileJournal(folder).append("slot", {"uid": "u", "slot": 1})
    assert path.read_bytes() == before


def test_superseded_entries_are_dropped_in_a_rewrite(folder: Path) -> None:
    """Past the threshold the file keeps the newest of each key, and what replaces nothing."""
    journal = FileJournal(folder, compact_from=20)
    journal.append("ledger", {"spent": 1})
    journal.append("hold", {"uid": "u1", "suspend": {"reason": "r"}})
    for slot in range(40):
        journal.append("slot", {"uid": "u1", "slot": slot})
    journal.append("ledger", {"spent": 1})
    journal.close()
    lines = (folder / NAME).read_bytes().splitlines()
    assert len(lines) < 25
    found = list(FileJournal(folder).read())
    assert [kind for kind, _ in found if kind == "ledger"] == ["ledger", "ledger"]
    assert ("hold", {"uid": "u1", "suspend": {"reason": "r"}}) in found
    assert found[-2:] == [("slot", {"uid": "u1", "slot": 39}), ("ledger", {"spent": 1})]


def test_of_a_federated_job_the_newest_round_is_enough(folder: Path) -> None:
    """Each entry says the whole job, so a thousand rounds do not make a file of a thousand."""
    journal = FileJournal(folder, compact_from=20)
    for number in range(100):
        for uid in ("u1", "u2"):
            journal.append("round", {"uid": uid, "job": f"{uid} after {number}", "record": {}})
    journal.close()
    found = list(FileJournal(folder).read())
    assert len(found) <= 21
    newest = {str(entry["uid"]): entry["job"] for kind, entry in found if kind == "round"}
    assert newest == {"u1": "u1 after 99", "u2": "u2 after 99"}


def test_many_live_entries_are_not_rewritten_each_time(folder: Path) -> None:
    """A rewrite that would free little is not worth its cost: the file stays the same file."""
    journal = FileJournal(folder, compact_from=10)
    journal.append("slot", {"uid": "first", "slot": 0})
    inode = (folder / NAME).stat().st_ino
    for number in range(30):
        journal.append("slot", {"uid": f"u{number}", "slot": number})
    journal.close()
    assert (folder / NAME).stat().st_ino == inode


def test_an_entry_that_could_not_be_written_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk full: the caller hears of it, nothing half stays, and the next one works."""
    journal = FileJournal(folder)
    journal.append("slot", {"uid": "u0", "slot": 0})

    def full(_handle: int, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Unavailable, match="No space left"):
            journal.append("slot", {"uid": "u1", "slot": 1})
    journal.append("slot", {"uid": "u2", "slot": 2})
    journal.close()
    assert [entry["uid"] for _, entry in FileJournal(folder).read()] == ["u0", "u2"]


def test_an_entry_beyond_the_line_limit_is_refused(folder: Path) -> None:
    """What could not be read back is not written."""
    journal = FileJournal(folder)
    with pytest.raises(ValueError, match="at most"):
        journal.append("confirm", {"what": "x" * 70_000})
    journal.append("confirm", {"what": "y"})
    journal.close()
    assert len(list(FileJournal(folder).read())) == 1
