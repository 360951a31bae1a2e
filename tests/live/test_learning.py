"""Federated learning as people run it: the digits example, and trainers that do wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.fl.digits.prepare import prepare
from propeller.fl.model import read_model
from propeller.registry.blobs import BlobStore

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "fl" / "digits"


def up(fleet: Any, proplets: int, *more: str) -> Any:
    count = str(proplets)
    return fleet.run(
        *("up", "specs", "--state", "state", "--proplets", count, "--until-ready"), *more
    )


def rounds(fleet: Any, name: str) -> list[dict[str, Any]]:
    """The round files of a job, in order."""
    place = fleet.state / "status" / "default" / "FederatedTask" / name / "rounds"
    return [yaml.safe_load(path.read_text()) for path in sorted(place.iterdir())]


def test_eight_proplets_learn_digits_from_each_other(fleet: Any) -> None:
    """Three rounds of the example: every device takes part, and the model gets better."""
    for name in ("digits.yaml", "proplets.yaml", "mlp.wasm", "mlp.safetensors"):
        shutil.copy(EXAMPLE / name, fleet.specs)
    spec = fleet.specs / "digits.yaml"
    text = re.sub(r"rounds: 100", "rounds: 3", spec.read_text())
    spec.write_text(text.replace("every: 5", "every: 1"))
    prepare(fleet.place / "data")
    done = up(fleet, 8, "--data", str(fleet.place / "data"))
    assert done.code == 0, done.err
    found = rounds(fleet, "digits")
    assert [each["received"] for each in found] == [{"accepted": 8}] * 3
    accuracies = [float(each["metrics"]["accuracy"]) for each in found]
    assert accuracies[0] > 0.3
    assert accuracies[-1] > 0.8
    assert accuracies == sorted(accuracies)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "proplets", "last", "wanted"), [("digits", 8, 10, 0.945), ("watch", 20, 5, 0.95)]
)
def test_the_examples_reach_what_they_promise(
    fleet: Any, name: str, proplets: int, last: int, wanted: float
) -> None:
    """`propeller up examples/fl/NAME` to the end, measured every round: the mean of the last ones
    is the accuracy that its first lines promise."""
    from examples.fl.watch.prepare import prepare as watches

    place = EXAMPLE.parent / name
    for path in place.iterdir():
        if path.suffix in (".yaml", ".wasm", ".safetensors"):
            shutil.copy(path, fleet.specs)
    spec = fleet.specs / f"{name}.yaml"
    spec.write_text(spec.read_text().replace("every: 5", "every: 1"))
    {"digits": prepare, "watch": watches}[name](fleet.place / "data")
    done = fleet.run(
        *("up", "specs", "--state", "state", "--proplets", str(proplets), "--until-ready"),
        *("--data", str(fleet.place / "data"), "--timeout", "50m"),
        timeout=3300,
    )
    assert done.code == 0, done.err
    accuracies = [float(each["metrics"]["accuracy"]) for each in rounds(fleet, name)]
    assert sum(accuracies[-last:]) / last >= wanted, accuracies


WRONG = """(module
  (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
  (memory (export "memory") 1)
  (func (export "train") (call $submit (i32.const 2) (i32.const 0) (i32.const 17) (i64.const 1))))
"""


def test_an_update_of_a_wrong_size_fails_the_round_and_is_counted(fleet: Any) -> None:
    """The proplet refuses it before it leaves; the round says why nobody took part."""
    fleet.write("wrong.wat", WRONG)
    fleet.spec(
        "FederatedTask",
        "wrong",
        {
            "module": {"file": "wrong.wat"},
            "run": {"entrypoint": "train"},
            "model": {"initial": "Zeros", "layout": [{"name": "w", "shape": [10]}]},
            "rounds": 1,
            "maxAttempts": 1,
            "cohort": {"clientsPerRound": 1},
            "roundDeadline": "2s",
            "guest": {"model": "Imports"},
        },
    )
    done = up(fleet, 1)
    assert done.code == 3, done.out + done.err
    (found,) = rounds(fleet, "wrong")
    assert found["outcome"] == "Abandoned"
    assert "accepted" not in found["received"]
    assert "rejected: 17 bytes, expected 40" in yaml.safe_dump(found, width=1000)


def test_a_module_of_the_spec_tree_folds_and_is_verified(fleet: Any) -> None:
    """Three devices send ones as weights; the example's module adds their trimmed mean, which `fl
    verify` computes again in a process of its own."""
    ones = "".join("\\00\\00\\80\\3f" for _ in range(10))
    place = f'(memory (export "memory") 1) (data (i32.const 0) "{ones}")'
    text = WRONG.replace('(memory (export "memory") 1)', place).replace(
        "i32.const 17", "i32.const 40"
    )
    fleet.write("ones.wat", text)
    shutil.copy(EXAMPLE.parent / "aggregator" / "trimmed.wat", fleet.specs)
    fleet.spec(
        "FederatedTask",
        "folded",
        {
            "module": {"file": "ones.wat"},
            "run": {"entrypoint": "train"},
            "model": {"initial": "Zeros", "layout": [{"name": "w", "shape": [10]}]},
            "rounds": 2,
            "cohort": {"clientsPerRound": 3},
            "guest": {"model": "Imports"},
            "strategy": {"name": "Wasm", "module": {"file": "trimmed.wat"}},
            "retainUpdates": "Enabled",
        },
    )
    done = up(fleet, 3)
    assert done.code == 0, done.out + done.err
    last = rounds(fleet, "folded")[-1]
    assert last["received"] == {"accepted": 3}
    blobs = BlobStore(fleet.state / "blobs")
    _, weights = read_model(blobs.read(last["model"]["digest"]), max_count=10)
    assert weights.tolist() == [1.0] * 10
    assert blobs.has(last["strategy"]["module"])
    said = fleet.run("fl", "verify", "folded", "1", "--state", "state")
    assert said.code == 0, said.out + said.err


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick start's trainer, built with Go."""
    out = tmp_path_factory.mktemp("go") / "fl-train.wasm"
    extra = {"GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(out), "."]
    folder = EXAMPLE.parents[1] / "fl-train"
    subprocess.run(command, cwd=folder, env={**os.environ, **extra}, check=True)
    return out


def by_hand(rounds: int, rate: float) -> tuple[float, float]:
    """w and b after plain gradient descent on y = 2x + 1, x in 1..4, in double precision."""
    w = b = 0.0
    for _ in range(rounds):
        wrong = [(w * x + b - (2 * x + 1), x) for x in (1, 2, 3, 4)]
        w, b = (
            w - rate * sum(each * x for each, x in wrong) / 4,
            b - rate * sum(each for each, _ in wrong) / 4,
        )
    return w, b


def test_the_quick_starts_three_rounds_give_the_numbers_computed_by_hand(
    fleet: Any, quick_start: Path
) -> None:
    """A plain Go program, JSON updates, no model to begin with: to the precision of float32, two
    proplets with two samples each do what one would do with all four."""
    shutil.copy(quick_start, fleet.specs)
    fleet.spec(
        "FederatedTask",
        "line",
        {
            "module": {"file": "fl-train.wasm"},
            "rounds": 3,
            "limits": {"memory": "256MiB"},
            "cohort": {"clientsPerRound": 2, "minClients": 2},
            "roundDeadline": "1m",
            "updateFormat": "json-f64",
            "hyperparameters": {"learningRate": "0.05"},
        },
    )
    done = up(fleet, 2)
    assert done.code == 0, done.err
    found = rounds(fleet, "line")
    assert [each["received"] for each in found] == [{"accepted": 2}] * 3
    blob = BlobStore(fleet.state / "blobs").read(found[-1]["model"]["digest"])
    _, flat = read_model(blob, max_count=2)
    assert flat.tolist() == pytest.approx(by_hand(3, 0.05), rel=1e-6)
