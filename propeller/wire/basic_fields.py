"""The words every message is made of: what `entry_fields`, `call_fields` and `fields` share."""

from __future__ import annotations

from propeller.wire import messages as m
from propeller.wire.kinds import MAX_U32, hexed, integer, spelled, text
from propeller.wire.shapes import Field

ID = spelled(r"[A-Za-z0-9_-]{1,64}", "an id")
REF = spelled(
    r"[A-Z][A-Za-z]{0,31}/[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}", "kind/namespace/name"
)
UID = hexed(16, uuid=True)
RUN = hexed(16)
INST = hexed(16)
KID = hexed(8)
DIGEST = hexed(32, prefix="sha256:")
WORD = text(64)
NOTE = text(m.INLINE_LIMIT, nul=True)
U32 = integer(0, MAX_U32)
SIZE = integer()
TIME = integer()

VERSION_FIELD = Field(
    0, "v", integer(1, m.VERSION), "Version of the protocol; a higher one is refused."
)
