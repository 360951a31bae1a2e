"""HTTP with manners: plain text only where allowed, few redirects, deadlines, errors in words.

The one place that talks to `requests`; used by `oci` for registries and by `resolve` for modules
at a URL. Messages name the artifact, never a URL that came back, for those may carry signatures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from propeller.errors import Unavailable
from propeller.registry.problem import ArtifactError

if TYPE_CHECKING:
    from http.cookiejar import DefaultCookiePolicy

    import requests

MAX_REDIRECTS = 5
MAX_ERROR_BODY = 16 << 10
PIECE = 64 << 10


class Http:
    """A session. Not for several threads at once.

    plain_http: hosts (`host` or `host:port`) that may be spoken to without TLS; loopback is not
    special. connect, read: seconds until the other side must have answered. deadline: seconds for
    one request and its whole body. ca: a bundle to trust instead of the system's.
    """

    def __init__(
        self,
        *,
        plain_http: Collection[str] = (),
        connect: float = 10.0,
        read: float = 30.0,
        deadline: float = 600.0,
        ca: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plain_http = frozenset(plain_http)
        self.timeout = (connect, read)
        self.deadline = deadline
        self.ca = ca
        self.clock = clock
        self._session: requests.Session | None = None

    def session(self) -> requests.Session:
        """The connection pool, made when first needed: importing `requests` takes its time."""
        if self._session is None:
            import requests

            self._session = requests.Session()
            # Nothing may be added behind our back: no cookies, no passwords out of a netrc file.
            self._session.auth = lambda prepared: prepared
            self._session.cookies.set_policy(_no_cookies())
        return self._session

    def close(self) -> None:
        """Drop the connections. It may be used again."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def plain_allowed(self, netloc: str) -> bool:
        """Whether `host[:port]` may be spoken to without TLS."""
        return netloc in self.plain_http or _host(netloc) in self.plain_http

    def request(
        self,
        method: str,
        url: str,
        *,
        where: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send and return the answer, whatever its status, its body still unread.

        Redirects of GET and HEAD are followed; credentials stay with the host they are for.
        Raises Unavailable, and ArtifactError for URLs that may not or cannot be asked.
        """
        sent = {"Accept-Encoding": "identity", "User-Agent": "propeller", **(headers or {})}
        self._check(url, where)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(method, url, sent, data, where)
            location = response.headers.get("Location")
            if method not in {"GET", "HEAD"} or not location or response.status_code not in _MOVED:
                return response
            response.close()
            try:
                target = urljoin(url, location)
            except ValueError as error:
                raise ArtifactError("BadReference", f"{where}: a bad redirect") from error
            self._check(target, where)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise ArtifactError("PlainHttp", f"{where}: redirected away from https")
            if _origin(target) != _origin(url):
                sent.pop("Authorization", None)
            url = target
        raise ArtifactError("Rejected", f"{where}: more than {MAX_REDIRECTS} redirects")

    def pieces(self, response: requests.Response, *, where: str) -> Iterator[bytes]:
        """The body as it comes, then the connection is given back. Raises Unavailable."""
        ends = self.clock() + self.deadline
        with response:
            while True:
                try:
                    piece = response.raw.read1(PIECE, decode_content=False)
                except Exception as error:
                    raise _unavailable(error, where) from error
                if not piece:
                    return
                if self.clock() > ends:
                    raise Unavailable(f"{where}: not whole after {self.deadline:.0f} s")
                yield piece

    def body(self, response: requests.Response, *, limit: int, where: str) -> bytes:
        """The whole body. Raises ArtifactError `TooLarge` past `limit` bytes, Unavailable."""
        body = bytearray()
        for piece in self.pieces(response, where=where):
            body += piece
            if len(body) > limit:
                response.close()
                raise ArtifactError("TooLarge", f"{where}: an answer of more than {limit} bytes")
        return bytes(body)

    def expect_success(self, response: requests.Response, *, where: str) -> None:
        """Return for 2xx; else close the response and raise what its status means."""
        status = response.status_code
        if 200 <= status < 300:
            return
        said = self._error_words(response, where)
        if status == 404:
            raise ArtifactError("NotFound", f"{where}: not found{said}")
        if status in {401, 403}:
            raise ArtifactError(
                "Denied",
                f"{where}: the registry refuses us ({status}){said}",
                hint="log in with `docker login`, or ask for access",
            )
        if status == 429 or status >= 500:
            raise Unavailable(f"{where}: the other side answered {status}{said}")
        raise ArtifactError("Rejected", f"{where}: the other side answered {status}{said}")

    def _check(self, url: str, where: str) -> None:
        try:
            parts = urlsplit(url)
            netloc, _ = parts.netloc, parts.port
        except ValueError as error:
            raise ArtifactError("BadReference", f"{where}: not a URL: {error}") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in netloc:
            raise ArtifactError("BadReference", f"{where}: not a plain http or https address")
        if parts.scheme == "http" and not self.plain_allowed(netloc):
            raise ArtifactError(
                "PlainHttp",
                f"{where}: {netloc} would be asked without TLS, which is not allowed",
                hint="allow plain HTTP for this host if you mean it",
            )

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | Mapping[str, str] | None,
        where: str,
    ) -> requests.Response:
        import requests

        session = self.session()
        try:
            prepared = session.prepare_request(
                requests.Request(method, url, headers=dict(headers), data=data)
            )
            settings = session.merge_environment_settings(url, {}, True, self.ca or True, None)
            # Not session.send: it reads the body of a redirect, however long, before we see it.
            return session.get_adapter(url).send(
                prepared,
                stream=True,
                timeout=self.timeout,
                verify=settings["verify"] or True,
                proxies=settings["proxies"],
            )
        except ValueError as error:  # every complaint of theirs about an address is one
            raise ArtifactError("BadReference", f"{where}: not an address to ask") from error
        except Exception as error:
            raise _unavailable(error, where) from error

    def _error_words(self, response: requests.Response, where: str) -> str:
        """What a registry says of its error (`{"errors": [{"message": ...}]}`), or nothing."""
        try:
            body = self.body(response, limit=MAX_ERROR_BODY, where=where)
        except (ArtifactError, Unavailable):
            return ""
        from propeller.registry.manifest import read_json

        try:
            errors = read_json(body, where=where).get("errors")
        except ArtifactError:
            return ""
        first = errors[0] if isinstance(errors, list) and errors else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(message, str) or not message:
            return ""
        return ": " + "".join(c if c.isprintable() else " " for c in message[:200])


_MOVED = frozenset({301, 302, 303, 307, 308})


def _no_cookies() -> DefaultCookiePolicy:
    from http.cookiejar import DefaultCookiePolicy

    return DefaultCookiePolicy(allowed_domains=[])


def _host(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or netloc


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _unavailable(error: Exception, where: str) -> Exception:
    """Our error for what `requests` and the library below it raise; others pass unchanged."""
    import requests
    import urllib3

    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return Unavailable(
            f"{where}: TLS failed: {_root(error)}",
            hint="check the registry's certificate, or give its CA",
        )
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return Unavailable(f"{where}: no answer in time")
    if isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError | OSError):
        return Unavailable(f"{where}: cannot be reached: {_root(error)}")
    return error


def _root(error: BaseException) -> str:
    """The operating system's or TLS library's words at the bottom, without any URL."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        reason = getattr(current, "reason", None)
        argument = current.args[0] if current.args else None
        current = next(
            (e for e in (reason, argument, current.__cause__) if isinstance(e, BaseException)),
            current.__context__,
        )
    for each in reversed(seen):
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return type(seen[-1]).__name__
