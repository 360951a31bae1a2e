"""A key service in software: gives devices the keys of encrypted modules, by their signature alone.

    POST /kbs/v0/auth            {"tee", "device"}                          -> {"nonce"}
    POST /kbs/v0/attest          {"nonce", "device", "runtimeKey", "evidence"} -> {"token"}
    GET  /kbs/v0/resource/PATH   Authorization: Bearer TOKEN   -> the key, sealed to the runtime key

It stands where a key broker with attestation belongs, and says so: what it believes is that the
device holds its enrolled key. No hardware measured anything. A verifier of real evidence is one
more entry in `verifiers`. Keys lie in `FOLDER/resources/PATH`, and beside each, in `PATH.allow`,
the devices that get it, one a line; nobody does where that file is missing.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from propeller.errors import UsageError, WireError
from propeller.registry.encrypted import identity, is_path, recipient, seal
from propeller.wire.attest import NONCE_SIZE, SOFTWARE, report_data, software_holds
from propeller.wire.boxes import X25519, BoxKey, BoxPublic
from propeller.wire.signing import VerifyKey
from propeller.wire.topics import is_id

log = logging.getLogger(__name__)

MAX_BODY = 128 * 1024
MAX_SESSIONS = 10_000
NONCE_MS, TOKEN_MS = 60_000, 60_000
"""So long a nonce waits for its evidence, and a token may be used."""


class Verifier(Protocol):
    """Judges the evidence of one kind of TEE."""

    def why_not(self, device: str, report: bytes, evidence: bytes) -> str:
        """Why the evidence does not show that `device` made this report, "" when it does."""


@dataclass(frozen=True, slots=True)
class SoftwareVerifier:
    """Believes the key that is enrolled for a device. enrolled: None for a device nobody knows."""

    enrolled: Callable[[str], VerifyKey | None]

    def why_not(self, device: str, report: bytes, evidence: bytes) -> str:
        """Part of `Verifier`."""
        key = self.enrolled(device)
        if key is None:
            return f"{device} has no enrolled key"
        if not software_holds(evidence, report, key):
            return f"the signature is not {device}'s"
        return ""


class RefusedError(Exception):
    """What a client is told. status: of HTTP."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Session:
    device: str
    tee: str
    ends: int
    key: BoxPublic | None = None


class KeyService:
    """See the module. clock: Unix ms. randomness: so many unpredictable bytes."""

    def __init__(
        self,
        folder: Path,
        verifiers: Mapping[str, Verifier],
        *,
        clock: Callable[[], int],
        randomness: Callable[[int], bytes],
    ) -> None:
        self._folder = folder
        self._verifiers = verifiers
        self._clock = clock
        self._randomness = randomness
        self._nonces: OrderedDict[str, _Session] = OrderedDict()
        self._tokens: OrderedDict[str, _Session] = OrderedDict()

    def auth(self, body: bytes) -> dict[str, str]:
        """Begin: a nonce. Raises RefusedError."""
        fields = _fields(body, "tee", "device")
        device, tee = fields["device"], fields["tee"]
        if not is_id(device):
            raise RefusedError(400, "device is no id")
        if tee not in self._verifiers:
            known = ", ".join(sorted(self._verifiers))
            raise RefusedError(400, f"evidence of {tee[:40]!r} is not verified here, but {known}")
        nonce = base64.b64encode(self._randomness(NONCE_SIZE)).decode()
        self._keep(self._nonces, nonce, _Session(device, tee, self._clock() + NONCE_MS))
        return {"nonce": nonce}

    def attest(self, body: bytes) -> dict[str, str]:
        """Evidence for a token. Raises RefusedError. A nonce is good for one try."""
        fields = _fields(body, "nonce", "device", "runtimeKey", "evidence")
        begun = self._nonces.pop(fields["nonce"], None)
        if begun is None or begun.ends < self._clock() or begun.device != fields["device"]:
            raise RefusedError(401, "no such nonce: begin with auth")
        try:
            key = BoxPublic.parse(fields["runtimeKey"])
            evidence = base64.b64decode(fields["evidence"], validate=True)
            nonce = base64.b64decode(fields["nonce"], validate=True)
        except (WireError, binascii.Error, ValueError):
            raise RefusedError(400, "runtimeKey or evidence cannot be read") from None
        if key.scheme is not X25519:
            raise RefusedError(400, "runtimeKey is not of X25519")
        report = report_data(nonce, begun.device, key)
        words = self._verifiers[begun.tee].why_not(begun.device, report, evidence)
        if words:
            log.warning("attestation of %s refused: %s", begun.device, words)
            raise RefusedError(401, words)
        token = self._randomness(NONCE_SIZE).hex()
        ends = self._clock() + TOKEN_MS
        self._keep(self._tokens, token, _Session(begun.device, begun.tee, ends, key))
        return {"token": token}

    def resource(self, path: str, token: str) -> bytes:
        """A key, sealed to the runtime key of the exchange. Raises RefusedError."""
        session = self._tokens.get(token)
        if session is None or session.ends < self._clock() or session.key is None:
            raise RefusedError(401, "no such token: begin with auth")
        if not is_path(path):
            raise RefusedError(404, "no such resource")
        place = self._folder / "resources" / path
        try:
            allowed = place.with_name(place.name + ".allow").read_text("utf-8").split()
            secret = place.read_bytes()
        except (OSError, UnicodeDecodeError):
            raise RefusedError(404, f"no such resource: {path}") from None
        if session.device not in allowed:
            log.warning("%s asked for %s, which it may not have", session.device, path)
            raise RefusedError(403, f"{session.device} may not have {path}")
        log.info("%s was given %s", session.device, path)
        return seal(secret, [session.key.text])

    def _keep(self, where: OrderedDict[str, _Session], name: str, one: _Session) -> None:
        now = self._clock()
        while where and (next(iter(where.values())).ends < now or len(where) >= MAX_SESSIONS):
            where.popitem(last=False)
        where[name] = one


def _fields(body: bytes, *names: str) -> dict[str, str]:
    try:
        found = json.loads(body)
        fields = {name: found[name] for name in names}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RefusedError(400, f"a JSON object with {', '.join(names)} is wanted") from None
    if not all(isinstance(value, str) for value in fields.values()):
        raise RefusedError(400, f"{', '.join(names)} are text")
    return fields


def make_app(service: KeyService) -> Starlette:
    """The three calls over HTTP."""

    async def body_of(request: Request) -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                raise RefusedError(413, f"at most {MAX_BODY} bytes")
        return bytes(body)

    async def auth(request: Request) -> Response:
        return JSONResponse(service.auth(await body_of(request)))

    async def attest(request: Request) -> Response:
        return JSONResponse(service.attest(await body_of(request)))

    async def resource(request: Request) -> Response:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise RefusedError(401, "a bearer token is wanted")
        data = service.resource(request.path_params["path"], token)
        return Response(data, media_type="application/octet-stream")

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        return JSONResponse({"error": str(error)}, status_code=error.status)

    return Starlette(
        routes=[
            Route("/kbs/v0/auth", auth, methods=["POST"]),
            Route("/kbs/v0/attest", attest, methods=["POST"]),
            Route("/kbs/v0/resource/{path:path}", resource, methods=["GET"]),
        ],
        exception_handlers={RefusedError: refused},
    )


def software(enrolled: Callable[[str], VerifyKey | None]) -> Mapping[str, Verifier]:
    """The verifiers there are without any hardware."""
    return {SOFTWARE: SoftwareVerifier(enrolled)}


def add_resource(folder: Path, path: str, devices: list[str]) -> str:
    """Make a key at `path` unless there is one, and say who gets it; its public half for `push`.

    Raises UsageError.
    """
    if not is_path(path):
        raise UsageError(f"{path!r}: REPOSITORY/TYPE/NAME is wanted", hint="default/key/filter")
    wrong = [one for one in devices if not is_id(one)]
    if wrong:
        raise UsageError(f"{wrong[0]!r} is no id of a proplet")
    place = folder / "resources" / path
    public = place.with_name(place.name + ".pub")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            key = BoxKey.generate()
            _write(public, recipient(key.public.text).encode() + b"\n")
            _write(place, identity(key.seed()).encode())
        _write(place.with_name(place.name + ".allow"), "\n".join([*sorted(devices), ""]).encode())
        return public.read_text("ascii").strip()
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    draft.replace(path)
