"""Messages between the agent and its workers: JSON with its length before it, over a socket."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

_HEAD = struct.Struct(">I")
LARGEST = 32 << 20
"""Arguments, environment and stdin of one entry fit well within."""

Words = Mapping[str, object]


def pack(message: Words) -> bytes:
    """The bytes of a message."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return _HEAD.pack(len(body)) + body


class Reader:
    """Puts messages together from whatever pieces arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Words]:
        """Messages that are complete now. Raises ValueError for what is no message."""
        self._buffer += data
        done: list[Words] = []
        while len(self._buffer) >= _HEAD.size:
            (size,) = _HEAD.unpack_from(self._buffer)
            if size > LARGEST:
                raise ValueError(f"a message of {size} bytes")
            if len(self._buffer) < _HEAD.size + size:
                break
            body = bytes(self._buffer[_HEAD.size : _HEAD.size + size])
            del self._buffer[: _HEAD.size + size]
            message = json.loads(body)
            if not isinstance(message, dict):
                raise ValueError("not an object")
            done.append(message)
        return done
