"""A file of native code as WAMR's compiler writes it, without any code that does something."""

from __future__ import annotations

import struct

THREADS = 4


def aot_file(
    arch: str = "thumbv7",
    *,
    version: int = 6,
    features: int = 2 | THREADS,
    form: int = 0,
    kind: int = 1,
    memory: tuple[int, int, int] = (0, 1, 3),
    code: bytes = b"native",
) -> bytes:
    """Magic and version, what it was made for, its data, and `code`.

    memory: how many are imported, how many it has, and the flags of the first: 2 is shared.
    """
    info = struct.pack("<HHHHIIQQ16s", form, 0, kind, 40, 1, 0, features, 0, arch.encode())
    parts = [b"\0aot" + struct.pack("<I", version)]
    for number, body in ((0, info), (1, struct.pack("<III", *memory) + b"more"), (2, code)):
        at = sum(map(len, parts))
        parts.append(bytes(-at % 4) + struct.pack("<II", number, len(body)) + body)
    return b"".join(parts)
