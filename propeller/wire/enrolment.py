"""The two requests of a device about its certificate: the first one, and the next one.

Both bodies are frames (`wire.frame`) that the device signs with its own key, so that what was asked
for and by whom cannot be changed on the way. The first is opened with the key it brings and counts
by its token; a renewal counts by the key that was enrolled. Pure: bytes in, data out.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from propeller.errors import UsageError, WireError
from propeller.wire.boxes import BoxPublic
from propeller.wire.frame import open_frame, peek_body, seal
from propeller.wire.keyring import Keyring
from propeller.wire.signing import SigningKey, VerifyKey

MAX_REQUEST = 16 * 1024
WINDOW_S = 15 * 60
"""A renewal is taken this long before or after the time it says: a copy is soon worth nothing, and
asks for no more than the certificate of a key that only the device has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a device asks: a certificate for the key of `csr` (PEM). at: Unix seconds."""

    device: str
    csr: bytes
    key: VerifyKey
    box: BoxPublic
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it is given: PEM files, what it should believe, and its settings file."""

    certificate: bytes
    ca: bytes
    root: str
    settings: bytes


def write_request(request: Request, signer: SigningKey) -> bytes:
    """The frame of a request."""
    body = {
        "device": request.device,
        "csr": request.csr.decode("ascii"),
        "key": request.key.text,
        "box": request.box.text,
        "at": request.at,
    }
    return seal("enroll", json.dumps(body, sort_keys=True).encode(), signer)


def read_first(frame: bytes) -> Request:
    """A first request: signed by the key it brings. Raises WireError, UsageError."""
    request = _request(peek_body(frame))
    open_frame("enroll", frame, Keyring.of_device(request.key))
    return request


def read_renewal(frame: bytes, enrolled: VerifyKey, *, now: int) -> Request:
    """A renewal: signed by the key that is enrolled. Raises WireError, UsageError."""
    request = _request(open_frame("enroll", frame, Keyring.of_device(enrolled)).body)
    if abs(request.at - now) > WINDOW_S:
        raise UsageError("the request is not from now", hint="set the device's clock")
    return request


def write_answer(answer: Answer) -> bytes:
    """The body of an answer, JSON."""
    document = {
        "certificate": answer.certificate.decode("ascii"),
        "ca": answer.ca.decode("ascii"),
        "root": answer.root,
        "settings": base64.b64encode(answer.settings).decode("ascii"),
    }
    return json.dumps(document, sort_keys=True).encode()


def read_answer(data: bytes) -> Answer:
    """The inverse. Raises UsageError."""
    try:
        document = json.loads(data)
        root = VerifyKey.parse(document["root"])
        return Answer(
            certificate=document["certificate"].encode("ascii"),
            ca=document["ca"].encode("ascii"),
            root=root.text,
            settings=base64.b64decode(document["settings"], validate=True),
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, WireError) as error:
        raise UsageError(f"not an answer of an enrolment service: {error}") from error


def _request(body: bytes) -> Request:
    try:
        document: Any = json.loads(body)
        at = document["at"]
        if not isinstance(at, int):
            raise ValueError("`at` is no time")
        return Request(
            device=str(document["device"]),
            csr=document["csr"].encode("ascii"),
            key=VerifyKey.parse(str(document["key"])),
            box=BoxPublic.parse(str(document["box"])),
            at=at,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"not a request for a certificate: {error}") from error
