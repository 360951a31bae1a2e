"""`up --devices`: what it says where the firmware cannot be built, and whom devices play."""

from __future__ import annotations

from pathlib import Path

import pytest

from propeller.cli import devices
from propeller.cli.local import names
from propeller.errors import Unavailable, UsageError
from propeller.model.ids import PropletId


def test_without_a_compiler_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one line to type, and nothing was begun."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no cmake and no cc") as refused:
        devices.build(tmp_path / "build")
    assert "apt-get install cmake" in str(refused.value.hint)
    assert not (tmp_path / "build").exists()


def test_without_the_sources_it_says_where_they_are(tmp_path: Path) -> None:
    """An installed package has none."""
    with pytest.raises(UsageError, match="sources are not installed"):
        devices.build(tmp_path / "build", sources=tmp_path)


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    """CMake leaves the port out where a library is missing."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(none NONE)\n"
    )
    with pytest.raises(UsageError, match="libraries are missing") as refused:
        devices.build(tmp_path / "build", sources=tmp_path)
    assert "libmosquitto-dev" in str(refused.value.hint)


def test_what_the_compiler_says_is_told(tmp_path: Path) -> None:
    """The end of it, in one message."""
    (tmp_path / "CMakeLists.txt").write_text("message(FATAL_ERROR oh)\n")
    with pytest.raises(Unavailable, match="was not built"):
        devices.build(tmp_path / "build", sources=tmp_path)


def test_devices_have_names_of_their_own() -> None:
    """Declared ones first, by name, then device-1 and on."""
    declared = [PropletId("z"), PropletId("a")]
    assert names(3, declared, word="device") == ["a", "z", "device-1"]
    assert devices.engine().name.startswith("_libwasmtime")
