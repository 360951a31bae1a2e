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
    GiveUp,
    OpenWindow,
    Operate,
    RetryFlow,
    SetHold,
    SetProplet,
    Steer,
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
def here(tmp_path, monkeypatch):
    """The folder commands are typed in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def cli(capsys, here):
    """Runs one command in a folder of its own."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return run


@pytest.fixture
def cli_bytes(capsysbinary, here):
    """As `cli`, for what is not text: (exit code, bytes on stdout)."""

    def run(*words):
        capsysbinary.readouterr()
        code = main([str(word) for word in words])
        return code, capsysbinary.readouterr().out

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
            case SetHold() | SetProplet() | Confirm() | Steer():
                event.reply({"done": True})
            case RetryFlow():
                event.reply({"done": True, "steps": ["peak", "alarm"]})
            case OpenWindow():
                event.reply({"done": True, "objects": [str(event.key)]})
            case GiveUp():
                event.reply({"done": True, "unheard": ["gateway-2"]})
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


class _Current:
    """Stands for the FakeLoop of the test that runs: starting a server takes its time."""

    loop = None

    def __getattr__(self, name):
        return getattr(self.loop, name)


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """The real API over a loop that only answers, on a socket of its own."""
    current, socket = _Current(), tmp_path_factory.mktemp("api") / "api.sock"
    server = ApiServer(make_app(current), socket)
    server.start()
    yield current, socket
    server.stop()


@pytest.fixture
def loop(state, api):
    """A running reconciler on the state's socket."""
    current, socket = api
    current.loop = FakeLoop()
    state.socket.symlink_to(socket)
    return current.loop


@pytest.fixture
def golden():
    """Compares text with a file, without times, digests and ids. `UPDATE_GOLDEN=1` writes it."""

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
