"""What others wrote may not steer the terminal of who reads it.

A device's error, a registry's message, a commit's subject or a file's name can hold escape
sequences: they would move the cursor, rewrite what stands above, set the title, fill the clipboard
(OSC 52) or, as bidirectional marks, show text in another order than it has. `tamed` writes such
characters out; the CLI sends all its text through it, the agent its log.
"""

from __future__ import annotations

import re
from typing import Any, TextIO

_OURS = re.compile(r"\x1b\[(?:0|1|2|3[1-3])m")
"""The few colours we use; nobody is harmed by them."""

_STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"  # order, hidden, lines
    "\U000e0000-\U000e007f\ud800-\udfff]"  # tags nobody sees, halves of characters
)


def tamed(text: str) -> str:
    """The text with everything that steers a terminal written out (`\\u001b`, `\\u202e`).

    Our own colours stay. In JSON what is written out means the same character.
    """
    if _STEERS.search(text) is None:
        return text
    kept, parts = 0, []
    for found in _OURS.finditer(text):
        parts += [_STEERS.sub(_written, text[kept : found.start()]), found.group()]
        kept = found.end()
    return "".join(parts) + _STEERS.sub(_written, text[kept:])


def _written(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000  # as JSON spells it: two halves
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


class Tame:
    """A text stream that writes `tamed` text; all else is the stream it stands before.

    `untamed` is that stream, for the few who draw.
    """

    def __init__(self, stream: TextIO) -> None:
        self.untamed = stream

    def write(self, text: str) -> int:
        """Write it, tamed; the number of characters that were given."""
        self.untamed.write(tamed(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Each of them."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """Bytes for a file or a pipe are data and stay as they are; for a terminal, text."""
        return _Bytes(self) if self.untamed.isatty() else self.untamed.buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.untamed, name)


class _Bytes:
    """What takes bytes for a terminal."""

    def __init__(self, stream: Tame) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Write them as the text they are."""
        self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        """Pass it on."""
        self._stream.untamed.flush()
