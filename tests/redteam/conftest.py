"""A shooting range: one real proplet, a good neighbour on it, and guests that mean harm."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str, path: Path) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_hand = _load("proplet_hand_manager", Path(__file__).parents[1] / "proplet" / "hand_manager.py")
_load("redteam_bombs", Path(__file__).with_name("bombs.py"))
_load("redteam_components", Path(__file__).with_name("components.py"))

from proplet_hand_manager import Device, HandManager, an_entry, sha256, wat  # noqa: E402

from propeller.transport.mosquitto import MosquittoBroker  # noqa: E402
from propeller.wire.messages import Entry, RunReport, WireMount  # noqa: E402

GUESTS = Path(__file__).with_name("guests")
SECRET = "the plant's secret"
OVER = frozenset({"Succeeded", "Failed", "Refused", "Interrupted"})
ADD = '(module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))'
TICK = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1000) "tick\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1000))
    (i32.store (i32.const 4) (i32.const 5))
    (i32.store (i32.const 112) (i32.const 1))
    (i64.store (i32.const 120) (i64.const 20000000))
    (loop $more
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $poll (i32.const 96) (i32.const 200) (i32.const 1) (i32.const 8)))
      (br $more))))"""


class Range:
    """`fire` runs one guest to its end and checks that nothing else was touched."""

    def __init__(self, manager: HandManager, device: Device, place: Path) -> None:
        self.manager, self.device, self.place = manager, device, place
        self._numbers = itertools.count(100)
        self.neighbour = self.entry(wat(TICK), mode="daemon", timeout=None, restart="Always")
        self._add = wat(ADD)
        manager.want(self.neighbour)
        manager.until(lambda: manager.state(self.neighbour) == "Running")
        self.first = manager.last[self.neighbour.run]
        assert device.process is not None
        self.pid = device.process.pid

    def entry(self, wasm: bytes, **changes: object) -> Entry:
        """An entry for these bytes, which the manager serves from now on."""
        self.manager.blobs[sha256(wasm)] = wasm
        limits = {"memory": 64 << 20, "timeout": 1500, "output": 64 << 10}
        return an_entry(next(self._numbers), wasm, **{**limits, **changes})

    def guest(self, name: str, **changes: object) -> Entry:
        """An entry for tests/redteam/guests/<name>.wat."""
        return self.entry(wat((GUESTS / f"{name}.wat").read_text()), **changes)

    def burglar(self, *args: str, access: str = "ReadWrite", mount: str = "data") -> Entry:
        """An entry for the guest that tries one thing with a path."""
        mounts = (WireMount(name=mount, path="/data", access=access),)
        return self.guest("burglar", args=args, mounts=mounts, timeout=3000)

    def fire(self, *entries: Entry) -> tuple[RunReport, ...]:
        """How each ended; afterwards the proplet still serves, and nothing outside changed."""
        manager = self.manager
        manager.want(self.neighbour, *entries)
        manager.until(lambda: all(manager.state(one) in OVER for one in entries), 90)
        told = tuple(manager.last[one.run] for one in entries)
        ticks = self.ticks()
        canary = self.entry(self._add, entrypoint="add", args=("40", "2"), timeout=20_000)
        manager.want(self.neighbour, canary)
        manager.until(lambda: manager.state(canary) in OVER, 60)
        assert manager.last[canary.run].result == "42", "the proplet still runs what is good"
        manager.until(lambda: self.ticks() != ticks, 20)
        self.unharmed()
        return told

    def ticks(self) -> tuple[int, ...]:
        """Changes as long as the neighbour talks: its log is a ring, so sizes and times."""
        logs = self.place / "data" / "runs" / self.neighbour.run
        return tuple(path.stat().st_mtime_ns for path in sorted(logs.glob("stdout*")))

    def unharmed(self) -> None:
        """The same process, the same run of the neighbour, and the files outside the mounts."""
        process = self.device.process
        assert process is not None
        assert process.poll() is None, "the proplet lives"
        assert process.pid == self.pid
        now = self.manager.last[self.neighbour.run]
        assert (now.state, now.restarts) == ("Running", self.first.restarts)
        assert (self.place / "secret").read_text() == SECRET
        outside = {path.name for path in (self.place / "outside").iterdir()}
        assert outside == {"keep"}
        assert (self.place / "outside" / "keep").read_text() == "kept"
        assert "Traceback" not in self.device.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device's folder: two mounts, and beside them what no guest may reach."""
    made = tmp_path_factory.mktemp("range")
    for folder in ("mounted", "readonly", "outside"):
        (made / folder).mkdir()
    (made / "secret").write_text(SECRET)
    (made / "outside" / "keep").write_text("kept")
    for mount in ("mounted", "readonly"):
        (made / mount / "in").write_text("inside")
        (made / mount / "way-out").symlink_to("../secret")
        (made / mount / "way-out-absolute").symlink_to(made / "secret")
        (made / mount / "way-out-folder").symlink_to("../outside")
        (made / mount / "way-out-proc").symlink_to("/proc/self/environ")
    return made


@pytest.fixture(scope="module")
def field(place: Path) -> Iterator[Range]:
    """The range, with its proplet running."""
    broker = MosquittoBroker(place / "broker")
    manager = HandManager(broker.start().endpoint("hand"))
    manager.start()
    device = Device(place, manager.endpoint, manager.root)
    device.start(
        *("--mount", f"data={place / 'mounted'}:rw", "--mount", f"ro={place / 'readonly'}"),
        *("--memory", "512MiB"),
    )
    try:
        manager.until(lambda: manager.hellos and manager.reports)
        yield Range(manager, device, place)
        if device.process is not None and device.process.poll() is None:
            assert device.stop() == 0
        assert device.guests() == [], "no guest outlives its agent"
    finally:
        assert device.process is not None
        if device.process.poll() is None:
            device.kill()
        manager.close()
        broker.stop()
