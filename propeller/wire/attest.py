"""What a device proves to a key service, and how both sides name it. Pure.

The exchange has the calls of the Confidential Containers key broker (auth, attest, resource); what
goes through them is described in docs/reference/key-service.md.
"""

from __future__ import annotations

import hashlib

from propeller.wire.boxes import BoxPublic
from propeller.wire.signing import SigningKey, VerifyKey

SOFTWARE = "software"
"""Evidence that is a signature by the device's own key: no hardware vouches for anything."""

NONCE_SIZE = 32
_DOMAIN = b"propeller/1/attest\0"


def report_data(nonce: bytes, device: str, runtime_key: BoxPublic) -> bytes:
    """The 32 bytes that evidence is about: who asks, when, and for an answer to which key."""
    parts = (nonce, device.encode(), runtime_key.raw)
    whole = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(_DOMAIN + whole).digest()


def software_evidence(report: bytes, key: SigningKey) -> bytes:
    """A signature over the report data."""
    return key.sign(_DOMAIN + report)


def software_holds(evidence: bytes, report: bytes, key: VerifyKey) -> bool:
    """Whether `key` signed the report data."""
    return key.verify(evidence, _DOMAIN + report)
