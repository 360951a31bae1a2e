"""The command line as a person meets it: a folder, a state in it, and what was printed."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from propeller.cli.__main__ import main
from propeller.gateway.api import make_app
from propeller.gateway.server import ApiServer
from propeller.reconcile.events import (
    AskStanding,
    Confirm,
    Operate,
    SetHold,
    SetProplet,
)
from propeller.state.layout import StateDir
from propeller.state.sqlite import SqliteStore, wall_clock_ms

sys.path.insert(0, str(Path(__file__).parent))
import fleet_rows

GOLDEN = Path(__file__).parent / "golden"
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:<digest>"),
    (re.compile(r"sha256:[0-9a-f]{12}"), "sha256:<dig>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uid>"),
    (re.compile(r"run [0-9a-f]{12}"), "run <id>"),
)


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Runs one command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


@pytest.fixture
def specs(tmp_path):
    """The spec tree `plant/`."""
    folder = tmp_path / "plant"
    fleet_rows.write_specs(folder)
    return folder


@pytest.fixture
def state(tmp_path):
    """An empty state where commands look for it."""
    directory = StateDir(tmp_path / ".propeller")
    directory.create()
    return directory


@pytest.fixture
def fleet(state, specs):
    """The state with the fleet of `plant/` in it."""
    store = SqliteStore.open(state.database)
    yield fleet_rows.Fleet(store, specs, wall_clock_ms())
    store.close()


class FakeLoop:
    """The reconciler as the API sees it: remembers what it was asked, answers at once."""

    def __init__(self):
        self.asked = []
        self.looks = 0
        self.hold = ""
        self.refusal = ""
        self.pieces = []

    def post(self, event):
        self.asked.append(event)
        if self.refusal:
            event.reply({"done": True, "error": self.refusal, "exit": 4})
            return
        match event:
            case SetHold() | SetProplet() | Confirm():
                event.reply({"done": True})
            case AskStanding():
                event.reply({"done": True, "revision": "", "exit": 0, "lines": []})
            case Operate():
                names = sorted({piece["proplet"] for piece in self.pieces})
                event.reply({"done": False, "proplets": names})
                for piece in self.pieces:
                    event.reply(piece)
            case _:
                raise AssertionError(event)

    def look(self):
        self.looks += 1

    def apply(self, path):
        raise AssertionError(path)

    def load(self, files):
        raise AssertionError(files)

    def health(self):
        return {"hold": self.hold}


@pytest.fixture
def loop(state):
    """A running reconciler: the real API on the state's socket, over a loop that only answers."""
    fake = FakeLoop()
    server = ApiServer(make_app(fake), state.socket)
    server.start()
    yield fake
    server.stop()


@pytest.fixture
def golden():
    """Compares text with a file; `UPDATE_GOLDEN=1` writes it. Times, digests and ids are left out."""

    def compare(name, text):
        path = GOLDEN / f"{name}.txt"
        clean = text
        for pattern, word in VARYING:
            clean = pattern.sub(word, clean)
        if os.environ.get("UPDATE_GOLDEN") == "1":
            path.parent.mkdir(exist_ok=True)
            path.write_text(clean)
        assert clean == path.read_text()

    return compare
