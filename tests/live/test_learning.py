"""Federated learning as people run it: the digits example, and trainers that do wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.fl.digits.prepare import prepare

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
