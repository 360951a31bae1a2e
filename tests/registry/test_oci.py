"""Registries that misbehave: what a client must not believe, follow or say.

The stub answers whatever a test tells it; well-behaved real registries are in tests/live.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from propeller.errors import DigestMismatch, PropellerError, Unavailable, WireError
from propeller.model.ids import sha256_digest
from propeller.registry.blobs import BlobStore
from propeller.registry.credentials import Login
from propeller.registry.http import Http
from propeller.registry.manifest import MANIFEST, config_for, manifest_for
from propeller.registry.oci import OciClient
from propeller.registry.problem import ArtifactError
from propeller.registry.reference import Reference
from propeller.registry.wasm import inspect

Answer = Callable[[BaseHTTPRequestHandler], None]


def _sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            if value:
                request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return answer


class Shop:
    """A stub registry that has one module under `stub/a:1`."""

    def __init__(self, stub: Any, module: bytes) -> None:
        self.stub, self.module = stub, module
        self.digest = sha256_digest(module)
        config = config_for(self.digest, inspect(module), created="2026-01-01T00:00:00Z")
        self.manifest = manifest_for(config, self.digest, len(module))
        self.ref = Reference(stub.host, "a", "1")
        self.pinned = Reference(stub.host, "a", None, sha256_digest(self.manifest))
        self.blob_path = f"/v2/a/blobs/{self.digest}"
        self.manifest_path = "/v2/a/manifests/1"
        stub.routes[self.manifest_path] = _sends(self.manifest, Content_Type=MANIFEST)
        stub.routes[f"/v2/a/manifests/{self.pinned.digest}"] = _sends(self.manifest)
        stub.routes[self.blob_path] = _sends(module)


@pytest.fixture
def shop(stub_server: Any, module: bytes) -> Shop:
    return Shop(stub_server, module)


@pytest.fixture
def client(shop: Shop) -> Iterator[OciClient]:
    with OciClient(plain_http=[shop.stub.host], connect=2, read=0.5, deadline=1.5) as oci:
        yield oci


def _fails(
    client: OciClient, shop: Shop, blobs: BlobStore, kind: type[PropellerError]
) -> PropellerError:
    with pytest.raises(kind) as caught:
        client.pull(shop.ref, blobs)
    assert list(blobs.digests()) == []
    return caught.value


def test_an_honest_stub_is_pulled(client: OciClient, shop: Shop, blobs: BlobStore):
    """The tests below fail for what they change, and for nothing else."""
    assert client.pull(shop.ref, blobs).digest == shop.digest
    assert client.pull(shop.pinned, blobs).pinned.manifest == shop.pinned.digest


def test_a_flipped_byte_in_the_module_is_found(client: OciClient, shop: Shop, blobs: BlobStore):
    """The digest of what came is not the one in the manifest."""
    bad = shop.module[:-1] + bytes([shop.module[-1] ^ 1])
    shop.stub.routes[shop.blob_path] = _sends(bad)
    _fails(client, shop, blobs, DigestMismatch)


def test_a_manifest_that_is_not_the_pinned_one_is_found(client: OciClient, shop: Shop):
    """A registry cannot swap what was pinned."""
    shop.stub.routes[f"/v2/a/manifests/{shop.pinned.digest}"] = _sends(shop.manifest + b" ")
    with pytest.raises(DigestMismatch):
        client.resolve(shop.pinned)


def test_a_manifest_that_belies_its_own_header_is_found(client: OciClient, shop: Shop):
    """By tag there is nothing to compare with but what the registry says."""
    shop.stub.routes[shop.manifest_path] = _sends(
        shop.manifest, Docker_Content_Digest=sha256_digest(b"other")
    )
    with pytest.raises(DigestMismatch):
        client.resolve(shop.ref)


def test_a_truncated_blob_is_no_module(client: OciClient, shop: Shop, blobs: BlobStore):
    """The connection ends early: try again. The body is short by its own account: wrong."""
    half = shop.module[:-10]
    shop.stub.routes[shop.blob_path] = _sends(
        half, Content_Length=str(len(shop.module)), Connection="close"
    )
    original = shop.stub.routes[shop.blob_path]

    def hang_up(request: BaseHTTPRequestHandler) -> None:
        original(request)
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_WR)

    shop.stub.routes[shop.blob_path] = hang_up
    _fails(client, shop, blobs, Unavailable)
    shop.stub.routes[shop.blob_path] = _sends(half)
    assert _fails(client, shop, blobs, WireError).reject == "wrong_size"


def test_an_endless_blob_is_left_early(client: OciClient, shop: Shop, blobs: BlobStore):
    """Nothing is taken beyond the size in the manifest."""
    sent = []

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        for _ in range(10_000):
            request.wfile.write(b"x" * 65536)
            sent.append(65536)

    shop.stub.routes[shop.blob_path] = endless
    assert _fails(client, shop, blobs, WireError).reject == "wrong_size"
    assert sum(sent) < 64 << 20


@pytest.mark.parametrize("change", [+1, -1])
def test_a_size_that_is_wrong_in_the_manifest_is_found(
    client: OciClient, shop: Shop, blobs: BlobStore, change: int
):
    """Right bytes under a wrong size are refused as well."""
    document = json.loads(shop.manifest)
    document["layers"][0]["size"] += change
    shop.stub.routes[shop.manifest_path] = _sends(json.dumps(document).encode())
    assert _fails(client, shop, blobs, WireError).reject == "wrong_size"


def test_an_enormous_manifest_is_not_read(client: OciClient, shop: Shop):
    """Bounded before it is parsed."""
    shop.stub.routes[shop.manifest_path] = _sends(b" " * (5 << 20))
    with pytest.raises(ArtifactError) as caught:
        client.resolve(shop.ref)
    assert caught.value.reason == "TooLarge"


def test_redirects_are_followed_but_not_for_ever(client: OciClient, shop: Shop, blobs: BlobStore):
    """Blobs often live elsewhere; a loop ends after a few steps."""
    shop.stub.routes["/elsewhere"] = shop.stub.routes[shop.blob_path]
    shop.stub.routes[shop.blob_path] = _sends(b"", 307, Location="/elsewhere?signature=1")
    assert client.pull(shop.ref, blobs).digest == shop.digest
    shop.stub.routes["/elsewhere"] = _sends(b"", 302, Location=shop.blob_path)
    blobs.delete(shop.digest)
    assert "redirects" in str(_fails(client, shop, blobs, ArtifactError))


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://10.0.0.1/x", "PlainHttp"),
        ("ftp://r.example/x", "BadReference"),
        ("file:///etc/passwd", "BadReference"),
        ("http://[broken/", "BadReference"),
    ],
)
def test_redirects_lead_only_where_we_may_go(
    client: OciClient, shop: Shop, blobs: BlobStore, location: str, reason: str
):
    """Another host without TLS, another scheme, nonsense."""
    shop.stub.routes[shop.blob_path] = _sends(b"", 302, Location=location)
    error = _fails(client, shop, blobs, ArtifactError)
    assert isinstance(error, ArtifactError)
    assert error.reason == reason


def test_plain_http_needs_leave_even_on_loopback(shop: Shop):
    """Without it nothing is sent."""
    http = Http()
    with pytest.raises(ArtifactError, match="without TLS") as caught:
        http.request("GET", f"http://{shop.stub.host}/v2/", where="test")
    assert caught.value.reason == "PlainHttp"
    assert shop.stub.heard == []
    with OciClient(connect=2, read=2) as client, pytest.raises(Unavailable, match="TLS"):
        client.resolve(shop.ref)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, ArtifactError, "not found: no such thing"),
        (403, ArtifactError, "refuses us"),
        (400, ArtifactError, "answered 400"),
        (429, Unavailable, "answered 429"),
        (500, Unavailable, "answered 500"),
        (503, Unavailable, "answered 503"),
    ],
)
def test_what_a_status_means(
    client: OciClient, shop: Shop, status: int, kind: type[PropellerError], words: str
):
    """What can pass by itself is Unavailable; the registry's own words are shown."""
    said = b'{"errors":[{"code":"X","message":"no such thing\\u001b[31m"}]}'
    shop.stub.routes[shop.manifest_path] = _sends(said, status)
    with pytest.raises(kind, match=words) as caught:
        client.resolve(shop.ref)
    assert str(shop.ref) in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_registry_that_is_down_is_unavailable(client: OciClient, shop: Shop):
    """In the operating system's words, at once: no retries that sleep."""
    shop.stub.stop()
    with pytest.raises(Unavailable, match="refused"):
        client.resolve(shop.ref)


def test_a_registry_that_says_nothing_is_given_up(client: OciClient, shop: Shop):
    """A connection without an answer ends after the read timeout."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with (
            OciClient(plain_http=[host], connect=1, read=0.2) as patient,
            pytest.raises(Unavailable, match="no answer in time"),
        ):
            patient.resolve(Reference(host, "a", "1"))


def test_a_blob_that_drips_is_given_up(client: OciClient, shop: Shop, blobs: BlobStore):
    """Each piece comes in time, the whole does not: the deadline counts."""
    from threading import Event

    done = Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(shop.module)))
        request.end_headers()
        for byte in shop.module:
            request.wfile.write(bytes([byte]))
            request.wfile.flush()
            if done.wait(0.1):
                return

    shop.stub.routes[shop.blob_path] = drip
    error = _fails(client, shop, blobs, Unavailable)
    done.set()
    assert "not whole after" in str(error)


# ---------------------------------------------------------------- credentials


def _wants(challenge: str, authorization: str, then: Answer) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Authorization") == authorization:
            then(request)
        else:
            _sends(b"", 401, WWW_Authenticate=challenge)(request)

    return answer


BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


def _logged_in(shop: Shop, login: Login) -> OciClient:
    return OciClient(
        plain_http=[shop.stub.host], credentials={shop.ref.registry: login}.get, connect=2, read=2
    )


def test_credentials_go_to_their_host_only(shop: Shop, blobs: BlobStore, stub_server: Any):
    """A redirect elsewhere carries no Authorization."""
    elsewhere = type(stub_server)({"/blob": _sends(shop.module)})
    try:
        for path in (shop.manifest_path, shop.blob_path):
            then = shop.stub.routes[path]
            if path == shop.blob_path:
                then = _sends(b"", 307, Location=f"http://{elsewhere.host}/blob")
            shop.stub.routes[path] = _wants('Basic realm="x"', BASIC, then)
        with OciClient(
            plain_http=[shop.stub.host, elsewhere.host],
            credentials={shop.ref.registry: Login("me", "secret")}.get,
        ) as client:
            assert client.pull(shop.ref, blobs).digest == shop.digest
    finally:
        elsewhere.stop()
    assert all("Authorization" not in headers for _, _, headers in elsewhere.heard)
    assert len(elsewhere.heard) == 1


def test_nothing_is_sent_before_it_is_asked_for(client: OciClient, shop: Shop, blobs: BlobStore):
    """A registry that wants no login gets none."""
    with _logged_in(shop, Login("me", "secret")) as oci:
        oci.pull(shop.ref, blobs)
    assert all("Authorization" not in headers for _, _, headers in shop.stub.heard)


def test_a_netrc_is_not_read(
    client: OciClient, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only the credentials we were given are ours to use."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    client.resolve(shop.ref)
    assert all("Authorization" not in headers for _, _, headers in shop.stub.heard)


def test_an_identity_token_is_exchanged(shop: Shop, blobs: BlobStore):
    """POST to the token server, then Bearer to the registry."""
    asked = []

    def token(request: BaseHTTPRequestHandler) -> None:
        size = int(request.headers["Content-Length"])
        asked.append(request.rfile.read(size).decode())
        _sends(b'{"access_token": "t1"}')(request)

    shop.stub.routes["/token"] = token
    challenge = f'Bearer realm="http://{shop.stub.host}/token",service="s",scope="repository:a"'
    for path in (shop.manifest_path, shop.blob_path):
        shop.stub.routes[path] = _wants(challenge, "Bearer t1", shop.stub.routes[path])
    with _logged_in(shop, Login(identity_token="long-lived")) as oci:
        assert oci.pull(shop.ref, blobs).digest == shop.digest
    assert len(asked) == 1
    assert "refresh_token=long-lived" in asked[0]
    assert "scope=repository%3Aa" in asked[0]


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (_sends(b"{}"), ArtifactError),
        (_sends(b'{"token": "a\\r\\nX: y"}'), ArtifactError),
        (_sends(b"not json"), ArtifactError),
        (_sends(b"", 401), ArtifactError),
        (_sends(b"", 500), Unavailable),
    ],
)
def test_a_token_server_that_fails_is_said(
    shop: Shop, blobs: BlobStore, token: Answer, kind: type[PropellerError]
):
    """No token, a hostile one, rubbish, refusal, trouble: no secret is in the message."""
    shop.stub.routes["/token"] = token
    challenge = f'Bearer realm="http://{shop.stub.host}/token"'
    shop.stub.routes[shop.manifest_path] = _wants(challenge, "Bearer x", _sends(b""))
    with _logged_in(shop, Login("me", "hunter2")) as oci, pytest.raises(kind) as caught:
        oci.pull(shop.ref, blobs)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("challenge", ["", "Basic", "Negotiate", 'Bearer realm=""', "," * 9000])
def test_a_challenge_we_cannot_meet_is_a_denial(client: OciClient, shop: Shop, challenge: str):
    """Asked for what we do not have, we say so."""
    shop.stub.routes[shop.manifest_path] = _sends(b"", 401, WWW_Authenticate=challenge)
    with pytest.raises(ArtifactError) as caught:
        client.resolve(shop.ref)
    assert caught.value.reason == "Denied"


def test_a_realm_without_tls_gets_no_password(shop: Shop):
    """Unless plain HTTP is allowed for the token server as well."""
    challenge = 'Bearer realm="http://10.0.0.1/token"'
    shop.stub.routes[shop.manifest_path] = _sends(b"", 401, WWW_Authenticate=challenge)
    with _logged_in(shop, Login("me", "secret")) as oci, pytest.raises(ArtifactError) as caught:
        oci.resolve(shop.ref)
    assert caught.value.reason == "PlainHttp"


def test_one_blob_is_pulled_to_a_file(client: OciClient, shop: Shop, tmp_path: Path):
    """What a device does: by the repository and the module's digest, no manifest read."""
    dest = tmp_path / "cache" / "m.wasm"
    image = f"{shop.stub.host}/a@{shop.pinned.digest}"
    assert client.pull_blob(image, shop.digest, dest) == len(shop.module)
    assert dest.read_bytes() == shop.module
    assert [path for _, path, _ in shop.stub.heard] == [shop.blob_path]
    shop.stub.routes[shop.blob_path] = _sends(b"\0asm other")
    with pytest.raises(DigestMismatch):
        client.pull_blob(image, shop.digest, tmp_path / "cache" / "again")
    assert [each.name for each in dest.parent.iterdir()] == ["m.wasm"]


def _page(*tags: str, link: str = "") -> Answer:
    return _sends(json.dumps({"name": "a", "tags": list(tags)}).encode(), Link=link)


def _tags_of(shop: Shop, pages: dict[str, Answer]) -> list[str]:
    """Routes know no query: pages have paths of their own, as a registry is free to choose."""
    shop.stub.routes.update(pages)
    with OciClient(plain_http=[shop.stub.host]) as client:
        return list(client.list_tags(shop.ref))


def test_tags_come_page_by_page(shop: Shop):
    """Sorted, each once, whatever is no tag passed over."""
    first = _page("2.0", "1.0", "no tag", link='</v2/a/more>; rel="next"')
    second = _page("1.0", "1.1")
    pages = {"/v2/a/tags/list": first, "/v2/a/more": second}
    assert _tags_of(shop, pages) == ["1.0", "1.1", "2.0"]


def test_a_repository_without_tags(shop: Shop):
    """Registries say null then."""
    assert _tags_of(shop, {"/v2/a/tags/list": _sends(b'{"name": "a", "tags": null}')}) == []


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/v2/a/more", "//evil.example/x", "ftp://x/"])
def test_tags_of_another_place_are_refused(shop: Shop, place: str):
    """A list that goes on at another host is none of this registry."""
    first = _page("1.0", link=f'<{place}>; rel="next"')
    with pytest.raises(ArtifactError, match="goes on at another place"):
        _tags_of(shop, {"/v2/a/tags/list": first})


def test_a_list_without_end_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """A page that names itself as the next one."""
    monkeypatch.setattr("propeller.registry.oci.MAX_TAG_PAGES", 5)
    first = _page("1.0", link='</v2/a/tags/list>; rel="next"')
    with pytest.raises(ArtifactError, match="too many pages"):
        _tags_of(shop, {"/v2/a/tags/list": first})
    assert len([one for one in shop.stub.heard if "tags" in one[1]]) == 5


def test_a_page_that_is_too_large_is_refused(shop: Shop):
    """Before it is in memory."""
    with pytest.raises(ArtifactError, match="more than"):
        _tags_of(shop, {"/v2/a/tags/list": _sends(b" " * ((1 << 20) + 1))})


@pytest.mark.live
def test_a_real_registry_lists_its_tags(docker_registry: Any, module: bytes):
    """Those of this repository."""
    with OciClient(plain_http=[docker_registry.host]) as client:
        for tag in ("1.0.0", "latest"):
            client.push(Reference(docker_registry.host, "tags/one", tag), module)
        client.push(Reference(docker_registry.host, "tags/two", "9"), module)
        assert client.list_tags(Reference(docker_registry.host, "tags/one", "x")) == (
            "1.0.0",
            "latest",
        )
