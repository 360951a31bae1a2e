"""Requests of guests over real sockets: what leaves, what comes back, and what peers can do."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proplet_http_peer import DOES, Peer, peer

from propeller.outgoing import parse_rules
from propeller.provision.authority import Authority
from propeller.wire.certificates import new_key, private_pem
from proplet.runtime import outward
from proplet.runtime.outward import AT_ONCE, Outward, Terms, Wanted
from proplet.runtime.outward_wire import Failed, Sent, Times


@pytest.fixture(scope="module")
def server() -> Iterator[Peer]:
    with peer() as made:
        yield made


class Guest:
    """What a guest does with `Outward`, without a guest. lines: of its log."""

    def __init__(self, *allow: str, owner: tuple[str, ...] | None = None, **terms: object) -> None:
        self.lines: list[str] = []
        self.bell = threading.Condition()
        given = {"timeout": 5.0, "body": 4096, "requests": 100} | terms
        self.outward = Outward(
            Terms(parse_rules(allow), parse_rules(owner or allow), **given),  # type: ignore[arg-type]  # by name
            lambda line: self.lines.append(line.decode()),
            self.bell,
        )
        self.outward.begin()

    def ask(
        self, url: str, method: str = "GET", times: Times | None = None, **headers: str
    ) -> Sent:
        scheme, _, rest = url.partition("://")
        authority, slash, path = rest.partition("/")
        rows = [(name.replace("_", "-"), value.encode()) for name, value in headers.items()]
        wanted = Wanted(method, scheme, authority, slash + path)
        return self.outward.ask(wanted, rows, times or Times())

    def fetch(
        self, url: str, body: bytes | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, bytes]:
        """Status and body. Raises AssertionError with the code of what failed."""
        sent = self.ask(url, method, **headers)
        self.outward.send(sent, body)
        return self.wait(sent)

    def wait(self, sent: Sent) -> tuple[int, bytes]:
        with self.bell:
            while not (sent.headed() and sent.over):  # its thread ends by itself, in time
                self.bell.wait(0.05)
            assert sent.code is None, sent.code.tag
            return sent.status, bytes(sent.data)

    def code(self, url: str, **more: object) -> str:
        """Of a request that fails."""
        with pytest.raises((AssertionError, Failed)) as caught:
            self.fetch(url, **more)  # type: ignore[arg-type]  # as it takes them
        error = caught.value
        return error.code.tag if isinstance(error, Failed) else str(error).splitlines()[0]


def test_a_request_gets_its_answer(server: Peer) -> None:
    """Method, path, query, headers and body go out; of the connection's headers those of the host
    alone; status, headers and body come back."""
    guest = Guest(server.url)
    sent = guest.ask(
        f"{server.url}/v1/x?q=1",
        "POST",
        x_mine="a",
        host="evil.example",
        transfer_encoding="chunked",
    )
    guest.outward.send(sent, b"ping")
    assert guest.wait(sent) == (200, b"said:ping")
    assert dict(sent.answer) == {"content-length": b"9", "x-peer": b"yes"}
    head, _, body = server.heard[-1].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /v1/x?q=1 HTTP/1.1",
        f"host: 127.0.0.1:{server.port}".encode(),
        b"connection: close",
        b"x-mine: a",
        b"content-length: 4",
    ]
    assert body == b"ping"
    assert guest.fetch(f"{server.url}/chunks") == (200, b"abcde")
    assert guest.fetch(f"{server.url}/empty") == (204, b"")
    assert guest.fetch(f"{server.url}/x", method="HEAD") == (200, b"")
    assert guest.lines == []


def test_what_no_rule_lets_out_never_connects(server: Peer) -> None:
    """Neither without the spec's rule nor without the owner's; each is a line of the log, without
    its query."""
    before = server.connections
    here = f"{server.url}/v1/"
    guest = Guest(here)
    for url in (
        f"{server.url}/v2/x?key=secret",
        f"{server.url}/v1/../v2",
        f"{server.url}/v1/%2e%2e/v2",
        f"http://127.0.0.1:{server.port + 1}/v1/",
        f"https://127.0.0.1:{server.port}/v1/",
        f"http://localhost:{server.port}/v1/",
        f"http://2130706433:{server.port}/v1/",
        "http://169.254.169.254/latest/meta-data",
    ):
        assert guest.code(url) in ("HTTP-request-denied", "HTTP-request-URI-invalid")
    assert guest.code(f"{here}x", method="TRACE") == "HTTP-request-method-invalid"
    owned = Guest(here, owner=(f"GET {server.url}/v1/keys",))
    assert owned.code(f"{here}x") == "HTTP-request-denied"
    assert owned.code(f"{here}keys", method="POST") == "HTTP-request-denied"
    assert server.connections == before
    assert owned.fetch(f"{here}keys")[0] == 200
    assert guest.lines[0] == (
        f"propeller: http: refused GET {server.url}/v2/x: run.http.allow does not list it\n"
    )
    assert "this device does not let it out" in owned.lines[0]


def test_a_redirect_is_an_answer(server: Peer) -> None:
    """The guest gets it and may ask; nobody goes there for it."""
    guest = Guest(server.url)
    assert guest.fetch(f"{server.url}/elsewhere") == (302, b"")
    assert guest.code("http://169.254.169.254/secret") == "HTTP-request-denied"


ENDS = {
    "silent": {"HTTP-response-timeout"},
    "drips": {"connection-read-timeout", "HTTP-response-timeout"},
    "endless-headers": {"HTTP-response-header-section-size"},
    "endless-line": {"HTTP-response-header-section-size"},
    "endless-continue": {"HTTP-response-header-section-size"},
    "endless-body": {"HTTP-response-body-size"},
    "endless-chunks": {"HTTP-response-body-size"},
    "endless-trailers": {"HTTP-response-body-size"},
    "large": {"HTTP-response-body-size"},
    "short": {"HTTP-response-incomplete"},
    "bad-chunk": {"HTTP-response-incomplete"},
    "hangs-up": {"connection-terminated"},
    "gibberish": {"HTTP-protocol-error"},
    "upgrade": {"HTTP-upgrade-failed"},
    "early": {"HTTP-protocol-error"},
}


@pytest.mark.parametrize("name", ENDS)
def test_a_hostile_server_is_a_code_of_wasi_http(server: Peer, name: str) -> None:
    """Bounded in bytes and in time, whatever it sends or does not."""
    assert name in DOES
    slow = name in ("silent", "drips")
    guest = Guest(server.url, timeout=0.4 if slow else 20.0)
    assert guest.code(f"{server.url}/{name}") in ENDS[name]


def test_the_guest_may_wait_for_less(server: Peer) -> None:
    """Its own times count where they are shorter."""
    guest = Guest(server.url, timeout=20.0)
    sent = guest.ask(f"{server.url}/silent", times=Times(first_byte=0.1))
    guest.outward.send(sent, None)
    with pytest.raises(AssertionError, match="HTTP-response-timeout"):
        guest.wait(sent)


def _resolves(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to these from now on; the names that were asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (one, port, 0, 0) if ":" in one else (one, port),
            )
            for one in addresses
        ]

    monkeypatch.setattr(outward.socket, "getaddrinfo", resolve)
    return asked


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
def test_a_name_that_leads_home_reaches_nothing(
    server: Peer, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Though spec and owner let out the name: also beside a rule that spells that address out."""
    before = server.connections
    _resolves(monkeypatch, address)
    url = f"http://api.example.com:{server.port}"
    guest = Guest(url, f"http://127.0.0.1:{server.port}/v9")
    assert guest.code(f"{url}/x") == "destination-IP-prohibited"
    assert server.connections == before
    assert "is a local address (httpNetworks)" in guest.lines[0]


def test_a_name_is_resolved_once_and_may_lead_where_the_owner_says(
    server: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at is what is connected to: another answer the next time changes nothing.
    Of several addresses the ones that are fit are tried."""
    asked = _resolves(monkeypatch, "10.9.9.9", "127.0.0.1")
    url = f"http://sensor.local:{server.port}"
    guest = Guest(url, networks=(ipaddress.ip_network("127.0.0.0/8"),))
    assert guest.fetch(f"{url}/x") == (200, b"said:")
    assert asked == ["sensor.local"]


def test_a_name_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the resolver is one of DNS."""

    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(outward.socket, "getaddrinfo", resolve)
    assert Guest("http://nowhere.example").code("http://nowhere.example/") == "DNS-error"


def test_nobody_there(server: Peer) -> None:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    guest = Guest(f"http://127.0.0.1:{port}")
    assert guest.code(f"http://127.0.0.1:{port}/") == "connection-refused"


def test_requests_are_counted(server: Peer) -> None:
    """So many a call and so many at once; the next call has as many again, and what the last one
    left behind is given up."""
    guest = Guest(server.url, requests=2)
    guest.fetch(f"{server.url}/a")
    guest.fetch(f"{server.url}/b")
    assert guest.code(f"{server.url}/c") == "connection-limit-reached"
    guest.outward.begin()
    assert guest.fetch(f"{server.url}/c")[0] == 200
    many = Guest(server.url, timeout=20.0)
    held = [many.ask(f"{server.url}/silent") for _ in range(AT_ONCE)]
    for sent in held:
        many.outward.send(sent, None)
    assert many.code(f"{server.url}/d") == "connection-limit-reached"
    many.outward.begin()
    assert many.fetch(f"{server.url}/d")[0] == 200


def test_the_log_of_refusals_ends(server: Peer) -> None:
    """A guest that asks for ever fills no log."""
    guest = Guest(server.url)
    for _ in range(100):
        guest.code("http://127.0.0.1:1/")
    assert len(guest.lines) == 16


def test_a_length_that_is_not_the_body_s_is_refused(server: Peer) -> None:
    """Else a server would take the rest for the next request."""
    guest = Guest(server.url)
    url = f"{server.url}/x"
    assert guest.code(url, body=b"abc", method="POST", content_length="1") == (
        "HTTP-request-body-size"
    )
    assert guest.fetch(url, b"abc", "POST", content_length="3") == (200, b"said:abc")


def test_a_server_s_certificate_is_checked(tmp_path: Path) -> None:
    """By its name too; the owner may add an authority."""
    authority, own = Authority.make("tests", now=int(time.time()), days=2), new_key()
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    ca.write_bytes(authority.pem)
    key.write_bytes(private_pem(own))
    cert.write_bytes(
        authority.issue(
            own.public_key(), name="peer", hosts=("127.0.0.1",), now=int(time.time()), days=1
        )
    )
    with peer((str(cert), str(key))) as server:
        url = f"https://127.0.0.1:{server.port}"
        assert Guest(url).code(f"{url}/x") == "TLS-certificate-error"
        assert Guest(url, ca=str(ca)).fetch(f"{url}/x") == (200, b"said:")
        other = f"https://localhost:{server.port}"
        named = Guest(other, ca=str(ca), networks=(ipaddress.ip_network("127.0.0.0/8"),))
        assert named.code(f"{other}/x") == "TLS-certificate-error"
        plain = f"http://127.0.0.1:{server.port}"
        assert Guest(plain).code(f"{plain}/x") in ("connection-terminated", "HTTP-protocol-error")
