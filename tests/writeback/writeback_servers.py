"""What the ways out talk to in tests, on loopback: a web server, a mail server, a git remote."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Web:
    """A server that keeps what it was sent and answers as told.

    answers: statuses to give, one a request, the last for ever; a pair adds headers.
    """

    def __init__(self):
        self.requests = []
        self.answers = [200]
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.requests.append((self.path, dict(self.headers.items()), body))
                answer = web.answers.pop(0) if len(web.answers) > 1 else web.answers[0]
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def web():
    """A web server."""
    server = Web()
    yield server
    server.close()


class Mail:
    """A mail server that keeps letters. codes: answers to RCPT, the last for ever."""

    def __init__(self):
        self.letters = []
        self.logins = []
        self.codes = [250]
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def handle(self):
                self.say("220 here")
                while line := self.rfile.readline().decode().strip():
                    verb = line.split()[0].upper()
                    if verb == "EHLO":
                        self.say("250-here")
                        self.say("250 AUTH PLAIN")
                    elif verb == "AUTH":
                        mail.logins.append(line)
                        self.say("235 in")
                    elif verb == "RCPT":
                        code = mail.codes.pop(0) if len(mail.codes) > 1 else mail.codes[0]
                        self.say(f"{code} rcpt")
                    elif verb == "DATA":
                        self.say("354 go")
                        lines = []
                        while (text := self.rfile.readline().decode()) != ".\r\n":
                            lines.append(text)
                        mail.letters.append("".join(lines))
                        self.say("250 kept")
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 fine")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mail_server():
    """A mail server."""
    server = Mail()
    yield server
    server.close()


class Remote:
    """A bare repository that others push to as well."""

    def __init__(self, folder):
        self.path = folder / "remote.git"
        self.url = self.path.as_uri()
        self._folder = folder
        self.git("init", "-q", "--bare", "-b", "main", str(self.path), where=folder)

    def git(self, *arguments, where=None):
        done = subprocess.run(
            ["git", "-c", "user.name=Ana", "-c", "user.email=ana@example.org", *arguments],
            cwd=where or self.path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def push(self, branch, name, text, *, onto=None):
        """Somebody else commits a file to `branch`."""
        clone = self._folder / "clone"
        if not clone.exists():
            self.git("clone", "-q", str(self.path), str(clone), where=self._folder)
        self.git("fetch", "-q", "origin", where=clone)
        if onto is not None:
            self.git("checkout", "-q", "-B", branch, f"origin/{onto}", where=clone)
        else:
            self.git("checkout", "-q", "--orphan", branch, where=clone)
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text)
        self.git("add", "-A", where=clone)
        self.git("commit", "-q", "-m", f"add {name}", where=clone)
        self.git("push", "-q", "origin", branch, where=clone)

    def log(self, branch):
        """Subjects, newest first."""
        return self.git("log", "--format=%s", branch).splitlines()

    def show(self, branch, path):
        return self.git("show", f"{branch}:{path}")

    def files(self, branch):
        return self.git("ls-tree", "-r", "--name-only", branch).splitlines()


@pytest.fixture
def remote(tmp_path):
    """A git remote."""
    return Remote(tmp_path)
