"""Real servers and whole fleets for the tests that talk to them.

Registries come from tests/registry. `fleet` is a place where a test keeps specs and state, starts
the real commands and real proplets, and asks by polling; whatever it started is ended afterwards,
and a process that outlived its end fails the test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from propeller.transport.mosquitto import MosquittoBroker, find_mosquitto

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "examples" / "modules"
PATIENCE = 60.0
POLL = 0.03


def _from_room(room: str, name: str) -> ModuleType:
    """The module tests/<room>/<name>.py, once per run (tests are no package)."""
    if name not in sys.modules:
        path = Path(__file__).parents[1] / room / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_registry = _from_room("registry", "registry_server")
docker_registry = _registry.docker_registry
basic_registry = _registry.basic_registry
bearer_registry = _registry.bearer_registry
token_server = _registry.token_server
stub_server = _registry.stub_server
web = _from_room("writeback", "writeback_servers").web
collector = _from_room("telemetry", "collector").collector
sys.modules["live_capture"] = _from_room("live", "capture")
sys.modules["live_trainers"] = _from_room("live", "trainers")


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Running:
    """A command in the background; what it prints goes to files."""

    def __init__(self, arguments: Sequence[str], *, cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env=_environment(cwd),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything it printed so far."""
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self, number: int = signal.SIGTERM, *, timeout: float = 20) -> int:
        """Ask it to leave; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def finish(self, timeout: float = PATIENCE) -> int:
        """Wait until it ends by itself; its exit code."""
        return self.process.wait(timeout)


class Fleet:
    """One place: `specs/`, `state/`, the commands on them and what was started."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.specs = place / "specs"
        self.state = place / "state"
        self.specs.mkdir()
        self._running: list[Running] = []
        self._broker: MosquittoBroker | None = None

    # -- specs --------------------------------------------------------------------------------

    def write(self, name: str, text: str) -> Path:
        """A file of the spec tree, in one piece as editors save it."""
        path = self.specs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}~")
        draft.write_text(text)
        draft.replace(path)
        return path

    def module(self, *names: str) -> None:
        """Copies of example modules (`add/add.wat`), flat into the spec tree."""
        for name in names:
            shutil.copy(MODULES / name, self.specs)

    def spec(self, kind: str, name: str, spec: Mapping[str, Any], **meta: Any) -> Path:
        """One object in a file of its own."""
        document = {
            "apiVersion": "propeller.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **meta},
            "spec": dict(spec),
        }
        return self.write(f"{kind.lower()}-{name}.yaml", json.dumps(document, indent=1))

    # -- commands -----------------------------------------------------------------------------

    def run(self, *arguments: str, timeout: float = PATIENCE, stdin: str = "") -> Result:
        """`propeller ARGUMENTS`, to its end."""
        done = subprocess.run(
            [*_PROPELLER, *arguments],
            cwd=self.place,
            env=_environment(self.place),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def on(self, verb: str, *arguments: str, stdin: str = "") -> Result:
        """A verb on this fleet's state."""
        return self.run(verb, *arguments, "--state", "state", stdin=stdin)

    def start(self, *arguments: str) -> Running:
        """`propeller ARGUMENTS` in the background."""
        return self._begin([*_PROPELLER, *arguments], arguments[0])

    def up(self, *arguments: str, proplets: int = 2) -> Running:
        """`propeller up` that follows."""
        return self.start(
            "up", "specs", "--state", "state", "--proplets", str(proplets), *arguments
        )

    def serve(self, *arguments: str, source: str = "specs") -> Running:
        """`propeller serve` against this fleet's broker."""
        return self.start("serve", source, "--state", "state", *self.to_broker, *arguments)

    def proplet(self, name: str, *arguments: str, heartbeat: str = "2s") -> Running:
        """A real proplet with storage of its own; again after its end, on the same storage."""
        trust = self.state / "keys" / "root.pub"
        self.until(trust.exists, "the fleet's keys")
        command = [
            *(sys.executable, "-m", "proplet", "--id", name, "--broker", self.to_broker[1]),
            *("--domain", "propeller", "--channel", "fleet"),
            *("--data", str(self.place / name), "--trust", str(trust)),
            *("--heartbeat", heartbeat, "--grace", "200ms"),
        ]
        return self._begin([*command, *arguments], name)

    def _begin(self, command: Sequence[str], name: str) -> Running:
        log = self.place / f"{name}-{len(self._running)}.log"
        running = Running(command, cwd=self.place, log=log)
        self._running.append(running)
        return running

    # -- broker -------------------------------------------------------------------------------

    def broker(self) -> MosquittoBroker:
        """mosquitto on a free port of loopback, started at the first call."""
        if self._broker is None:
            self._broker = MosquittoBroker(self.place / "broker", binary=find_mosquitto())
            address = self._broker.start()
            self.to_broker = ("--broker", f"{address.host}:{address.port}")
        return self._broker

    to_broker: tuple[str, ...] = ()

    # -- asking -------------------------------------------------------------------------------

    def until(
        self, holds: Callable[[], Any], what: str | Callable[[], str], *, timeout: float = PATIENCE
    ) -> Any:
        """Wait until `holds` returns something true, and return it; fails naming `what`."""
        end = time.monotonic() + timeout
        while True:
            found = holds()
            if found:
                return found
            if time.monotonic() >= end:
                words = what if isinstance(what, str) else what()
                pytest.fail(f"not within {timeout:g} s: {words}\n{self.told()}")
            time.sleep(POLL)

    def status(self, thing: str) -> Mapping[str, Any] | None:
        """The status file of `Kind/namespace/name`, or None while there is none."""
        kind, namespace, name = thing.split("/")
        path = self.state / "status" / namespace / kind / f"{name}.yaml"
        try:
            document = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            return None
        assert isinstance(document, dict)
        return document

    def condition(self, thing: str, name: str) -> Mapping[str, Any]:
        """A condition in a status file; empty while it is not there."""
        return _condition(self.status(thing), name)

    def ready(self, thing: str, *, generation: int | None = None) -> Mapping[str, Any]:
        """Wait until `thing` is Ready (at this generation); its status document."""

        def holds() -> Mapping[str, Any] | None:
            document = self.status(thing)
            if document is None or _condition(document, "Ready").get("status") != "True":
                return None
            fits = generation is None or document["metadata"]["generation"] == generation
            return document if fits else None

        found = self.until(holds, lambda: f"{thing} Ready, yet {self.status(thing)}")
        assert isinstance(found, dict)
        return found

    def copies(self, thing: str) -> list[Mapping[str, Any]]:
        """The copies its status file lists."""
        document = self.status(thing)
        return list(document["status"].get("copies", [])) if document else []

    def guests(self) -> list[str]:
        """Command lines of this fleet's proplet processes and guests."""
        return [line for line in self._processes() if "-m proplet" in line]

    def told(self) -> str:
        """What every process printed, for a failure."""
        lines = [f"--- {one.log.name}\n{one.said[-3000:]}" for one in self._running]
        logs = sorted((self.state / "logs").glob("*.log"))
        lines += [f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs]
        return "\n".join(lines)

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """End everything; a process that is left fails the test."""
        for one in reversed(self._running):
            if one.alive():
                one.process.terminate()
        for one in reversed(self._running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(15)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait(5)
        if self._broker is not None:
            self._broker.stop()
        end = time.monotonic() + 5
        while (left := self._processes()) and time.monotonic() < end:
            time.sleep(POLL)
        for line in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)
        assert not left, f"still running after the end: {left}"

    def _processes(self) -> list[str]:
        """Every process that works here, found by its command line or environment."""
        mark = str(self.place).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                if line and (mark in line or mark in (entry / "environ").read_bytes()):
                    text = line.replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{entry.name} {text}")
        return found


def _condition(document: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    rows = document["status"]["conditions"] if document else []
    return next((row for row in rows if row["type"] == name), {})


_PROPELLER = (sys.executable, "-m", "propeller.cli")


def _environment(place: Path) -> dict[str, str]:
    keep = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "COVERAGE_PROCESS_START")
        if name in os.environ
    }
    return {
        **keep,
        "HOME": str(place),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "GIT_AUTHOR_NAME": "Ana",
        "GIT_AUTHOR_EMAIL": "ana@example.org",
        "GIT_COMMITTER_NAME": "Ana",
        "GIT_COMMITTER_EMAIL": "ana@example.org",
    }


@pytest.fixture
def new_fleet(tmp_path: Path) -> Iterator[Callable[[str], Fleet]]:
    """Fleets one after the other, by name: making the next one ends the one before."""
    made: list[Fleet] = []

    def make(name: str) -> Fleet:
        if made:
            made.pop().close()
        (tmp_path / name).mkdir()
        made.append(Fleet(tmp_path / name))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.close()


@pytest.fixture
def another_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A second place, with a broker and a state of its own. Asked for before `fleet`, it outlives
    that."""
    place = Fleet(tmp_path_factory.mktemp("another"))
    try:
        yield place
    finally:
        place.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A place for one fleet; everything started in it ends with the test."""
    place = Fleet(tmp_path)
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`proplet-posix`, built once."""
    from propeller.cli import devices

    return devices.build(tmp_path_factory.mktemp("firmware"))
