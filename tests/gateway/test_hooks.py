"""Webhook receivers over a real port: who is let in, and what that does."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import socket
import threading

import pytest

from propeller.errors import UsageError
from propeller.gateway import hookserver
from propeller.gateway.hooks import MAX_BODY, Hooks, Receiver, make_hooks
from propeller.gateway.hookserver import HookServer
from propeller.reconcile.poke import Pokes

SECRET = "hunter2"
BODY = b'{"ref": "refs/heads/main", "commits": []}'


def signed(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Door:
    """A listening server with one receiver of each type."""

    def __init__(self, folder):
        self.looks = 0
        self.refusals = []
        self.now = 0.0
        self.secret = folder / "hook.secret"
        self.secret.write_text(SECRET + "\n")
        types = ("GitHub", "GitLab", "Gitea", "Generic")
        receivers = [Receiver(name=t.lower(), type=t, secret=self.secret) for t in types]
        hooks = Hooks(
            receivers, look=self._look, refused=self.refusals.append, clock=lambda: self.now
        )
        self.server = HookServer(make_hooks(hooks), "127.0.0.1", 0)
        self.server.start()

    def _look(self):
        self.looks += 1

    def call(self, name, body=BODY, *, method="POST", path=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            sent = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path or f"/hooks/{name}", body, sent)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


@pytest.fixture
def door(tmp_path):
    """A door."""
    made = Door(tmp_path)
    yield made
    made.server.stop()


GOOD = [
    ("github", {"X_Hub_Signature_256": f"sha256={signed(BODY)}", "X_GitHub_Event": "push"}),
    ("github", {"X_Hub_Signature_256": f"sha256={signed(BODY)}", "X_GitHub_Event": "ping"}),
    ("gitlab", {"X_Gitlab_Token": SECRET, "X_Gitlab_Event": "Push Hook"}),
    ("gitea", {"X_Gitea_Signature": signed(BODY)}),
    ("generic", {"X_Signature": f"sha256={signed(BODY)}"}),
]


@pytest.mark.parametrize(("name", "headers"), GOOD)
def test_a_proven_call_makes_us_look(door, name, headers):
    """And that is all it does, whatever it says."""
    assert door.call(name, **headers) == 202
    assert (door.looks, door.refusals) == (1, [])


BAD = [
    ("github", {}),
    ("github", {"X_Hub_Signature_256": "sha256="}),
    ("github", {"X_Hub_Signature_256": f"sha256={signed(BODY + b' ')}"}),
    ("github", {"X_Hub_Signature_256": f"sha256={signed(BODY, '')}"}),
    ("github", {"X_Hub_Signature": f"sha1={signed(BODY)}"}),
    ("github", {"X_Gitlab_Token": SECRET}),
    ("gitlab", {}),
    ("gitlab", {"X_Gitlab_Token": ""}),
    ("gitlab", {"X_Gitlab_Token": SECRET + "x"}),
    ("gitea", {"X_Gitea_Signature": "zz"}),
    ("generic", {"X_Signature": "sha256=" + "0" * 64}),
]


@pytest.mark.parametrize(("name", "headers"), BAD)
def test_a_call_without_proof_makes_us_do_nothing(door, name, headers):
    """Missing, empty, of another body, of an empty secret, in another host's header."""
    assert door.call(name, **headers) == 401
    assert door.looks == 0
    assert door.refusals == [
        f"receiver {name} refused a call: the signature or token is wrong or missing"
    ]


def test_who_knocks_all_day_is_told_of_once_a_minute(door):
    """With a count; the secret is in no word of it."""
    for _ in range(20):
        door.call("github")
    door.now = 61.0
    door.call("github")
    assert [words.partition(":")[0] for words in door.refusals] == [
        "receiver github refused a call",
        "receiver github refused 20 calls",
    ]
    assert SECRET not in str(door.refusals)


def test_only_post_to_a_receiver_is_known(door):
    """Nothing else is served on this port, the API least of all."""
    assert door.call("nobody", X_Signature=f"sha256={signed(BODY)}") == 404
    assert door.call("github", method="GET") == 405
    assert door.call("", path="/api/v1/look") == 404
    assert door.looks == 0


def test_a_renewed_secret_counts_at_once(door):
    """And one that is missing or empty lets nobody in."""
    door.secret.write_text("other")
    assert door.call("generic", X_Signature=signed(BODY)) == 401
    assert door.call("generic", X_Signature=signed(BODY, "other")) == 202
    door.secret.write_text("\n")
    assert door.call("generic", X_Signature=signed(BODY, "")) == 503
    door.secret.unlink()
    assert door.call("gitlab", X_Gitlab_Token="") == 503
    assert door.looks == 1


def test_a_body_is_bounded(door):
    """It is cut off, not stored."""
    connection = socket.create_connection(("127.0.0.1", door.server.port), timeout=20)
    with connection:
        connection.sendall(
            b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        answer = b""
        try:
            for _ in range((MAX_BODY >> 20) + 8):
                connection.sendall(piece)
            answer = connection.recv(200)
        except OSError:
            answer = answer or connection.recv(200)
    assert b" 413 " in answer
    assert door.looks == 0


def test_a_connection_that_says_nothing_is_cut(door, monkeypatch):
    """Nobody can keep the door busy by leaning on it."""
    monkeypatch.setattr(hookserver, "LIFETIME", 0.1)
    with socket.create_connection(("127.0.0.1", door.server.port), timeout=10) as connection:
        connection.sendall(b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    assert door.looks == 0


def test_a_port_that_is_taken_is_said_so(door):
    """Before anything else is started."""
    with pytest.raises(UsageError, match="cannot listen"):
        HookServer(make_hooks(Hooks([], look=print, refused=print)), "127.0.0.1", door.server.port)


def test_many_pokes_are_few_looks_and_the_last_is_not_lost():
    """The first at once, the rest together after the gap."""
    looked = threading.Semaphore(0)
    pokes = Pokes(looked.release, gap=0.2)
    for _ in range(1_000):
        pokes.poke()
    assert looked.acquire(timeout=5)
    assert not looked.acquire(timeout=0.05)
    assert looked.acquire(timeout=5)
    assert not looked.acquire(timeout=0.3)
    pokes.poke()
    assert looked.acquire(timeout=5)
    pokes.poke()
    pokes.stop()
    assert not looked.acquire(timeout=0.3)
