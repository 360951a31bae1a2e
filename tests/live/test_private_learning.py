"""A privacy budget as people meet it: real proplets, the exit status, `wait` and `fl status`."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.live

TRAINER = """(module
  (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
  (import "propeller_fl" "metric" (func $metric (param i32 i32 f64)))
  (memory (export "memory") 1) (data (i32.const 0) "loss")
  (func (export "train")
    (f32.store (i32.const 100) (f32.const 3))
    (call $metric (i32.const 0) (i32.const 4) (f64.const 0.125))
    (call $submit (i32.const 1) (i32.const 100) (i32.const 40) (i64.const 5))))
"""


def test_a_job_ends_where_its_budget_does(fleet: Any) -> None:
    """Two rounds are within it and the third is not: `up` and `wait` end with 3 and say why, `fl
    status` says what was spent, and no file has a trainer's metric."""
    fleet.write("trainer.wat", TRAINER)
    fleet.spec(
        "FederatedTask",
        "private",
        {
            "module": {"file": "trainer.wat"},
            "run": {"entrypoint": "train"},
            "model": {"initial": "Zeros", "layout": [{"name": "w", "shape": [10]}]},
            "rounds": 9,
            "cohort": {"clientsPerRound": 2, "overProvision": 1},
            "roundDeadline": "1m",
            "guest": {"model": "Imports"},
            "privacy": {
                "clipping": {"norm": "1"},
                "noise": {"multiplier": "4", "maxEpsilon": "1.6"},
            },
        },
    )
    done = fleet.run(
        *("up", "specs", "--state", "state", "--proplets", "2", "--until-ready"),
    )
    assert done.code == 3, done.out + done.err
    assert "budget: round 3 would spend epsilon 1.847 of 1.6" in done.err
    waited = fleet.run("wait", "private", "--state", "state")
    assert waited.code == 3, waited.err
    assert "would spend epsilon" in waited.err
    told = fleet.run("fl", "status", "private", "--state", "state", "--once")
    assert "privacy epsilon" in told.out, told.out
    assert "of 1.6 spent at delta 1e-05, 2 noised rounds" in told.out
    folder = fleet.state / "status" / "default" / "FederatedTask" / "private" / "rounds"
    files = sorted(folder.iterdir())
    assert len(files) == 2
    for path in files:
        found = yaml.safe_load(path.read_text())
        assert found["privacy"]["noise"] == "4"
        assert "metrics" not in found
