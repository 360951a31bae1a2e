"""Status files: written when they differ, whole or not at all, and no more of them than objects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from propeller.errors import Unavailable
from propeller.model.ids import Key
from propeller.reconcile.statusfiles import StatusFiles, render

A = Key("Task", "default", "a")
B = Key("Daemon", "plant", "b")


def test_one_is_written_and_only_when_it_differs(tmp_path: Path) -> None:
    """Unchanged text does not touch the file."""
    files = StatusFiles(tmp_path)
    assert files.write(A, {"status": {"ready": 1}})
    path = tmp_path / "default" / "Task" / "a.yaml"
    assert path.read_text() == "status:\n  ready: 1\n"
    before = path.stat()
    assert not files.write(A, {"status": {"ready": 1}})
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert files.write(A, {"status": {"ready": 2}})
    assert path.stat().st_ino != before.st_ino, "a reader of the old one keeps the old one"


def test_a_crash_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never half a file, and the next start removes what was left beside it."""
    files = StatusFiles(tmp_path)
    files.write(A, {"n": 1})

    def dies(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            files.write(A, {"n": 2})
    folder = tmp_path / "default" / "Task"
    assert (folder / "a.yaml").read_text() == "n: 1\n"
    assert len(list(folder.iterdir())) == 2
    StatusFiles(tmp_path).sweep([A])
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    """Said in words; the caller tries again later."""
    (tmp_path / "default").write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="stale"):
        StatusFiles(tmp_path).write(A, {"n": 1})


def test_removing_the_last_one_removes_its_folders(tmp_path: Path) -> None:
    """No empty kinds and namespaces are left; others stay."""
    files = StatusFiles(tmp_path)
    files.write(A, {})
    files.write(B, {})
    files.remove(A)
    files.remove(A)
    assert [path.name for path in tmp_path.iterdir()] == ["plant"]
    assert files.path(B).exists()


def test_a_sweep_leaves_only_what_is_in_the_inventory(tmp_path: Path) -> None:
    """After a lost store files of unknown objects would lie."""
    files = StatusFiles(tmp_path)
    files.write(A, {})
    files.write(B, {})
    files.sweep([B])
    assert not files.path(A).exists()
    assert not files.path(A).parent.exists()
    assert files.path(B).exists()


def test_every_change_is_told(tmp_path: Path) -> None:
    """Whoever copies the files elsewhere hears of each, and of nothing that stayed the same."""
    told: list[tuple[str, bytes | None]] = []
    files = StatusFiles(tmp_path, lambda path, text: told.append((path, text)))
    files.write(A, {"n": 1})
    files.write(A, {"n": 1})
    files.remove(A)
    assert told == [("default/Task/a.yaml", b"n: 1\n"), ("default/Task/a.yaml", None)]


def test_an_old_or_missing_file_is_not_had(tmp_path: Path) -> None:
    """A crash may have come between the row and its file; anyone may have removed it."""
    files = StatusFiles(tmp_path)
    assert not files.has(A, since=0)
    files.write(A, {"n": 1})
    os.utime(files.path(A), ns=(5_000_000_000, 5_000_000_000))
    assert files.has(A, since=5_000)
    assert not files.has(A, since=5_001)


def test_equal_content_is_equal_text() -> None:
    """Order as given, no line breaks in long text, nothing that depends on the machine."""
    document = {"b": "x" * 500, "a": ["é", None, True]}
    assert render(document) == render(dict(document))
    assert render(document) == f"b: {'x' * 500}\na:\n- é\n- null\n- true\n"
