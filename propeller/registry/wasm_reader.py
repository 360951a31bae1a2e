"""A cursor over untrusted bytes in the spelling of the WebAssembly binary format.

Used by `wasm_core` and `wasm_component`. It never reads past its end and raises WireError
`malformed` for everything it cannot take.
"""

from __future__ import annotations

from propeller.errors import WireError

MAX_NAME = 4_096


def bad(what: str) -> WireError:
    """The error to raise for a broken binary."""
    return WireError("malformed", what)


class Reader:
    """A cursor over `data[at:end]` that never leaves it."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def byte(self) -> int:
        if self.at >= self.end:
            raise bad(f"cut short at byte {self.at}")
        self.at += 1
        return self.data[self.at - 1]

    def peek(self) -> int:
        return self.data[self.at] if self.at < self.end else -1

    def unsigned(self, bits: int) -> int:
        """An unsigned LEB128 of at most `bits` bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise bad(f"integer too long at byte {self.at}")
        if value >> bits:
            raise bad(f"integer too large at byte {self.at}")
        return value

    def u32(self) -> int:
        return self.unsigned(32)

    def count(self, most: int, what: str) -> int:
        """A vector's length. Each element takes a byte at least, so it cannot exceed the rest."""
        value = self.u32()
        if value > most:
            raise bad(f"{value} {what}; at most {most} are taken")
        if value > self.end - self.at:
            raise bad(f"{value} {what} do not fit")
        return value

    def name(self) -> str:
        size = self.count(MAX_NAME, "bytes of name")
        raw = self.data[self.at : self.at + size]
        self.at += size
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad(f"a name at byte {self.at - size} is not UTF-8") from error

    def part(self) -> Reader:
        """The next length-prefixed part, stepped over in this reader."""
        size = self.u32()
        if size > self.end - self.at:
            raise bad(f"a section of {size} bytes at byte {self.at} does not fit")
        inner = Reader(self.data, self.at, self.at + size)
        self.at += size
        return inner

    def finish(self, what: str) -> None:
        if self.at != self.end:
            raise bad(f"{self.end - self.at} bytes too many in the {what} section")
