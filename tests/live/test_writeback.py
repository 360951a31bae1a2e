"""What leaves a fleet and what pokes it, with the real commands, git, broker and web servers."""

from __future__ import annotations

import functools
import hashlib
import hmac
import http.client
import http.server
import json
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from propeller.transport.base import Connected, Received
from propeller.transport.endpoint import Endpoint
from propeller.transport.mqtt import MqttTransport

pytestmark = pytest.mark.live

ADD = {"module": {"file": "add.wat"}, "run": {"entrypoint": "add", "args": ["40", "2"]}}


class Origin:
    """A bare repository that the fleet follows, and a clone somebody works in (`specs/`)."""

    def __init__(self, fleet: Any) -> None:
        self.path: Path = fleet.place / "origin.git"
        self._work: Path = fleet.specs
        self.git("init", "-q", "--bare", "-b", "main", str(self.path), where=fleet.place)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", str(self.path))

    def git(self, *arguments: str, where: Path | None = None) -> str:
        who = ("-c", "user.name=Ana", "-c", "user.email=ana@example.org")
        done = subprocess.run(
            ["git", *who, *arguments],
            cwd=where or self._work,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        """Everything as it is, pushed; the new commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def show(self, path: str) -> str:
        """A file of the status branch, "" while it is not there."""
        done = subprocess.run(
            ["git", "-C", str(self.path), "show", f"propeller-status:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def result(self, path: str) -> str:
        """The result that the status branch tells, "" while there is none."""
        document = yaml.safe_load(self.show(path)) or {"status": {}}
        copies = document["status"].get("copies", [])
        return str(copies[0].get("result", "")) if copies else ""

    def subjects(self, branch: str = "propeller-status") -> list[str]:
        return self.git("log", "--format=%s", branch, where=self.path).splitlines()


def states(web: Any, commit: str) -> list[str]:
    """What the git host was told of a commit, in order."""
    told = [json.loads(body) for path, _, body in web.requests if path.endswith(commit)]
    return [one["state"] for one in told]


def test_status_goes_back_to_git_and_commits_get_their_status(fleet: Any, web: Any):
    """A branch of its own, pushed to by others as well; a refused commit; a remote that is away."""
    origin = Origin(fleet)
    fleet.module("add/add.wat")
    fleet.spec("Task", "add", ADD)
    (fleet.place / "token").write_text("hunter2\n")
    config = fleet.place / "propeller.yaml"
    config.write_text(
        "statusBranch: {branch: propeller-status, interval: 1s}\n"
        f"commitStatus: {{provider: Gitea, url: '{web.url}/plant/specs', tokenFile: token}}\n"
    )
    first = origin.commit("what should run")
    fleet.broker()
    serve = fleet.serve("--config", str(config), source=f"git+file://{origin.path}?ref=main")
    fleet.proplet("press")
    fleet.ready("Task/default/add")
    where = "status/default/Task/add.yaml"
    fleet.until(lambda: origin.result(where) == "42", "42 on the branch")
    fleet.until(lambda: "success" in states(web, first), "success told")
    assert states(web, first) == ["pending", "success"]
    assert web.requests[0][1]["Authorization"] == "token hunter2"

    # somebody else pushes to the branch: theirs stays, ours goes on top
    clone = fleet.place / "clone"
    origin.git("clone", "-q", "-b", "propeller-status", str(origin.path), str(clone))
    (clone / "README").write_text("machines write here\n")
    origin.git("add", "README", where=clone)
    origin.git("commit", "-q", "-m", "Say what this is", where=clone)
    origin.git("push", "-q", where=clone)
    fleet.spec("Task", "add", {**ADD, "run": {"entrypoint": "add", "args": ["40", "3"]}})
    origin.commit("three")
    fleet.until(lambda: origin.result(where) == "43", "43 on the branch")
    assert origin.show("README") == "machines write here\n"
    assert origin.subjects("main") == ["three", "what should run"]

    # a refused commit is a failure, and the status says which revision stands
    fleet.spec("Task", "add", {**ADD, "rnu": {}})
    bad = origin.commit("a typo")
    fleet.until(lambda: states(web, bad) == ["failure"], "failure told")
    fleet.until(lambda: bad in origin.show(where), "the attempt on the branch")

    # a remote that is away stops nothing, and is told of
    origin.path.rename(fleet.place / "away.git")
    fleet.until(lambda: "SourceUnavailable" in fleet.on("events").out, "the source's silence")
    assert serve.alive()
    (fleet.place / "away.git").rename(origin.path)
    fleet.spec("Task", "add", {**ADD, "run": {"entrypoint": "add", "args": ["40", "4"]}})
    origin.commit("four")
    fleet.until(lambda: origin.result(where) == "44", "44 on the branch")

    # quiet when nothing happens: the branch makes no news of itself
    count = len(origin.subjects())
    threading.Event().wait(3)
    assert len(origin.subjects()) == count
    assert serve.end() == 0
    assert "hunter2" not in serve.said


class Listener:
    """Hears one topic of the fleet's broker."""

    def __init__(self, fleet: Any, topic: str) -> None:
        host, _, port = fleet.to_broker[1].rpartition(":")
        self.heard: list[dict[str, Any]] = []
        self.connected = threading.Event()
        self._topic = topic
        self.link = MqttTransport(
            Endpoint(host=host, port=int(port), client_id="listener"), random.Random(1)
        )
        self.link.start(self._hear)

    def _hear(self, event: object) -> None:
        if isinstance(event, Connected):
            self.link.subscribe([self._topic])
            self.connected.set()
        elif isinstance(event, Received):
            self.heard.append(json.loads(event.payload))

    def of(self, kind: str, subject: str) -> list[dict[str, Any]]:
        return [one for one in self.heard if (one["type"], one["object"]) == (kind, subject)]


def test_alerts_go_out_once_and_end_with_a_recovery(fleet: Any, web: Any):
    """By webhook (signed) and MQTT: a task that traps, then a commit that mends it."""
    fleet.module("add/add.wat")
    fleet.spec("Task", "add", {**ADD, "run": {"entrypoint": "nothing"}})
    fleet.write("bad.wat", '(module (func (export "go") unreachable))')
    fleet.spec("Task", "add", {"module": {"file": "bad.wat"}, "run": {"entrypoint": "go"}})
    sinks = [
        {"name": "pager", "webhook": {"url": f"{web.url}/in", "hmacRef": "pager"}},
        {"name": "line", "mqtt": {"topic": "plant/alarms"}},
    ]
    fleet.spec("Alert", "on-call", {"sinks": sinks, "events": {"kinds": ["Task"]}})
    secrets = fleet.state / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "pager").write_text("hunter2\n")
    fleet.broker()
    listener = Listener(fleet, "plant/alarms")
    assert listener.connected.wait(30)
    fleet.serve()
    fleet.proplet("press")
    subject = "Task/default/add"
    fleet.until(lambda: listener.of("Alert", subject), "the alert on the topic")
    fleet.until(lambda: web.requests, "the alert at the webhook")
    (_, headers, body) = web.requests[0]
    assert json.loads(body)["reason"] == "Failed"
    wanted = hmac.new(b"hunter2", body, hashlib.sha256).hexdigest()
    assert headers["X-Signature"] == f"sha256={wanted}"
    fleet.ready("Alert/default/on-call")
    fleet.spec("Task", "add", ADD)
    fleet.ready(subject)
    fleet.until(lambda: listener.of("Recovery", subject), "the recovery on the topic")
    fleet.until(lambda: len(web.requests) == 2, "the recovery at the webhook")
    assert len(listener.of("Alert", subject)) == 1
    listener.link.close()


class Slow:
    """A repository over plain HTTP: asked every 15 seconds, unless somebody says so. Counts."""

    def __init__(self, origin: Origin) -> None:
        self.asked = 0
        slow = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                slow.asked += "info/refs" in self.path
                super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        origin.git("update-server-info", where=origin.path)
        handler = functools.partial(Handler, directory=str(origin.path.parent))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/{origin.path.name}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_a_webhook_and_a_poke_on_the_channel_make_it_look(fleet: Any):
    """A repository that is asked once in a long while is asked now, because somebody said so."""
    origin = Origin(fleet)
    fleet.module("add/add.wat")
    fleet.spec("Task", "add", ADD)
    origin.commit("add")
    slow = Slow(origin)
    (fleet.place / "hook.secret").write_text("hunter2\n")
    config = fleet.place / "propeller.yaml"
    config.write_text("receivers: [{name: gitea, type: Gitea, secretFile: hook.secret}]\n")
    fleet.broker()
    options = ("--config", str(config), "--hooks", "127.0.0.1:0")
    serve = fleet.serve(*options, source=f"git+{slow.url}?ref=main")
    fleet.proplet("press")
    fleet.ready("Task/default/add")
    port = int(serve.said.partition("webhooks on port ")[2].split()[0])
    assert json.loads((fleet.state / "run" / "ports.json").read_text())["hooks"] == port

    def call(signature: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/hooks/gitea", b"{}", {"X-Gitea-Signature": signature})
        status = connection.getresponse().status
        connection.close()
        return status

    good = hmac.new(b"hunter2", b"{}", hashlib.sha256).hexdigest()
    poke = Listener(fleet, "nothing")
    assert poke.connected.wait(30)
    asked = slow.asked
    for _ in range(3):
        assert call(good) == 202
        threading.Event().wait(2.1)
        assert poke.link.publish("m/propeller/c/fleet/control/manager/poke", b"\xff" * 10)
        threading.Event().wait(2.1)
    # six looks were asked for; asking by itself comes to one or two in this time
    fleet.until(lambda: slow.asked >= asked + 5, lambda: f"{slow.asked - asked} looks", timeout=10)

    fleet.spec("Task", "add", {**ADD, "run": {"entrypoint": "add", "args": ["40", "3"]}})
    origin.commit("three")
    origin.git("update-server-info", where=origin.path)
    assert call("0" * 64) == 401
    fleet.until(lambda: "HookRefused" in fleet.on("events").out, "the refusal as an event")
    assert call(good) == 202
    assert fleet.ready("Task/default/add", generation=2)["status"]["copies"][0]["result"] == "43"
    assert "hunter2" not in fleet.on("events").out + serve.said
    poke.link.close()
    assert serve.end() == 0
    slow.close()
