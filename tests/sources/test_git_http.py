"""A repository behind a web server, with and without a password."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from propeller.errors import Unavailable
from propeller.sources.access import Access, Login
from propeller.sources.open import open_source

pytestmark = pytest.mark.live


class Backend(BaseHTTPRequestHandler):
    """`git http-backend` as a CGI program; `server.password` guards it where set."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer(b"")

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _answer(self, body):
        if self.server.password:
            wanted = "Basic " + base64.b64encode(self.server.password.encode()).decode()
            if self.headers.get("Authorization") != wanted:
                return self._reply(401, [("WWW-Authenticate", 'Basic realm="r"')], b"")
            self.server.visible += shown_of_processes(self.server.password.partition(":")[2])
        if self.server.elsewhere:
            return self._reply(302, [("Location", self.server.elsewhere + self.path)], b"")
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
        )
        head, _, payload = done.stdout.partition(b"\r\n\r\n")
        fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(value[:3]) for name, value in fields if name == "Status"), 200)
        return self._reply(status, [field for field in fields if field[0] != "Status"], payload)

    def _reply(self, status, fields, payload):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass


def shown_of_processes(secret):
    """Where the secret can be read by `ps` or in /proc while git talks to us."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if secret.encode() in (process / name).read_bytes():
                    found.append(f"{process}/{name}")
    return found


@contextlib.contextmanager
def serving(root):
    made = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    made.root, made.password, made.elsewhere, made.visible = root, "", "", []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path) as made:
        yield made


def test_a_repository_is_read_over_http(server, repository, tmp_path):
    """Head, whole tree, and the next commit on top of it."""
    first = repository.commit({"a.yaml": "x: 1"})
    url = f"git+http://127.0.0.1:{server.server_port}/repository?ref=main"
    source = open_source(url, cache=tmp_path / "cache")
    assert source.head() == first
    assert source.read().files["a.yaml"] == b"x: 1"
    second = repository.commit({"a.yaml": "x: 2"})
    assert source.read().name == f"main@sha1:{second}"
    assert source.read().files["a.yaml"] == b"x: 2"


def test_a_password_is_used_and_never_shown(server, repository, tmp_path):
    """A wrong one is an answer at once, not a prompt."""
    server.password = "ana:secret"
    repository.commit({"a.yaml": "x: 1"})
    host = f"127.0.0.1:{server.server_port}/repository"
    good = open_source(f"http://ana:secret@{host}", cache=tmp_path / "cache")
    assert good.read().files["a.yaml"] == b"x: 1"
    assert "secret" not in good.name
    for wrong in (f"http://{host}", f"http://ana:hunter2@{host}"):
        with pytest.raises(Unavailable) as caught:
            open_source(wrong, cache=tmp_path / "cache").head()
        assert "Authentication failed" in str(caught.value) or "could not read" in str(caught.value)
        assert "hunter2" not in str(caught.value)


TOKEN = "glpat-kept secret/%7e"


def with_token(server, tmp_path, **login):
    """A source whose host is given a login."""
    host = f"127.0.0.1:{server.server_port}"
    return open_source(
        f"git+http://{host}/repository?ref=main",
        cache=tmp_path / "cache",
        access=Access({host: Login(**login)}),
    )


def test_a_token_reaches_the_host_and_nobody_sees_it(server, repository, tmp_path):
    """No argument, no environment, no file of ours: not while git talks, and not afterwards."""
    server.password = f"bot:{TOKEN}"
    repository.commit({"a.yaml": "x: 1"})
    source = with_token(server, tmp_path, username="bot", token=TOKEN)
    assert source.read().files["a.yaml"] == b"x: 1"
    assert server.visible == []
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_a_password_in_the_address_is_no_argument_of_git(server, repository, tmp_path):
    """It is taken out of the URL before git is started."""
    server.password = "ana:secret-of-ana"
    repository.commit({"a.yaml": "x: 1"})
    url = f"http://ana:secret-of-ana@127.0.0.1:{server.server_port}/repository"
    assert open_source(url, cache=tmp_path / "cache").read().files["a.yaml"] == b"x: 1"
    assert server.visible == []


def test_a_renewed_token_counts_at_once(server, repository, tmp_path):
    """The file is read at every look; a wrong token is an answer in words without the token."""
    repository.commit({"a.yaml": "x: 1"})
    file = tmp_path / "token"
    file.write_text("old-token\n")
    server.password = "git:new-token"
    source = with_token(server, tmp_path, token_file=file)
    with pytest.raises(Unavailable, match="Authentication failed") as caught:
        source.head()
    assert "old-token" not in str(caught.value)
    file.write_text("new-token\n")
    assert source.read().files["a.yaml"] == b"x: 1"


@pytest.mark.parametrize("text", [None, "", "two\nlines"])
def test_a_token_file_that_is_none_says_so(server, tmp_path, text):
    """Which file, and what is wrong with it."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Unavailable, match=f"the token in {file}: "):
        with_token(server, tmp_path, token_file=file).head()


def test_a_token_does_not_follow_a_redirection(server, repository, tmp_path):
    """Another host is not given what is meant for this one."""
    repository.commit({"a.yaml": "x: 1"})
    with serving(tmp_path) as thief:
        thief.password = f"bot:{TOKEN}"
        server.elsewhere = f"http://127.0.0.1:{thief.server_port}"
        with pytest.raises(Unavailable):
            with_token(server, tmp_path, username="bot", token=TOKEN).head()
