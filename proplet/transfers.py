"""Blobs on their way: pieces sent and taken over MQTT, and pulls straight from a registry.

Owned by the shell, on its thread; the pull threads only hand over. What a direct pull cannot get is
asked for over MQTT.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from propeller.errors import PropellerError, Unavailable, WireError
from propeller.wire.messages import BlobPut, Hello, Message
from proplet.agent import Agent
from proplet.blobs import Blobs
from proplet.effects import Effect, Fetch, Purpose, SendChunk, WriteChunk
from proplet.pulls import PAUSES, Pull, Pulls
from proplet.timing import clock
from proplet.witness import Witness

_log = logging.getLogger("proplet")


class Loop(Protocol):
    """What is needed of the shell."""

    def post(self, what: Callable[[], None]) -> None: ...
    def do(self, effects: Iterable[Effect]) -> None: ...
    def publish(self, message: Message) -> None: ...


class Transfers:
    """See the module. pull: how images are pulled, None where only MQTT is to be used."""

    def __init__(
        self,
        shell: Loop,
        agent: Agent,
        *,
        blobs: Blobs,
        hello: Hello,
        pull: Pull | None,
        witness: Witness,
    ) -> None:
        self._shell = shell
        self._agent = agent
        self._blobs = blobs
        self._hello = hello
        self._pulls = None if pull is None else Pulls(pull, shell.post)
        self._witness = witness
        self._wanted: dict[str, Fetch] = {}

    def spare(self, digests: Collection[str]) -> None:
        """Others are not wanted any more."""
        self._wanted = {d: w for d, w in self._wanted.items() if d in digests}

    def put(self, wanted: SendChunk) -> None:
        """Send a piece of a blob that is here."""
        try:
            data = self._blobs.read(wanted.digest, wanted.off, wanted.length)
        except FileNotFoundError:
            digest = wanted.digest
            self._shell.post(lambda: self._shell.do(self._agent.upload_lost(digest, clock())))
            return
        self._shell.publish(
            BlobPut(
                id=self._hello.id,
                inst=self._hello.inst,
                digest=wanted.digest,
                off=wanted.off,
                total=wanted.total,
                data=data,
            )
        )

    def fetch(self, wanted: Fetch) -> None:
        """Have a blob here: it is, or is pulled, or is asked for over MQTT."""
        digest = wanted.digest
        self._wanted[digest] = wanted
        if self._blobs.has(digest):
            self._shell.post(lambda: self._fetched(digest))
            return
        try:
            self._blobs.room_for(wanted.size - self._blobs.have(digest))
        except Unavailable as error:
            words = error.what
            self._shell.post(
                lambda: self._shell.do(self._agent.fetch_failed(digest, words, clock()))
            )
            return
        if wanted.image is not None and self._pulls is not None:
            into = self._blobs.pulled(digest)
            pauses = () if "@" in wanted.image else PAUSES  # see `Fetch`
            self._pulls.begin(wanted.image, digest, into, self._pulled, pauses=pauses)
        else:
            self._shell.post(lambda: self._fetch_from(wanted))

    def _fetch_from(self, wanted: Fetch) -> None:
        have = self._blobs.have(wanted.digest)
        self._shell.do(self._agent.fetch_from(wanted.digest, wanted.size, have, clock()))

    def _pulled(self, digest: str, trouble: str) -> None:
        """A direct pull is over; what it could not get is asked for over MQTT."""
        wanted = self._wanted.get(digest)
        if wanted is None:
            return
        if not trouble:
            try:
                self._blobs.adopt(digest)
                self._fetched(digest)
            except (WireError, OSError) as error:
                trouble = str(error)
        if trouble:
            _log.warning("%s: %s; asking over MQTT", wanted.image, trouble)
            self._fetch_from(wanted)

    def write(self, chunk: WriteChunk) -> None:
        """A piece of a blob came."""
        digest = chunk.digest
        try:
            if not self._blobs.write(digest, chunk.off, chunk.total, chunk.data):
                return
        except PropellerError as error:
            words = error.what
            self._shell.post(
                lambda: self._shell.do(self._agent.fetch_failed(digest, words, clock()))
            )
            return
        self._shell.post(lambda: self._fetched(digest))

    def _fetched(self, digest: str) -> None:
        self._witness.fetched(digest)
        wanted = self._wanted.pop(digest, None)
        body = wanted is not None and wanted.purpose is Purpose.BODY
        data = self._blobs.read(digest) if body else None
        self._shell.do(self._agent.fetched(digest, clock(), data))
