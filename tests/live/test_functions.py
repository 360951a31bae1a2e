"""Functions on a real broker, real proplets and a real gateway: called in every way, and whatever
is killed, no call is lost without a word and none that is not idempotent runs twice."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from propeller.transport.base import Connected, Event, Received
from propeller.transport.mqtt import MqttTransport

pytestmark = pytest.mark.live

# A command that says it was called: appends the request to `log` of its mount, sleeps for so many
# tenths of a second as the request's first byte says, and answers `ok` with a status.
SLOW = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "log")
  (data (i32.const 512) "Content-Type: text/plain\\0aStatus: 201 Made\\0a\\0aok ")
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 100))
    (if (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24))
      (then unreachable))
    (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3)
          (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 1) (i32.const 80))
      (then unreachable))
    (i32.store (i32.const 20) (i32.load (i32.const 24)))
    (if (call $fd_write (i32.load (i32.const 80)) (i32.const 16) (i32.const 1) (i32.const 112))
      (then unreachable))
    (i32.store (i32.const 144) (i32.const 1))
    (i64.store (i32.const 152) (i64.mul (i64.const 100000000)
      (i64.extend_i32_u (i32.sub (i32.load8_u (i32.const 1024)) (i32.const 48)))))
    (drop (call $poll_oneoff (i32.const 128) (i32.const 192) (i32.const 1) (i32.const 240)))
    (i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 46))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 112)))
    (i32.store (i32.const 16) (i32.const 1024))
    (i32.store (i32.const 20) (i32.load (i32.const 24)))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 112)))))
"""

EXAMPLE = Path(__file__).parents[2] / "examples" / "functions" / "digits"

ADD = """(module (func (export "add") (param i32 i32) (result i32)
  (i32.add (local.get 0) (local.get 1))))"""


def slow_function(fleet: Any, **more: Any) -> None:
    fleet.write("slow.wat", SLOW)
    spec = {
        "module": {"file": "slow.wat"},
        "run": {"mounts": [{"name": "data", "access": "ReadWrite"}]},
        "limits": {"memory": "1MiB", "timeout": "8s"},
        **more,
    }
    fleet.spec("Function", "slow", spec)


def add_function(fleet: Any, **more: Any) -> None:
    fleet.write("add.wat", ADD)
    spec = {
        "module": {"file": "add.wat"},
        "interface": "Values",
        "run": {"entrypoint": "add"},
        **more,
    }
    fleet.spec("Function", "add", spec)


def serving(fleet: Any, *proplets: str) -> tuple[Any, Path]:
    """A reconciler with its gateway, and proplets that share a folder; where it is written to."""
    fleet.broker()
    folder: Path = fleet.place / "data"
    folder.mkdir(exist_ok=True)
    server = fleet.serve("--dashboard", "127.0.0.1:0")
    for name in proplets:
        fleet.proplet(name, "--mount", f"data={folder}:rw")
    return server, folder / "log"


def token(fleet: Any, role: str = "operator") -> str:
    done = fleet.on("token", "create", role, "--role", role)
    assert done.code == 0, done.err
    return str(done.out).strip().splitlines()[-1]


def address(fleet: Any) -> str:
    ports = json.loads((fleet.state / "run" / "ports.json").read_text())
    return f"http://127.0.0.1:{ports['dashboard']}"


class Asking(threading.Thread):
    """A request in the background."""

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(daemon=True)
        self.words, self.more = words, more
        self.answer: requests.Response | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = requests.post(*self.words, timeout=60, **self.more)
        except requests.RequestException as error:
            self.error = error

    def end(self) -> requests.Response:
        self.join(60)
        assert self.answer is not None, self.error
        return self.answer


@contextmanager
def listening(fleet: Any, topic: str) -> Iterator[tuple[MqttTransport, list[tuple[str, bytes]]]]:
    """A client of the channel that is neither manager nor proplet."""
    heard: list[tuple[str, bytes]] = []
    up = threading.Event()
    host, _, port = fleet.to_broker[1].rpartition(":")
    from propeller.transport.endpoint import Endpoint

    client = MqttTransport(
        Endpoint(host=host, port=int(port), client_id="sensor"), random.Random(1)
    )

    def hear(event: Event) -> None:
        match event:
            case Connected():
                client.subscribe([topic])
                up.set()
            case Received(name, payload, _):
                heard.append((name, payload))
            case _:
                pass

    client.start(hear)
    assert up.wait(10)
    try:
        yield client, heard
    finally:
        client.close()


def test_a_function_is_called_over_http_and_by_the_command_line(fleet: Any) -> None:
    """Values and a command; JSON, raw bytes, query, headers; who may and who may not."""
    slow_function(fleet)
    add_function(fleet, placement={"replicas": 2})
    _, log = serving(fleet, "gw-01", "gw-02")
    fleet.ready("Function/default/add")
    fleet.ready("Function/default/slow")
    where, operator, viewer = address(fleet), token(fleet), token(fleet, "viewer")
    head = {"Authorization": f"Bearer {operator}"}
    answer = requests.post(f"{where}/fn/default/add", json=[40, 2], headers=head, timeout=20)
    assert (answer.status_code, answer.json()) == (200, 42)
    assert answer.headers["Propeller-Proplet"] in ("gw-01", "gw-02")
    answer = requests.get(f"{where}/fn/default/add?a=1&b=2", headers=head, timeout=20)
    assert answer.text == "3"
    answer = requests.post(f"{where}/fn/default/slow/x", data=b"0raw", headers=head, timeout=20)
    assert (answer.status_code, answer.text) == (201, "ok 0raw")
    assert answer.headers["Content-Type"] == "text/plain"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    for bad, status in (({}, 401), ({"Authorization": f"Bearer {viewer}"}, 403)):
        assert (
            requests.post(f"{where}/fn/default/add", headers=bad, timeout=20).status_code == status
        )
    answer = requests.post(f"{where}/fn/default/none", headers=head, timeout=20)
    assert answer.status_code == 404
    answer = requests.post(f"{where}/fn/default/add", data=b"[1]", headers=head, timeout=20)
    assert answer.status_code == 400
    assert "takes 2 (i32, i32) arguments" in answer.json()["error"]
    big = b"x" * (129 << 10)
    assert (
        requests.post(f"{where}/fn/default/slow", data=big, headers=head, timeout=20).status_code
        == 413
    )
    assert log.read_text() == "0raw"

    assert fleet.on("invoke", "add", "40", "2").out == "42"
    assert fleet.on("invoke", "default/slow", "--data", "0cli").out == "ok 0cli"
    refused = fleet.on("invoke", "add", "1")
    assert (refused.code, "takes 2" in refused.err) == (2, True)
    assert fleet.on("invoke", "none").code == 2


def test_a_call_that_takes_too_long_or_too_many_are_told_apart(fleet: Any) -> None:
    """504 past the limit; 429 with Retry-After when the queue is full; the rest are answered."""
    slow_function(fleet, calls={"concurrency": 1, "queue": 1})
    serving(fleet, "gw-01")
    fleet.ready("Function/default/slow")
    where, head = address(fleet), {"Authorization": f"Bearer {token(fleet)}"}
    url = f"{where}/fn/default/slow"
    late = requests.post(url, data=b"9", headers={**head, "Propeller-Timeout": "300ms"}, timeout=20)
    assert late.status_code == 504
    calls = [Asking(url, data=b"5", headers=head) for _ in range(4)]
    codes = sorted(call.end().status_code for call in calls)
    assert codes == [201, 201, 429, 429]
    refused = next(call.answer for call in calls if call.end().status_code == 429)
    assert int(refused.headers["Retry-After"]) >= 1


def test_an_asynchronous_call_and_a_key_outlive_the_gateway(fleet: Any) -> None:
    """kill -9 of reconciler and gateway in the middle: both calls end, and each ran once."""
    slow_function(fleet, calls={"concurrency": 4})
    server, log = serving(fleet, "gw-01")
    fleet.ready("Function/default/slow")
    first = fleet.on("invoke", "slow", "--data", "9later", "--async")
    assert first.code == 0, first.err
    head = {"Authorization": f"Bearer {token(fleet)}", "Idempotency-Key": "order-7"}
    url = f"{address(fleet)}/fn/default/slow"
    cut = Asking(url, data=b"9keyed", headers=head)
    fleet.until(lambda: log.exists() and len(log.read_text()) == 12, "both calls began")
    server.kill()
    cut.join(20)
    assert cut.error is not None, "a caller whose gateway dies hears of it"
    fleet.serve("--dashboard", "127.0.0.1:0")
    fleet.until(
        lambda: fleet.on("invoke", "--result", first.out.strip()).out == "ok 9later",
        lambda: f"an answer, yet {fleet.on('invoke', '--result', first.out.strip())}",
    )
    again = requests.post(
        f"{address(fleet)}/fn/default/slow", data=b"9keyed", headers=head, timeout=30
    )
    assert (again.status_code, again.text) == (201, "ok 9keyed")
    assert again.headers["Idempotent-Replay"] == "true"
    other = requests.post(
        f"{address(fleet)}/fn/default/slow", data=b"0other", headers=head, timeout=30
    )
    assert other.status_code == 422
    assert sorted(log.read_text().split("9")) == ["", "keyed", "later"]


def test_a_proplet_that_is_killed_in_a_call_costs_no_more_than_that_call(fleet: Any) -> None:
    """The caller is told that it may have run; it is not made again, here nor elsewhere."""
    slow_function(fleet, placement={"replicas": 2})
    fleet.broker()
    folder = fleet.place / "data"
    folder.mkdir()
    fleet.serve("--dashboard", "127.0.0.1:0")
    proplets = {
        name: fleet.proplet(name, "--mount", f"data={folder}:rw") for name in ("gw-01", "gw-02")
    }
    fleet.ready("Function/default/slow")
    where, head = address(fleet), {"Authorization": f"Bearer {token(fleet)}"}
    url, log = f"{where}/fn/default/slow", folder / "log"
    probe = requests.post(url, data=b"0", headers=head, timeout=20).headers["Propeller-Proplet"]
    log.write_text("")
    call = Asking(url, data=b"9", headers=head)
    fleet.until(lambda: log.read_text() == "9", "the call began")
    time.sleep(0.2)
    holder = next(name for name in proplets if name != probe)  # they take turns
    proplets[holder].kill()
    fleet.proplet(holder, "--mount", f"data={folder}:rw")
    answer = call.end()
    assert answer.status_code == 502, answer.text
    told = answer.json()
    assert (told["fate"], told["cause"]) == ("Unknown", "interrupted")
    assert holder in told["error"]
    assert log.read_text() == "9", "it ran once"
    fleet.until(
        lambda: requests.post(url, data=b"0", headers=head, timeout=20).status_code == 201,
        "the next call is answered",
    )


def test_an_idempotent_call_is_answered_by_another_proplet(fleet: Any) -> None:
    """Where the spec says that running it twice does no harm, nobody hears of the death."""
    slow_function(fleet, placement={"replicas": 2}, retry={"idempotent": "Enabled", "limit": 2})
    fleet.broker()
    folder = fleet.place / "data"
    folder.mkdir()
    fleet.serve("--dashboard", "127.0.0.1:0")
    proplets = {
        name: fleet.proplet(name, "--mount", f"data={folder}:rw") for name in ("gw-01", "gw-02")
    }
    fleet.ready("Function/default/slow")
    url = f"{address(fleet)}/fn/default/slow"
    head = {"Authorization": f"Bearer {token(fleet)}"}
    probe = requests.post(url, data=b"0", headers=head, timeout=20).headers["Propeller-Proplet"]
    (folder / "log").write_text("")
    call = Asking(url, data=b"9", headers=head)
    fleet.until(lambda: (folder / "log").read_text() == "9", "the call began")
    time.sleep(0.2)
    proplets[next(name for name in proplets if name != probe)].kill()
    answer = call.end()
    assert (answer.status_code, answer.text) == (201, "ok 9")
    assert answer.headers["Propeller-Proplet"] == probe
    assert (folder / "log").read_text() == "99"


def test_a_call_of_a_function_that_has_no_copy_is_answered(fleet: Any) -> None:
    """Nothing runs while nobody calls; a call brings a copy, waits for it and is answered, and the
    wait is told, in the answer and among the metrics."""
    add_function(
        fleet,
        placement={"replicas": 0},
        autoscale={"min": 0, "max": 1, "target": "1", "hold": "60s"},
    )
    serving(fleet, "gw-01")
    fleet.ready("Function/default/add")
    where, head = address(fleet), {"Authorization": f"Bearer {token(fleet)}"}
    calls = [
        Asking(f"{where}/fn/default/add", json=[40, number], headers=head) for number in (1, 2)
    ]
    answers = [call.end() for call in calls]
    assert [(one.status_code, one.json()) for one in answers] == [(200, 41), (200, 42)]
    assert any("copy;dur=" in one.headers["Server-Timing"] for one in answers)
    told = requests.get(f"{where}/metrics", headers=head, timeout=20).text
    # The other one may have come when the copy was there already.
    assert re.search(
        r'propeller_function_first_calls_total\{function="default/add"\} [12]\.0', told
    )
    events = fleet.on("events", "--for", "add").out
    assert "from 0 to 1 copies" in events


def test_messages_and_the_clock_call_it(fleet: Any) -> None:
    """A message on a topic of the channel is a call and its answer a message; a schedule as well,
    once a slot."""
    slow_function(
        fleet,
        triggers=[
            {"name": "raw", "mqtt": {"topic": "sensors/+/raw", "answer": "sensors/filtered"}},
            {"name": "often", "cron": {"cron": "* * * * *"}, "body": "0cron\n"},
        ],
    )
    server, log = serving(fleet, "gw-01")
    fleet.ready("Function/default/slow")
    base = "m/propeller/c/fleet"
    with listening(fleet, f"{base}/sensors/filtered") as (client, heard):
        fleet.until(
            lambda: (client.publish(f"{base}/sensors/s1/raw", b"0msg\n"), time.sleep(0.3), heard)[
                2
            ],
            "an answer on the topic",
        )
    assert heard[0] == (f"{base}/sensors/filtered", b"ok 0msg\n")
    fleet.until(lambda: "0cron" in log.read_text(), "a minute", timeout=90)
    server.end(signal.SIGTERM)
    fleet.serve("--dashboard", "127.0.0.1:0")
    fleet.until(
        lambda: fleet.on("invoke", "slow", "--data", "0\n").code == 0, "the gateway is back"
    )
    times = log.read_text().count("0cron")
    assert times <= 2, "a slot is used up once"


TALK = """(module
  (import "propeller" "log" (func $log (param i32 i32 i32)))
  (import "propeller" "output_write" (func $write (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "half way there")
  (func (export "talk") (result i32)
    (call $log (i32.const 1) (i32.const 0) (i32.const 8))
    (call $write (i32.const 9) (i32.const 5))
    (i32.const 0)))"""


def test_a_call_is_followed_from_the_command_line(fleet: Any) -> None:
    """What it logs is on stderr, its answer on stdout; one that is refused says why."""
    fleet.write("talk.wat", TALK)
    spec = {"module": {"file": "talk.wat"}, "interface": "Bytes", "run": {"entrypoint": "talk"}}
    fleet.spec("Function", "talk", spec)
    serving(fleet, "gw-01")
    fleet.ready("Function/default/talk")
    done = fleet.on("invoke", "talk", "--follow")
    assert (done.code, done.out) == (0, "there"), done.err
    assert "half way" in done.err
    none = fleet.on("invoke", "nothing", "--follow")
    assert (none.code, "there is no Function" in none.err) == (2, True)


def test_a_suspended_function_says_so(fleet: Any) -> None:
    """503 with the reason, and callable again when it is lifted."""
    add_function(fleet)
    serving(fleet, "gw-01")
    fleet.ready("Function/default/add")
    assert fleet.on("suspend", "function/add", "--reason", "line 3 stands").code == 0
    fleet.until(lambda: fleet.on("invoke", "add", "1", "2").code == 4, "it is suspended")
    assert "line 3 stands" in fleet.on("invoke", "add", "1", "2").err
    assert fleet.on("resume", "function/add").code == 0
    fleet.until(lambda: fleet.on("invoke", "add", "1", "2").out == "3", "it is back")


def test_the_example_classifies_images_by_http_and_by_messages(fleet: Any) -> None:
    """A trained network, deployed as its spec lies there: a request, a message, a bad image."""
    from sklearn.datasets import load_digits

    for name in ("digits.yaml", "digits.wasm"):
        shutil.copy(EXAMPLE / name, fleet.specs)
    serving(fleet, "gw-01", "gw-02")
    fleet.ready("Function/default/digits")
    found = load_digits()
    images = [found.data[n].astype(int).tolist() for n in range(0, 50, 5)]
    right = 0
    for image, label in zip(images, found.target[:50:5], strict=True):
        done = fleet.on("invoke", "digits", "--json", json.dumps(image))
        assert done.code == 0, done.err
        right += json.loads(done.out)["digit"] == label
    assert right >= 8, "one of the ten looks like another digit to people too"
    refused = fleet.on("invoke", "digits", "--json", "[1, 2]")
    assert (refused.code, "64 whole numbers" in refused.out) == (3, True)
    base = "m/propeller/c/fleet"
    with listening(fleet, f"{base}/digits") as (client, heard):

        def asked() -> bool:
            client.publish(f"{base}/images/camera-1", json.dumps(images[0]).encode())
            time.sleep(0.3)
            return bool(heard)

        fleet.until(asked, "an answer on the topic")
    assert json.loads(heard[0][1])["digit"] == found.target[0]


def test_a_new_version_under_load_fails_no_call(fleet: Any) -> None:
    """Calls go on while copies are replaced one after another: each is answered by one of the two
    versions, and in the end all by the new one."""
    add_function(fleet, placement={"replicas": 2})
    serving(fleet, "gw-01", "gw-02")
    fleet.ready("Function/default/add", generation=1)
    url, head = f"{address(fleet)}/fn/default/add", {"Authorization": f"Bearer {token(fleet)}"}
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def call() -> None:
        session = requests.Session()
        while not stop.is_set():
            answer = session.post(url, data=b"[40, 2]", headers=head, timeout=30)
            seen.append((answer.status_code, answer.text))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        fleet.until(lambda: (200, "42") in seen, "the old version answers")
        fleet.write("add.wat", ADD.replace("i32.add", "i32.mul"))
        fleet.ready("Function/default/add", generation=2)
        fleet.until(lambda: {text for _, text in seen[-6:]} == {"80"}, "only the new one answers")
    finally:
        stop.set()
        for caller in callers:
            caller.join(30)
    assert {status for status, _ in seen} == {200}
    assert {text for _, text in seen} == {"42", "80"}
