"""Rounds of Flower's own deployment: a SuperLink, four SuperNodes, the same model and trainer.

The counterpart of `bench.fl_rounds`: four members, 10,000 f32 parameters, a trainer that adds the
same step to each. Their ServerApp notes when each round is aggregated; the first round, in which
everything starts, is left out, as it is with ours. Nothing is downloaded while it runs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import fl_rounds
from bench.plant import wait_for
from bench.rows import Row, beside, p50

MEMBERS = fl_rounds.PROPLETS

_PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "speed"
version = "1.0.0"
description = "Rounds against the clock"
license = "Apache-2.0"
dependencies = ["flwr"]

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "bench"

[tool.flwr.app.components]
serverapp = "speed.app:server"
clientapp = "speed.app:client"
"""

_APP = """import time

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()


@client.train()
def train(message, context):
    moved = [a + np.float32(0.001) for a in message.content["arrays"].to_numpy_ndarrays()]
    told = {{"arrays": ArrayRecord(moved), "metrics": MetricRecord({{"num-examples": 10}})}}
    return Message(content=RecordDict(told), reply_to=message)


class Timed(FedAvg):
    def aggregate_train(self, server_round, replies):
        made = super().aggregate_train(server_round, replies)
        with open({times!r}, "a") as file:
            file.write(f"{{time.time()}}\\n")
        return made


@server.main()
def main(grid, context):
    members = {{"min_train_nodes": {members}, "min_available_nodes": {members}}}
    rule = Timed(fraction_train=1.0, fraction_evaluate=0.0, **members)
    zeros = ArrayRecord([np.zeros({count}, np.float32)])
    rule.start(grid=grid, initial_arrays=zeros, num_rounds={rounds})
"""


def measure(*, quick: bool) -> Iterator[Row]:
    """Ours, then theirs, on the same machine."""
    rows = {row.name: row for row in fl_rounds.measure(quick=quick)}
    took = _theirs(3 if quick else 6)
    middle = p50([after - before for before, after in itertools.pairwise(took)])
    yield beside("flower.round", rows["fl.round"].value, "ms", "SuperLink", middle * 1000)


def _theirs(rounds: int) -> list[float]:
    """Seconds at which each round was aggregated."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place, contextlib.ExitStack() as stack:
        folder, times = Path(place), Path(place) / "times"
        (folder / "app" / "speed").mkdir(parents=True)
        (folder / "app" / "pyproject.toml").write_text(_PROJECT)
        (folder / "app" / "speed" / "__init__.py").touch()
        (folder / "app" / "speed" / "app.py").write_text(
            _APP.format(times=str(times), members=MEMBERS, count=fl_rounds.COUNT, rounds=rounds)
        )
        port, *others = _free_ports(1 + MEMBERS)
        link = f"127.0.0.1:{port}"
        (folder / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n'
            f'[superlink.here]\naddress = "{link}"\ninsecure = true\n'
        )
        start = _Start(folder, stack)
        start("flower-superlink", "--insecure", "--port", str(port),
              "--disable-runtime-dependency-installation")  # fmt: skip
        wait_for(lambda: _answers(port), 60, "the SuperLink")
        for other in others:
            start("flower-supernode", "--insecure", "--superlink", link, "--port", str(other))
        start("flwr", "run", str(folder / "app"), "here", wait=True)
        wait_for(lambda: len(_lines(times)) >= rounds, 60 * rounds, f"their round {rounds}")
        return [float(one) for one in _lines(times)]


class _Start:
    """Starts programs of their package, which end with `stack`."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._log = stack.enter_context((folder / "log").open("wb"))
        own = {"FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0"}
        bin_ = Path(sys.executable).parent
        self._bin, self._env = bin_, {**os.environ, **own, "PATH": f"{bin_}:{os.environ['PATH']}"}

    def __call__(self, program: str, *words: str, wait: bool = False) -> None:
        process = subprocess.Popen(
            [self._bin / program, *words], env=self._env, stdout=self._log, stderr=self._log
        )
        if wait and process.wait(120):
            raise RuntimeError(f"{program} ended with {process.returncode}: {self._told()}")
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)

    def _told(self) -> str:
        return Path(self._log.name).read_text()[-2000:]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    """Ports free a moment ago."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
