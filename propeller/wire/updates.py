"""A model update on its way from a trainer: the envelope `PFU1`. Pure; no numpy here.

    offset  size  field (little-endian)
         0     4  magic "PFU1"
         4     1  version, 1
         5     1  encoding (ENCODINGS)
         6     1  flags: 1 full weights, 2 clipped, 4 secure aggregation, 8 error feedback
         7     1  signature: 0 none, 1 by the device's own key, Ed25519 or P-256
         8    16  job, the bytes of its UUID
        24     4  round, from 1
        28     4  attempt, from 1
        32     4  local steps (tau; FedNova)
        36     4  bytes of meta, at most 4096
        40     8  samples
        48     8  elements of the model
        56     8  bytes of the body
        64    32  SHA-256 of the model it started from, zeros for none
        96    32  SHA-256 of the layout, zeros while none is known
       128     .  meta: one CBOR map in its one spelling, text -> integer or text
         .     .  body, in its encoding
         .    64  signature over `signed_bytes`, where there is one

An update is named by the SHA-256 of everything but the signature. What the body means is
`propeller.fl.encodings`; nothing here looks into it. The Linux proplet writes this, the manager and
whoever verifies a round read it, and the C side shares the layout.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

from propeller.wire import cbor_codec
from propeller.wire.reject import Broken, Reject, refusal

MAGIC: Final = b"PFU1"
VERSION: Final = 1
MAX_META: Final = 4096
MAX_ELEMENTS: Final = 1 << 40
SIGNATURE_SIZE: Final = 64
NO_DIGEST: Final = ""
"""How an absent base or layout is written in `Update`."""

ENCODINGS: Final[Mapping[str, int]] = {
    "f32-delta": 1,
    "f32-full": 2,
    "f16-delta": 3,
    "bf16-delta": 4,
    "q8-delta": 5,
    "q4-delta": 6,
    "topk-f32": 7,
    "topk-f16-bitmap": 8,
    "secagg-u32": 9,
    "f64-partial": 10,
    "json-f64": 128,
}
"""Every encoding of a body: the name that specs use, and its number."""

NAMES: Final[Mapping[int, str]] = {number: name for name, number in ENCODINGS.items()}

_HEAD = struct.Struct("<4s4B16s4I3Q32s32s")
HEAD_SIZE: Final = _HEAD.size
assert HEAD_SIZE == 128
_LABEL = b"propeller-fl-update-v1\0"
_U32 = (1 << 32) - 1
_U63 = (1 << 63) - 1


class Flag(IntFlag):
    """What an update says of itself."""

    FULL = 1
    CLIPPED = 2
    SECURE = 4
    FEEDBACK = 8


NONE: Final = Flag(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update. job: 16 bytes. base, layout: `sha256:<hex>` or "". steps: local steps, 0 unknown.

    meta: metrics and provenance, integers and texts only (a metric is its decimal text).
    """

    encoding: str
    job: bytes
    round: int
    attempt: int
    samples: int
    count: int
    base: str
    layout: str
    body: bytes = field(repr=False)
    steps: int = 0
    flags: Flag = NONE
    meta: Mapping[str, int | str] = field(default_factory=dict)
    signature: bytes | None = field(default=None, repr=False)

    @property
    def body_digest(self) -> str:
        """`sha256:<hex>` of the body: what two runs of one trainer must agree on."""
        return "sha256:" + hashlib.sha256(self.body).hexdigest()


def pack(update: Update) -> bytes:
    """The bytes of `update`, signature last. Raises WireError for what no reader would take."""
    if update.encoding not in ENCODINGS:
        raise refusal(Reject.BAD_ENUM, f"encoding {update.encoding[:40]!r}")
    if len(update.job) != 16:
        raise refusal(Reject.BAD_FRAME, f"a job of {len(update.job)} bytes")
    meta = cbor_codec.dumps(dict(sorted(update.meta.items()))) if update.meta else b"\xa0"
    try:
        head = _HEAD.pack(
            MAGIC,
            VERSION,
            ENCODINGS[update.encoding],
            int(update.flags),
            0 if update.signature is None else 1,
            update.job,
            update.round,
            update.attempt,
            update.steps,
            len(meta),
            update.samples,
            update.count,
            len(update.body),
            _raw(update.base),
            _raw(update.layout),
        )
    except struct.error as error:
        raise refusal(Reject.INTEGER_RANGE, f"a number of the header: {error}") from error
    data = head + meta + update.body + (update.signature or b"")
    unpack(data, max_body=len(update.body))
    return data


def unpack(data: bytes, *, max_body: int) -> Update:
    """The update in `data`, whose body has at most `max_body` bytes.

    Only the envelope is checked; the signature is carried, not verified. Raises WireError:
    bad_frame, unsupported_version, bad_enum, too_long, too_big, integer_range, malformed,
    wrong_type.
    """
    if len(data) < HEAD_SIZE or data[:4] != MAGIC:
        raise refusal(Reject.BAD_FRAME, "no PFU1 header")
    (
        _,
        version,
        encoding,
        flags,
        signed,
        job,
        round_,
        attempt,
        steps,
        meta_size,
        samples,
        count,
        body_size,
        base,
        layout,
    ) = _HEAD.unpack_from(data)
    if version != VERSION:
        raise refusal(Reject.UNSUPPORTED_VERSION, f"update version {version}")
    if encoding not in NAMES:
        raise refusal(Reject.BAD_ENUM, f"encoding {encoding}")
    if flags & ~0x0F or signed > 1:
        raise refusal(Reject.BAD_ENUM, f"flags {flags:#x}, signature {signed}")
    if meta_size > MAX_META:
        raise refusal(Reject.TOO_LONG, f"{meta_size} bytes of meta, at most {MAX_META}")
    if body_size > max_body:
        raise refusal(Reject.TOO_BIG, f"a body of {body_size} bytes, at most {max_body}")
    if count > MAX_ELEMENTS or samples > _U63 or not round_ or not attempt:
        raise refusal(Reject.INTEGER_RANGE, f"round {round_}.{attempt}, {count}, {samples}")
    end = HEAD_SIZE + meta_size + body_size
    if len(data) != end + (SIGNATURE_SIZE if signed else 0):
        raise refusal(Reject.BAD_FRAME, f"{len(data)} bytes, its header says {end}")
    return Update(
        encoding=NAMES[encoding],
        flags=Flag(flags),
        job=job,
        round=round_,
        attempt=attempt,
        steps=steps,
        samples=samples,
        count=count,
        base=_text(base),
        layout=_text(layout),
        meta=_meta(data[HEAD_SIZE : HEAD_SIZE + meta_size]),
        body=data[HEAD_SIZE + meta_size : end],
        signature=data[end:] if signed else None,
    )


def update_id(data: bytes) -> str:
    """The name of a packed update, `sha256:<hex>`: over everything but the signature."""
    signed = len(data) > 7 and data[7] == 1
    return "sha256:" + hashlib.sha256(data[:-SIGNATURE_SIZE] if signed else data).hexdigest()


def signed_bytes(identifier: str, nonce: str) -> bytes:
    """What a device signs: its update for one assignment, named by its nonce (32 hex digits)."""
    return _LABEL + bytes.fromhex(identifier.removeprefix("sha256:")) + bytes.fromhex(nonce)


def _meta(data: bytes) -> Mapping[str, int | str]:
    try:
        value = cbor_codec.loads(data)
    except Broken as error:
        raise error.told("meta") from error
    if not isinstance(value, dict):
        raise refusal(Reject.WRONG_TYPE, "meta is no map")
    for name, one in value.items():
        if not isinstance(name, str) or isinstance(one, bool) or not isinstance(one, int | str):
            raise refusal(Reject.WRONG_TYPE, f"meta {str(name)[:40]!r}")
    return value


def _raw(digest: str) -> bytes:
    if not digest:
        return bytes(32)
    try:
        raw = bytes.fromhex(digest.removeprefix("sha256:"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise refusal(Reject.BAD_FRAME, f"{digest[:80]!r} is no digest")
    return raw


def _text(raw: bytes) -> str:
    return "sha256:" + raw.hex() if any(raw) else NO_DIGEST
