"""The Zephyr application as files: names that exist, partitions that fit, declared options.

It is not built here; what was built and run by hand stands in docs/how-to/build-for-a-board.md.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
BOARDS = FIRMWARE / "app" / "boards"
KCONFIG = (FIRMWARE / "zephyr" / "Kconfig").read_text()
GUIDE = (ROOT / "docs" / "how-to" / "build-for-a-board.md").read_text()

DECLARED = set(re.findall(r"^(?:menu)?config (PROPLET\w*)$", KCONFIG, re.MULTILINE))
DEFAULTS = {
    name: value
    for name, body in re.findall(r"^config (PROPLET\w*)\n((?:\t.*\n|\n)+)", KCONFIG, re.MULTILINE)
    for value in re.findall(r"^\tdefault (\S+)$", body, re.MULTILINE)
}
NAMES = sorted(one.stem for one in BOARDS.glob("*.conf"))

_USED = re.compile(r"\bCONFIG_(PROPLET\w*)")
_PARTITION = re.compile(
    r"(\w+): partition@([0-9a-f]+) \{\s*label = \"([\w-]+)\";"
    r"\s*reg = <(0x[0-9a-f]+) (0x[0-9a-f]+)>;"
)


def _sources() -> list[Path]:
    """Everything that may name an option: the port, the application, its build files."""
    rooms = ("port/zephyr/*.[ch]", "app/src/*.c", "app/*.conf", "app/boards/*.conf")
    found = [path for room in rooms for path in FIRMWARE.glob(room)]
    return [*found, FIRMWARE / "zephyr" / "CMakeLists.txt", FIRMWARE / "app" / "CMakeLists.txt"]


def test_every_option_that_is_used_is_declared() -> None:
    """CONFIG_PROPLET_... in C, CMake or a configuration is an option of firmware/zephyr/Kconfig."""
    used = {(path.name, name) for path in _sources() for name in _USED.findall(path.read_text())}
    assert len(used) > 30
    logging = set()  # Zephyr's template makes these of a module's name
    if re.search(r"^module = PROPLET$", KCONFIG, re.MULTILINE):
        levels = ("", "_OFF", "_ERR", "_WRN", "_INF", "_DBG", "_DEFAULT")
        logging = {f"PROPLET_LOG_LEVEL{level}" for level in levels}
    assert {one for one in used if one[1] not in DECLARED | logging} == set()


def test_every_option_is_used() -> None:
    """An option that nothing reads would be a promise nobody keeps."""
    used = {name for path in _sources() for name in _USED.findall(path.read_text())}
    assert DECLARED - used == set()


def test_the_page_names_the_options_with_their_defaults() -> None:
    """The table of sizes in the guide says what Kconfig says."""
    rows = dict(re.findall(r"^\| `CONFIG_(PROPLET\w+)` \| (\d+) \|", GUIDE, re.MULTILINE))
    assert len(rows) >= 8
    assert rows == {name: DEFAULTS[name] for name in rows}


@pytest.mark.parametrize("board", NAMES)
def test_a_board_has_both_partitions(board: str) -> None:
    """Records and modules each have a place in the flash map, of whole pages, apart from others."""
    overlay = (BOARDS / f"{board}.overlay").read_text()
    found = _PARTITION.findall(overlay)
    places = {label: (int(start, 16), int(size, 16)) for _, _, label, start, size in found}
    for node, at, label, start, _size in found:
        assert int(at, 16) == int(start, 16), f"{board}: {node} stands at another address"
        assert label.replace("-", "_") in node
    for label, least in (("proplet_records", 8), ("proplet_blobs", 32)):
        start, size = places[label]
        assert start % 4096 == 0
        assert size % 4096 == 0
        assert size >= least * 4096
    taken = sorted(places.values())
    for (start, size), (following, _) in itertools.pairwise(taken):
        assert start + size <= following, f"{board}: partitions overlap"


@pytest.mark.parametrize("board", NAMES)
def test_the_page_tells_of_the_board(board: str) -> None:
    """A board that has files here is on the page with what was seen of it."""
    assert f"`{board}`" in GUIDE


@pytest.mark.parametrize("board", NAMES)
def test_a_board_holds_its_modules(board: str) -> None:
    """The largest module a board says it takes fits its pool and its flash."""
    text = (BOARDS / f"{board}.conf").read_text()
    values = {**DEFAULTS, **dict(re.findall(r"^CONFIG_(PROPLET\w+)=(\S+)$", text, re.MULTILINE))}
    overlay = (BOARDS / f"{board}.overlay").read_text()
    (room,) = (int(one[4], 16) for one in _PARTITION.findall(overlay) if one[2] == "proplet_blobs")
    assert int(values["PROPLET_MAX_MODULE"]) <= int(values["PROPLET_POOL_SIZE"])
    assert int(values["PROPLET_MAX_MODULE"]) < room


def test_the_module_builds_every_source_of_the_port() -> None:
    """No file of port/zephyr is left out of the build, and none is named that is not there."""
    text = (FIRMWARE / "zephyr" / "CMakeLists.txt").read_text()
    looped = re.search(
        r"foreach\(source ([\w ${}]+)\)\s+zephyr_library_sources\(\$\{firmware\}/port", text
    )
    assert looped is not None
    either = re.findall(r"set\(keys (\w+)\)", text)  # by the cryptography that there is
    listed = {one for one in looped[1].split() if one != "${keys}"}
    named = {*listed, *either, *re.findall(r"port/zephyr/(\w+)\.c", text)}
    assert named == {path.stem for path in (FIRMWARE / "port" / "zephyr").glob("*.c")}


def test_the_workspace_is_pinned() -> None:
    """west.yml names a version of everything, none of them one that moves."""
    manifest = yaml.safe_load((FIRMWARE / "west.yml").read_text())["manifest"]
    remotes = {one["name"] for one in manifest["remotes"]}
    for project in manifest["projects"]:
        assert project["remote"] in remotes
        assert re.fullmatch(r"v\d+\.\d+\.\d+|[0-9a-f]{9,40}", str(project["revision"]))
    module = yaml.safe_load((FIRMWARE / "zephyr" / "module.yml").read_text())
    assert (FIRMWARE / module["build"]["cmake"] / "CMakeLists.txt").exists()
    assert (FIRMWARE / module["build"]["kconfig"]).exists()
