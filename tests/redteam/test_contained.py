"""The red team: guests that mean harm, one after the other and all at once, on a real proplet.

Whatever a guest tries, its run ends in one of the states a run can end in, with words; the proplet
is the same process, its good neighbour is the same run and goes on talking, and what is good still
runs. `Range.fire` checks that after every shot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from proplet_hand_manager import Device, wat
from redteam_bombs import BOMBS, honest
from redteam_components import LIMITS, burglar

from propeller.wire.messages import WireMount

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Range

pytestmark = pytest.mark.live

OVER = frozenset({"Succeeded", "Failed", "Refused", "Interrupted"})

TIMEOUT, MEMORY = "ran longer than its limit", "of 64MiB memory"
GUESTS = {
    # name: (state, words of its error or "" , what differs from the usual entry)
    "spin": ("Failed", TIMEOUT, {}),
    "spin-at-start": ("Failed", TIMEOUT, {}),
    "trap-at-start": ("Failed", "unreachable", {}),
    "spin-in-initialize": ("Failed", TIMEOUT, {"entrypoint": "f"}),
    "tail-spin": ("Failed", TIMEOUT, {}),
    "recurse": ("Failed", "stack overflow", {}),
    "recurse-indirect": ("Failed", "stack overflow", {}),
    "grow": ("Failed", MEMORY, {}),
    "grow-forever": ("Failed", TIMEOUT, {}),
    "memories": ("Failed", "memory count too high", {}),
    "memory-huge": ("Refused", "its limit is 67108864", {}),
    "memory64-huge": ("Refused", "", {}),
    "memory-shared": ("Refused", "does not compile", {}),
    "table-huge": ("Failed", "table", {}),
    "table-grow": ("Failed", "unreachable", {}),
    "tables": ("Failed", "table", {}),
    "gc-heap": ("Failed", "GC heap out of memory", {"timeout": 5000}),
    "throw": ("Failed", "thrown", {}),
    "throw-forever": ("Failed", TIMEOUT, {}),
    "random-flood": ("Failed", TIMEOUT, {}),
    "random-beyond": ("Failed", "exceeds limit", {}),
    "sleep-a-year": ("Failed", TIMEOUT, {}),
    "poll-many": ("Failed", "", {}),
    "clock-flood": ("Failed", TIMEOUT, {}),
    "flood": ("Failed", "wrote more than its limit", {}),
    "drip": ("Failed", "", {}),
    "flood-stderr": ("Failed", TIMEOUT, {}),
    "vectors": ("Failed", "", {}),
    "pointers": ("Failed", "out of bounds", {}),
    "descriptors": ("Succeeded", "", {}),
    "sockets": ("Succeeded", "", {}),
    "exit-minus-one": ("Failed", "exit status", {}),
    "raise": ("Failed", "", {}),
    "no-memory": ("Failed", "memory export", {}),
    "start-is-a-global": ("Refused", "exports no function '_start'", {}),
    "start-takes-arguments": ("Refused", "takes no arguments", {}),
    "memory-is-a-function": ("Failed", "", {}),
    "start-is-an-import": ("", "", {}),
    "foreign-import": ("Refused", "host.system", {}),
    "trainer-import": ("Refused", "propeller_fl", {}),
    "names": ("Refused", "exports no function", {}),
}


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_that_means_harm_is_contained(field: Range, name: str) -> None:
    """It ends as it should, in words, and nobody else notices."""
    state, words, changes = GUESTS[name]
    (told,) = field.fire(field.guest(name, **changes))
    if state:
        assert told.state == state, told.error
    assert words in (told.error or "")
    assert len((told.error or "").encode()) <= 256
    kept = field.place / "data" / "runs" / told.run
    assert sum(path.stat().st_size for path in kept.glob("*")) <= 2 * (64 << 10)


ESCAPES = {
    # name: what the burglar is told to do
    "parent": ("o", "../secret"),
    "parent-of-a-folder": ("o", "a/../../secret"),
    "absolute": ("o", "/etc/passwd"),
    "dots-and-slashes": ("o", ".//..//secret"),
    "backslash": ("o", "..\\secret"),
    "link-out": ("o", "way-out"),
    "link-out-absolute": ("o", "way-out-absolute"),
    "link-out-folder": ("o", "way-out-folder/keep"),
    "link-out-proc": ("o", "way-out-proc"),
    "write-parent": ("w", "../outside/made"),
    "write-through-link": ("w", "way-out"),
    "write-through-folder": ("w", "way-out-folder/made"),
    "make-absolute-link": ("s", "/etc/passwd", "made-absolute"),
    "hard-link-in": ("l", "../secret", "linked"),
    "hard-link-out": ("l", "in", "../outside/linked"),
    "rename-in": ("r", "../secret", "taken"),
    "rename-out": ("r", "in", "../outside/moved"),
    "rename-through-folder": ("r", "in", "way-out-folder/moved"),
    "unlink-parent": ("u", "../secret"),
    "unlink-through-folder": ("u", "way-out-folder/keep"),
    "make-folder-out": ("d", "../outside/folder"),
    "remove-folder-out": ("x", "../outside"),
    "touch-out": ("t", "../secret"),
    "touch-through-link": ("t", "way-out"),
    "read-link-out": ("p", "../mounted/way-out"),
    "a-terabyte": ("e", "large"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_leads_out_of_a_mount(field: Range, name: str) -> None:
    """The host refuses with an errno, and the guest saw nothing of what is outside."""
    before = (field.place / "secret").stat()
    (told,) = field.fire(field.burglar(*ESCAPES[name]))
    assert told.state == "Failed", (told.state, told.result)
    assert told.exit not in (None, 0)
    assert not told.result
    after = (field.place / "secret").stat()
    assert (before.st_mtime_ns, before.st_nlink) == (after.st_mtime_ns, after.st_nlink)


def test_a_link_made_by_a_guest_leads_nowhere(field: Range) -> None:
    """A guest may make a relative link; following it is refused, by this guest and by the next."""
    field.fire(field.burglar("s", "../secret", "made"))
    for way in (("o", "made"), ("w", "made")):
        (told,) = field.fire(field.burglar(*way))
        assert (told.state, told.result or "") == ("Failed", "")


@pytest.mark.parametrize(
    "way",
    [("w", "new"), ("w", "in"), ("s", "in", "link"), ("r", "in", "out"), ("u", "in"), ("d", "f")],
    ids=lambda way: way[0],
)
def test_what_is_read_only_stays_as_it_is(field: Range, way: tuple[str, ...]) -> None:
    """Nothing can be made, written, linked, renamed or removed in a read-only mount."""
    folder = field.place / "readonly"
    before = {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()}
    (told,) = field.fire(field.burglar(*way, access="ReadOnly", mount="ro"))
    assert told.state == "Failed"
    assert {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()} == before


def test_asking_for_more_than_the_device_offers_is_refused(field: Range) -> None:
    """A read-only mount is not written to because an entry says so, nor is an unknown one made."""
    asked, unknown = (
        field.burglar("w", "in", access="ReadWrite", mount="ro"),
        field.burglar("o", "in", mount="home"),
    )
    one, two = field.fire(asked, unknown)
    assert (one.state, two.state) == ("Refused", "Refused")
    assert "read-only here" in one.error
    assert "no mount 'home' here" in two.error


def test_what_is_inside_can_be_read(field: Range) -> None:
    """The walls have a door: the same guest reads what it was given."""
    (told,) = field.fire(field.burglar("o", "in"))
    assert (told.state, told.result) == ("Succeeded", "inside")


def test_opening_without_end_ends(field: Range) -> None:
    """A flood of open files meets the worker's own bound, not the agent's."""
    (told,) = field.fire(field.burglar("f", "in"))
    assert told.state == "Succeeded"


def test_components_that_mean_harm_are_contained(field: Range) -> None:
    """All at once: each meets the limit it was made for, in words."""
    entries = [
        field.entry(
            wat(text),
            entrypoint="_start" if state == "Refused" else "go",
            timeout=1500 if "longer" in words else 30_000,
        )
        for text, state, words in LIMITS.values()
    ]
    for told, (name, (_, state, words)) in zip(field.fire(*entries), LIMITS.items(), strict=True):
        assert told.state == state, (name, told)
        assert words in (told.error or ""), name
        assert len((told.error or "").encode()) <= 256


OUTSIDE = (
    *("../secret", "a/../../secret", "/etc/passwd", ".//..//secret", "way-out"),
    *("way-out-absolute", "way-out-folder/keep", "way-out-proc", "..", "../outside/made"),
)


@pytest.mark.parametrize(("mount", "inside"), [("data", "110"), ("ro", "100")])
def test_no_component_finds_a_way_out(field: Range, mount: str, inside: str) -> None:
    """Every path outside of its mount, to read, to write, to link to: none leads there.
    What is inside can be read, and written to where the mount says so."""
    access = "ReadWrite" if mount == "data" else "ReadOnly"
    mounts = (WireMount(name=mount, path="/data", access=access),)
    guest = burglar((*OUTSIDE, "in"))
    (told,) = field.fire(field.entry(wat(guest), entrypoint="tried", mounts=mounts, timeout=8000))
    assert told.state == "Succeeded", told.error
    *outside, last, counts = (told.result or "").split(" ")
    (field.place / "mounted" / "linked").unlink(missing_ok=True)
    opened = {path: what for path, what in zip(OUTSIDE, outside, strict=True) if what != "000"}
    assert (last, opened) == (inside, {})
    assert counts == "10", "one directory, no variable"


@pytest.mark.parametrize("name", BOMBS)
def test_a_binary_made_to_hurt_its_reader_is_contained(field: Range, name: str) -> None:
    """It is refused or runs; reading and compiling it costs bounded memory and time."""
    (told,) = field.fire(field.entry(BOMBS[name](), timeout=5000))
    assert told.state in ("Refused", "Failed", "Succeeded")
    assert len((told.error or "").encode()) <= 256


def test_a_binary_cut_off_anywhere_is_refused(field: Range) -> None:
    """At eight places of a module: every piece is refused or, if it is whole by chance, runs."""
    whole = honest()
    pieces = [field.entry(whole[:at]) for at in range(1, len(whole), len(whole) // 8)]
    for told in field.fire(*pieces):
        assert told.state == "Refused", told
        assert told.error


def test_all_at_once(field: Range) -> None:
    """A dozen of them together: each ends as it does alone, or says that there was no memory."""
    names = [name for name in GUESTS if GUESTS[name][0] == "Failed"]
    entries = [field.guest(name, memory=16 << 20) for name in names[::2][:12]]
    for told in field.fire(*entries):
        assert told.state in ("Failed", "Refused")
        assert told.error


def test_the_devices_own_ceilings_win_over_what_was_signed(place: Path, field: Range) -> None:
    """Whatever a manager signs, an entry that asks for more than the owner allows is refused."""
    other = place / "ceilings"
    other.mkdir()
    field.device.stop()
    device = Device(other, field.manager.endpoint, field.manager.root)
    device.start(
        *("--guest-memory", "8MiB", "--guest-timeout", "2s", "--guest-output", "16KiB"),
        *("--guest-fuel", "1000000", "--deny", "Clock"),
    )
    try:
        manager = field.manager
        before = len(manager.hellos)
        manager.until(lambda: len(manager.hellos) > before)
        fine = {"memory": 8 << 20, "timeout": 2000, "output": 16 << 10, "fuel": 1_000_000}
        asked = {
            "guestMemory": field.guest("spin", **{**fine, "memory": 9 << 20}),
            "guestTimeout": field.guest("spin", **{**fine, "timeout": None}),
            "guestOutput": field.guest("spin", **{**fine, "output": 17 << 10}),
            "guestFuel": field.guest("spin", **{**fine, "fuel": None}),
            "wasi_snapshot_preview1.clock_time_get": field.guest("clock-flood", **fine),
        }
        allowed = field.guest("spin", **fine)
        boundless = field.guest("grow", **{**fine, "memory": None})
        entries = [*asked.values(), allowed, boundless]
        manager.want(*entries)
        manager.until(lambda: all(manager.state(one) in OVER for one in entries))
        for words, entry in asked.items():
            assert manager.state(entry) == "Refused"
            assert words in manager.last[entry.run].error
        assert manager.last[allowed.run].error == "used up its fuel"
        assert "of 8MiB memory" in manager.last[boundless.run].error
        offers = manager.hellos[-1].imports
        assert "wasi_snapshot_preview1.random_get" in offers
        assert "wasi_snapshot_preview1.clock_time_get" not in offers
    finally:
        assert device.stop() == 0
