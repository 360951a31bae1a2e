"""A server on loopback that does what its path says, well or badly, and keeps what it heard."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Peer:
    """port: of 127.0.0.1. heard: heads and bodies, in order. gone: released at the end."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, link: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = link.recv(65536)
            if not piece:
                return
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            while len(body) < length:
                body += link.recv(65536)
        self.heard.append(head + b"\r\n\r\n" + body)
        name = head.split(b" ")[1].split(b"?")[0].rsplit(b"/", 1)[-1].decode()
        DOES.get(name, _fine)(self, link, body)


def _fine(_peer: Peer, link: socket.socket, body: bytes) -> None:
    link.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Peer: yes\r\nConnection: close\r\n\r\n%s"
        % (len(body) + 5, b"said:" + body)
    )


def _endless(piece: bytes, first: bytes = b"") -> Callable[[Peer, socket.socket, bytes], None]:
    def go(peer: Peer, link: socket.socket, _body: bytes) -> None:
        link.sendall(first)
        while not peer.gone.is_set():
            link.sendall(piece)

    return go


def _says(data: bytes) -> Callable[[Peer, socket.socket, bytes], None]:
    return lambda _peer, link, _body: link.sendall(data)


def _silent(peer: Peer, _link: socket.socket, _body: bytes) -> None:
    peer.gone.wait(30)


def _drips(peer: Peer, link: socket.socket, _body: bytes) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
    while not peer.gone.is_set():
        link.sendall(b".")
        time.sleep(0.02)


OK = b"HTTP/1.1 200 OK\r\n"
DOES: dict[str, Callable[[Peer, socket.socket, bytes], None]] = {
    "silent": _silent,
    "drips": _drips,
    "endless-headers": _endless(b"X-More: yes\r\n", OK),
    "endless-line": _endless(b"x" * 4096, OK + b"X-Long: "),
    "endless-continue": _endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless-body": _endless(b"y" * 4096, OK + b"\r\n"),
    "endless-chunks": _endless(
        b"1;%s\r\nz\r\n" % (b"e" * 200), OK + b"Transfer-Encoding: chunked\r\n\r\n"
    ),
    "endless-trailers": _endless(
        b"X-T: 1\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n"
    ),
    "large": _says(OK + b"Content-Length: 99999999999\r\n\r\n"),
    "short": _says(OK + b"Content-Length: 10\r\n\r\nabc"),
    "bad-chunk": _says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "hangs-up": _says(b""),
    "gibberish": _says(b"\x00\x01\x02 what?\r\n\r\n"),
    "upgrade": _says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    "early": _says(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "chunks": _says(
        OK + b"Transfer-Encoding: chunked\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    ),
    "elsewhere": _says(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/secret\r\n"
        b"Content-Length: 0\r\n\r\n"
    ),
    "empty": _says(b"HTTP/1.1 204 No Content\r\n\r\n"),
}


@contextmanager
def peer(tls: tuple[str, str] | None = None) -> Iterator[Peer]:
    """One that is up. tls: certificate and key."""
    made = Peer()
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    threads: list[threading.Thread] = []

    def one(link: socket.socket) -> None:
        with contextlib.suppress(OSError), link:
            link.settimeout(30)
            if context is None:
                made.serve(link)
            else:
                with context.wrap_socket(link, server_side=True) as sure:
                    made.serve(sure)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = door.accept()
                made.connections += 1
                threads.append(threading.Thread(target=one, args=(link,), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        made.port = door.getsockname()[1]
        porter = threading.Thread(target=accept, daemon=True)
        porter.start()
        yield made
        made.gone.set()
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
    porter.join(5)
    for thread in threads:
        thread.join(5)
