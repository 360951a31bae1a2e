"""Binaries made to hurt who reads them: each a few lines, each for one hole that readers had."""

from __future__ import annotations

from collections.abc import Callable

HEAD = b"\0asm\x01\0\0\0"


def leb(value: int) -> bytes:
    """An unsigned LEB128."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def section(number: int, body: bytes) -> bytes:
    """One section of a binary."""
    return bytes([number]) + leb(len(body)) + body


def vector(*items: bytes) -> bytes:
    """A vector of what is given."""
    return leb(len(items)) + b"".join(items)


def name(text: bytes) -> bytes:
    """A name as the format has it, whatever its bytes."""
    return leb(len(text)) + text


TYPES = section(1, vector(b"\x60\0\0"))
ONE = section(3, vector(b"\0"))
START = section(7, vector(name(b"_start") + b"\0\0"))


def code(*bodies: bytes) -> bytes:
    """The code section of functions with these bodies (locals and instructions, without `end`)."""
    return section(10, vector(*(leb(len(body) + 1) + body + b"\x0b" for body in bodies)))


def honest() -> bytes:
    """A module that does nothing, for cutting off."""
    return HEAD + TYPES + ONE + START + code(b"\0" + b"\x01" * 200)


def locals_() -> bytes:
    """A function with four billion local variables."""
    return HEAD + TYPES + ONE + START + code(b"\x01" + leb(0xFFFFFFFF) + b"\x7f")


def nested() -> bytes:
    """A hundred thousand blocks, one in the other: for readers that call themselves."""
    deep = 100_000
    return HEAD + TYPES + ONE + START + code(b"\0" + b"\x02\x40" * deep + b"\x0b" * deep)


def branches() -> bytes:
    """A branch table of two million targets."""
    many = 2_000_000
    body = b"\0\x41\0\x0e" + leb(many) + b"\0" * (many + 1)
    return HEAD + TYPES + ONE + START + code(body)


def functions() -> bytes:
    """Fifty thousand functions: a few bytes each that compile into much more."""
    many = 50_000
    kinds = section(3, leb(many) + b"\0" * many)
    return HEAD + TYPES + kinds + START + section(10, leb(many) + b"\x02\0\x0b" * many)


def one_long_function() -> bytes:
    """A function of a million additions of a float: slow to allocate registers for."""
    body = b"\x01\x01\x7c" + b"\x20\0\x44" + b"\0" * 8
    return HEAD + TYPES + ONE + START + code(body + b"\x20\0\xa0" * 1_000_000 + b"\x1a")


def claimed_functions() -> bytes:
    """Says that four billion functions follow, and none does."""
    return HEAD + TYPES + section(3, leb(0xFFFFFFFF))


def claimed_section() -> bytes:
    """A section that says it is four gigabytes long."""
    return HEAD + b"\x01" + leb(0xFFFFFFFF) + b"\x60"


def endless_number() -> bytes:
    """A number that never ends."""
    return HEAD + b"\x01" + b"\x80" * 100_000


def data() -> bytes:
    """Sixteen megabytes of data for a memory of one page."""
    piece = b"\0\x41\0\x0b" + name(b"x" * (16 << 20))
    memory = section(5, vector(b"\0\x01"))
    return HEAD + TYPES + ONE + memory + START + code(b"\0") + section(11, vector(piece))


def data_many() -> bytes:
    """A million pieces of data, each a byte at the same place."""
    many = 1_000_000
    pieces = leb(many) + b"\0\x41\0\x0b\x01x" * many
    memory = section(5, vector(b"\0\x01"))
    return HEAD + TYPES + ONE + memory + START + code(b"\0") + section(11, pieces)


def names() -> bytes:
    """A name section of 16 MiB: a million functions that are not there, all of one name."""
    entries = b"".join(leb(number) + name(b"a" * 12) for number in range(1_000_000))
    sub = b"\x01" + leb(len(leb(1_000_000) + entries)) + leb(1_000_000) + entries
    return honest() + section(0, name(b"name") + sub)


def export_long() -> bytes:
    """An export with a name of a megabyte."""
    exported = section(7, vector(name(b"n" * (1 << 20)) + b"\0\0"))
    return HEAD + TYPES + ONE + exported + code(b"\0")


def exports_many() -> bytes:
    """A hundred thousand exports of one function, `_start` not among them."""
    many = 100_000
    rows = b"".join(name(b"f%d" % number) + b"\0\0" for number in range(many))
    return HEAD + TYPES + ONE + section(7, leb(many) + rows) + code(b"\0")


def exports_twice() -> bytes:
    """Two exports of one name."""
    twice = section(7, vector(name(b"_start") + b"\0\0", name(b"_start") + b"\0\0"))
    return HEAD + TYPES + ONE + twice + code(b"\0")


def not_text() -> bytes:
    """A name that is not UTF-8."""
    return HEAD + TYPES + ONE + section(7, vector(name(b"\xff\xfe") + b"\0\0")) + code(b"\0")


def imports_many() -> bytes:
    """A hundred thousand imports of one host function."""
    row = name(b"wasi_snapshot_preview1") + name(b"sched_yield") + b"\0\0"
    imports = section(2, leb(100_000) + row * 100_000)
    return HEAD + section(1, vector(b"\x60\0\x01\x7f")) + imports


def types_many() -> bytes:
    """A million types, and a function with the last one."""
    kinds = section(1, leb(1_000_000) + b"\x60\0\0" * 1_000_000)
    return HEAD + kinds + section(3, vector(leb(999_999))) + START + code(b"\0")


def wrong_import() -> bytes:
    """Imports `proc_exit` as a function of five floats."""
    kinds = section(1, vector(b"\x60\0\0", b"\x60\x05\x7c\x7c\x7c\x7c\x7c\0"))
    row = name(b"wasi_snapshot_preview1") + name(b"proc_exit") + b"\0\x01"
    starts = section(7, vector(name(b"_start") + b"\0\x01"))
    return HEAD + kinds + section(2, vector(row)) + ONE + starts + code(b"\0")


def sections_twice() -> bytes:
    """The code section twice."""
    return honest() + code(b"\0")


def bad_opcode() -> bytes:
    """An instruction that does not exist."""
    return HEAD + TYPES + ONE + START + code(b"\0\xff\xff")


def ill_typed() -> bytes:
    """Adds what is not there."""
    return HEAD + TYPES + ONE + START + code(b"\0\x6a")


def version() -> bytes:
    """The version of a format that is not there yet."""
    return b"\0asm\x02\0\0\0"


def gzip() -> bytes:
    """No module: a gzip stream."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(1000)


def empty() -> bytes:
    """Nothing but the head: a valid module without anything in it."""
    return HEAD


BOMBS: dict[str, Callable[[], bytes]] = {
    made.__name__.strip("_"): made
    for made in (
        locals_,
        nested,
        branches,
        functions,
        one_long_function,
        claimed_functions,
        claimed_section,
        endless_number,
        data,
        data_many,
        names,
        export_long,
        exports_many,
        exports_twice,
        not_text,
        imports_many,
        types_many,
        wrong_import,
        sections_twice,
        bad_opcode,
        ill_typed,
        version,
        gzip,
        empty,
    )
}
"""By name. Each may be refused, run or fail; none may do more than that."""
