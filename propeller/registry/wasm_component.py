"""The outermost level of a component: its imports and exports, and its core modules' memory.

Called by `wasm.inspect`. Types are stepped over and nested components are not entered: enough to
match a component against what a proplet provides, not to check it.
"""

from __future__ import annotations

from propeller.model.module import Export, Import
from propeller.registry.wasm_core import (
    MAX_EXPORTS,
    MAX_IMPORTS,
    MAX_MEMORIES,
    Found,
    Memory,
    read_memory,
)
from propeller.registry.wasm_reader import Reader, bad

CORE_HEADER = b"\0asm\x01\0\0\0"
MAX_CORE_MODULES = 1_000


def read_component(reader: Reader) -> Found:
    """Only the outermost level: its import and export names and its own core modules' memory."""
    imports: list[Import] = []
    exports: list[Export] = []
    memories: list[Memory] = []
    modules = 0
    while reader.at < reader.end:
        number, body = reader.byte(), reader.part()
        match number:
            case 1:
                modules += 1
                if modules > MAX_CORE_MODULES:
                    raise bad(f"more than {MAX_CORE_MODULES} core modules in one component")
                memories += _nested_memories(body)
            case 10:
                for _ in range(body.count(MAX_IMPORTS - len(imports), "imports")):
                    imports.append(Import(_extern_name(body), ""))
                    _extern_type(body)
                body.finish("import")
            case 11:
                for _ in range(body.count(MAX_EXPORTS - len(exports), "exports")):
                    _component_export(exports, body)
                body.finish("export")
            case _ if number > 12:
                raise bad(f"unknown component section {number}")
            case _:
                pass
    return Found(imports, exports, memories)


def _nested_memories(body: Reader) -> list[Memory]:
    """Memory a core module inside a component brings; what it imports, another one brought."""
    header = body.data[body.at : min(body.at + 8, body.end)]
    if header != CORE_HEADER:
        raise bad(f"the core module at byte {body.at} has no Wasm header")
    body.at += 8
    memories: list[Memory] = []
    while body.at < body.end:
        number, section = body.byte(), body.part()
        if number == 5:
            more = section.count(MAX_MEMORIES - len(memories), "memories")
            memories.extend(read_memory(section) for _ in range(more))
    return memories


def _extern_name(body: Reader) -> str:
    form = body.byte()
    if form > 0x02:
        raise bad(f"unknown form {form:#x} of a component's name")
    name = body.name()
    if form == 0x02:  # with a version suffix, kept apart so that compatible ones compare equal
        name += body.name()
    return name


def _extern_type(body: Reader) -> None:
    """Steps over the type of an import or export."""
    match body.byte():
        case 0x00:
            body.byte()
            body.u32()
        case 0x01 | 0x04 | 0x05:
            body.u32()
        case 0x02 | 0x03:
            if body.byte() == 0x00:
                body.u32()
            elif body.data[body.at - 2] == 0x02:
                body.unsigned(33)
        case kind:
            raise bad(f"unknown kind {kind:#x} of a component's import or export")


def _component_export(exports: list[Export], body: Reader) -> None:
    name, sort = _extern_name(body), body.byte()
    if sort == 0x00:
        body.byte()
    body.u32()
    if body.byte() == 0x01:
        _extern_type(body)
    if sort in (0x01, 0x05):
        exports.append(Export(name))
