"""Writes `firmware/tests/vectors/modules.json`: `python tests/firmware/module_vectors.py`.

Modules, what an entry asks of them, and what the Linux proplet says to that. The C core must say
the same, word for word; where it leaves a verdict to the engine, the case is not here (two exports
of one name, the types of arguments).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from wasmtime import wat2wasm  # noqa: E402  found by the path set above

from propeller.errors import WireError  # noqa: E402
from propeller.registry.wasm import inspect  # noqa: E402
from propeller.wire.messages import Entry, WireModule  # noqa: E402
from proplet.runtime.fit import WASI, WASI_NAMES, Facts, why_unfit  # noqa: E402

FILE = "firmware/tests/vectors/modules.json"
OFFERED = (WASI, "propeller.now", "propeller.log", "propeller.point_read", "propeller.point_write")
NAMES = 8

START = '(module (func (export "_start")))'
ADD = """(module (func (export "add") (param i32 i32) (result i32) local.get 0)
  (memory (export "memory") 2 4))"""
TEXTS: dict[str, tuple[str, str, int | None]] = {
    "a start": (START, "_start", None),
    "an export with parameters": (ADD, "add", None),
    "an export that is not there": (ADD, "sub", None),
    "no export at all": ("(module)", "_start", None),
    "nine exports, one missing": (
        "(module " + "".join(f'(func (export "f{at}"))' for at in range(9)) + ")",
        "_start",
        None,
    ),
    "a memory beyond the limit": (ADD, "add", 65536),
    "a memory at the limit": (ADD, "add", 131072),
    "wasi": (
        f'(module (import "{WASI}" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'
        '(func (export "_start")))',
        "_start",
        None,
    ),
    "a function wasi does not have": (
        f'(module (import "{WASI}" "fd_fly" (func)) (func (export "_start")))',
        "_start",
        None,
    ),
    "an import by name": (
        '(module (import "propeller" "now" (func (result i64))) (func (export "_start")))',
        "_start",
        None,
    ),
    "a sensor that is not granted": (
        '(module (import "propeller" "point_read" (func (param i32 i32 i32) (result i32)))'
        '(import "propeller" "point_write" (func)) (func (export "_start")))',
        "_start",
        None,
    ),
    "an output that is not granted": (
        '(module (import "propeller" "point_write" (func)) (func (export "_start")))',
        "_start",
        None,
    ),
    "imports nobody has": (
        "(module "
        + "".join(f'(import "env" "f{at}" (func))' for at in range(7))
        + '(import "propeller" "gpio" (func)) (func (export "_start")))',
        "_start",
        None,
    ),
    "an imported memory": (
        '(module (import "env" "memory" (memory 3)) (func (export "_start")))',
        "_start",
        None,
    ),
    "imported globals and tables": (
        '(module (import "env" "g" (global i32)) (import "env" "t" (table 1 funcref))'
        '(func (export "_start")))',
        "_start",
        None,
    ),
    "a start that takes an argument": (
        '(module (func (export "_start") (param i32)))',
        "_start",
        None,
    ),
    "an imported function as start": (
        f'(module (import "{WASI}" "proc_exit" (func $f (param i32))) (export "_start" (func $f)))',
        "_start",
        None,
    ),
    "an imported start without arguments": (
        f'(module (import "{WASI}" "sched_yield" (func $f (result i32)))'
        '(export "_start" (func $f)))',
        "_start",
        None,
    ),
    "an export that is a memory": ('(module (memory (export "_start") 1))', "_start", None),
    "types of references": (
        '(module (func (param externref funcref v128)) (func (export "_start")))',
        "_start",
        None,
    ),
    "a name beyond ASCII": ('(module (func (export "größe")))', "größe", None),
    "a component": ("(component)", "_start", None),
}


def leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def section(number: int, body: bytes) -> bytes:
    return bytes((number,)) + leb(len(body)) + body


HEAD = b"\0asm\x01\0\0\0"
TYPE = section(1, b"\x01\x60\0\0")
FUNCTION = section(3, b"\x01\0")
EXPORT = section(7, b"\x01\x06_start\0\0")
CODE = section(10, b"\x01\x02\0\x0b")
GOOD = HEAD + TYPE + FUNCTION + EXPORT + CODE
BROKEN = {
    "nothing": b"",
    "three bytes": b"\0as",
    "not wasm": b"GIF89a..",
    "another version": b"\0asm\x02\0\0\0",
    "a header alone": HEAD,
    "sections out of order": HEAD + FUNCTION + TYPE,
    "a section twice": HEAD + TYPE + TYPE,
    "an unknown section": HEAD + section(14, b""),
    "a section that does not fit": HEAD + b"\x01\x7f\x01",
    "bytes too many in a section": HEAD + section(1, b"\x01\x60\0\0\0"),
    "an unknown type form": HEAD + section(1, b"\x01\x12"),
    "an unknown value type": HEAD + section(1, b"\x01\x60\x01\x01\0"),
    "an integer too long": HEAD + b"\x01\xff\xff\xff\xff\xff\x01",
    "an integer too large": HEAD + b"\x01\xff\xff\xff\xff\x7f",
    "a function without its type": HEAD + TYPE + section(3, b"\x01\x01"),
    "an export without its function": HEAD + TYPE + FUNCTION + section(7, b"\x01\x01f\0\x01"),
    "an export of unknown kind": HEAD + section(7, b"\x01\x01f\x05\0"),
    "an import of unknown kind": HEAD + section(2, b"\x01\x01a\x01b\x05\0"),
    "more types than fit": HEAD + section(1, b"\x10\x60\0\0"),
    "more memories than are taken": HEAD + section(5, b"\x65" + b"\0\0" * 101),
    "a maximum below the minimum": HEAD + section(5, b"\x01\x01\x02\x01"),
    "a memory beyond 4 GiB": HEAD + section(5, b"\x01\0" + leb(65537)),
    "unknown limits": HEAD + section(5, b"\x01\x10\x01"),
    "a page size of 2^17": HEAD + section(5, b"\x01\x08\x01\x11"),
    "a name that is not utf-8": HEAD + section(2, b"\x01\x02\xff\xfe\x01b\0\0"),
    "a name that is not utf-8, far in": HEAD
    + section(2, b"\x01\x46" + "ä".encode() * 34 + b"\xc3\x28" + b"\x01b\0\0"),
    "a custom section anywhere": HEAD + section(0, b"\x01x") + GOOD[8:] + section(0, b"\x01y"),
    "a struct among the types": HEAD
    + section(1, b"\x02\x5f\x01\x78\0\x60\0\0")
    + section(3, b"\x01\x01")
    + EXPORT
    + CODE,
    "a group of types": HEAD
    + section(1, b"\x01\x4e\x02\x50\0\x60\0\0\x60\0\0")
    + GOOD[8 + len(TYPE) :],
}


def facts(wasm: bytes, entrypoint: str) -> Facts:
    """As `proplet.runtime.prepare` finds them, for an agent that offers OFFERED."""
    try:
        found = inspect(wasm)
    except WireError as error:
        return Facts(trouble=f"not a WebAssembly module: {error.what}")
    if found.component:
        return Facts(trouble="is a component; this proplet runs core modules and WASI preview 1")
    missing = tuple(
        f"{one.module}.{one.name}"
        for one in found.imports
        if not (one.module == WASI and one.name in WASI_NAMES)
        and f"{one.module}.{one.name}" not in OFFERED
    )
    entry = next((one for one in found.exports if one.name == entrypoint), None)
    asked = {one.name for one in found.imports if one.module == "propeller"}
    return Facts(
        missing=missing,
        reads="point_read" in asked,
        writes="point_write" in asked,
        params=None if entry is None else entry.params,
        functions=tuple(one.name for one in found.exports[:NAMES]),
        memory_min=found.memory_min,
    )


def entry(entrypoint: str, memory: int | None, args: int) -> Entry:
    digest = "sha256:" + "ad" * 32
    return Entry(
        uid="5d0d2f2e-1f0a-5c5e-9a70-0f1b6a8a3c11",
        ref="Task/default/t",
        run="1" * 32,
        cause="once",
        mode="once",
        digest=digest,
        module=WireModule(digest=digest, size=1),
        entrypoint=entrypoint,
        args=("1",) * args,
        memory=memory,
    )


def cases() -> list[dict[str, object]]:
    """Every module with its verdict; "" takes it."""
    made = [
        (name, bytes(wat2wasm(text)), start, most) for name, (text, start, most) in TEXTS.items()
    ]
    made += [(name, wasm, "_start", None) for name, wasm in BROKEN.items()]
    made += [(f"cut at {at}", GOOD[:at], "_start", None) for at in range(9, len(GOOD))]
    out: list[dict[str, object]] = []
    for name, wasm, start, most in made:
        found = facts(wasm, start)
        given = len(found.params or ()) if start != "_start" else 0
        verdict = why_unfit(found, entry(start, most, given))
        out.append(
            {"name": name, "wasm": wasm.hex(), "entrypoint": start, "verdict": verdict}
            | ({} if most is None else {"memory": most})
        )
    return out


def all_files() -> dict[str, str]:
    """Path in the repository -> text."""
    head = {
        "about": "What a proplet says of a module; an empty verdict takes it.",
        "offered": OFFERED,
    }
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases())
    return {FILE: f'{json.dumps(head)[:-1]},\n "cases": [\n{lines}\n ]}}\n'}


if __name__ == "__main__":
    for name, text in all_files().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
        print(name)
