"""What an entry grants its guest of HTTP: where its requests may go, and how many. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

MOST_REQUESTS = 1000
"""Requests of one guest in a call or a minute."""

MOST_HTTP_BODY = 1024 * 1024
"""Bytes of one body, either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireHttp:
    """allow: rules as `propeller.outgoing` spells them. requests: in one call, and in each minute
    of what runs longer. timeout: ms of one request. body: bytes of one body, either way."""

    allow: tuple[str, ...]
    requests: int
    timeout: int
    body: int
