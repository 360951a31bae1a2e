"""Webhooks: a git host says that something happened, and all it can make us do is look.

Every call is proven before it counts: by an HMAC over its body (GitHub, Gitea, Generic) or by a
shared token (GitLab). The body is streamed through the proof and thrown away, so nothing in it can
matter and its size costs no memory. Looks are thinned out by whoever is poked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from propeller.errors import Unavailable
from propeller.writeback.secrets import read_secret

log = logging.getLogger("propeller.gateway")

MAX_BODY: Final = 32 << 20
"""Bytes of a body: what GitHub sends at most is 25 MiB."""

READ_SECONDS: Final = 30.0
"""Seconds a body may take to arrive."""

TELL_EVERY: Final = 60.0
"""Seconds between two words about refused calls to one receiver."""

SIGNED_IN: Final[Mapping[str, str]] = {
    "GitHub": "x-hub-signature-256",
    "Gitea": "x-gitea-signature",
    "Generic": "x-signature",
}
GITLAB_HEADER: Final = "x-gitlab-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who may call /hooks/<name>. secret: a file, read at every call, so that it may be renewed."""

    name: str
    type: str
    secret: Path


class Proof:
    """Checks one call, piece by piece."""

    def __init__(self, receiver: Receiver, headers: Mapping[str, str]) -> None:
        key = read_secret(receiver.secret, f"receiver {receiver.name}").encode()
        if receiver.type == "GitLab":
            self._given = headers.get(GITLAB_HEADER, "").encode()
            self._mac = None
            self._wanted = key
        else:
            given = headers.get(SIGNED_IN[receiver.type], "")
            self._given = given.removeprefix("sha256=").lower().encode()
            self._mac = hmac.new(key, digestmod=hashlib.sha256)
            self._wanted = b""

    def update(self, piece: bytes) -> None:
        """More of the body."""
        if self._mac is not None:
            self._mac.update(piece)

    def holds(self) -> bool:
        """Whether the whole body came from one who knows the secret."""
        wanted = self._wanted if self._mac is None else self._mac.hexdigest().encode()
        return hmac.compare_digest(self._given, wanted)


class Hooks:
    """The receivers of one fleet. look: called for each proven call; refused: a word for people."""

    def __init__(
        self,
        receivers: Iterable[Receiver],
        *,
        look: Callable[[], None],
        refused: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._receivers = {receiver.name: receiver for receiver in receivers}
        self._look = look
        self._refused = refused
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    async def receive(self, request: Request) -> Response:
        """POST /hooks/{name}: 202 when we look, 401 without proof."""
        receiver = self._receivers.get(request.path_params["name"])
        if receiver is None:
            return _said("no such receiver", 404)
        try:
            proof = Proof(receiver, request.headers)
        except Unavailable as error:
            self._tell(receiver, error.what)
            return _said("this receiver has no secret yet", 503)
        try:
            async with asyncio.timeout(READ_SECONDS):
                size = 0
                async for piece in request.stream():
                    size += len(piece)
                    if size > MAX_BODY:
                        return _said(f"a body is at most {MAX_BODY >> 20} MiB", 413)
                    proof.update(piece)
        except TimeoutError:
            return _said("the body did not come in time", 408)
        except ClientDisconnect:
            return Response(status_code=400)
        if not proof.holds():
            self._tell(receiver, "the signature or token is wrong or missing")
            return _said("the signature or token is wrong or missing", 401)
        self._look()
        return JSONResponse({"looking": True}, status_code=202)

    def _tell(self, receiver: Receiver, why: str) -> None:
        """One event a minute, however often somebody tries."""
        now, name = self._clock(), receiver.name
        self._untold[name] = self._untold.get(name, 0) + 1
        if now - self._told_at.get(name, -TELL_EVERY) < TELL_EVERY:
            return
        count, self._untold[name], self._told_at[name] = self._untold[name], 0, now
        times = f"{count} calls" if count > 1 else "a call"
        log.warning("refused %s to receiver %s: %s", times, name, why)
        self._refused(f"receiver {name} refused {times}: {why}")


def make_hooks(hooks: Hooks) -> Starlette:
    """The web application."""
    return Starlette(routes=[Route("/hooks/{name}", hooks.receive, methods=["POST"])])


def _said(words: str, status: int) -> Response:
    return JSONResponse({"error": words}, status_code=status)
