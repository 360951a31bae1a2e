"""One request over HTTP: no redirects, no cookies, deadlines, a bounded look at the answer.

The one module of this room that talks to `requests`. What is sent may be secret and so may the
URL: messages carry the host and the status, nothing else.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from propeller.errors import Unavailable, UsageError

if TYPE_CHECKING:
    import requests

TIMEOUT: Final = (5.0, 10.0)
"""Seconds to connect, and between two pieces of the answer."""

MAX_SAID: Final = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. retry_after: seconds the other side asks for, None where it does not."""

    status: int
    said: str
    retry_after: int | None = None

    @property
    def good(self) -> bool:
        """Whether it was taken."""
        return 200 <= self.status < 300

    @property
    def worth_retrying(self) -> bool:
        """Whether the same may be taken later."""
        return self.status in (408, 425, 429) or self.status >= 500


def check_url(url: str, *, secret: bool) -> None:
    """Raises UsageError for what is no web address; `secret`: also for plain HTTP to elsewhere."""
    try:
        split = urlsplit(url)
        host = split.hostname
        _ = split.port
    except ValueError as error:
        raise UsageError("not a web address") from error
    if split.scheme not in ("http", "https") or not host:
        raise UsageError("not a web address: it begins with https://")
    if secret and split.scheme == "http" and not is_loopback(host):
        raise UsageError(f"a secret would go to {host} in plain text", hint="use https://")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send. Raises Unavailable when nobody answers; every status is an Answer."""
    import requests

    host = urlsplit(url).netloc.rpartition("@")[2]
    with requests.Session() as session:
        session.auth = _as_it_is  # nothing out of a netrc file
        try:
            with session.post(
                url,
                data=body,
                headers={"User-Agent": "propeller", **headers},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as response:
                said = next(response.iter_content(MAX_SAID), b"")
                after = response.headers.get("Retry-After", "")
        except (requests.RequestException, OSError, ValueError) as error:
            raise Unavailable(f"{host}: {_word(error)}") from None
    return Answer(
        response.status_code,
        "".join(char if char.isprintable() else " " for char in said.decode("utf-8", "replace")),
        int(after) if after.isdecimal() and len(after) < 6 else None,
    )


def get(url: str, *, most: int, until: float) -> bytes:
    """The body of a good answer, whole by `until` (monotonic s). Raises Unavailable.

    An answer longer than `most` bytes is not taken, nor is one that only trickles.
    """
    import requests
    from urllib3.exceptions import HTTPError

    host = urlsplit(url).netloc.rpartition("@")[2]
    body = bytearray()
    with requests.Session() as session:
        session.auth = _as_it_is
        try:
            with session.get(
                url,
                headers={"User-Agent": "propeller", "Accept": "application/json"},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as response:
                if not 200 <= response.status_code < 300:
                    raise Unavailable(f"{host}: answered {response.status_code}")
                while piece := response.raw.read1(65536, decode_content=True):
                    body += piece
                    if len(body) > most:
                        raise Unavailable(f"{host}: answered more than {most} bytes")
                    if time.monotonic() > until:
                        raise Unavailable(f"{host}: the answer was not whole in time")
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise Unavailable(f"{host}: {_word(error)}") from None
    return bytes(body)


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def _word(error: Exception) -> str:
    """What went wrong without the URL that requests puts into every message."""
    name = type(error).__name__
    known = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "SSLError": "its certificate is not trusted",
        "ConnectionError": "no connection",
        "ProxyError": "the proxy does not answer",
    }
    return known.get(name, name)
