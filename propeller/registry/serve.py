"""What the manager answers to a device that asks for bytes or sends some. No transport here.

The reconciler's blob worker decodes `blob/get` and `blob/put`, calls these and publishes what comes
back. Nothing raises for what a device does: every wrong is answered in one word of the protocol.
"""

from __future__ import annotations

from collections.abc import Collection

from propeller.errors import DigestMismatch, Unavailable, WireError
from propeller.model.ids import Digest
from propeller.registry.blobs import BlobStore
from propeller.registry.spool import Spool
from propeller.wire.messages import BlobAck, BlobChunk, BlobGet, BlobPut

MAX_OPEN = 16
"""Uploads one device may have open at once."""


def answer(
    get: BlobGet, *, allowed: Collection[str], blobs: BlobStore, max_chunk: int
) -> BlobChunk:
    """The bytes asked for, at most `max_chunk` of them, or an error in one word.

    allowed: the digests in that device's desired document; whatever else exists is `not_yours`,
    so that nobody learns what others hold. Asking at the very end gives no bytes and the total.
    """
    if get.digest not in allowed:
        return _refused(get, "not_yours")
    try:
        total = blobs.size(get.digest)
        if not 0 <= get.off <= total or get.len <= 0:
            return _refused(get, "out_of_range", total)
        data = blobs.read(get.digest, get.off, min(get.len, max_chunk))
    except (FileNotFoundError, WireError):
        return _refused(get, "unknown_digest")
    except OSError:
        return _refused(get, "unavailable")
    return BlobChunk(digest=get.digest, off=get.off, total=total, req=get.req, data=data)


def busy(get: BlobGet) -> BlobChunk:
    """The answer when `Pacer.offer` took nothing: ask again later."""
    return _refused(get, "busy")


def _refused(get: BlobGet, word: str, total: int = 0) -> BlobChunk:
    return BlobChunk(digest=get.digest, off=get.off, total=total, req=get.req, error=word)


def receive(
    put: BlobPut, *, spool: Spool, quota: int, max_blob: int, max_open: int = MAX_OPEN
) -> BlobAck:
    """Take a piece of an upload. What the answer says we have is fsynced; `stored` is verified too.

    quota: bytes over all of one device's uploads whose blobs still exist. max_blob: bytes of one.
    A refusal names its reason: bad_digest, bad_id, out_of_range, too_large, quota, too_many,
    digest_mismatch (the device starts again at 0). `open` with reason `unavailable`: our disk is
    full or failing, try later.
    """
    have = 0
    try:
        known = spool.find(put.id, put.digest)
        have = known.have if known else 0
        reason = None if known else _no_room(put, spool, quota, max_blob, max_open)
        if reason is not None:
            return _ack(put, 0, "refused", reason)
        have = spool.append(put.id, put.digest, total=put.total, off=put.off, data=put.data)
        if have < put.total or spool.find(put.id, put.digest) is None:
            return _ack(put, have, "open")
        spool.finish(put.id, put.digest)
    except DigestMismatch:
        return _ack(put, 0, "refused", "digest_mismatch")
    except WireError as error:
        return _ack(put, have, "refused", error.reject)
    except (OSError, Unavailable):
        return _ack(put, have, "open", "unavailable")
    return _ack(put, have, "stored")


def reopen(spool: Spool, proplet: str) -> tuple[BlobAck, ...]:
    """What to acknowledge again when the manager starts or the device comes back: open uploads."""
    return tuple(
        BlobAck(id=proplet, digest=each.digest, have=each.have, state="open")
        for each in spool.uploads(proplet)
        if not each.stored
    )


def stored(spool: Spool, proplet: str, digest: Digest) -> bool:
    """Whether that device's upload is whole, verified and still in the store."""
    upload = spool.find(proplet, digest)
    return upload is not None and upload.stored


def _no_room(put: BlobPut, spool: Spool, quota: int, max_blob: int, most: int) -> str | None:
    """Why a new upload may not be opened."""
    if put.total < 0:
        return "out_of_range"
    if put.total > max_blob:
        return "too_large"
    uploads = spool.uploads(put.id)
    if sum(not each.stored for each in uploads) >= most:
        return "too_many"
    if sum(each.total for each in uploads) + put.total > quota:
        return "quota"
    return None


def _ack(put: BlobPut, have: int, state: str, reason: str = "") -> BlobAck:
    return BlobAck(id=put.id, digest=put.digest, have=have, state=state, reason=reason)
