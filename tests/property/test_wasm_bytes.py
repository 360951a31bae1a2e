"""`wasm.inspect` on bytes nobody meant: an answer or a WireError, and nothing else."""

from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from propeller.errors import WireError
from propeller.registry.wasm import inspect

SEEDS = [
    bytes(wasmtime.wat2wasm(text))
    for text in (
        """(module (import "a" "b" (func (param i32))) (import "a" "m" (memory 1 2))
            (table 1 funcref) (func (export "f") (result i64) i64.const 1))""",
        """(module (rec (type $l (sub (struct (field i8) (field (ref null $l))))))
            (func (export "f") (param (ref null $l))))""",
        """(component (import "log" (func (param "text" string)))
            (core module $m (memory 1) (func (export "go"))) (core instance $i (instantiate $m))
            (func $run (canon lift (core func $i "go"))) (export "run" (func $run)))""",
    )
]


def _only_answers_or_refuses(data: bytes) -> None:
    try:
        facts = inspect(data)
    except WireError as error:
        assert error.reject in {"not_wasm", "malformed"}
    else:
        assert facts.memory_min >= 0
        assert facts.memory_max is None or facts.memory_max >= facts.memory_min
        assert inspect(data) == facts


@given(st.binary(max_size=300), st.sampled_from([b"", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"]))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes(data: bytes, head: bytes):
    """With or without a true header, rubbish is refused by name."""
    _only_answers_or_refuses(head + data)


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=500, deadline=None)
def test_mutated_modules(seed: bytes, data: st.DataObject):
    """Bytes changed, cut, doubled or inserted in real modules."""
    mutant = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutant)))
        piece = data.draw(st.binary(max_size=4))
        gone = data.draw(st.integers(0, 6))
        mutant[at : at + gone] = piece
    _only_answers_or_refuses(bytes(mutant))


@given(st.sampled_from(SEEDS[:1]), st.integers(8, 200), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_what_wasmtime_runs_is_never_refused(seed: bytes, at: int, value: int):
    """A byte changed: if the runtime still takes the module, so does the reader."""
    mutant = bytearray(seed)
    mutant[at % len(mutant)] = value
    try:
        wasmtime.Module(wasmtime.Engine(), bytes(mutant))
    except wasmtime.WasmtimeError:
        return
    inspect(bytes(mutant))


@pytest.mark.parametrize("seed", SEEDS, ids=["core", "collected", "component"])
def test_every_truncation(seed: bytes):
    """A module cut at any byte either still reads or is malformed."""
    for end in range(len(seed)):
        _only_answers_or_refuses(seed[:end])
