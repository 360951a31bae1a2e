"""Rounds of federated learning where some of the cohort are devices: real processes, real modules,
and the model that a simulation of the same rounds predicts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime
import yaml

from examples.fl.records import write_records
from propeller.cli import devices
from propeller.fl.encodings import decode
from propeller.fl.fold import Contribution, Held
from propeller.fl.model import model_digest, read_model, write_model
from propeller.fl.strategies.base import Round
from propeller.fl.strategies.registry import strategy
from propeller.model.rounds import Step
from propeller.plan.training import seed_of
from proplet.runtime.lesson import Lesson
from proplet.runtime.training import Training

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

DIGITS = Path(__file__).parents[2] / "examples" / "fl" / "digits"
COHORT = ("d1", "d2", "gw")
PARAMS = {"batchSize": "8", "learningRate": "0.1", "localEpochs": "2"}


@pytest.fixture
def mixed(fleet: Any, program: Path) -> Any:
    """A Linux proplet and two devices, each with data of its own, and a reconciler."""
    for at, name in enumerate(COHORT):
        rng = np.random.default_rng(at)
        for file, count in (("train", 40 + at), ("test", 30)):
            labels = rng.integers(0, 10, count).astype(np.int32)
            features = (np.eye(10, 64)[labels] + rng.normal(0, 0.2, (count, 64))).astype("f4")
            write_records(fleet.place / "data" / name / f"{file}.pfr", features, labels)
        more = {} if name == "gw" else {"class": "zephyr"}
        fleet.spec("Proplet", name, {"heartbeat": "2s", **more}, labels={"cohort": "mixed"})
    for name in ("softmax.wasm", "softmax.safetensors"):
        shutil.copy(DIGITS / name, fleet.specs)
    fleet.broker()
    fleet.serve()
    trust = fleet.state / "keys" / "root.pub"
    fleet.until(trust.exists, "the fleet's keys")
    fleet.proplet("gw", "--mount", f"data={fleet.place / 'data' / 'gw'}")
    for name in ("d1", "d2"):
        command = [
            *(str(program), "--id", name, "--broker", fleet.to_broker[1]),
            *("--domain", "propeller", "--channel", "fleet", "--heartbeat", "2s"),
            *("--data", str(fleet.place / name), "--trust", str(trust), "--grace", "200ms"),
            *("--engine", str(devices.engine()), "--max-payload", "1280", "--chunk", "512"),
            *("--mount", f"data={fleet.place / 'data' / name}"),
        ]
        fleet._begin(command, name)
    return fleet


def job(fleet: Any, name: str, encoding: str, **more: Any) -> str:
    """A FederatedTask of the whole cohort; what `status` knows it by."""
    start = (DIGITS / "softmax.safetensors").read_bytes()
    fleet.spec(
        "FederatedTask",
        name,
        {
            "module": {"file": "softmax.wasm"},
            "model": {"file": "softmax.safetensors", "initial": model_digest(start)},
            "run": {"entrypoint": "train", "mounts": [{"name": "data", "access": "ReadOnly"}]},
            "limits": {"memory": "64KiB", "timeout": "1m"},
            "rounds": 2,
            "cohort": {
                "selector": {"matchLabels": {"cohort": "mixed"}},
                "clientsPerRound": 3,
                "close": "Cohort",
            },
            "roundDeadline": "1m",
            "updateFormat": encoding,
            "guest": {"model": "Imports"},
            "hyperparameters": PARAMS,
            "retainUpdates": "Enabled",
            **more,
        },
    )
    return f"FederatedTask/default/{name}"


def rounds(fleet: Any, name: str) -> list[dict[str, Any]]:
    """The round files of a job, in order."""
    place = fleet.state / "status" / "default" / "FederatedTask" / name / "rounds"
    return [yaml.safe_load(path.read_text()) for path in sorted(place.iterdir())]


class Simulation:
    """The rounds of a job in this process: the same module, seeds and data, no device."""

    def __init__(self, fleet: Any, encoding: str, uid: str) -> None:
        self.fleet, self.encoding, self.job = fleet, encoding, uid
        self.layout, self.model = read_model(
            (DIGITS / "softmax.safetensors").read_bytes(), max_count=1000
        )
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, (DIGITS / "softmax.wasm").read_bytes())

    def trained(self, proplet: str, number: int) -> tuple[bytes, int]:
        """The body of an update, and of how many samples it is."""
        place = self.fleet.place / "simulated"
        place.mkdir(exist_ok=True)
        lesson = Lesson(
            proplet=proplet,
            job=self.job,
            round=number,
            attempt=1,
            step="train",
            format=self.encoding,
            guest="Imports",
            seed=bytes.fromhex(seed_of(self.job, Step.TRAIN, number, proplet)),  # type: ignore[arg-type]
            params=tuple(PARAMS.items()),
            version="",
            data=self.fleet.place / "data" / proplet,
            samples=None,
            base=self.model,
            layout=self.layout,
        )
        training = Training(lesson, place, limit=1 << 16)
        linker = wasmtime.Linker(self.engine)
        linker.define_wasi()
        training.link(linker)
        store = wasmtime.Store(self.engine)
        found = linker.instantiate(store, self.module).exports(store)["train"]
        assert isinstance(found, wasmtime.Func)
        told = training.finish({"ok": True, "result": str(found(store) or "")}, b"")
        assert told["ok"], told
        made = told["fl"]
        assert isinstance(made, dict)
        return (place / "update").read_bytes(), made["samples"]

    def one_round(self, number: int) -> str:
        """Digest of the model after it."""
        contributions = []
        for proplet in COHORT:
            body, samples = self.trained(proplet, number)
            delta = decode(self.encoding, body, layout=self.layout, base=self.model)
            contributions.append(
                Contribution(proplet=proplet, samples=samples, deltas=Held(delta), body="")
            )
        step = strategy("FedAvg", {}).step(
            Round(
                base=self.model,
                contributions=tuple(contributions),
                state=None,
                clients=len(COHORT),
            )
        )
        self.model = step.model
        return model_digest(write_model(self.layout, self.model))


def test_a_mixed_cohort_learns_what_the_simulation_predicts(mixed: Any) -> None:
    """Two devices and a Linux proplet, int8 and int4 updates in pieces of 512 bytes: after each
    round the model has the digest that the same round has in one process, `fl verify` computes it
    again, devices measure it too, and what a device cannot make it declines in words."""
    fleet = mixed
    whole = {"every": 2, "cohort": {"fraction": "1"}}
    eight = job(fleet, "eight", "q8-delta", evaluation=whole)
    four = job(fleet, "four", "q4-delta", evaluation=whole)
    job(fleet, "unmade", "topk-f32", rounds=1, maxAttempts=1)
    for thing, encoding in ((eight, "q8-delta"), (four, "q4-delta")):
        fleet.ready(thing)
        name = thing.rsplit("/", 1)[1]
        found = rounds(fleet, name)
        assert [one["received"] for one in found] == [{"accepted": 3}] * 2
        simulation = Simulation(fleet, encoding, found[0]["job"])
        assert [one["model"]["digest"] for one in found] == [
            simulation.one_round(number) for number in (1, 2)
        ]
        assert float(found[-1]["metrics"]["accuracy"]) > 0.2
        said = fleet.run("fl", "verify", name, "1", "--state", "state")
        assert said.code == 0, said.out + said.err
    fleet.until(
        lambda: fleet.condition("FederatedTask/default/unmade", "Ready").get("reason") == "Failed",
        "what devices declined",
    )
    told = yaml.safe_dump(rounds(fleet, "unmade"), width=1000)
    assert "this proplet makes no updates in topk-f32" in told, told
