"""Blobs to devices and from them, on a connection of its own.

Runs beside the loop: a device that fetches a megabyte never delays a decision. Reads two things of
the loop's, both replaced whole and never changed in place: which digests a device may fetch
(`grants`) and by which key it is known. Posts `BlobStored` to the inbox; writes nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from propeller.errors import WireError
from propeller.model.ids import Digest, PropletId
from propeller.model.specs import Proplet
from propeller.reconcile.events import BlobStored
from propeller.registry.blobs import BlobStore
from propeller.registry.pacing import Pacer
from propeller.registry.serve import answer, busy, receive, reopen
from propeller.registry.spool import Spool
from propeller.transport.base import Received, Transport
from propeller.wire.codec import decode, encode
from propeller.wire.frame import seal
from propeller.wire.messages import BlobAck, BlobGet, BlobPut
from propeller.wire.signing import SigningKey
from propeller.wire.topics import Channel, Heard, Kind

MAX_CHUNK = 256 * 1024
"""Bytes of one chunk downwards; a device asks for less where it must."""

UPLOAD_QUOTA = 64 << 20
"""Bytes of uploads one device may keep here."""

UPLOAD_LIMIT = 32 << 20
"""Bytes of one upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobWork:
    """What the service is given.

    grants: digests a device may fetch now. open_put: the body of a put signed by that device.
    key_for: what signs for it. declared: what its spec says of how blobs are sent to it.
    """

    channel: Channel
    blobs: BlobStore
    spool: Spool
    grants: Callable[[PropletId], frozenset[str]]
    open_put: Callable[[PropletId, bytes], bytes]
    key_for: Callable[[PropletId], SigningKey]
    declared: Callable[[PropletId], Proplet | None]
    post: Callable[[BlobStored], None]
    clock: Callable[[], int]


class BlobService:
    """Answers `blob/get` and `blob/put`. Single-threaded: its owner calls `hear` and `turn`."""

    def __init__(self, work: BlobWork, transport: Transport) -> None:
        self._work = work
        self._transport = transport
        self._pacer = Pacer(rate=self._rate)
        self.dropped: Counter[str] = Counter()
        self.served_bytes = 0
        self.last_traffic = 0

    def connected(self) -> None:
        """(Re)connected: listen, and tell devices how far their open uploads are."""
        self._transport.subscribe(self._work.channel.blob_filters())
        for upload in self._work.spool.uploads():
            if not upload.stored:
                for ack in reopen(self._work.spool, upload.proplet):
                    self._ack(PropletId(upload.proplet), ack)

    def hear(self, received: Received) -> None:
        """One message of a device. Never raises for what a device can send."""
        heard = self._work.channel.parse(received.topic)
        if heard is None or not heard.proplet:
            self.dropped["foreign_topic"] += 1
            return
        self.last_traffic = self._work.clock()
        try:
            if heard.kind is Kind.BLOB_GET:
                self._get(heard, received.payload)
            elif heard.kind is Kind.BLOB_PUT:
                self._put(heard, received.payload)
        except WireError as error:
            self.dropped[error.reject] += 1

    def _get(self, heard: Heard, payload: bytes) -> None:
        get = decode(BlobGet, payload)
        if get.id != heard.proplet:
            raise WireError("id_mismatch", get.id)
        get = replace(get, len=min(get.len, self._chunk(PropletId(get.id))))
        if not self._pacer.offer(get, self._work.clock()):
            self._transport.publish(self._work.channel.blob_data(get.id), encode(busy(get)))

    def _put(self, heard: Heard, payload: bytes) -> None:
        proplet = PropletId(heard.proplet)
        put = decode(BlobPut, self._work.open_put(proplet, payload))
        if put.id != proplet:
            raise WireError("id_mismatch", put.id)
        ack = receive(put, spool=self._work.spool, quota=UPLOAD_QUOTA, max_blob=UPLOAD_LIMIT)
        self._ack(proplet, ack)
        if ack.state == "stored":
            self._work.post(BlobStored(proplet, Digest(put.digest)))

    def _rate(self, proplet: str) -> int | None:
        declared = self._work.declared(PropletId(proplet))
        return None if declared is None else declared.blob_rate

    def _chunk(self, proplet: PropletId) -> int:
        declared = self._work.declared(proplet)
        if declared is None or declared.blob_chunk is None:
            return MAX_CHUNK
        return declared.blob_chunk

    def _ack(self, proplet: PropletId, ack: BlobAck) -> None:
        frame = seal("ack", encode(ack), self._work.key_for(proplet))
        self._transport.publish(self._work.channel.blob_ack(proplet), frame)

    def turn(self) -> int | None:
        """Answer whose turn it is. Returns when to call again though nothing was heard (ms)."""
        now = self._work.clock()
        for get in self._pacer.ready(now):
            allowed = self._work.grants(PropletId(get.id))
            chunk = answer(get, allowed=allowed, blobs=self._work.blobs, max_chunk=MAX_CHUNK)
            self.served_bytes += len(chunk.data)
            self._transport.publish(self._work.channel.blob_data(get.id), encode(chunk))
        return self._pacer.next_at()

    def open_uploads(self) -> int:
        """How many uploads are under way."""
        return sum(1 for upload in self._work.spool.uploads() if not upload.stored)
