"""The published quick start, typed as it is: a Go trainer out of a registry, three rounds.

`registry.example.com` is a name nobody has; `propeller.yaml` gives it a mirror, which is a real
registry on loopback.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from propeller.fl.model import read_model

pytestmark = pytest.mark.live

TRAINER = Path(__file__).parents[2] / "examples" / "fl-train"
KEY = "FederatedTask/default/my-fl-task"

CREATE = (
    "propeller-cli fl create my-fl-task --mode train"
    " --image-url registry.example.com/fl-model:v1 --rounds 3 --clients-per-round 2"
    " --min-clients 2 --update-format json-f64"
)
START = "propeller-cli tasks start my-fl-task"
STATUS = "propeller-cli fl status my-fl-task"


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """examples/fl-train, built with Go for WASI."""
    out = tmp_path_factory.mktemp("go") / "fl-train.wasm"
    extra = {"GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(out), "."]
    subprocess.run(command, cwd=TRAINER, env={**os.environ, **extra}, check=True)
    return out


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a terminal, in the folder of the specs."""

    fleet: Any

    def types(self, command: str, *, code: int = 0) -> str:
        """The command as it stands; what it printed on stdout."""
        verb, *words = shlex.split(command)
        place = self.fleet.place
        done = subprocess.run(
            [str(Path(sys.executable).parent / verb), *words],
            cwd=self.fleet.specs,
            env={"PATH": os.environ["PATH"], "HOME": str(place),
                 "PROPELLER_STATE": str(self.fleet.state), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def person(fleet: Any, docker_registry: Any, trainer: Path) -> Person:
    """The trainer is in the registry, the mirror in the configuration."""
    host = docker_registry.host
    config = {
        "registries": {
            "registry.example.com": {"mirror": f"{host}/quick"},
            host: {"plainHttp": "Allowed"},
        }
    }
    fleet.write("propeller.yaml", json.dumps(config))
    someone = Person(fleet)
    someone.types(f"propeller-cli push {trainer} {host}/quick/fl-model:v1")
    return someone


def by_hand(rounds: int) -> list[float]:
    """w and b after gradient descent on y = 2x + 1 over x in 1..4 at a rate of 0.05."""
    w = b = 0.0
    for _ in range(rounds):
        wrong = [(w * x + b - (2 * x + 1), x) for x in (1, 2, 3, 4)]
        w, b = (
            w - 0.05 * sum(each * x for each, x in wrong) / 4,
            b - 0.05 * sum(each for each, _ in wrong) / 4,
        )
    return [w, b]


def exported(person: Person, *more: str) -> list[float]:
    """The parameters of the exported model."""
    person.types(" ".join(("propeller-cli fl export my-fl-task -o model.safetensors", *more)))
    _, flat = read_model((person.fleet.specs / "model.safetensors").read_bytes(), max_count=2)
    return [float(each) for each in flat]


def test_the_quick_start_word_for_word(person: Person) -> None:
    """Create, start, status: three rounds, the parameters as a hand computes them."""
    person.fleet.up()
    name = person.types(CREATE)
    assert name == "my-fl-task\n"
    person.types(START)
    assert person.types(STATUS).startswith(KEY)
    person.fleet.ready(KEY)
    status = person.types(STATUS)
    assert "Finished: 3 of 3 rounds are committed" in status
    found = json.loads(person.types("propeller-cli fl rounds my-fl-task -o json"))["items"]
    assert [one["received"] for one in found] == [{"accepted": 2}] * 3
    losses = [float(one["metrics"]["loss"]) for one in found]
    assert losses == sorted(losses, reverse=True)
    assert "loss" in status
    for number in (1, 2, 3):
        told = exported(person, "--round", str(number))
        assert told == pytest.approx(by_hand(number), rel=1e-6)
    assert exported(person) == told
    person.types("propeller-cli fl lineage my-fl-task")
    person.types("propeller-cli fl verify my-fl-task 3", code=2)  # its updates were not kept


def test_the_same_by_passes_alone(person: Person) -> None:
    """No reconciler stays: `reconcile --once`, again and again, comes to the same parameters."""
    fleet = person.fleet
    fleet.broker()
    once = ("reconcile", "--once", "specs", "--state", "state", *fleet.to_broker)
    person.types(CREATE)
    with (fleet.specs / "my-fl-task.yaml").open("a") as spec:
        spec.write("  retainUpdates: Enabled\n")
    person.types(START)
    assert fleet.run(*once).code == 4  # nobody has said hello yet
    for proplet in ("press-1", "press-2"):
        fleet.proplet(proplet)
    for _ in range(20):
        done = fleet.run(*once)
        if done.code == 0:
            break
        assert done.code == 4, done.err
    assert done.code == 0, done.err
    assert exported(person) == pytest.approx(by_hand(3), rel=1e-6)
    for number in (1, 2, 3):
        told = person.types(f"propeller-cli fl verify my-fl-task {number}")
        assert "is what its updates make" in told


def test_another_format_than_the_trainer_writes_is_rejected_with_its_reason(
    person: Person,
) -> None:
    """JSON where f32 numbers are due: no round is committed, and the status says why."""
    fleet = person.fleet
    fleet.up()
    person.types(CREATE.replace("json-f64", "f32-delta"))
    person.types(START)
    fleet.until(
        lambda: fleet.status(KEY) and fleet.condition(KEY, "Ready").get("reason") == "Failed",
        lambda: f"the task to fail, yet {fleet.status(KEY)}",
    )
    assert "Failed: round 1 failed 3 times" in person.types(STATUS)
    (*_, last) = json.loads(person.types("propeller-cli fl rounds my-fl-task -o json"))["items"]
    assert last["outcome"] == "Abandoned"
    reasons = last["received"]["reasons"]
    # Which of the two depends on whether its text happens to be a multiple of four bytes.
    words = ("not a list of f32", "without model or layout only json-f64 is taken")
    assert any("rejected: " in why and any(one in why for one in words) for why in reasons), reasons
    person.types("propeller-cli fl export my-fl-task -o model.safetensors", code=2)
