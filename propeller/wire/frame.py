"""The signature frame: a body, who signed it and what for.

    offset    size  content
         0       2  "P1"
         2       1  algorithm: 1 Ed25519, 2 ECDSA P-256 with SHA-256 (r and s, 32 bytes each)
         3       1  length k of the kid, 1..64
         4       k  kid, ASCII
       4+k      64  signature over "propeller/1/<purpose>" NUL SHA-256(body)
      68+k          body to the end

The purpose is not in the frame: the receiver knows it from the topic, so what was signed for one
topic proves nothing on another. The signature is verified before the body is looked at. Who may
sign what is the table ROLES.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from propeller.wire.reject import Reject, refusal
from propeller.wire.signing import ALG_NAMES, SIGNATURE_SIZE, SigningKey, VerifyKey
from propeller.wire.topics import Kind

MAGIC = b"P1"
MAX_FRAME: Final = (1 << 20) + 4096
"""Bytes of the longest frame: a put with the most data, and its headers."""

ROLES: Mapping[str, frozenset[str]] = {
    "desired": frozenset({"manager"}),
    "op": frozenset({"manager", "gateway"}),  # a gateway only for `invoke`: see may_ask
    "ack": frozenset({"manager"}),
    "manager": frozenset({"manager"}),
    "echo": frozenset({"manager"}),
    "trust": frozenset({"root"}),
    "releases": frozenset({"release"}),
    "report": frozenset({"device"}),
    "hello": frozenset({"device"}),
    "status": frozenset({"device"}),
    "answer": frozenset({"device"}),
    "call": frozenset({"manager", "gateway"}),
    "return": frozenset({"device"}),
    "put": frozenset({"device"}),
    "enroll": frozenset({"device"}),  # by HTTP to the enrolment service, never on a topic
}
"""Every purpose, and the roles of which a key needs one to sign for it."""

PURPOSE_OF: Mapping[Kind, str] = {
    Kind.DESIRED: "desired",
    Kind.OP: "op",
    Kind.BLOB_ACK: "ack",
    Kind.MANAGER_STATUS: "manager",
    Kind.MANAGER_ECHO: "echo",
    Kind.TRUST: "trust",
    Kind.RELEASES: "releases",
    Kind.REPORT: "report",
    Kind.HELLO: "hello",
    Kind.STATUS: "status",
    Kind.OP_ANSWER: "answer",
    Kind.CALL: "call",
    Kind.CALL_ANSWER: "return",
    Kind.BLOB_PUT: "put",
}
"""What is signed on which topic. Nobody signs blob/get, blob/data, metrics and log."""

_KID = re.compile(rb"[A-Za-z0-9_-]{1,64}")


class Found(Protocol):
    """A key and its roles."""

    @property
    def key(self) -> VerifyKey: ...
    @property
    def roles(self) -> frozenset[str]: ...


class KeyLookup(Protocol):
    """Where `open_frame` finds keys: a Keyring, or anything that answers alike."""

    def find(self, kid: str) -> Found | None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A body whose signature holds. `roles` are those of the key that signed."""

    kid: str
    body: bytes
    roles: frozenset[str]


def is_framed(payload: bytes) -> bool:
    """Whether `payload` says it is a frame (JSON, CBOR and blob bodies begin otherwise)."""
    return payload[:1] == MAGIC[:1]


def seal(purpose: str, body: bytes, key: SigningKey) -> bytes:
    """`body` in a frame, signed by `key` for `purpose` (one of ROLES)."""
    kid = key.kid.encode("ascii")
    head = MAGIC + bytes((key.alg, len(kid))) + kid
    return head + key.sign(_signed(purpose, body)) + body


def head_size(key: SigningKey) -> int:
    """Bytes that `seal` puts before the body."""
    return len(MAGIC) + 2 + len(key.kid) + SIGNATURE_SIZE


def open_frame(purpose: str, frame: bytes, keys: KeyLookup) -> Opened:
    """The body of `frame`, if one of `keys` with a role for `purpose` signed it for that.

    Raises WireError: not_framed, bad_frame, too_big, unknown_alg, unknown_kid, not_allowed,
    bad_signature.
    """
    alg, kid, signature, body = _split(purpose, frame)
    if alg not in ALG_NAMES:
        raise refusal(Reject.UNKNOWN_ALG, f"algorithm {alg}")
    found = keys.find(kid)
    if found is None:
        raise refusal(Reject.UNKNOWN_KID, f"{purpose} signed by {kid}")
    if found.roles.isdisjoint(ROLES[purpose]):
        raise refusal(Reject.NOT_ALLOWED, f"{kid} may not sign {purpose}")
    if found.key.alg != alg or not found.key.verify(signature, _signed(purpose, body)):
        raise refusal(Reject.BAD_SIGNATURE, f"{purpose} said to be signed by {kid}")
    return Opened(kid, body, found.roles)


def peek_body(frame: bytes) -> bytes:
    """The body of `frame`, NOT verified: only to find the key a first hello brings along, with
    which the very same frame is then opened. Raises WireError: not_framed, bad_frame, too_big."""
    return _split("message", frame)[3]


def may_ask(roles: frozenset[str], verb: str) -> bool:
    """Whether a key with `roles` may sign an operation with this verb: a gateway only invokes."""
    return "manager" in roles or (verb == "invoke" and "gateway" in roles)


def _split(purpose: str, frame: bytes) -> tuple[int, str, bytes, bytes]:
    """Algorithm, kid, signature and body, nothing verified but the layout."""
    if not is_framed(frame):
        raise refusal(Reject.NOT_FRAMED, f"an unsigned {purpose}")
    if len(frame) > MAX_FRAME:
        raise refusal(Reject.TOO_BIG, f"a frame of {len(frame)} bytes, at most {MAX_FRAME}")
    if frame[:2] != MAGIC or len(frame) < 4:
        raise refusal(Reject.BAD_FRAME, "no P1 header")
    end = 4 + frame[3]
    start = end + SIGNATURE_SIZE
    if len(frame) < start or _KID.fullmatch(frame[4:end]) is None:
        raise refusal(Reject.BAD_FRAME, "cut short, or no kid")
    return frame[2], frame[4:end].decode("ascii"), frame[end:start], frame[start:]


def _signed(purpose: str, body: bytes) -> bytes:
    assert purpose in ROLES, purpose
    return b"propeller/1/" + purpose.encode("ascii") + b"\0" + hashlib.sha256(body).digest()
