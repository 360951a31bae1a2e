"""A gateway on a real port over a believable fleet, a loop that only answers, and people with
roles."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urljoin

import pytest
import requests

from propeller.gateway.access.audit import Audit
from propeller.gateway.access.gate import Gate
from propeller.gateway.access.roles import Role
from propeller.gateway.access.tokens import Tokens
from propeller.gateway.app import House, make_gateway
from propeller.gateway.calls import End, Outcome
from propeller.gateway.carrier import Ticket
from propeller.gateway.hookserver import HookServer
from propeller.model.ids import sha256_digest
from propeller.reconcile.events import Operate
from propeller.registry.blobs import BlobStore
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree
from propeller.state.layout import StateDir
from propeller.state.sqlite import SqliteStore, wall_clock_ms

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
import fleet_rows

DAY = 86_400_000


@dataclass
class AnsweringLoop:
    """Answers every request as the loop would when it goes well; remembers what it was asked."""

    asked: list = field(default_factory=list)
    words: dict = field(default_factory=lambda: {"done": True})
    pieces: tuple = ()

    def post(self, event):
        self.asked.append(event)
        reply = getattr(event, "reply", None)
        if reply is None:
            return
        if isinstance(event, Operate):
            reply({"done": False, "proplets": sorted({one["proplet"] for one in self.pieces})})
            for piece in self.pieces:
                reply(piece)
            return
        changed = {"op": "create", "reason": "new", "fields": [], "dryRun": False}
        reply({**changed, **self.words})

    def look(self):
        """Nothing to look at."""

    def apply(self, path, expect="", overlay=""):
        raise AssertionError(path)

    def load(self, files):
        tree = Tree(name="api", files=dict(files))
        return load(tree, domain="d", keep=sha256_digest, inspect=inspect)

    def health(self):
        return {}


ANSWERED = Outcome(end=End.DONE, status=200, body="NDI=", proplet="gateway-1", took=900)
"""The bytes `42`."""


@dataclass
class AnsweringCalls:
    """Answers every call of a Function with `outcome`; remembers what was called."""

    outcome: Outcome = ANSWERED
    called: list = field(default_factory=list)

    def route(self, name):
        return None

    def call(self, name, request, *, key=None, later=False):
        self.called.append((name, request))
        future = Future()
        future.set_result(self.outcome)
        return Ticket("c" * 32, future)

    def find(self, id_):
        return None

    def cancel(self, id_):
        return False


@dataclass
class Door:
    """A gateway that runs, and what it stands on."""

    base: str
    gate: Gate
    state: StateDir
    loop: AnsweringLoop
    store: SqliteStore
    tokens: Tokens
    app: object
    server: HookServer
    clock: SimpleNamespace

    def token(self, role, *namespaces, name=""):
        """A new token of that role."""
        _, text = self.tokens.create(
            name or f"{role}-{os.urandom(4).hex()}",
            Role(role),
            namespaces or ("*",),
            ttl=DAY,
            chance=os.urandom(38),
        )
        return text

    def ask(self, method, path, *, token="", headers=None, **more):
        """One request; redirects are not followed."""
        given = dict(headers or {})
        if token:
            given["Authorization"] = f"Bearer {token}"
        return requests.request(
            method,
            urljoin(self.base, path),
            headers=given,
            timeout=20,
            allow_redirects=False,
            **more,
        )

    def login(self, role, *namespaces):
        """A browser's session of that role."""
        browser = requests.Session()
        answer = browser.post(
            urljoin(self.base, "/login"),
            data={"token": self.token(role, *namespaces), "csrf": "", "next": "/"},
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        return browser

    def deeds(self):
        """What the audit log has."""
        return list(self.gate.audit.lines())


@pytest.fixture
def clock():
    """Milliseconds and seconds that a test may move."""
    return SimpleNamespace(ahead=0)


@pytest.fixture
def state(tmp_path):
    """An empty state."""
    directory = StateDir(tmp_path / "state")
    directory.create()
    return directory


@pytest.fixture
def fleet(state, tmp_path):
    """The state with a fleet of two plants in it."""
    folder = tmp_path / "plant"
    fleet_rows.write_specs(folder)
    store = SqliteStore.open(state.database)
    yield fleet_rows.Fleet(store, folder, wall_clock_ms())
    store.close()


@pytest.fixture
def open_door(state, fleet, clock):
    """Opens gateways; closes them at the end. What it is given goes to the Gate."""
    servers = []

    def open_one(loop=None, hosts=("127.0.0.1", "localhost"), counts=None, functions=None, **more):
        def now():
            return wall_clock_ms() + clock.ahead

        tokens = Tokens(state.tokens, now)
        given = {"tokens": tokens, "audit": Audit(state.audit), **more}
        gate = Gate(clock=now, **given)
        answering = loop or AnsweringLoop()
        house = House(
            database=state.database,
            blobs=BlobStore(state.blobs),
            shelves=state.shelves,
            loop=answering,
            clock=now,
            calls=state.calls,
            counts=counts,
            functions=functions,
        )
        app = make_gateway(house, gate, hosts=hosts)
        server = HookServer(app, "127.0.0.1", 0, what="test", lifetime=120, connections=64)
        server.start()
        servers.append(server)
        return Door(
            base=f"http://127.0.0.1:{server.port}",
            gate=gate,
            state=state,
            loop=answering,
            store=fleet.store,
            tokens=tokens,
            app=app,
            server=server,
            clock=clock,
        )

    yield open_one
    for server in servers:
        server.stop()


@pytest.fixture
def calls():
    """What carries calls of Functions where nobody carries any."""
    return AnsweringCalls()


@pytest.fixture
def door(open_door):
    """A gateway that asks everybody who they are."""
    return open_door()
