"""Measurements from outside, against a real web server on loopback: numbers, and why there is
none."""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from propeller.model.checks import Http, Probe, Prometheus, Reading
from propeller.writeback import probes
from propeller.writeback.probes import Probes, measure


class Pages:
    """A server whose answers a test sets. asked: the paths that were got."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.trickle = threading.Event()
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.asked.append(self.path)
                pages.headers.append(dict(self.headers.items()))
                self.send_response(pages.status)
                if pages.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(pages.body)))
                self.end_headers()
                if not pages.trickle.is_set():
                    self.wfile.write(pages.body)
                    return
                for number in range(len(pages.body)):
                    try:
                        self.wfile.write(pages.body[number : number + 1])
                    except OSError:
                        return
                    time.sleep(0.02)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def vector(self, *values: str) -> None:
        """Answer as Prometheus does, one series a value."""
        result = [{"metric": {}, "value": [1_700_000_000.5, value]} for value in values]
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self.body = json.dumps(answer).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def pages() -> Iterator[Pages]:
    server = Pages()
    yield server
    server.close()


def test_a_prometheus_query(pages: Pages) -> None:
    """The query goes to the query API; the one sample is the value."""
    pages.vector("0.25")
    query = 'sum(rate(alarms_total{line="3"}[5m])) / 2'
    value, words = measure(Prometheus(pages.url + "/", query))
    assert value == Decimal("0.25")
    assert words == f"0.25 from {pages.host}"
    (asked,) = pages.asked
    assert urlsplit(asked).path == "/api/v1/query"
    assert parse_qs(urlsplit(asked).query) == {"query": [query]}


def test_a_prometheus_scalar(pages: Pages) -> None:
    """`scalar(...)` answers without a series."""
    pages.body = b'{"status":"success","data":{"resultType":"scalar","result":[1.5,"7"]}}'
    assert measure(Prometheus(pages.url, "scalar(x)"))[0] == Decimal(7)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/line3/yield", "0.985"), ("/list/1", "-2"), ("/a~1b/~0", "4"), ("/text", "12.5")],
)
def test_a_json_document(pages: Pages, pointer: str, value: str) -> None:
    """The pointer names the number, digits as they stand; a number as text is one too."""
    pages.body = b'{"line3":{"yield":0.985},"list":[1,-2],"a/b":{"~":4},"text":"12.5"}'
    assert measure(Http(pages.url + "/q.json", pointer))[0] == Decimal(value)
    assert pages.asked == ["/q.json"]


def test_a_document_that_is_the_number(pages: Pages) -> None:
    """The empty pointer is the whole."""
    pages.body = b"42"
    assert measure(Http(pages.url, ""))[0] == Decimal(42)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"a":1}', "/b"),
        (b'{"a":1}', "/a/b"),
        (b'{"a":[1]}', "/a/7"),
        (b'{"a":[1]}', "/a/-"),
        (b'{"a":null}', "/a"),
        (b'{"a":true}', "/a"),
        (b'{"a":NaN}', "/a"),
        (b'{"a":Infinity}', "/a"),
        (b'{"a":1e999999}', "/a"),
        (b'{"a":' + b"9" * 5000 + b"}", "/a"),
        (b'{"a":"many"}', "/a"),
        (b'{"a":{}}', "/a"),
    ],
)
def test_what_is_no_number_is_no_value(pages: Pages, body: bytes, pointer: str) -> None:
    """Nothing there, or nothing that can be judged: said so, with the host."""
    pages.body = body
    assert measure(Http(pages.url, pointer)) == (
        None,
        f"{pages.host}: the answer has no number there",
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "the answer is no JSON"),
        (b"\xff\xfe", "the answer is no JSON"),
        (b"[" * 100_000, "the answer is no JSON"),
    ],
)
def test_what_is_no_json(pages: Pages, body: bytes, said: str) -> None:
    """A page of a proxy, rubbish, or a nest too deep."""
    pages.body = body
    assert measure(Http(pages.url, "/a")) == (None, f"{pages.host}: {said}")


@pytest.mark.parametrize("body", [b"[]", b'{"data":[]}', b'{"data":{"result":{}}}', b"7"])
def test_what_is_no_prometheus(pages: Pages, body: bytes) -> None:
    """Another service answers there."""
    pages.body = body
    words = measure(Prometheus(pages.url, "up"))
    assert words == (None, "the answer is not one of a Prometheus server")


@pytest.mark.parametrize(("values", "count"), [((), 0), (("1", "2"), 2)])
def test_a_query_must_answer_one_series(pages: Pages, values: tuple[str, ...], count: int) -> None:
    """None or many: which one would count?"""
    pages.vector(*values)
    value, words = measure(Prometheus(pages.url, "up"))
    assert value is None
    assert words == f"the query answered {count} series; it must answer one"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_status_is_no_value(pages: Pages, status: int) -> None:
    """A redirect is not followed."""
    pages.status = status
    assert measure(Http(pages.url, "")) == (None, f"{pages.host}: answered {status}")
    assert len(pages.asked) == 1


def test_nobody_there() -> None:
    """The words name the host and not the path, which may be private."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        value, words = measure(Http(f"http://{host}/private", ""))
    assert (value, words) == (None, f"{host}: no connection")


def test_an_answer_has_an_end(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a huge one nor one that trickles holds a thread."""
    pages.body = b" " * (probes.MOST_BYTES + 1)
    assert "answered more than" in measure(Http(pages.url, ""))[1]
    monkeypatch.setattr(probes, "SECONDS", 0.1)
    pages.body = b" " * 2000
    pages.trickle.set()
    assert measure(Http(pages.url, ""))[1] == f"{pages.host}: the answer was not whole in time"


def test_probes_are_answered_from_threads_and_bounded(pages: Pages) -> None:
    """Each is told once, with its slot; what is too much is turned away at once."""
    pages.body = b"1"
    told: queue.SimpleQueue[tuple[Probe, Reading]] = queue.SimpleQueue()
    workers = Probes(lambda probe, reading: told.put((probe, reading)))
    wanted = [Probe("u", f"c{number}", number, Http(pages.url, "")) for number in range(5)]
    assert all(workers.submit(probe) for probe in wanted)
    found = dict(told.get(timeout=20) for _ in wanted)
    assert set(found) == set(wanted)
    assert all(found[probe].slot == probe.slot for probe in wanted)
    assert {reading.value for reading in found.values()} == {Decimal(1)}
    pages.trickle.set()
    pages.body = b" " * 100 + b"1"
    taken = 0
    while workers.submit(wanted[0]):
        taken += 1
        assert taken <= probes.MOST_WAITING + 50
    workers.stop()
    assert not workers.submit(wanted[0])
