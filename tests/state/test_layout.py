"""The state directory: its names, its modes, its small files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from propeller.errors import Unavailable, UsageError
from propeller.model.ids import PropletId
from propeller.state.files import make_directory, replace_file
from propeller.state.layout import StateDir


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    """A state directory that was created."""
    made = StateDir(tmp_path / "deep" / "state")
    made.create()
    return made


def test_naming_a_state_touches_nothing(tmp_path: Path) -> None:
    """Only `create` creates."""
    state = StateDir(tmp_path / "s")
    assert not state.exists()
    assert state.database == tmp_path / "s" / "propeller.db"
    assert list(tmp_path.iterdir()) == []


def test_the_layout_is_that_of_the_reference(state: StateDir) -> None:
    """Every directory is there, and creating again is nothing."""
    state.create()
    assert sorted(each.name for each in state.path.iterdir()) == [
        "blobs", "git", "journal", "keys", "logs", "oci", "proplets", "run", "status",
    ]  # fmt: skip
    assert state.exists()


def test_private_places_are_private(state: StateDir) -> None:
    """Keys, socket, journal, device storage and clones are the owner's alone."""
    for place in (state.keys, state.run, state.journal, state.proplets, state.git):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_mode_chosen_by_the_owner_is_kept(state: StateDir) -> None:
    """Who opened a directory to a group did so on purpose."""
    state.run.chmod(0o750)
    state.create()
    assert stat.S_IMODE(state.run.stat().st_mode) == 0o750


def test_a_state_that_cannot_be_created_is_unavailable(tmp_path: Path) -> None:
    """A file in the way is said with its path."""
    (tmp_path / "s").write_text("in the way")
    with pytest.raises(Unavailable, match="cannot be created"):
        StateDir(tmp_path / "s").create()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "x" * 65])
def test_a_proplet_id_cannot_leave_its_directory(state: StateDir, name: str) -> None:
    """Ids become paths: only ids do."""
    with pytest.raises(UsageError):
        state.proplet(PropletId(name))


def test_a_proplet_has_a_directory(state: StateDir) -> None:
    """By its id."""
    assert state.proplet(PropletId("local-1")) == state.path / "proplets" / "local-1"


def test_ports_are_read_back(state: StateDir) -> None:
    """None before the first run, then what was written last."""
    assert state.read_ports() == {}
    state.write_ports({"gateway": 7070, "broker": 1883})
    state.write_ports({"broker": 40001})
    assert state.read_ports() == {"broker": 40001}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"broker": "1883"}', '{"broker": true}', '{"broker": 0}', "{", "\x00"]
)
def test_ports_that_make_no_sense_are_unavailable(state: StateDir, text: str) -> None:
    """A damaged file is said, with what to do."""
    state.ports.write_text(text)
    with pytest.raises(Unavailable, match=r"ports\.json"):
        state.read_ports()


def test_a_replaced_file_is_never_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails the old file stands and nothing is left beside it."""
    path = tmp_path / "f"
    replace_file(path, b"old", mode=0o600)

    def broken(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(Unavailable, match="Input/output error"):
            replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_directories_above_are_made_too(tmp_path: Path) -> None:
    """The mode asked for is the last one's; those above are ordinary."""
    make_directory(tmp_path / "a" / "b", mode=0o700)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) != 0o700
