"""A proplet that is a gateway: what it asks its site, and what it makes of the answers."""

from __future__ import annotations

import base64
import json
import queue
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from propeller.fl.layout import Layout
from propeller.fl.model import write_model
from propeller.wire.messages import Entry, WireModule, WireTraining
from propeller.wire.signing import SigningKey
from propeller.wire.updates import unpack
from proplet.blobs import Blobs
from proplet.effects import Outcome
from proplet.site import Site
from proplet.training import Trainer

LAYOUT = Layout.flat(3)
SUMS = np.array([6.0, -3.0, 1.0, 30.0])
"""Of 30 samples."""
MADE: dict[str, Any] = {
    "state": "Made",
    "round": 4,
    "record": "sha256:" + "1" * 64,
    "contributors": "sha256:" + "2" * 64,
    "members": 3,
    "samples": 30,
    "metrics": {"loss": "0.25"},
    "sums": base64.b64encode(SUMS.astype("<f8").tobytes()).decode(),
}
FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=4,
    attempt=1,
    step="train",
    format="f32-delta",
    nonce="0" * 32,
    seed="00000000000000aa",
)


@dataclass
class FakeSite:
    """Answers what the test says, one question after the other; the last answer stays."""

    path: Path
    answers: list[Any]
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, where: str, body: Any) -> tuple[int, bytes]:
        self.asked.append((where, body))
        if where.endswith("upstream-blob"):
            return 200, b"{}"
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, bytes):
            return 200, found
        if isinstance(found, tuple):
            return found[0], json.dumps(found[1]).encode()
        return 200, json.dumps(found).encode()


def serving(fake: FakeSite) -> socketserver.BaseServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            code, data = fake.answer(self.path, body)
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def address_string(self) -> str:
            return "site"

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = socketserver.ThreadingUnixStreamServer(str(fake.path), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class Gate:
    """A `Site` and what it ends with."""

    def __init__(self, folder: Path, fake: FakeSite, **fl: Any) -> None:
        self.blobs = Blobs(folder / "proplet", quota=1 << 20)
        self.model = self.blobs.keep(write_model(LAYOUT, np.zeros(3, np.float32)))
        self.layout = self.blobs.keep(LAYOUT.to_json())
        told = {"model": self.model, "layout": self.layout, **fl}
        self.entry = Entry(
            uid="u",
            ref="FederatedTask/default/fl",
            run="r",
            cause="train",
            mode="once",
            digest="",
            module=WireModule(digest="sha256:" + "3" * 64, size=9),
            entrypoint="train",
            fl=WireTraining(**{**{name: getattr(FL, name) for name in FL.__slots__}, **told}),
        )
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.trainer = Trainer("gate", SigningKey.from_seed(bytes(32)), self.blobs)
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.site = Site(
            fake.path,
            self.trainer,
            logs=lambda _key: self.logs,
            ended=lambda entry, told: self._ended.put((entry, told)),
        )

    def outcome(self) -> Outcome:
        entry, told = self._ended.get(timeout=20)
        self.site.over((entry.uid, entry.run))
        return self.trainer.outcome(entry, told, self.logs)

    def run(self) -> Outcome:
        self.site.begin(self.entry)
        return self.outcome()


Make = Callable[..., tuple[Gate, FakeSite]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Gateways of a site that gives these answers."""
    servers = []

    def made(*answers: Any, **fl: Any) -> tuple[Gate, FakeSite]:
        fake = FakeSite(tmp_path / "site.sock", list(answers))
        servers.append(serving(fake))
        return Gate(tmp_path, fake, **fl), fake

    yield made
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_mean_of_the_site_is_the_update_of_the_proplet(make: Make):
    """Asked until there is an answer; the model is handed over when it is wanted; signed as any."""
    gate, fake = make({"state": "Working"}, {"state": "WantsBlobs", "blobs": []}, MADE)
    fake.answers[1] = {"state": "WantsBlobs", "blobs": [gate.model.digest, gate.layout.digest]}
    outcome = gate.run()
    assert outcome.ok, outcome.error
    update = unpack(gate.blobs.path(outcome.blob.digest).read_bytes(), max_body=100)
    assert np.frombuffer(update.body, "<f4").tolist() == (SUMS[:3] / 30).astype("f4").tolist()
    assert (update.samples, update.round, update.base) == (30, 4, gate.model.digest)
    assert update.meta["loss"] == "0.25"
    assert update.meta["@members"] == 3
    assert update.meta["@record"] == MADE["record"]
    where, question = fake.asked[0]
    assert where == "/api/v1/upstream"
    assert question == {
        "ref": "FederatedTask/default/fl",
        "module": "sha256:" + "3" * 64,
        "job": FL.job,
        "round": 4,
        "attempt": 1,
        "step": "train",
        "base": {"digest": gate.model.digest, "size": gate.model.size},
        "layout": {"digest": gate.layout.digest, "size": gate.layout.size},
    }
    brought = [base64.b64decode(body["data"]) for where, body in fake.asked if "blob" in where]
    assert brought == [
        gate.blobs.path(one.digest).read_bytes() for one in (gate.model, gate.layout)
    ]


def test_a_round_without_a_model_says_its_shape_by_the_sums(make: Make):
    """The first round of a job that starts from nothing."""
    gate, _ = make(MADE, model=None, layout=None)
    update = unpack(gate.blobs.path(gate.run().blob.digest).read_bytes(), max_body=100)
    assert (update.count, update.layout) == (3, "")


def test_every_format_of_a_round_is_made_of_it(make: Make):
    """Here eight bits a number, as the round asks."""
    gate, _ = make(MADE, format="q8-delta")
    outcome = gate.run()
    assert outcome.ok, outcome.error
    update = unpack(gate.blobs.path(outcome.blob.digest).read_bytes(), max_body=100)
    assert update.encoding == "q8-delta"


def test_sums_are_sent_as_they_are_where_the_round_takes_sums(make: Make):
    """`f64-partial`: no bit is lost on the way up."""
    gate, _ = make(MADE, format="f64-partial")
    outcome = gate.run()
    assert outcome.ok, outcome.error
    update = unpack(gate.blobs.path(outcome.blob.digest).read_bytes(), max_body=100)
    assert update.body == SUMS.astype("<f8").tobytes()
    assert (update.samples, update.count, update.layout) == (30, 3, LAYOUT.digest)


def test_what_the_site_measured_is_the_measurement(make: Make):
    """Metrics and samples, and no model."""
    gate, _ = make({**MADE, "sums": ""}, step="evaluate")
    assert json.loads(gate.run().result) == {"metrics": {"loss": "0.25"}, "samples": 30}


def test_a_site_that_is_away_is_asked_again(make: Make, tmp_path: Path):
    """Its reconciler is killed and comes back: the run goes on; a 500 is no answer either."""
    gate, fake = make((503, {"error": "not yet"}), MADE)
    hidden = tmp_path / "hidden"
    fake.path.rename(hidden)
    gate.site.begin(gate.entry)
    hidden.rename(fake.path)
    assert gate.outcome().ok


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"state": "Failed", "why": "needs 2"}, "its site: needs 2"),
        (b"no json", "cannot use"),
        ([1, 2], "cannot use"),
        ((409, {"error": "never heard of it"}), "409: never heard of it"),
        ({"state": "Made"}, "cannot use"),
        ({**MADE, "samples": 0}, "num_samples"),
        ({**MADE, "samples": 31}, "disagree about samples"),
        ({**MADE, "metrics": {"loss": "nan"}}, "no finite number"),
        ({**MADE, "metrics": 7}, "cannot use"),
        ({**MADE, "sums": "!!"}, "cannot use"),
        ({**MADE, "sums": base64.b64encode(bytes(8)).decode()}, "wrong-size"),
        (
            {**MADE, "sums": base64.b64encode(
                np.array([np.inf, 0, 0, 30]).astype("<f8").tobytes()).decode()},
            "not-finite",
        ),
        (
            {**MADE, "sums": base64.b64encode(
                np.array([1e300, 0, 0, 30]).astype("<f8").tobytes()).decode()},
            "not finite",
        ),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_fails_the_run_and_nothing_else(make: Make, answer: Any, words: str):
    """In words, within the bounds of a report."""
    gate, _ = make(answer)
    outcome = gate.run()
    assert not outcome.ok
    assert words in outcome.error
    assert len(outcome.error) <= 300


def test_a_strategy_with_control_variates_is_not_for_a_site(make: Make):
    """Nobody of it keeps one: said without asking."""
    gate, fake = make(MADE, control=None)
    object.__setattr__(gate.entry.fl, "control", gate.model)
    assert "control variate" in gate.run().error
    assert fake.asked == []


def test_a_run_that_is_stopped_asks_no_more(make: Make):
    """The fleet above closed its round."""
    gate, _ = make({"state": "Working"})
    gate.site.begin(gate.entry)
    assert gate.site.stop((gate.entry.uid, gate.entry.run))
    outcome = gate.outcome()
    assert (outcome.ok, outcome.error) == (False, "stopped")
    assert not gate.site.stop((gate.entry.uid, gate.entry.run))


def test_a_site_that_takes_too_long_is_a_timeout(make: Make):
    """The limit of the entry holds for it as for a guest."""
    gate, _ = make({"state": "Working"})
    object.__setattr__(gate.entry, "timeout", 1)
    assert "longer than its limit" in gate.run().error
