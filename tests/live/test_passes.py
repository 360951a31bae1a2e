"""A fleet that only cron drives: `reconcile --once` again and again, nothing in between."""

from __future__ import annotations

import os
from typing import Any

import pytest
import wasmtime

pytestmark = pytest.mark.live

MEGABYTE = 1 << 20
ADD = (
    '(module (memory (export "memory") 1)'
    ' (func (export "add") (param i32 i32) (result i32)'
    " local.get 0 local.get 1 i32.add))"
)


def large_module(size: int) -> bytes:
    """A module that adds, padded by a custom section of random bytes to `size` or a little more."""
    code = bytes(wasmtime.wat2wasm(ADD))
    body = b"\x03pad" + os.urandom(size - len(code))
    length, left = bytearray(), len(body)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return code + b"\0" + bytes([*length, left]) + body


def a_pass(fleet: Any, *arguments: str) -> Any:
    """One cron pass."""
    return fleet.run(
        "reconcile", "--once", "specs", "--state", "state", *fleet.to_broker, *arguments
    )


def test_a_megabyte_goes_to_a_fleet_that_only_passes_drive(fleet: Any):
    """Passes end by themselves; hello, module, run and result each find theirs."""
    data = large_module(MEGABYTE)
    (fleet.specs / "large.wasm").write_bytes(data)
    large = {"module": {"file": "large.wasm"}, "run": {"entrypoint": "add", "args": ["40", "2"]}}
    fleet.spec("Task", "large", {**large, "placement": {"perProplet": True}})
    fleet.broker()
    first = a_pass(fleet)
    assert first.code == 4, first.err  # nobody has said hello yet
    assert "pending  Task/default/large: " in first.err
    for name in ("press", "oven"):
        fleet.proplet(name)

    for _ in range(6):
        done = a_pass(fleet)
        if done.code == 0:
            break
        assert done.code == 4, done.err
    assert done.code == 0, done.err
    copies = fleet.copies("Task/default/large")
    assert {copy["proplet"]: copy["result"] for copy in copies} == {"press": "42", "oven": "42"}
    for name in ("press", "oven"):
        sizes = [file.stat().st_size for file in (fleet.place / name).rglob("*") if file.is_file()]
        assert len(data) in sizes


def test_a_pass_that_finds_the_lease_held_says_so_and_leaves(fleet: Any):
    """Exit 0, in words, naming who holds it; the holder is not disturbed."""
    fleet.write("a.wat", ADD)
    fleet.spec("Task", "add", {"module": {"file": "a.wat"}, "run": {"entrypoint": "add"}})
    fleet.broker()
    holder = fleet.serve()
    fleet.until((fleet.state / "run" / "api.sock").exists, "the API of `serve`")
    done = a_pass(fleet)
    assert done.code == 0
    assert "serve" in done.err
    assert "nothing to do for this pass" in done.err
    assert holder.alive()


def test_what_a_pass_cannot_do_has_an_exit_code(fleet: Any):
    """2 for bad specs, 3 for what failed for good, 4 where no broker answers."""
    fleet.broker()
    fleet.write("trap.wat", '(module (func (export "_start") unreachable))')
    fleet.spec("Task", "trap", {"modul": {"file": "trap.wat"}})
    bad = a_pass(fleet, "--linger", "2s")
    assert bad.code == 2
    assert "spec.modul: unknown field" in bad.err
    fleet.spec("Task", "trap", {"module": {"file": "trap.wat"}})
    fleet.proplet("press")
    failed = a_pass(fleet)
    if failed.code == 4:  # its hello, or its end, came after three quiet seconds
        failed = a_pass(fleet)
    assert failed.code == 3, failed.err
    assert "failed   Task/default/trap: " in failed.err
    nowhere = ("--broker", "127.0.0.1:1", "--linger", "1s")
    away = fleet.run("reconcile", "--once", "specs", "--state", "state", *nowhere)
    assert away.code == 4
    assert "the broker did not answer" in away.err
