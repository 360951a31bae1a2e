"""Enrollment tokens: each lets one device fetch one certificate, once, for a while.

A token is 32 random bytes; the record keeps its SHA-256. It is spent on the key that first used it:
the same device asking again, because the answer got lost, is given an answer again.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from propeller.errors import UsageError
from propeller.provision.folder import check_id
from propeller.provision.record import Record, Token

REFUSED = "no such token for this device"
"""One answer to a wrong, an ended and a spent token: nothing is told to who guesses."""


def with_token(record: Record, device: str, token: str, *, ends: int) -> Record:
    """`token` counts for `device` from now on, in place of an earlier one. Raises UsageError."""
    check_id(device)
    made = Token(sha256=_digest(token), ends=ends)
    return replace(record, tokens={**record.tokens, device: made})


def spend(record: Record, device: str, token: str, *, key: str, now: int) -> Record:
    """The record after `device` used `token` for the key with digest `key`.

    Raises UsageError with one and the same words whatever is wrong.
    """
    held = record.tokens.get(device)
    expected = held.sha256 if held is not None else "0" * 64
    right = hmac.compare_digest(_digest(token), expected)
    if held is None or not right or now >= held.ends or held.used not in ("", key):
        raise UsageError(REFUSED)
    return replace(record, tokens={**record.tokens, device: replace(held, used=key)})


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
