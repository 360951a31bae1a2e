"""Where devices fetch their first certificate with a token, and later ones with their key. HTTPS.

    GET  /ca                                        the authorities that count, PEM
    POST /enroll/ID   Authorization: Bearer TOKEN   a frame of `enrolment`   -> its answer
    POST /renew/ID                                  a frame of `enrolment`   -> its answer

The server's certificate is the broker's. A device that has nothing yet fetches the authorities, and
believes them if their digest is the pin it was told together with its token. Requests are small,
few and answered one at a time; whoever guesses slows everybody down, which costs a fleet nothing:
enrolment can wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from propeller.errors import PropellerError, Unavailable, UsageError, WireError
from propeller.provision.bundle import proplet_settings
from propeller.provision.folder import Folder, check_id, opened
from propeller.provision.tokens import REFUSED, spend
from propeller.state.files import make_directory, replace_file
from propeller.wire import certificates as x509
from propeller.wire.enrolment import (
    MAX_REQUEST,
    Answer,
    Request,
    read_first,
    read_renewal,
    write_answer,
)

_log = logging.getLogger(__name__)

READ_S = 10
"""A request has so long to arrive."""

MISTAKES = 20
PER_S = 60
"""After so many refusals in so many seconds everybody is asked to come back later."""

MOST_LIVE = 8
"""Certificates of one device that count at the same time."""


class Enrolments:
    """Answers requests over one folder; each call reads the record, and writes it under a lock."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        self._refused: deque[int] = deque(maxlen=MISTAKES)

    def busy(self) -> bool:
        """Whether so many were refused lately that nobody is answered."""
        full = len(self._refused) == MISTAKES
        return full and self._clock() - self._refused[0] < PER_S

    def refused(self) -> None:
        """Count a refusal."""
        self._refused.append(self._clock())

    def enroll(self, device: str, token: str, frame: bytes) -> Answer:
        """The first certificate. Raises UsageError, WireError, Unavailable."""
        with self._opened() as folder:
            request = read_first(frame)
            self._for(device, request)
            digest = x509.key_digest(x509.requested_key(request.csr))
            spent = spend(
                folder.record, device, token, key=f"{digest}:{request.key.kid}", now=folder.now
            )
            folder.record = spent
            folder.keys().enroll(device, request.key)
            folder.keys().enroll_box(device, request.box)
            return self._certificate(folder, request, digest)

    def renew(self, device: str, frame: bytes) -> Answer:
        """The next certificate. Raises UsageError, WireError, Unavailable."""
        with self._opened() as folder:
            check_id(device)
            enrolled = folder.keys().enrolled(device)
            if enrolled is None or folder.record.current(device) is None:
                raise UsageError(f"{device} has no certificate that counts")
            request = read_renewal(frame, enrolled, now=folder.now)
            self._for(device, request)
            digest = x509.key_digest(x509.requested_key(request.csr))
            return self._certificate(folder, request, digest)

    def _certificate(self, folder: Folder, request: Request, digest: str) -> Answer:
        """A new one, or the one this key was given before: an answer may have been lost."""
        device = request.device
        kept = folder.path / "issued" / f"{device}.pem"
        current = folder.record.current(device)
        again = (
            current is not None
            and current.key == digest
            and current.issuer == folder.record.signing
            and kept.exists()
        )
        if again:
            pem = kept.read_bytes()
        else:
            live = [
                one
                for one in folder.record.devices.get(device, ())
                if not one.revoked and one.ends > folder.now
            ]
            if len(live) >= MOST_LIVE:
                raise UsageError(
                    f"{device} has {len(live)} certificates that count",
                    hint="revoke the device and enroll it anew",
                )
            pem = folder.sign(device, request.csr)
            make_directory(kept.parent, mode=0o700)
            replace_file(kept, pem)
        folder.remember()
        keys = folder.keys()
        return Answer(
            certificate=pem,
            ca=folder.believed(),
            root=keys.roots[0].text,
            settings=proplet_settings(folder.record, device),
        )

    @staticmethod
    def _for(device: str, request: Request) -> None:
        check_id(device)
        if request.device != device:
            raise UsageError("the request names another device than its address")

    def _opened(self) -> AbstractContextManager[Folder]:
        return opened(self._path, self._clock())


def make_app(path: Path, clock: Callable[[], int]) -> Starlette:
    """The service over the folder at `path`. clock: Unix seconds."""
    enrolments = Enrolments(path, clock)

    async def answer(http: HttpRequest, call: Callable[[bytes], Answer]) -> Response:
        if enrolments.busy():
            return _refusal(429, "too many requests were refused; come back in a minute")
        body = b""
        try:
            async with asyncio.timeout(READ_S):
                async for piece in http.stream():
                    body += piece
                    if len(body) > MAX_REQUEST:
                        return _refusal(413, f"more than {MAX_REQUEST} bytes")
        except (TimeoutError, ClientDisconnect):
            return _refusal(408, f"the request did not come within {READ_S} seconds")
        try:
            given = await run_in_threadpool(call, body)
        except Unavailable as error:
            _log.warning("enrolment: %s", error)
            return _refusal(503, "try again later")
        except (UsageError, WireError) as error:
            enrolments.refused()
            _log.warning("enrolment of %.64s refused: %s", http.path_params["device"], error.what)
            status = 401 if error.what == REFUSED else 403
            return _refusal(status, error.what)
        except PropellerError as error:
            _log.error("enrolment: %s", error)
            return _refusal(500, "the service is not set up right; its log says why")
        return Response(write_answer(given), media_type="application/json")

    async def enroll(http: HttpRequest) -> Response:
        device = http.path_params["device"]
        scheme, _, token = http.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _refusal(401, "Authorization: Bearer TOKEN is missing")
        return await answer(http, lambda body: enrolments.enroll(device, token.strip(), body))

    async def renew(http: HttpRequest) -> Response:
        device = http.path_params["device"]
        return await answer(http, lambda body: enrolments.renew(device, body))

    async def authorities(_: HttpRequest) -> Response:
        return FileResponse(path / "broker" / "ca.pem", media_type="application/x-pem-file")

    return Starlette(
        routes=[
            Route("/ca", authorities, methods=["GET"]),
            Route("/enroll/{device}", enroll, methods=["POST"]),
            Route("/renew/{device}", renew, methods=["POST"]),
        ]
    )


def _refusal(status: int, words: str) -> Response:
    return JSONResponse({"error": words}, status_code=status)
