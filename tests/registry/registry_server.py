"""Real registries for tests: Debian's docker-registry on a free loopback port, and bad ones.

Loaded as a file by conftests (tests are no package); it gives fixtures and classes. A registry is
started once a session; tests keep apart by repositories of their own.
"""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

USER, PASSWORD = "fleet", "kept secret"
# bcrypt of the password above: the registry takes no other hash, and making one needs a library.
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuPsWwVpA2woNh8PRfP2AaQVtM6QJU9fq\n"
WAIT = 20


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RegistryServer:
    """`docker-registry serve` on loopback, over HTTP. `auth`: the lines of its `auth:` section."""

    def __init__(self, directory: Path, *, auth: str = "") -> None:
        self.directory = directory
        self.auth = auth
        self.host = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def storage(self) -> Path:
        """Where it keeps blobs, for tests that damage them."""
        return self.directory / "storage"

    def start(self) -> RegistryServer:
        """Start and wait until it answers; again after `stop`, on the same port and storage."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "config.yml"
        config.write_text(
            "version: 0.1\n"
            "log: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {json.dumps(str(self.storage))}}},"
            " delete: {enabled: true}}\n"
            f"http: {{addr: {self.host}, secret: of no importance}}\n" + self.auth
        )
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        ends = time.monotonic() + WAIT
        while time.monotonic() < ends:
            if self.process.poll() is not None:
                break
            try:
                connection = http.client.HTTPConnection(self.host, timeout=1)
                connection.request("GET", "/v2/")
                connection.getresponse().read()
                connection.close()
                return self
            except OSError:
                time.sleep(0.02)
        said = (self.directory / "log").read_text()
        self.stop()
        raise AssertionError(f"docker-registry does not answer: {said}")

    def stop(self) -> None:
        """End it; nothing answers on its port afterwards."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(WAIT)
            self.process = None

    def blob_file(self, digest: str) -> Path:
        """The file that holds a blob."""
        name = digest.removeprefix("sha256:")
        root = self.storage / "docker/registry/v2/blobs/sha256"
        return root / name[:2] / name / "data"


class TokenServer:
    """A token server as registries expect one: Basic in, an ES256 token for the scope out."""

    def __init__(self, directory: Path, *, anonymous_pull: bool = False) -> None:
        self.anonymous_pull = anonymous_pull
        self.asked: list[tuple[str, str]] = []  # (who, scope)
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        now = datetime.datetime.now(datetime.UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        directory.mkdir(parents=True, exist_ok=True)
        self.bundle = directory / "tokens.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """GET /token?service=..&scope=repository:NAME:pull,push"""
        query = parse_qs(urlsplit(request.path).query)
        scope = query.get("scope", [""])[0]
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = request.headers.get("Authorization") == expected
        self.asked.append((USER if known else "", scope))
        if not known and (request.headers.get("Authorization") or not self.anonymous_pull):
            send(request, 401, b'{"errors":[{"message":"who are you"}]}')
            return
        access = []
        if scope.startswith("repository:"):
            _, repository, actions = scope.split(":")
            granted = actions.split(",") if known else ["pull"]
            access = [{"type": "repository", "name": repository, "actions": granted}]
        send(request, 200, json.dumps({"token": self._sign(access)}).encode())

    def _sign(self, access: list[dict[str, object]]) -> str:
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        now = int(time.time())
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": "tests",
            "sub": USER,
            "aud": "registry",
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now - 60,
            "jti": str(len(self.asked)),
            "access": access,
        }
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return (signed + b"." + signature).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """Answer in one go; header names with `_` for `-`."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


Answer = Callable[[BaseHTTPRequestHandler], None]


class _Quiet(ThreadingHTTPServer):
    """Clients that hang up are what these tests are about: no tracebacks for them."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class StubServer:
    """An HTTP server that answers by `routes` (path without query -> answer), else 404.

    `heard` are the requests with their headers, for tests of what we send.
    """

    def __init__(self, routes: dict[str, Answer] | None = None) -> None:
        self.routes = dict(routes or {})
        self.heard: list[tuple[str, str, dict[str, str]]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                path = urlsplit(self.path).path
                stub.heard.append((self.command, self.path, dict(self.headers.items())))
                answer = stub.routes.get(path)
                try:
                    if answer is None:
                        send(self, 404, b'{"errors":[{"code":"X","message":"no such thing"}]}')
                    else:
                        answer(self)
                except OSError:  # the client had enough, as it should
                    self.close_connection = True

            def do_GET(self) -> None:
                self._serve()

            do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815 - http.server names them so

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def running(server: RegistryServer) -> Iterator[RegistryServer]:
    """A registry for the length of the block."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed (apt install docker-registry)")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that takes anybody."""
    with running(RegistryServer(tmp_path_factory.mktemp("registry"))) as server:
        yield server


@pytest.fixture(scope="session")
def basic_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that wants USER and PASSWORD by Basic."""
    directory = tmp_path_factory.mktemp("basic-registry")
    passwords = directory / "htpasswd"
    passwords.write_text(HTPASSWD)
    auth = f"auth: {{htpasswd: {{realm: tests, path: {json.dumps(str(passwords))}}}}}\n"
    with running(RegistryServer(directory, auth=auth)) as server:
        yield server


@pytest.fixture
def token_server(tmp_path: Path) -> Iterator[tuple[TokenServer, StubServer]]:
    """A token server on a port of its own."""
    tokens = TokenServer(tmp_path / "tokens")
    stub = StubServer({"/token": tokens.answer})
    yield tokens, stub
    stub.stop()


@pytest.fixture
def bearer_registry(
    tmp_path: Path, token_server: tuple[TokenServer, StubServer]
) -> Iterator[RegistryServer]:
    """A registry that wants a token from `token_server`."""
    tokens, stub = token_server
    auth = (
        f"auth: {{token: {{realm: 'http://{stub.host}/token', service: registry, issuer: tests,"
        f" rootcertbundle: {json.dumps(str(tokens.bundle))}}}}}\n"
    )
    with running(RegistryServer(tmp_path / "registry", auth=auth)) as server:
        yield server


@pytest.fixture
def stub_server() -> Iterator[StubServer]:
    """A server to be given routes."""
    stub = StubServer()
    yield stub
    stub.stop()
