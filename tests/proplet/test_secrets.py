"""Sealed variables on a device: opened for the guest, and written down nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from propeller.errors import Unavailable, WireError
from propeller.wire.boxes import BoxKey, Place, seal_value
from propeller.wire.codec import entry_digest
from propeller.wire.messages import Entry
from proplet.seals import unsealed
from proplet.store import Store

if TYPE_CHECKING:
    from conftest import Workshop

KEY = BoxKey.from_seed(bytes(range(32)))
INST = "ab" * 16
VALUE = "correct-horse-battery"
ENVIRONMENT = """(module
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "sum") (result i32)
    (local $at i32) (local $end i32) (local $sum i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 16) (i32.const 4096)))
    (local.set $at (i32.const 4096))
    (local.set $end (i32.add (i32.const 4096) (i32.load (i32.const 4))))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))
        (i32.load8_u (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $more)))
    (local.get $sum)))"""


def answer(environment: bytes) -> str:
    """What the guest returns for this environment."""
    found = 0
    for byte in environment:
        found = (found * 31 + byte) & 0xFFFFFFFF
    return str(found - (1 << 32) if found >= 1 << 31 else found)


def sealed(entry: Entry, value: str, *, key: BoxKey = KEY, device: str = "gw-01") -> Entry:
    """The entry with a variable TOKEN."""
    place = Place(device=device, inst=INST, uid=entry.uid, run=entry.run, name="TOKEN")
    text = seal_value(value.encode(), key.public, place, secret=bytes(32))
    entry = replace(entry, sealed=(("TOKEN", text),))
    return replace(entry, digest=entry_digest(entry))


def opens(workshop: Workshop, key: BoxKey | None = KEY) -> None:
    """From now on the supervisor opens what is sealed to `key`."""
    workshop.supervisor._unseal = lambda entry: unsealed(entry, key, device="gw-01", inst=INST)


def test_the_guest_gets_the_value_after_its_plain_variables(workshop: Workshop) -> None:
    """And nothing below the data folder has it, nor the entry that is stored."""
    opens(workshop)
    entry = workshop.entry(ENVIRONMENT, entrypoint="sum", env=(("RATE", "5"),))
    entry = sealed(entry, VALUE)
    key = workshop.start(entry)
    workshop.until(lambda: key in workshop.over)
    assert workshop.over[key].result == answer(f"RATE=5\0TOKEN={VALUE}\0".encode())
    assert VALUE not in repr(entry)
    for path in workshop.directory.rglob("*"):
        if path.is_file():
            assert VALUE.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("what", ["another key", "another device", "another run", "no key"])
def test_what_does_not_open_is_refused_before_anything_starts(
    workshop: Workshop, what: str
) -> None:
    """In words that name the variable and not the value."""
    opens(workshop, None if what == "no key" else KEY)
    entry = workshop.entry(ENVIRONMENT, entrypoint="sum")
    if what == "another key":
        entry = sealed(entry, VALUE, key=BoxKey.generate())
    elif what == "another device":
        entry = sealed(entry, VALUE, device="gw-02")
    elif what == "another run":
        entry = replace(sealed(entry, VALUE), run="f" * 32)
    else:
        entry = sealed(entry, VALUE)
    words = workshop.prepare(entry)
    assert words.startswith("its secrets cannot be opened here")
    assert VALUE not in words


def test_a_guest_whose_value_no_longer_opens_ends_in_words(workshop: Workshop) -> None:
    """Between the check and the start the key may have gone."""
    opens(workshop)
    entry = sealed(workshop.entry(ENVIRONMENT, entrypoint="sum"), VALUE)
    assert workshop.prepare(entry) == ""
    opens(workshop, None)
    workshop.supervisor.start(entry)
    outcome = workshop.over[entry.uid, entry.run]
    assert not outcome.ok
    assert "cannot be opened here" in outcome.error


def test_bytes_that_are_no_text_are_refused(workshop: Workshop) -> None:
    """An environment holds text."""
    entry = workshop.entry(ENVIRONMENT, entrypoint="sum")
    place = Place(device="gw-01", inst=INST, uid=entry.uid, run=entry.run, name="TOKEN")
    raw = seal_value(b"\xff\xfe", KEY.public, place, secret=bytes(32))
    with pytest.raises(WireError, match="TOKEN is not text"):
        unsealed(replace(entry, sealed=(("TOKEN", raw),)), KEY, device="gw-01", inst=INST)


def test_the_store_makes_an_encryption_key_once(tmp_path: Path) -> None:
    """It survives reboots; a file that is named must be there."""
    store = Store(tmp_path / "data", new_inst=lambda: "0" * 32)
    try:
        made = store.box_key(None)
        assert store.box_key(None).public == made.public
        given = tmp_path / "given.pem"
        given.write_bytes(KEY.to_pem())
        assert store.box_key(given).public == KEY.public
        with pytest.raises(Unavailable, match="no such key file"):
            store.box_key(tmp_path / "missing.pem")
    finally:
        store.close()
