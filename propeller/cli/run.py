"""`propeller run MODULE [ARG ...]`: run one module now and print its result.

Through the reconciler that is running; where none is, on one local proplet brought up for it. The
task belongs to no source and leaves the fleet when its result was read. Exit: 0 it succeeded, 2 it
cannot be run as asked, 3 it failed, 4 the time was over.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from propeller.cli.context import Client, add_state, open_store, state_dir
from propeller.errors import UsageError
from propeller.model.ids import Key
from propeller.model.seen import RunState
from propeller.state.layout import StateDir

if TYPE_CHECKING:
    from propeller.state.records import RunRecord
    from propeller.state.sqlite import SqliteStore

POLL = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `run`."""
    parser.add_argument("module", metavar="MODULE", help="a .wasm or .wat file, or an image")
    parser.add_argument("args", nargs="*", metavar="ARG", help="arguments of the guest")
    add_state(parser)
    parser.add_argument(
        "--entrypoint", help="the export to call (default: _start, or the only one)"
    )
    parser.add_argument("--on", metavar="PROPLET", help="run it on this proplet")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--stdin", action="store_true", help="give our standard input to the guest")
    parser.add_argument("--memory", help="limit, for instance 64MiB")
    parser.add_argument("--timeout", default="1m", metavar="T", help="give up after T (1m)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing while it goes well")


def run(args: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from propeller.cli.running import deadline_ms

    timeout = deadline_ms(args.timeout)
    name = f"run-{uuid.uuid4().hex[:8]}"
    files = {f"{name}.json": json.dumps(_document(args, name)).encode(), **_module(args)}
    state = state_dir(args)
    with contextlib.ExitStack() as stack:
        client = Client(state)
        if not client.running():
            state = stack.enter_context(_own_fleet())
            client = Client(state)
        body = {path: base64.b64encode(data).decode() for path, data in files.items()}
        uid = client.post("/api/v1/run", {"files": body})["uid"]
        key = Key("Task", "default", name)
        try:
            return _wait(state, str(uid), timeout, quiet=args.quiet)
        finally:
            client.post("/api/v1/drop", {"key": str(key)})


def _module(args: argparse.Namespace) -> dict[str, bytes]:
    path = Path(args.module)
    if not path.is_file():
        if path.suffix in (".wasm", ".wat"):
            raise UsageError(f"no file {path}")
        return {}
    return {path.name: path.read_bytes()}


def _document(args: argparse.Namespace, name: str) -> dict[str, object]:
    path = Path(args.module)
    module = {"file": path.name} if path.is_file() else {"image": args.module}
    run_spec: dict[str, object] = {"args": list(args.args)}
    entrypoint = args.entrypoint or (_only_export(path) if path.is_file() else None)
    if entrypoint:
        run_spec["entrypoint"] = entrypoint
    env = []
    for pair in args.env:
        variable, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--env {pair!r} is not NAME=VALUE")
        env.append({"name": variable, "value": value})
    if env:
        run_spec["env"] = env
    if args.stdin:
        run_spec["stdin"] = sys.stdin.read()
    spec: dict[str, object] = {"module": module, "run": run_spec}
    if args.on:
        spec["placement"] = {"proplets": [args.on]}
    limits = {"timeout": args.timeout}
    if args.memory:
        limits["memory"] = args.memory
    spec["limits"] = limits
    return {
        "apiVersion": "propeller.dev/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def _only_export(path: Path) -> str | None:
    """`_start` where there is one, else the only exported function."""
    from propeller.errors import WireError
    from propeller.registry.wasm import inspect

    data = path.read_bytes()
    if path.suffix == ".wat":
        import wasmtime

        try:
            data = bytes(wasmtime.wat2wasm(data))
        except wasmtime.WasmtimeError:
            return None  # loading it says what is wrong, with file and line
    try:
        names = [export.name for export in inspect(data).exports]
    except WireError:
        return None
    if "_start" in names or len(names) != 1:
        return None
    return names[0]


def _wait(state: StateDir, uid: str, timeout: int, *, quiet: bool) -> int:
    from propeller.model.ids import Uid

    end = time.monotonic() + timeout / 1000
    store = open_store(state)
    try:
        told = ""
        while True:
            runs = store.runs(Uid(uid), 1)
            if runs and RunState(runs[0].state).ended:
                return _print(state, runs[0])
            why = _blocked(store, uid)
            if why and why != told:
                told = why
                if not quiet:
                    print(why, file=sys.stderr)
            if time.monotonic() >= end:
                print(f"not finished in time{': ' + told if told else ''}", file=sys.stderr)
                return 4
            time.sleep(POLL)
    finally:
        store.close()


def _blocked(store: SqliteStore, uid: str) -> str:
    """Why it has no place yet, in the words of its status; "" when it has one."""
    for row in store.statuses():
        if row.uid == uid:
            for condition in json.loads(row.document)["status"]["conditions"]:
                if condition["type"] in ("Blocked", "Stalled") and condition["status"] == "True":
                    return str(condition["message"])
    return ""


def _print(state: StateDir, record: RunRecord) -> int:
    if record.state == "Succeeded":
        if record.result is not None:
            print(record.result, end="" if record.result.endswith("\n") else "\n")
        elif record.result_digest:
            from propeller.registry.blobs import BlobStore

            sys.stdout.buffer.write(BlobStore(state.blobs).read(record.result_digest))
        return 0
    exit_words = "" if record.exit is None else f", exit status {record.exit}"
    print(f"{record.state} on {record.proplet}{exit_words}: {record.error}", file=sys.stderr)
    return 3


@contextlib.contextmanager
def _own_fleet() -> Iterator[StateDir]:
    """A fleet of one proplet in a temporary state directory, for the time of one run."""
    import signal
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="propeller-run-") as folder:
        specs, state = Path(folder) / "specs", StateDir(Path(folder) / "state")
        specs.mkdir()
        command = [sys.executable, "-m", "propeller.cli", "up", str(specs)]
        log = (Path(folder) / "up.log").open("wb")
        process = subprocess.Popen(
            [*command, "--state", str(state.path), "--proplets", "1", "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            client = Client(state)
            end = time.monotonic() + 30
            while not client.running():
                if process.poll() is not None or time.monotonic() > end:
                    words = (Path(folder) / "up.log").read_text(encoding="utf-8", errors="replace")
                    raise UsageError(f"no local fleet came up: {words.strip()}")
                time.sleep(POLL)
            yield state
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            log.close()
