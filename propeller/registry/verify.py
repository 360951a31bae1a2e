"""Bytes that come in pieces and must be what their name promises.

Every download goes through `verified`, so nothing is believed before its last byte was hashed,
and nothing larger than announced is ever taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from propeller.errors import DigestMismatch, WireError


def verified(
    chunks: Iterable[bytes],
    *,
    digest: str | None,
    limit: int,
    where: str,
    size: int | None = None,
) -> Iterator[bytes]:
    """Pass `chunks` on, and raise instead of ending where they are not what was promised.

    digest: None takes any bytes. size: exact bytes, None when unknown. limit: bytes at most.
    Raises WireError `too_large` as soon as the limit is passed, `wrong_size`, or DigestMismatch.
    """
    seen, total = hashlib.sha256(), 0
    if size is not None and size > limit:
        raise WireError("too_large", f"{where}: {size} bytes, at most {limit} are taken")
    for chunk in chunks:
        total += len(chunk)
        if size is not None and total > size:
            raise WireError("wrong_size", f"{where}: more than the {size} bytes announced")
        if total > limit:
            raise WireError("too_large", f"{where}: more than {limit} bytes")
        seen.update(chunk)
        yield chunk
    if size is not None and total != size:
        raise WireError("wrong_size", f"{where}: {total} bytes where {size} were announced")
    got = "sha256:" + seen.hexdigest()
    if digest is not None and got != digest:
        raise DigestMismatch(digest, got, where=where)
