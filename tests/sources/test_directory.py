"""A folder as a source: consistent, bounded, and followed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.sources import directory as module
from propeller.sources.documents import MAX_SPEC_BYTES
from propeller.sources.open import open_source


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "specs"
    folder.mkdir()
    return folder


def source(root, **more):
    return open_source(str(root), cache=root.parent / "cache", **more)


def write(path: Path, data: str | bytes = "x: 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def old(path: Path) -> None:
    """As if it had been written long ago."""
    os.utime(path, ns=(10**18, 10**18))


def test_the_files_are_those_that_may_be_specs_or_modules(root):
    """Others are not even looked at."""
    for name in ("a.yaml", "x/b.yml", "x/c.json", "m.wasm", "m.wat", "README.md", ".git/a.yaml"):
        write(root / name)
    tree = source(root).read()
    assert set(tree.files) == {
        "a.yaml",
        "x/b.yml",
        "x/c.json",
        "m.wasm",
        "m.wat",
        ".propellerignore",
    }
    assert tree.files["x/b.yml"] == b"x: 1\n"
    assert tree.problems == {}


def test_the_head_is_the_content(root):
    """Equal files give equal names, wherever they lie; any change gives another."""
    write(root / "a.yaml")
    write(root.parent / "copy" / "a.yaml")
    one, two = source(root), source(root.parent / "copy")
    before = one.head()
    assert before == two.head() == one.read().name
    assert before.startswith("dir@sha256:") and len(before) == 75
    write(root / "b.yaml")
    assert one.head() != before
    (root / "b.yaml").unlink()
    assert one.head() == before
    write(root / "a.yaml", "x: 2\n")
    assert one.head() != before


def test_a_changed_ignore_file_changes_the_head(root):
    """It decides what the specs are."""
    write(root / "a.yaml")
    write(root / "b.yaml")
    opened = source(root)
    before = opened.head()
    write(root / ".propellerignore", "b.yaml\n")
    assert opened.head() != before
    assert "b.yaml" not in opened.read().files


def test_the_same_size_within_one_tick_is_still_seen(root):
    """Young files are read again: their time of change may not have moved."""
    path = write(root / "a.yaml", "x: 1\n")
    opened = source(root)
    before = opened.head()
    times = path.stat().st_mtime_ns
    path.write_bytes(b"x: 2\n")
    os.utime(path, ns=(times, times))
    assert opened.head() != before


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("../outside.yaml", "is a symlink that leaves the spec tree"),
        ("/etc/hostname", "is a symlink that leaves the spec tree"),
        ("nothing.yaml", "is a symlink to nothing"),
    ],
)
def test_a_symlink_that_leads_nowhere_good_is_a_problem(root, link, problem):
    """It is named, never followed."""
    write(root.parent / "outside.yaml", "secret: 1\n")
    (root / "a.yaml").symlink_to(link)
    tree = source(root).read()
    assert tree.problems == {"a.yaml": problem}
    assert "a.yaml" not in tree.files


def test_a_folder_of_links_is_read(root):
    """As volumes of ConfigMaps are made: links inside the tree are followed."""
    write(root / "..2026" / "a.yaml")
    (root / "..data").symlink_to("..2026")
    (root / "a.yaml").symlink_to("..data/a.yaml")
    tree = source(root).read()
    assert tree.files["a.yaml"] == b"x: 1\n"
    assert tree.problems == {}


def test_a_link_to_a_folder_is_not_walked(root):
    """So that a circle ends and nothing is read twice."""
    write(root / "x" / "a.yaml")
    (root / "x" / "again").symlink_to("..")
    (root / "y.yaml").symlink_to("x")
    assert set(source(root).read().ids) == {"x/a.yaml"}


def test_a_large_file_is_refused_unread(root):
    """Fifty megabytes, of which not one is read."""
    with (root / "a.yaml").open("wb") as file:
        file.truncate(50 << 20)
    tree = source(root).read()
    assert tree.problems == {
        "a.yaml": f"a spec file must be at most {MAX_SPEC_BYTES} bytes, this one has {50 << 20}; "
        "split it"
    }


def test_a_pipe_does_not_hold_the_reader(root):
    """What is not a regular file is a problem, not a wait."""
    os.mkfifo(root / "a.yaml")
    assert source(root).read().problems == {"a.yaml": "is not a regular file"}


def test_a_name_that_is_not_utf_8_is_a_problem(root):
    """No status file could hold it."""
    (root / os.fsdecode(b"caf\xe9.yaml")).write_text("x: 1\n")
    assert source(root).read().problems == {"caf\\xe9.yaml": "its name is not UTF-8"}


def test_the_state_directory_is_never_part_of_the_specs(root):
    """Named by the caller, or known by the database in it."""
    write(root / "state" / "status" / "a.yaml")
    write(root / "other" / "status" / "a.yaml")
    write(root / "other" / "propeller.db")
    assert set(source(root, exclude=[root / "state"]).read().ids) == set()


def test_one_file_is_a_source_too(root):
    """With the folder around it for its modules."""
    write(root / "a.yaml")
    write(root / "b.yaml")
    write(root / "m.wat")
    tree = source(root / "a.yaml").read()
    assert tree.only == "a.yaml"
    assert "m.wat" in tree.files


def test_unchanged_files_are_not_read_again(root, monkeypatch):
    """Once their times are old enough to be trusted."""
    for name in ("a.yaml", "b.yaml"):
        write(root / name)
    read = []
    original = module._digest_file

    def counting(real, signature):
        read.append(Path(real).name)
        return original(real, signature)

    monkeypatch.setattr(module, "_digest_file", counting)
    monkeypatch.setattr(module, "_SETTLED_NS", -1)
    opened = source(root)
    before = opened.read()
    assert opened.read() is before
    assert read == ["a.yaml", "b.yaml"]
    write(root / "b.yaml", "x: 22\n")
    assert opened.read() is not before
    assert read == ["a.yaml", "b.yaml", "b.yaml"]


def test_a_file_changed_under_the_reader_is_read_again(root, monkeypatch):
    """A snapshot holds all of before or all of after."""
    write(root / "a.yaml", "v: 1\n")
    write(root / "b.yaml", "v: 1\n")
    original, moved = module._digest_file, []

    def meddling(real, signature):
        if real.endswith("b.yaml") and not moved:
            moved.append(1)
            write(root / "a.yaml", "v: 22\n")
            write(root / "b.yaml", "v: 22\n")
        return original(real, signature)

    monkeypatch.setattr(module, "_digest_file", meddling)
    tree = source(root).read()
    assert (tree.files["a.yaml"], tree.files["b.yaml"]) == (b"v: 22\n", b"v: 22\n")


def test_a_folder_that_never_rests_is_unavailable(root, monkeypatch):
    """It is tried again later; the last revision stands."""
    path = write(root / "a.yaml", "0")
    original = module._digest_file

    def restless(real, signature):
        path.write_text(path.read_text() + "0")
        return original(real, signature)

    monkeypatch.setattr(module, "_digest_file", restless)
    with pytest.raises(Unavailable, match="keeps changing while it is read"):
        source(root).read()


def test_a_module_changed_after_the_snapshot_is_not_mixed_in(root):
    """Its bytes are read late, and must be those the snapshot saw."""
    write(root / "m.wat", "(module)")
    tree = source(root).read()
    write(root / "m.wat", "(module) ")
    with pytest.raises(Unavailable, match=r"m\.wat: changed since the specs were read"):
        tree.files["m.wat"]
    (root / "m.wat").unlink()
    with pytest.raises(Unavailable, match=r"m\.wat: gone since the specs were read"):
        tree.files["m.wat"]


def test_a_folder_that_is_not_there_is_a_wrong_command(root):
    """At the start; once it was there it may be unmounted and come back."""
    with pytest.raises(UsageError, match="no such file or folder"):
        source(root / "nosuch")
    opened = source(root)
    root.rmdir()
    with pytest.raises(Unavailable, match="no such folder"):
        opened.head()


def test_a_folder_has_no_ref(root):
    """Asking for one means a repository was meant."""
    with pytest.raises(UsageError, match="add --git"):
        source(root, ref="main")


class Watching:
    """A watch in a thread, and what it said."""

    def __init__(self, opened):
        self.said = threading.Semaphore(0)
        self.stop = threading.Event()
        self.thread = threading.Thread(
            target=opened.watch, args=(self.said.release, self.stop), daemon=True
        )

        look, self.looked = opened._state, threading.Event()

        def looking():
            found = look()
            self.looked.set()
            return found

        opened._state = looking

    def __enter__(self):
        """From the first look on, every change counts."""
        self.thread.start()
        assert self.looked.wait(20)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()

    def hears(self):
        return self.said.acquire(timeout=20)


def test_a_change_is_heard(root):
    """New, changed and removed files; the watch ends when it is told."""
    write(root / "a.yaml")
    with Watching(source(root)) as watching:
        write(root / "b.yaml")
        assert watching.hears()
        write(root / "x" / "c.yaml")
        assert watching.hears()
        (root / "a.yaml").unlink()
        assert watching.hears()


def test_a_change_before_the_watch_began_is_heard(root, monkeypatch):
    """Between the first look and the first event nothing is lost."""
    opened = source(root)
    identity = opened._identity

    def late():
        if not (root / "a.yaml").exists():
            write(root / "a.yaml")
        return identity()

    monkeypatch.setattr(opened, "_identity", late)
    with Watching(opened) as watching:
        assert watching.hears()


def test_a_folder_put_in_place_of_the_old_one_is_followed(root):
    """As deployments do it, with a rename."""
    write(root / "a.yaml")
    write(root.parent / "next" / "b.yaml")
    with Watching(source(root)) as watching:
        root.rename(root.parent / "old")
        (root.parent / "next").rename(root)
        assert watching.hears()
        while watching.said.acquire(timeout=2):
            pass
        write(root / "c.yaml")
        assert watching.hears()


@pytest.mark.parametrize(
    ("name", "concerns"),
    [
        ("a.yaml", True),
        (".propellerignore", True),
        (".git/index", False),
        (".a.yaml.swp", False),
        ("a.yaml~", False),
        ("state/status/a.yaml", False),
        ("x/.y/a.yaml", False),
    ],
)
def test_noise_wakes_nobody(root, name, concerns):
    """Editors' files, repositories and our own state change all the time."""
    opened = source(root, exclude=[root / "state"])
    assert opened._concerns(str(root / name)) is concerns
