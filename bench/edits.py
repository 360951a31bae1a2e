"""A spec is saved; when does the new module run, and when does the status say so?

The whole way, through real processes: `propeller up` (the same loop as `serve`), mosquitto and a
proplet. A Daemon alternates between two modules that both lie compiled on the device. The clock
starts when the spec file is in place and stops when its status file names the new run as Running.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from bench.plant import Ear, Plant, cpu_seconds, daemon_wasm, daemon_yaml, plant, wait_for
from bench.rows import Row, p50, percentile

NAME = "edit"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def measure(*, quick: bool) -> Iterator[Row]:
    """p50 and p99 of the whole way, and where the time goes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from _measure(Path(folder), edits=6 if quick else 120)


def _measure(folder: Path, *, edits: int) -> Iterator[Row]:
    specs = folder / "specs"
    specs.mkdir()
    for word in ("one", "two"):
        (specs / f"{word}.wasm").write_bytes(daemon_wasm(word))
    spec = specs / "pump.yaml"
    spec.write_text(daemon_yaml("pump", "one.wasm"))
    with plant(folder) as running:
        status = running.status("Daemon", "pump")
        wait_for(lambda: _running(status) is not None, 60, "the first start")
        ear = Ear()
        ear.start(running.port)
        try:
            _edit(running, spec, status, 1, ear)
            _edit(running, spec, status, 2, ear)
            proplet = running.proplet
            before = cpu_seconds(running.manager.pid), cpu_seconds(proplet)
            stages = [_edit(running, spec, status, number, ear) for number in range(3, edits + 3)]
            after = cpu_seconds(running.manager.pid), cpu_seconds(proplet)
        finally:
            ear.close()
    whole = [sum(parts) for parts in stages]
    yield Row("edit.saved_to_running.p50", p50(whole), "ms")
    yield Row("edit.saved_to_running.p99", percentile(whole, 0.99), "ms")
    yield Row("edit.saved_to_running.min", min(whole), "ms")
    for at, name in enumerate(("saved_to_published", "published_to_reported", "reported_to_file")):
        yield Row(f"edit.stage.{name}.p50", p50([parts[at] for parts in stages]), "ms")
    yield Row("edit.cpu.manager", (after[0] - before[0]) * 1000 / edits, "ms/edit")
    yield Row("edit.cpu.agent", (after[1] - before[1]) * 1000 / edits, "ms/edit")


def _edit(
    running: Plant, spec: Path, status: Path, number: int, ear: Ear
) -> tuple[float, float, float]:
    """Save the other variant; ms until it was published, reported running, in the status file."""
    before, written = _running(status), _mark(status)
    fresh = running.specs.parent / "edit.new"
    fresh.write_text(daemon_yaml("pump", ("one.wasm", "two.wasm")[number % 2]))
    ear.heard.clear()
    began = wait_for(lambda: True, 1, "now")
    fresh.replace(spec)

    def is_there() -> bool:
        nonlocal written
        now = _mark(status)
        if now == written:
            return False
        written = now
        return _running(status) not in (None, before)

    ended = wait_for(is_there, 30, "the new module")
    run = _running(status)
    assert run is not None
    heard = list(ear.heard)
    published = next(at for at, topic, _ in heard if topic.endswith("/desired"))
    reported = next(
        (
            at
            for at, topic, body in heard
            if topic.endswith("/report") and run.encode() in body and b'"Running"' in body
        ),
        published,
    )
    return (
        (published - began) * 1000,
        (reported - published) * 1000,
        (ended - reported) * 1000,
    )


def _mark(status: Path) -> tuple[int, int]:
    """Moves whenever the file is replaced."""
    found = status.stat()
    return found.st_ino, found.st_mtime_ns


def _running(status: Path) -> str | None:
    """The run that the status file says is Running."""
    try:
        document = yaml.load(status.read_bytes(), Loader=_LOADER)
    except FileNotFoundError:
        return None
    copies = document["status"].get("copies", ())
    return next((copy["run"] for copy in copies if copy["state"] == "Running"), None)
