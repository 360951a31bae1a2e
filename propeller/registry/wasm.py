"""What a Wasm binary says of itself: what it imports, exports and how much memory it asks for.

Called by the source loader and the registry before a module is placed. It only parses, never
instantiates: a hostile module gets nothing to run here. Time and memory are linear in the size of
the binary, counts are bounded, and the only exception that leaves is WireError.
"""

from __future__ import annotations

from dataclasses import dataclass

from propeller.errors import WireError
from propeller.model.module import Export, Import
from propeller.registry.wasm_component import read_component
from propeller.registry.wasm_core import read_core
from propeller.registry.wasm_reader import Reader, bad

MAGIC = b"\0asm"
CORE = b"\x01\0\0\0"
COMPONENT = b"\x0d\0\x01\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmFacts:
    """What placement needs to know, memory in bytes over all memories.

    memory_max: None when a memory names no maximum; 0 when there is no memory at all.
    exports: functions only. For a component `imports` are its top-level names (with `Import.name`
    empty), `exports` its exported functions and instances without types, and memory that of its
    own core modules.
    """

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    memory_min: int
    memory_max: int | None
    component: bool


def inspect(data: bytes) -> WasmFacts:
    """The facts of a core module or a component.

    Raises WireError `not_wasm` (something else altogether) or `malformed` (Wasm, but broken).
    """
    if data[:4] != MAGIC:
        raise WireError("not_wasm", _what_it_is(data))
    version, reader = data[4:8], Reader(data, 8, len(data))
    if version not in (CORE, COMPONENT):
        raise bad(f"version word {version.hex()} is neither a core module nor a component")
    found = read_core(reader) if version == CORE else read_component(reader)
    most: int | None = 0
    for _, ceiling in found.memories:
        most = None if most is None or ceiling is None else most + ceiling
    return WasmFacts(
        imports=tuple(found.imports),
        exports=tuple(found.exports),
        memory_min=sum(least for least, _ in found.memories),
        memory_max=most,
        component=version == COMPONENT,
    )


def _what_it_is(data: bytes) -> str:
    if not data:
        return "the file is empty"
    if data[:4] == b"\x7fELF":
        return "native code (ELF), not portable WebAssembly"
    if data[:2] == b"\x1f\x8b":
        return "a gzip archive, not a WebAssembly binary"
    if data.lstrip()[:1] == b"(":
        return "WebAssembly text, not a binary"
    return f"starts with {data[:4].hex()}, not with 0061736d"
