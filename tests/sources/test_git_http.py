"""A repository behind a web server, with and without a password."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from propeller.errors import Unavailable
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


@pytest.fixture
def server(tmp_path):
    made = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    made.root, made.password = tmp_path, ""
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


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
