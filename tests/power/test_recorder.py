"""The recorder and its replay themselves: what is seen, and what a power cut takes away."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ALL_CALLS = """
import os, shutil, threading
root, marks = os.environ["POWER_ROOT"], os.environ["POWER_MARKS"]
os.chdir(root)
m = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def sync(path):
    f = os.open(path, os.O_RDONLY); os.fsync(f); os.close(f)
os.mkdir("d")
f = os.open("d/a", os.O_RDWR | os.O_CREAT, 0o600)
os.write(f, b"one"); os.write(f, b"two"); os.pwrite(f, b"X", 1)
os.writev(f, [b"th", b"ree"]); os.pwritev(f, [b"Y", b"Z"], 4)
os.fsync(f); os.write(m, b"synced")
os.ftruncate(f, 2)
g = os.open("d/a", os.O_WRONLY | os.O_APPEND); os.write(g, b"end"); os.close(g)
os.posix_fallocate(f, 0, 8); os.close(f)
open("d/a2", "wb").write(b"python")
shutil.copyfile("d/a2", "copy")
os.rename("d/a2", "d/b"); os.link("d/b", "d/c"); os.unlink("d/b")
with open("d/../d/c", "r+b") as h: h.write(b"P")
os.truncate("copy", 3); os.rename("d", "e"); os.mkdir("x"); os.rmdir("x")
os.symlink(root, marks + ".link")
with open(marks + ".link/through", "wb") as h: h.write(b"link"); h.flush(); os.fdatasync(h.fileno())
def number(n): open(f"t{n}", "wb").write(b"%d" % n)
threads = [threading.Thread(target=number, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
if os.fork() == 0:
    open("child", "wb").write(b"child"); os._exit(0)
os.wait()
sync("e"); sync(".")
gone = os.open("gone", os.O_RDWR | os.O_CREAT); os.unlink("gone"); os.write(gone, b"nobody sees")
"""


def tree_of(root: Path) -> dict[str, bytes | None]:
    """Everything below `root`: bytes of files, None for directories."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }


def test_all_that_is_kept_is_what_the_program_saw(
    tmp_path: Path, power_recorder: Any, replay: ModuleType
) -> None:
    """The log played to its end, everything kept, is the directory byte for byte."""
    recording = power_recorder.run([sys.executable, "-c", ALL_CALLS], root=tmp_path / "r")
    last = recording.at(guess="kept")
    assert last.marks == ("synced",)
    assert last.tree == tree_of(tmp_path / "r")
    last.materialise(tmp_path / "again")
    assert tree_of(tmp_path / "again") == last.tree
    assert str(last).startswith("power cut after operation")


def test_what_was_not_synced_is_dropped(
    tmp_path: Path, power_recorder: Any, replay: ModuleType
) -> None:
    """At the end only synced bytes under synced names remain."""
    recording = power_recorder.run([sys.executable, "-c", ALL_CALLS], root=tmp_path / "r")
    assert recording.at(1, guess="dropped").tree == {}
    tree = recording.at(guess="dropped").tree
    assert tree["e/a"] == b"oXetYZthree"
    assert tree["e/c"] == b""
    assert tree["through"] == b"link"
    assert tree["child"] == b""


def op(replay: ModuleType, kind: str, path: str, **more: Any) -> Any:
    """A record written by hand."""
    given = {"other": "", "offset": 0, "data": b"", **more}
    return replay.Op(kind=replay.Kind[kind], path=path, **given)


def after(replay: ModuleType, guess: str, *ops: Any) -> Any:
    """What is there after these operations."""
    return replay.Recording(ops).at(guess=guess).tree


def test_a_file_is_lost_with_the_name_nobody_synced(replay: ModuleType) -> None:
    """fsync of a file does not make its name durable; fsync of its directory does."""
    ops = [
        op(replay, "CREATE", "f"),
        op(replay, "WRITE", "f", data=b"x"),
        op(replay, "SYNC", "f"),
    ]
    assert after(replay, "dropped", *ops) == {}
    assert after(replay, "dropped", *ops, op(replay, "SYNC", "")) == {"f": b"x"}
    assert after(replay, "dropped", *ops[:2], op(replay, "SYNC", "")) == {"f": b""}


def test_a_replaced_file_is_the_old_one_until_the_directory_is_synced(replay: ModuleType) -> None:
    """The rename may be lost: then the old bytes are there, never a mixture."""
    ops = [
        op(replay, "CREATE", "f"),
        op(replay, "WRITE", "f", data=b"old"),
        op(replay, "SYNC", "f"),
        op(replay, "SYNC", ""),
        op(replay, "CREATE", "f.new"),
        op(replay, "WRITE", "f.new", data=b"new"),
        op(replay, "SYNC", "f.new"),
        op(replay, "RENAME", "f.new", other="f"),
    ]
    assert after(replay, "dropped", *ops) == {"f": b"old"}
    assert after(replay, "kept", *ops) == {"f": b"new"}
    assert after(replay, "dropped", *ops, op(replay, "SYNC", "")) == {"f": b"new"}


def test_what_hangs_in_the_air_is_lost(replay: ModuleType) -> None:
    """A synced directory inside one that was not is lost with it, and so are its files."""
    ops = [
        op(replay, "MKDIR", "a"),
        op(replay, "MKDIR", "a/b"),
        op(replay, "CREATE", "a/b/f"),
        op(replay, "SYNC", "a/b"),
        op(replay, "SYNC", "a"),
    ]
    assert after(replay, "dropped", *ops) == {}
    assert after(replay, "kept", *ops) == {"a": None, "a/b": None, "a/b/f": b""}


def test_a_move_between_directories_is_never_half(replay: ModuleType) -> None:
    """Syncing either directory makes the whole move durable, with what it rests on."""
    ops = [
        op(replay, "MKDIR", "a"),
        op(replay, "MKDIR", "b"),
        op(replay, "SYNC", ""),
        op(replay, "CREATE", "a/f"),
        op(replay, "RENAME", "a/f", other="b/g"),
    ]
    empty = {"a": None, "b": None}
    assert after(replay, "dropped", *ops) == empty
    for synced in ("a", "b"):
        assert after(replay, "dropped", *ops, op(replay, "SYNC", synced)) == {**empty, "b/g": b""}


def test_a_directory_keeps_its_synced_names_when_it_is_moved(replay: ModuleType) -> None:
    """Moving a directory moves what is in it; losing the move leaves it where it was, whole."""
    ops = [
        op(replay, "MKDIR", "a"),
        op(replay, "SYNC", ""),
        op(replay, "CREATE", "a/f"),
        op(replay, "RENAME", "a", other="b"),
        op(replay, "SYNC", "b"),
    ]
    assert after(replay, "dropped", *ops) == {"a": None, "a/f": b""}
    assert after(replay, "dropped", *ops, op(replay, "SYNC", "")) == {"b": None, "b/f": b""}


def test_scattered_writes_leave_pieces(replay: ModuleType) -> None:
    """Some 512-byte pieces of an unsynced write survive and others read as zeros."""
    ops = [
        op(replay, "CREATE", "f"),
        op(replay, "SYNC", ""),
        op(replay, "WRITE", "f", data=b"x" * 5120, offset=100),
    ]
    found = set()
    for crash in replay.Recording(tuple(ops)).crashes(scattered=50):
        data = crash.tree.get("f")
        if data is not None:
            found.add(len(data))
            assert set(data) <= {0, ord("x")}
    assert len(found) > 3
    assert {0, 5220} <= found


def test_nothing_outside_the_directory_is_recorded(tmp_path: Path, power_recorder: Any) -> None:
    """Only what lies below the root is of interest, a name that begins alike included."""
    code = (
        "import os; r = os.environ['POWER_ROOT']\n"
        "for n in (r + 'x', r + '/in'): open(n, 'wb').write(b'1')\n"
    )
    recording = power_recorder.run([sys.executable, "-c", code], root=tmp_path / "r")
    assert {each.path for each in recording.ops} == {"in"}
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["in"]
