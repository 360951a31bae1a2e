"""What `wasm.inspect` reads out of binaries, checked against wasmtime on the same bytes."""

from __future__ import annotations

import pytest
import wasmtime

from propeller.errors import WireError
from propeller.model.module import Export, Import
from propeller.registry.wasm import inspect

MODULES = {
    "empty": "(module)",
    "add": '(module (func (export "add") (param i32 i32) (result i32) local.get 0))',
    "wasi": """(module
        (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory (export "memory") 2 10)
        (global (export "base") i32 (i32.const 1))
        (func (export "_start")))""",
    "imports of every kind": """(module
        (import "env" "f" (func (param i64 f32) (result f64)))
        (import "env" "t" (table 1 2 funcref))
        (import "env" "m" (memory 3))
        (import "env" "g" (global (mut i64)))
        (import "env" "e" (tag (param i32)))
        (tag $e (param i32))
        (export "again" (func 0))
        (func (export "late") (result v128 funcref externref) unreachable))""",
    "large memory": '(module (memory i64 7 8) (func (export "go") (param i64)))',
    "two memories": "(module (memory 1 2) (memory 3 4))",
    "one memory open": "(module (memory 1 2) (memory 3))",
    "shared memory": "(module (memory 1 2 shared))",
    "collected types": """(module
        (rec (type $list (sub (struct (field i8) (field (mut (ref null $list))))))
             (type $many (array (mut i16))))
        (type $f (func (param i32) (result (ref null $list))))
        (func (export "make") (type $f) (ref.null $list))
        (func (export "any") (param anyref eqref i31ref)))""",
    "everything else too": """(module
        (type (func)) (table 2 funcref) (memory 1) (global i32 (i32.const 3))
        (elem (i32.const 0) 0) (data (i32.const 0) "hi") (start $begin)
        (func $f (export "f") (param f64)) (func $begin))""",
}


def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_multi_memory = True
    config.wasm_memory64 = True
    config.wasm_threads = True
    config.shared_memory = True
    config.wasm_reference_types = True
    config.wasm_gc = True
    config.wasm_function_references = True
    config.wasm_exceptions = True
    return wasmtime.Engine(config)


@pytest.mark.parametrize("name", MODULES)
def test_imports_and_exports_agree_with_wasmtime(name: str):
    """Module and name of every import, and every exported function with as many types."""
    binary = bytes(wasmtime.wat2wasm(MODULES[name]))
    peer, ours = wasmtime.Module(_engine(), binary), inspect(binary)
    assert [Import(i.module, i.name or "") for i in peer.imports] == list(ours.imports)
    functions = [e for e in peer.exports if isinstance(e.type, wasmtime.FuncType)]
    assert [e.name for e in functions] == [e.name for e in ours.exports]
    for theirs, export in zip(functions, ours.exports, strict=True):
        assert isinstance(theirs.type, wasmtime.FuncType)
        assert len(theirs.type.params) == len(export.params)
        assert len(theirs.type.results) == len(export.results)


def test_core_types_are_named_as_the_text_format_names_them():
    """The four number types, vectors and references come out by their names."""
    late = inspect(bytes(wasmtime.wat2wasm(MODULES["imports of every kind"]))).exports
    assert late == (
        Export("again", ("i64", "f32"), ("f64",)),
        Export("late", (), ("v128", "funcref", "externref")),
    )
    made = inspect(bytes(wasmtime.wat2wasm(MODULES["collected types"]))).exports
    assert made == (
        Export("make", ("i32",), ("(ref null 0)",)),
        Export("any", ("anyref", "eqref", "i31ref"), ()),
    )


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("empty", 0, 0),
        ("wasi", 2, 10),
        ("imports of every kind", 3, None),
        ("large memory", 7, 8),
        ("two memories", 4, 6),
        ("one memory open", 4, None),
        ("shared memory", 1, 2),
    ],
)
def test_memory_is_summed_in_bytes(name: str, least: int, most: int | None):
    """Imported and own memories count; one without a maximum makes the sum open."""
    facts = inspect(bytes(wasmtime.wat2wasm(MODULES[name])))
    assert (least * 65536, most if most is None else most * 65536) == (
        facts.memory_min,
        facts.memory_max,
    )


COMPONENT = """(component
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock))
    (import "log" (func $log (param "text" string)))
    (core module $m (memory 5 6) (func (export "go")))
    (core instance $i (instantiate $m))
    (func $run (canon lift (core func $i "go")))
    (export "run" (func $run))
    (instance $api (export "run" (func $run)))
    (export "acme:app/run@1.0.0" (instance $api)))"""


def test_a_component_shows_its_names_and_its_modules_memory():
    """Top-level imports, exported functions and instances, and the memory of its core module."""
    facts = inspect(bytes(wasmtime.wat2wasm(COMPONENT)))
    assert facts.component
    assert facts.imports == (Import("wasi:clocks/monotonic-clock@0.2.0", ""), Import("log", ""))
    assert facts.exports == (Export("run"), Export("acme:app/run@1.0.0"))
    assert (facts.memory_min, facts.memory_max) == (5 * 65536, 6 * 65536)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"(module)", "text"),
        (b"\x7fELF\x02\x01\x01\0", "native code"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"hello world", "68656c6c"),
    ],
)
def test_what_is_not_wasm_is_named(data: bytes, words: str):
    """Somebody who passes the wrong file is told what it is."""
    with pytest.raises(WireError, match=words) as caught:
        inspect(data)
    assert caught.value.reject == "not_wasm"


HEADER = b"\0asm\x01\0\0\0"


@pytest.mark.parametrize(
    "data",
    [
        b"\0asm",
        b"\0asm\x02\0\0\0",
        HEADER + b"\x01\x05\0",
        HEADER + b"\x01\xff\xff\xff\xff\x7f",
        HEADER + b"\x01\xff\xff\xff\xff\xff\x01",
        HEADER + b"\x01\x05\xff\xff\xff\xff\x0f",
        HEADER + b"\x01\x01\0\x01\x01\0",
        HEADER + b"\x05\x01\0\x01\x01\0",
        HEADER + b"\x21\0",
        HEADER + b"\x01\x02\0\0",
        HEADER + b"\x03\x02\x01\0",
        HEADER + b"\x05\x04\x01\x01\x05\x04",
        HEADER + b"\x05\x06\x01\0\x81\x80\x04\x00",
        HEADER + b"\x02\x07\x01\x01\xff\x01a\x03\x7f",
        HEADER + b"\x07\x05\x01\x01a\0\0",
        HEADER + b"\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x09\x02\x01a\0\0\x01a\0\0",
    ],
    ids=[
        "no version",
        "unknown version",
        "section past the end",
        "count too large",
        "integer too long",
        "integer too large",
        "section twice",
        "section out of order",
        "unknown section",
        "bytes left over",
        "function of no type",
        "maximum below minimum",
        "memory past the address space",
        "name not UTF-8",
        "export of no function",
        "export twice",
    ],
)
def test_broken_wasm_is_malformed(data: bytes):
    """Each way a binary can break is a WireError, and wasmtime refuses the bytes as well."""
    with pytest.raises(WireError) as caught:
        inspect(data)
    assert caught.value.reject == "malformed"
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module(_engine(), data)


def test_a_small_file_cannot_multiply_into_a_large_answer():
    """Exports that share one wide type are bounded by the types they show in all."""
    wide = " ".join(["i32"] * 900)
    exports = " ".join(f'(export "e{n}" (func 0))' for n in range(200))
    binary = bytes(wasmtime.wat2wasm(f"(module (func (param {wide})) {exports})"))
    assert len(binary) < 10_000
    with pytest.raises(WireError, match="in all"):
        inspect(binary)
