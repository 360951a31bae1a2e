"""Module files: found, checked, and called the way they can be called."""

from __future__ import annotations

import pytest
import wasmtime

from propeller.model.ids import sha256_digest
from propeller.model.specs import Task
from propeller.sources.modules import value_problem
from propeller.sources.tree import MAX_MODULE_BYTES

RANGE = "must be a whole number from -2147483648 to 4294967295 (i32)"
CALLS = [
    (
        "entrypoint: ad",
        'spec.run.entrypoint: the module exports no function "ad", did you mean "add"?',
    ),
    (
        "entrypoint: zzz",
        'spec.run.entrypoint: the module exports no function "zzz"; it exports add, scale, _start',
    ),
    ('entrypoint: add, args: ["1"]', "spec.run.args: add(i32, i32) takes 2 arguments, not 1"),
    (
        "entrypoint: add, args: [1, x]",
        "spec.run.args[1]: add(i32, i32): " + RANGE + ', not "x"',
    ),
    (
        "entrypoint: add, args: [1, 4294967296]",
        "spec.run.args[1]: add(i32, i32): " + RANGE + ', not "4294967296"',
    ),
    (
        "entrypoint: scale, args: [1/2]",
        'spec.run.args[0]: scale(f64): must be a number (f64), not "1/2"',
    ),
]

GONE = [
    ("nosuch.wat", "there is no file nosuch.wat in the spec tree"),
    ("text.wsm.wasm", 'there is no file text.wsm.wasm in the spec tree, did you mean "text.wasm"?'),
    ("../add.wat", "must be inside the spec tree"),
    ("/add.wat", "must be relative to the spec file"),
    (
        "text.wasm",
        "text.wasm: is not a WebAssembly module (not_wasm: WebAssembly text, not a binary)",
    ),
    ("cut.wasm", "cut.wasm: is not a WebAssembly module (malformed: "),
    ("lfs.wasm", "lfs.wasm: is a Git LFS pointer, not a module; commit the module itself"),
    ("bad.wat", "bad.wat: is not WebAssembly text: "),
    ("latin.wat", "latin.wat: must be UTF-8"),
    ("out.wasm", "out.wasm: is a symlink that leaves the spec tree"),
]


@pytest.fixture
def files(add_wat):
    return {
        "add.wat": add_wat,
        "text.wasm": add_wat,
        "cut.wasm": bytes(wasmtime.wat2wasm(add_wat.decode()))[:-5],
        "lfs.wasm": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "bad.wat": b"(module (func",
        "latin.wat": b"(module) ;; caf\xe9",
    }


@pytest.mark.parametrize(("run", "fault"), CALLS)
def test_a_call_that_cannot_work_is_refused(loading, task, add_wat, run, fault):
    """Before anything is sent: the exports are known."""
    assert loading.faults({"a.yaml": task("a", f"run: {{{run}}}"), "add.wat": add_wat}) == [
        f"a.yaml:6: {fault}"
    ]


@pytest.mark.parametrize(("name", "fault"), GONE)
def test_a_module_that_is_none_is_refused(loading, task, files, name, fault):
    """Named with the file and with what it is instead."""
    text = task("a").replace("add.wat", name)
    tree = loading.tree(
        {"a.yaml": text, **files}, problems={"out.wasm": "is a symlink that leaves the spec tree"}
    )
    (found,) = loading.faults(tree)
    assert found.startswith(f"a.yaml:5: spec.module.file: {fault}")


def test_a_digest_that_does_not_match_is_refused(loading, task, add_wat):
    """The message gives the one that would."""
    wrong = "sha256:" + "0" * 64
    text = task("a").replace("add.wat", f"add.wat, digest: '{wrong}'")
    assert loading.faults({"a.yaml": text, "add.wat": add_wat}) == [
        f"a.yaml:5: spec.module.digest: does not match: add.wat is {sha256_digest(add_wat)}"
    ]
    right = text.replace(wrong, sha256_digest(add_wat))
    assert len(loading({"a.yaml": right, "add.wat": add_wat}).objects) == 1


def test_less_memory_than_a_module_starts_with_is_refused(loading, task):
    """No proplet could ever run it."""
    wat = '(module (memory 3) (func (export "_start")))'
    files = {"a.yaml": task("a", "limits: {memory: 128KiB}"), "add.wat": wat}
    assert loading.faults(files) == [
        "a.yaml:6: spec.limits.memory: must be at least 192KiB: add.wat needs that to start"
    ]


def test_a_command_must_be_one(loading, task):
    """A `_start` that takes something is not a WASI command."""
    wat = '(module (func (export "_start") (param i32)))'
    assert loading.faults({"a.yaml": task("a"), "add.wat": wat}) == [
        "a.yaml:4: spec.run.entrypoint: _start must take and give nothing, this one is _start(i32)"
    ]


def test_a_path_is_relative_to_the_file_that_names_it(loading, task, add_wat):
    """Up and down inside the tree, with the module shared by two specs kept once."""
    text = task("a").replace("add.wat", "../modules/./add.wat")
    other = task("b").replace("add.wat", "modules/add.wat")
    revision = loading({"specs/a.yaml": text, "b.yaml": other, "modules/add.wat": add_wat})
    assert sorted(
        str(one.module) for one in revision.objects.values() if isinstance(one, Task)
    ) == [
        "../modules/add.wat",
        "modules/add.wat",
    ]
    assert len(loading.kept) == 1


def test_a_huge_module_is_not_parsed(loading, task):
    """Its size alone is enough to refuse it."""
    files = {"a.yaml": task("a").replace(".wat", ".wasm"), "add.wasm": bytes(MAX_MODULE_BYTES + 1)}
    (fault,) = loading.faults(files)
    assert f"a module must be at most {MAX_MODULE_BYTES} bytes" in fault


def test_a_module_nobody_names_is_nobody_s_fault(loading):
    """Broken files that no spec uses are left alone."""
    assert loading({"x.wasm": b"rubbish", "y.wat": b"("}).objects == {}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0", "i32"),
        ("-2147483648", "i32"),
        ("4294967295", "i32"),
        ("0xFF", "i64"),
        ("+5", "i64"),
        ("-9223372036854775808", "i64"),
        ("1", "f32"),
        ("-1.5e-3", "f64"),
        ("inf", "f64"),
        ("nan", "f32"),
    ],
)
def test_values_of_core_types(text, kind):
    """Signed and unsigned integers, hex, and floats with inf and nan."""
    assert value_problem(text, kind) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "i32"),
        ("1.0", "i32"),
        ("1_000", "i64"),
        ("9" * 50, "i64"),
        ("0x", "i32"),
        ("1e", "f64"),
        ("infinity", "f64"),
        ("0", "v128"),
        ("0", "externref"),
        ("1e39", "f32"),
    ],
)
def test_what_is_no_value_of_a_core_type(text, kind):
    """Nor can references and vectors be written in a spec."""
    assert value_problem(text, kind) != ""
