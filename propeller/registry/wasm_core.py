"""The sections of a core module that say what it needs and offers.

Called by `wasm.inspect` and, for the modules inside a component, by `wasm_component`. Code, data,
tables and globals are stepped over: whether they are valid is the runtime's business.
"""

from __future__ import annotations

from typing import NamedTuple

from propeller.model.module import WASM_PAGE, Export, Import
from propeller.registry.wasm_reader import Reader, bad

MAX_TYPES = 1_000_000
MAX_FUNCTIONS = 1_000_000
MAX_IMPORTS = 10_000
MAX_EXPORTS = 10_000
MAX_SIGNATURE = 1_000
MAX_EXPORTED_TYPES = 100_000
"""Value types over all exported functions: many exports of one huge type would multiply."""
MAX_MEMORIES = 100

_VALUE_TYPES = {
    0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref",
    0x6F: "externref", 0x6E: "anyref", 0x6D: "eqref", 0x6C: "i31ref", 0x6B: "structref",
    0x6A: "arrayref", 0x69: "exnref", 0x68: "contref", 0x71: "nullref", 0x72: "nullexternref",
    0x73: "nullfuncref", 0x74: "nullexnref", 0x75: "nullcontref",
}  # fmt: skip
_REF_NULL, _REF = 0x63, 0x64
_REC, _SUB, _SUB_FINAL = 0x4E, 0x50, 0x4F

_ORDER = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 13: 6, 6: 7, 7: 8, 8: 9, 9: 10, 12: 11, 10: 12, 11: 13}
"""Where each known section of a core module must stand; custom sections (0) may be anywhere."""


Memory = tuple[int, int | None]
"""Bytes a memory starts with and may grow to; None when it names no maximum."""


class Found(NamedTuple):
    """What one binary said, in the order it said it. Memories include imported ones."""

    imports: list[Import]
    exports: list[Export]
    memories: list[Memory]


_Signature = tuple[tuple[str, ...], tuple[str, ...]]


class _Core:
    """The tables of one core module while it is read."""

    def __init__(self) -> None:
        self.types: list[_Signature | None] = []  # None: a struct, array or continuation
        self.functions: list[int] = []
        self.imports: list[Import] = []
        self.exports: list[Export] = []
        self.memories: list[Memory] = []

    def section(self, number: int, body: Reader) -> None:
        match number:
            case 1:
                for _ in range(body.count(MAX_TYPES, "types")):
                    _recursion(self.types, body)
                body.finish("type")
            case 2:
                self._read_imports(body)
                body.finish("import")
            case 3:
                for _ in range(body.count(MAX_FUNCTIONS, "functions")):
                    self._function(body)
                body.finish("function")
            case 5:
                memories = body.count(MAX_MEMORIES, "memories")
                self.memories.extend(read_memory(body) for _ in range(memories))
                body.finish("memory")
            case 7:
                self._read_exports(body)
                body.finish("export")
            case _:
                pass

    def _function(self, body: Reader) -> None:
        index = body.u32()
        if index >= len(self.types) or self.types[index] is None:
            raise bad(f"a function of type {index}, which is no function type")
        self.functions.append(index)

    def _read_imports(self, body: Reader) -> None:
        for _ in range(body.count(MAX_IMPORTS, "imports")):
            module, name = body.name(), body.name()
            match body.byte():
                case 0x00:  # function
                    self._function(body)
                case 0x01:  # table
                    _value_type(body)
                    _limits(body)
                case 0x02:  # memory
                    self.memories.append(read_memory(body))
                case 0x03:  # global
                    _value_type(body)
                    body.byte()
                case 0x04:  # tag
                    body.byte()
                    body.u32()
                case kind:
                    raise bad(f"import {module}.{name} is of unknown kind {kind}")
            self.imports.append(Import(module, name))

    def _read_exports(self, body: Reader) -> None:
        names: set[str] = set()
        types = 0
        for _ in range(body.count(MAX_EXPORTS, "exports")):
            name, kind, index = body.name(), body.byte(), body.u32()
            if name in names:
                raise bad(f"two exports are called {name!r}")
            names.add(name)
            if kind > 0x04:
                raise bad(f"export {name!r} is of unknown kind {kind}")
            if kind != 0x00:
                continue
            if index >= len(self.functions):
                raise bad(f"export {name!r} names function {index}, which does not exist")
            signature = self.types[self.functions[index]]
            assert signature is not None, "checked when the function was read"
            types += len(signature[0]) + len(signature[1])
            if types > MAX_EXPORTED_TYPES:
                raise bad("the exported functions have too many parameters and results in all")
            self.exports.append(Export(name, *signature))


def read_core(reader: Reader) -> Found:
    """Everything after the header of a core module."""
    module, place = _Core(), 0
    while reader.at < reader.end:
        number, body = reader.byte(), reader.part()
        if number == 0:
            continue
        if number not in _ORDER:
            raise bad(f"unknown section {number}")
        if _ORDER[number] <= place:
            raise bad(f"section {number} stands twice or out of order")
        place = _ORDER[number]
        module.section(number, body)
    return Found(module.imports, module.exports, module.memories)


def _recursion(types: list[_Signature | None], body: Reader) -> None:
    """One entry of the type section: a type, or a group of types that name one another."""
    if body.peek() != _REC:
        types.append(_sub_type(body))
        return
    body.byte()
    members = body.count(MAX_TYPES - len(types), "types in a group")
    types.extend(_sub_type(body) for _ in range(members))


def _sub_type(body: Reader) -> _Signature | None:
    if body.peek() in (_SUB, _SUB_FINAL):
        body.byte()
        for _ in range(body.count(MAX_SIGNATURE, "supertypes")):
            body.u32()
    match body.byte():
        case 0x60:  # function
            return _value_types(body), _value_types(body)
        case 0x5F:  # struct
            for _ in range(body.count(10_000, "fields")):
                _field(body)
        case 0x5E:  # array
            _field(body)
        case 0x5D:  # continuation
            body.unsigned(33)
        case form:
            raise bad(f"unknown type form {form:#x}")
    return None


def _field(body: Reader) -> None:
    if body.peek() in (0x78, 0x77):  # i8 and i16, which only fields may be
        body.byte()
    else:
        _value_type(body)
    body.byte()


def _value_types(body: Reader) -> tuple[str, ...]:
    return tuple(_value_type(body) for _ in range(body.count(MAX_SIGNATURE, "value types")))


def _value_type(body: Reader) -> str:
    code = body.byte()
    if code in _VALUE_TYPES:
        return _VALUE_TYPES[code]
    if code in (_REF, _REF_NULL):
        prefix = "ref null" if code == _REF_NULL else "ref"
        if body.peek() in _VALUE_TYPES:
            return f"({prefix} {_VALUE_TYPES[body.byte()].removesuffix('ref')})"
        return f"({prefix} {body.unsigned(33)})"
    raise bad(f"unknown value type {code:#x}")


def _limits(body: Reader) -> tuple[int, int | None, int]:
    """Minimum, maximum (None: none given) and flags of a table or memory."""
    flags = body.byte()
    if flags > 0x0F:
        raise bad(f"unknown limits {flags:#x}")
    bits = 64 if flags & 0x04 else 32
    least = body.unsigned(bits)
    most = body.unsigned(bits) if flags & 0x01 else None
    if most is not None and most < least:
        raise bad(f"a maximum of {most} below the minimum of {least}")
    return least, most, flags


def read_memory(body: Reader) -> Memory:
    """Bytes a memory starts with and may grow to."""
    least, most, flags = _limits(body)
    page = WASM_PAGE
    if flags & 0x08:  # custom page size, as a power of two
        power = body.u32()
        if power > 16:
            raise bad(f"a page size of 2^{power}")
        page = 1 << power
    address_space = 1 << (64 if flags & 0x04 else 32)
    if max(least, most or 0) * page > address_space:
        raise bad(f"a memory of {max(least, most or 0)} pages, more than can be addressed")
    return least * page, None if most is None else most * page
