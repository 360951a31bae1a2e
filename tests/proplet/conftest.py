"""A supervisor driven by hand, and entries to give it."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import wasmtime

from propeller.wire import codec
from propeller.wire.call_messages import WireServe
from propeller.wire.messages import Entry, WireModule
from propeller.wire.signing import SigningKey
from proplet.blobs import Blobs
from proplet.effects import Outcome
from proplet.externals import External
from proplet.outlets import NONE as NO_OUTLETS
from proplet.outlets import Outlets
from proplet.pending import Pending, Result
from proplet.pool import Pool
from proplet.records import Key
from proplet.supervisor import Supervisor
from proplet.training import Trainer

KEY = SigningKey.from_seed(b"p" * 32)


def _beside(name: str) -> None:
    """Make a module of this directory importable as `proplet_<name>`: tests are no package."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"proplet_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"proplet_{name}"] = module
    spec.loader.exec_module(module)


_beside("agent_world")
_beside("component_wat")
_beside("handler_wat")
_beside("caller_wat")
_beside("hand_manager")
_beside("http_peer")


def clock() -> int:
    """Monotonic ms."""
    return time.monotonic_ns() // 1_000_000


@dataclass
class Workshop:
    """Keeps what the supervisor answers; `run` takes an entry from its bytes to its end."""

    directory: Path
    mounts: dict[str, tuple[Path, bool]] = field(default_factory=dict)
    ready: dict[Key, str] = field(default_factory=dict)
    refused: dict[Key, str] = field(default_factory=dict)
    over: dict[Key, Outcome] = field(default_factory=dict)
    ends: int = 0
    ship: bool = True
    externals: dict[str, External] = field(default_factory=dict)
    outlets: Outlets = NO_OUTLETS

    def __post_init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.blobs = Blobs(self.directory, quota=1 << 30)
        self.supervisor = Supervisor(
            self.directory,
            mark=f"test-{self.directory.name}-{clock()}",
            mounts=self.mounts,
            blobs=self.blobs,
            answers=self,
            selector=self.selector,
            clock=clock,
            trainer=Trainer(
                "p1", KEY, self.blobs, state=self.directory / "leftovers", ship=self.ship
            ),
            externals=self.externals,
            outlets=self.outlets,
        )

    def prepared(self, key: Key, digest: str) -> None:
        self.ready[key] = digest

    def unfit(self, key: Key, digest: str, words: str) -> None:
        self.refused[key] = words

    def ended(self, key: Key, outcome: Outcome) -> None:
        assert key not in self.over, "a run ends once"
        self.over[key] = outcome
        self.ends += 1

    def turn(self, seconds: float) -> None:
        for key, _ in self.selector.select(seconds):
            key.data()
        self.supervisor.tick()

    def until(self, met: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < end, "it did not happen in time"
            self.turn(0.02)

    def entry(self, module: str | bytes, number: int = 1, **changes: object) -> Entry:
        data = bytes(wasmtime.wat2wasm(module)) if isinstance(module, str) else module
        ref = self.blobs.keep(data)
        entry = Entry(
            uid=f"00000000-0000-0000-0000-{number:012x}",
            ref="Task/default/test",
            run=f"{number:032x}",
            cause="once",
            mode="once",
            digest="",
            module=WireModule(digest=ref.digest, size=ref.size),
            entrypoint="_start",
            memory=64 << 20,
            timeout=20_000,
        )
        entry = replace(entry, **changes)  # type: ignore[arg-type]  # fields by name, as a table
        return replace(entry, digest=codec.entry_digest(entry))

    def prepare(self, entry: Entry) -> str:
        """Why it is unfit, or ""."""
        key = (entry.uid, entry.run)
        self.supervisor.prepare(entry)
        self.until(lambda: key in self.ready or key in self.refused)
        return self.refused.get(key, "")

    def start(self, entry: Entry) -> Key:
        assert self.prepare(entry) == ""
        self.supervisor.start(entry)
        return entry.uid, entry.run

    def run(self, module: str | bytes, number: int = 1, **changes: object) -> Outcome:
        key = self.start(self.entry(module, number, **changes))
        self.until(lambda: key in self.over)
        return self.over[key]


Maker = Callable[..., Workshop]


@pytest.fixture
def make_workshop(tmp_path: Path) -> Iterator[Maker]:
    """Supervisors with given mounts; their processes end with the test."""
    made: list[Workshop] = []

    def make(
        mounts: dict[str, tuple[Path, bool]] | None = None,
        directory: Path | None = None,
        outlets: Outlets = NO_OUTLETS,
    ) -> Workshop:
        directory = directory or tmp_path / "proplet"
        made.append(Workshop(directory, mounts or {}, outlets=outlets))
        return made[-1]

    yield make
    for each in made:
        each.supervisor.close()
        each.selector.close()


@pytest.fixture
def workshop(make_workshop: Maker) -> Workshop:
    """One with its own directory and no mounts."""
    return make_workshop()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Server:
    """A function that is up; `call` waits for the answer, `begin` does not."""

    shop: Workshop
    key: Key
    results: dict[str, Result] = field(default_factory=dict)
    heard: list[tuple[str, str, int]] = field(default_factory=list)
    count: int = 0

    @property
    def pool(self) -> Pool:
        found = self.shop.supervisor.pools.find(self.key)
        assert found is not None
        return found

    def begin(self, body: bytes = b"", *, timeout: int = 10_000, **request: object) -> str:
        self.count += 1
        name = f"call-{self.count}"
        now = time.monotonic_ns() // 1_000_000
        self.pool.submit(
            Pending(
                id=name,
                request={
                    "method": "POST",
                    "path": "",
                    "query": "",
                    "headers": (),
                    "body": base64.b64encode(body).decode(),
                    **request,
                },
                came=now,
                ends=now + timeout,
                answer=lambda result: self._answered(name, result),
                heard=lambda text, lost: self.heard.append((name, text, lost)),
            )
        )
        return name

    def _answered(self, name: str, result: Result) -> None:
        assert name not in self.results, "a call is answered once"
        self.results[name] = result

    def wait(self, name: str) -> Result:
        self.shop.until(lambda: name in self.results)
        return self.results[name]

    def call(self, body: bytes = b"", *, timeout: int = 10_000, **request: object) -> Result:
        return self.wait(self.begin(body, timeout=timeout, **request))


Up = Callable[..., Server]


@pytest.fixture
def up(make_workshop: Maker) -> Up:
    """A function of the given module, ready for calls."""

    def make(
        module: str,
        entrypoint: str = "_start",
        interface: str = "",
        *,
        concurrency: int = 2,
        queue: int = 4,
        ready: int = 1,
        invocations: int = 1,
        outlets: Outlets = NO_OUTLETS,
        **changes: object,
    ) -> Server:
        shop = make_workshop(outlets=outlets)
        serve = WireServe(
            interface=interface or ("Command" if entrypoint == "_start" else "Values"),
            concurrency=concurrency,
            queue=queue,
            ready=ready,
            invocations=invocations,
        )
        entry = shop.entry(
            module,
            ref="Function/plant-a/f",
            mode="serve",
            cause="daemon",
            entrypoint=entrypoint,
            serve=serve,
            **changes,
        )
        return Server(shop, shop.start(entry))

    return make
