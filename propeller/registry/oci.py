"""Modules in OCI registries, by oras, with what it lacks: verification, deadlines, real auth.

oras is imported here only, and not before the first request. It knows the registry's addresses and
the dance of an upload; every request it makes goes through `_do_request`, that is through `Http`
with our redirects, credentials and errors. Not for several threads at once.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from propeller.errors import DigestMismatch
from propeller.model.ids import Digest, sha256_digest
from propeller.registry import manifest as layout_of
from propeller.registry.artifacts import MAX_TAGS, Artifacts
from propeller.registry.credentials import Credentials, Login, anonymous
from propeller.registry.http import Http
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import DEFAULT_TAG, Reference, is_tag

if TYPE_CHECKING:
    import requests

MAX_TOKEN_ANSWER = 1 << 20
MAX_TAG_PAGE = 1 << 20
TAGS_A_PAGE, MAX_TAG_PAGES = 1_000, 200
_PARAMETER = re.compile(r'([A-Za-z_]{1,32})="([^"]*)"')


class OciClient(Artifacts):
    """Registries over HTTP.

    plain_http: hosts that may be spoken to without TLS. credentials: who we are to a host.
    connect, read, deadline: seconds, as in `Http`.
    """

    def __init__(
        self,
        *,
        plain_http: Collection[str] = (),
        credentials: Credentials = anonymous,
        connect: float = 10.0,
        read: float = 30.0,
        deadline: float = 600.0,
        ca: str | None = None,
    ) -> None:
        self._http = Http(
            plain_http=plain_http, connect=connect, read=read, deadline=deadline, ca=ca
        )
        self._credentials = credentials
        self._authorization: dict[tuple[str, str, bool], str] = {}
        self._oras: dict[str, Any] = {}
        self._now: Reference | None = None  # whose requests oras makes at the moment

    def close(self) -> None:
        """Drop the connections. It may be used again."""
        self._http.close()
        self._oras.clear()

    def __enter__(self) -> OciClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_manifest(self, ref: Reference) -> bytes:
        """GET by digest, else by tag. DigestMismatch where the registry contradicts itself."""
        where = str(ref)
        with self._client(ref) as (oras, container):
            name = ref.digest or ref.tag or DEFAULT_TAG
            response = oras.do_request(
                f"{oras.prefix}://{container.manifest_url(name)}",
                "GET",
                headers={"Accept": ", ".join(layout_of.ACCEPTED)},
            )
        self._http.expect_success(response, where=where)
        said = response.headers.get("Docker-Content-Digest", "")
        body = self._http.body(response, limit=layout_of.MAX_MANIFEST, where=where)
        got = sha256_digest(body)
        if said.startswith("sha256:") and said != got:
            raise DigestMismatch(said, got, where=f"manifest of {where}")
        return body

    @contextlib.contextmanager
    def open_blob(self, ref: Reference, digest: str) -> Iterator[Iterator[bytes]]:
        """GET the blob, streamed."""
        where = str(ref)
        with self._client(ref) as (oras, container):
            response = oras.get_blob(container, digest, stream=True)
        self._http.expect_success(response, where=f"{where}: blob {digest}")
        with response:
            yield self._http.pieces(response, where=where)

    def write_blob(self, ref: Reference, data: bytes) -> Digest:
        """Upload unless the registry has it."""
        digest = sha256_digest(data)
        layer = {"digest": digest, "size": len(data)}
        with self._client(ref) as (oras, container):
            if oras.blob_exists(layer, container):
                return digest
            with tempfile.NamedTemporaryFile(prefix="propeller-push-") as file:
                file.write(data)
                file.flush()
                response = oras.put_upload(file.name, container, layer)
        self._http.expect_success(response, where=f"{ref}: upload of {digest}")
        response.close()
        return digest

    def write_manifest(self, ref: Reference, body: bytes, media_type: str) -> Digest:
        """PUT the exact bytes, under the tag if there is one, else under their digest."""
        digest = sha256_digest(body)
        with self._client(ref) as (oras, container):
            # Not oras.upload_manifest: it spells the JSON again, and the digest is of our spelling.
            response = oras.do_request(
                f"{oras.prefix}://{container.manifest_url(ref.tag or digest)}",
                "PUT",
                data=body,
                headers={"Content-Type": media_type},
            )
        self._http.expect_success(response, where=f"{ref}: manifest")
        said = response.headers.get("Docker-Content-Digest", "")
        response.close()
        if said and said != digest:
            raise DigestMismatch(digest, said, where=f"manifest of {ref} as the registry kept it")
        return digest

    def read_referrers(self, ref: Reference, digest: Digest) -> bytes | None:
        """The referrers API; where the registry has none, the tag `sha256-<hex>`."""
        with self._client(ref) as (oras, container):
            response = oras.do_request(
                f"{oras.prefix}://{container.registry}/v2/{ref.repository}/referrers/{digest}",
                "GET",
                headers={"Accept": layout_of.INDEX},
            )
        if response.status_code == 200:
            return self._http.body(response, limit=layout_of.MAX_MANIFEST, where=str(ref))
        if response.status_code != 404:
            self._http.expect_success(response, where=f"referrers of {ref}")
        response.close()
        fallback = Reference(ref.registry, ref.repository, digest.replace(":", "-"))
        try:
            return self.read_manifest(fallback)
        except ArtifactError as error:
            if error.reason == "NotFound":
                return None
            raise

    def list_tags(self, ref: Reference) -> tuple[str, ...]:
        """GET the list page by page. A page of another host is refused."""
        where = f"tags of {ref.name}"
        tags: set[str] = set()
        with self._client(ref) as (oras, container):
            home = f"{oras.prefix}://{container.registry}"
            url = f"{home}/v2/{ref.repository}/tags/list?n={TAGS_A_PAGE}"
            for _ in range(MAX_TAG_PAGES):
                response = oras.do_request(url, "GET", headers={"Accept": "application/json"})
                self._http.expect_success(response, where=where)
                further = response.links.get("next", {}).get("url", "")
                body = self._http.body(response, limit=MAX_TAG_PAGE, where=where)
                found = layout_of.read_json(body, where=where).get("tags") or []
                if not isinstance(found, list):
                    raise ArtifactError("BadManifest", f"{where}: the registry lists none")
                tags.update(tag for tag in found if isinstance(tag, str) and is_tag(tag))
                if len(tags) > MAX_TAGS:
                    break
                if not further:
                    return tuple(sorted(tags))
                url = _same_host(urljoin(url, further), home, where)
        raise ArtifactError("TooLarge", f"{where}: more than {MAX_TAGS} tags or too many pages")

    @contextlib.contextmanager
    def _client(self, ref: Reference) -> Iterator[tuple[Any, Any]]:
        """oras for the registry of `ref`, and its name of the repository."""
        import oras.container
        import oras.provider

        host = "registry-1.docker.io" if ref.registry == "docker.io" else ref.registry
        if host not in self._oras:
            client = oras.provider.Registry(
                hostname=host, insecure=self._http.plain_allowed(host), auth_backend="basic"
            )
            client.session.close()
            client.session = self._http.session()
            client.do_request = self._do_request
            self._oras[host] = client
        container = oras.container.Container(f"{host}/x", registry=host)
        # Set by hand: its parser takes a repository with a dot in it for a host.
        container.registry, container.namespace, container.repository = host, "", ref.repository
        self._now = ref
        try:
            yield self._oras[host], container
        finally:
            self._now = None

    def _do_request(
        self,
        url: str,
        method: str = "GET",
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **_stream: object,
    ) -> requests.Response:
        """What oras calls for every request; the body stays unread where anybody wants it.

        oras looks at the headers of HEAD and POST only, and takes any status for success.
        """
        ref = self._now
        assert ref is not None, "a request outside of _client"
        response = self._authorized(method, url, headers or {}, data, ref)
        if method == "POST":
            self._http.expect_success(response, where=str(ref))
        if method in {"HEAD", "POST"}:
            response.close()
        return response

    def _authorized(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        data: bytes | None,
        ref: Reference,
    ) -> requests.Response:
        """One try, and a second one after a challenge."""
        url = urljoin(f"{self._scheme(ref)}://{self._host(ref)}/", url)
        key = (ref.registry, ref.repository, method in {"GET", "HEAD"})
        ours = urlsplit(url).netloc == self._host(ref)
        sent = dict(headers)
        if ours and key in self._authorization:
            sent["Authorization"] = self._authorization[key]
        response = self._http.request(method, url, where=str(ref), headers=sent, data=data)
        if response.status_code != 401 or not ours:
            return response
        challenge = response.headers.get("WWW-Authenticate", "")[:8192]
        try:
            granted = self._answer(challenge, ref)
        except BaseException:
            response.close()
            raise
        if granted is None:
            return response
        response.close()
        self._authorization[key] = sent["Authorization"] = granted
        return self._http.request(method, url, where=str(ref), headers=sent, data=data)

    def _host(self, ref: Reference) -> str:
        return "registry-1.docker.io" if ref.registry == "docker.io" else ref.registry

    def _scheme(self, ref: Reference) -> str:
        return "http" if self._http.plain_allowed(self._host(ref)) else "https"

    def _answer(self, challenge: str, ref: Reference) -> str | None:
        """The Authorization header a challenge asks for; None when we have nothing to show."""
        login = self._credentials(ref.registry)
        scheme, _, rest = challenge.partition(" ")
        asked = dict(_PARAMETER.findall(rest))
        if scheme.lower() == "basic":
            return login.basic() if login is not None and login.user else None
        if scheme.lower() == "bearer" and asked.get("realm"):
            return f"Bearer {self._token(asked, login, ref)}"
        return None

    def _token(self, asked: Mapping[str, str], login: Login | None, ref: Reference) -> str:
        """Ask the token server named by the registry, as ourselves if we have a login."""
        where = f"token server of {ref.registry}"
        query = {key: asked[key] for key in ("service", "scope") if asked.get(key)}
        if login is not None and login.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": login.identity_token,
                "client_id": "propeller",
                **query,
            }
            response = self._http.request("POST", asked["realm"], where=where, data=form)
        else:
            headers = {"Authorization": login.basic()} if login is not None else {}
            joint = "&" if urlsplit(asked["realm"]).query else "?"
            url = asked["realm"] + (joint + urlencode(query) if query else "")
            response = self._http.request("GET", url, where=where, headers=headers)
        self._http.expect_success(response, where=f"{ref}: {where}")
        body = self._http.body(response, limit=MAX_TOKEN_ANSWER, where=where)
        answer = layout_of.read_json(body, where=where)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise ArtifactError("Denied", f"{ref}: the {where} gave no token")
        return token


def _same_host(url: str, home: str, where: str) -> str:
    """`url`, when it is of `home` (scheme and host)."""
    if urlsplit(url)[:2] != urlsplit(home)[:2]:
        there = urlsplit(url).netloc[:100]
        raise ArtifactError("Denied", f"{where}: the list goes on at another place, {there!r}")
    return url
