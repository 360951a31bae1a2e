"""Federated rounds with real processes: a plain WASI trainer, and parameters computed by hand."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import yaml
from live_trainers import READER, saying

from propeller.fl.layout import Layout
from propeller.fl.model import write_model
from propeller.model.ids import sha256_digest
from propeller.registry.layout import Layout as OciLayout
from propeller.registry.lineage import records_of
from propeller.registry.reference import Reference
from propeller.state.keys import Keys

pytestmark = pytest.mark.live

KEY = "FederatedTask/default/quick"


DELTA = saying('{"update":[1,2,-0.5],"kind":"delta","num_samples":7}')


def quick(fleet: Any, **more: Any) -> None:
    """The quick start's task: two clients, both needed, three rounds."""
    spec: dict[str, Any] = {
        "module": {"file": "trainer.wat"},
        "rounds": 3,
        "cohort": {"clientsPerRound": 2, "close": "Cohort"},
        "updateFormat": "json-f64",
    }
    fleet.spec("FederatedTask", "quick", {**spec, **more})


def model_of(*numbers: float) -> str:
    """The digest of the model with these parameters."""
    flat = np.array(numbers, np.float32)
    return sha256_digest(write_model(Layout.flat(len(flat)), flat))


def test_three_rounds_give_what_a_hand_computes(fleet: Any):
    """Two proplets add (1, 2, -0.5) three times: the model is (3, 6, -1.5), to the last bit."""
    fleet.write("trainer.wat", DELTA)
    quick(fleet)
    done = fleet.up("--until-ready")
    assert done.finish() == 0, done.said
    status = fleet.status(KEY)["status"]
    assert status["rounds"] == {"wanted": 3, "committed": 3}
    assert status["model"]["digest"] == model_of(3, 6, -1.5)
    folder = fleet.state / "status" / "default" / "FederatedTask" / "quick" / "rounds"
    told = [yaml.safe_load(path.read_text()) for path in sorted(folder.iterdir())]
    assert [one["round"] for one in told] == [1, 2, 3]
    assert [one["samples"] for one in told] == [14, 14, 14]
    assert [one["parent"]["record"] for one in told[1:]] == [one["record"] for one in told[:2]]
    described = fleet.on("describe", "quick").out
    assert "ROUND" in described
    assert "2 accepted" in described


def test_what_is_no_update_is_told_with_its_reason(fleet: Any):
    """A trainer that prints something else fails every attempt; the task says why."""
    fleet.write("trainer.wat", saying("no numbers here"))
    quick(fleet, rounds=1, maxAttempts=2)
    done = fleet.up("--until-ready")
    assert done.finish() == 3, done.said
    ready = fleet.condition(KEY, "Ready")
    assert ready["reason"] == "Failed"
    assert "round 1 failed 2 times: 0 good updates, needs 2" in ready["message"]
    folder = fleet.state / "status" / "default" / "FederatedTask" / "quick" / "rounds"
    told = yaml.safe_load((folder / "0001.yaml").read_text())
    assert any("rejected" in why for why in told["received"]["reasons"]), told


def test_passes_alone_drive_the_rounds(fleet: Any):
    """`reconcile --once` from cron is enough: three rounds, the same parameters."""
    fleet.write("trainer.wat", DELTA)
    quick(fleet)
    fleet.broker()
    once = ("reconcile", "--once", "specs", "--state", "state", *fleet.to_broker)
    assert fleet.run(*once).code == 4  # nobody has said hello yet
    for name in ("press", "oven"):
        fleet.proplet(name)
    for _ in range(12):
        done = fleet.run(*once)
        if done.code == 0:
            break
        assert done.code == 4, done.err
    assert done.code == 0, done.err
    assert fleet.status(KEY)["status"]["model"]["digest"] == model_of(3, 6, -1.5)


def test_a_reconciler_that_is_killed_again_and_again_gets_there(fleet: Any):
    """kill -9 in the middle of 12 rounds: each is committed once, the parameters are exact."""
    fleet.write("trainer.wat", DELTA)
    quick(fleet, rounds=12)
    fleet.broker()
    serving = fleet.serve()
    for name in ("press", "oven"):
        fleet.proplet(name)
    for _ in range(4):
        time.sleep(1.5)
        serving.kill()
        serving = fleet.serve()
    fleet.ready(KEY)
    status = fleet.status(KEY)["status"]
    assert status["rounds"]["committed"] == 12
    assert status["model"]["digest"] == model_of(12, 24, -6)


def test_a_suspended_task_begins_when_it_is_started(fleet: Any):
    """`tasks start` takes the suspension out of the spec; the rounds follow, and `why` says so."""
    fleet.write("trainer.wat", DELTA)
    fleet.write(
        "quick.yaml",
        """apiVersion: propeller.dev/v1alpha1
kind: FederatedTask
metadata: {name: quick}
spec:
  suspend:
    reason: not yet
    by: ana
  module: {file: trainer.wat}
  rounds: 1
  cohort: {clientsPerRound: 2}
  updateFormat: json-f64
""",
    )
    fleet.up()
    fleet.until(
        lambda: fleet.status(KEY) and fleet.condition(KEY, "Ready")["reason"] == "Suspended",
        "the suspension",
    )
    started = fleet.on("tasks", "start", "quick")
    assert started.code == 0, started.err
    fleet.ready(KEY)
    assert "1 of 1 rounds are committed" in fleet.on("why", "quick").out


def test_each_model_goes_to_the_registry_that_the_spec_names(fleet: Any):
    """A tag for each round, and a record signed by the manager; again after a restart: the same."""
    fleet.write("trainer.wat", DELTA)
    start = write_model(Layout.flat(3), np.zeros(3, np.float32))
    shelf = OciLayout(fleet.state / "oci")
    shelf.write_blob(Reference("local", "models/quick"), start)
    model = {"image": "local/models/quick", "initial": sha256_digest(start)}
    quick(fleet, model=model)
    first = fleet.up("--until-ready")
    assert first.finish() == 0, first.said
    fleet.up()

    def pushed() -> list[str]:
        return [tag for tag in shelf.list_tags(Reference("local", "models/quick")) if "-" in tag]

    rounds = fleet.until(lambda: len(pushed()) >= 3 and pushed(), "three models in the layout")
    assert [tag.rpartition("-")[2] for tag in rounds if not tag.startswith("sha256")] == [
        *("0001", "0002", "0003")
    ]
    key = Keys(fleet.state / "keys").manager().public
    numbers = []
    for tag in rounds:
        (found,) = records_of(shelf, Reference("local", "models/quick", tag), check=key.verify)
        numbers.append(found["predicate"]["sealed"]["round"])
        assert found["predicate"]["module"].startswith("sha256:")
    assert numbers == [1, 2, 3]


def test_a_good_model_is_promoted_into_a_task_that_reads_it(fleet: Any):
    """Three rounds make (3, 6, -1.5); `fl promote` edits the spec, and a guest finds the 3."""
    fleet.write("trainer.wat", DELTA)
    fleet.write("reader.wat", READER)
    quick(fleet, promote={"when": "metrics.loss < 1", "to": {"kind": "Task", "name": "infer"}})
    nobody_has = sha256_digest(b"no such model")
    fleet.write(
        "infer.yaml",
        """# Reads what the fleet has learnt.
apiVersion: propeller.dev/v1alpha1
kind: Task
metadata: {name: infer}
spec:
  module: {file: reader.wat}
  run:
    models: [{name: quick, digest: "START", size: 13}]  # promoted
""".replace("START", nobody_has),
    )
    fleet.up()
    fleet.ready(KEY)
    promoted = fleet.on("fl", "promote", "quick", "specs")
    assert promoted.code == 2  # nothing was measured, and the spec asks for a loss
    promoted = fleet.on("fl", "promote", "quick", "specs", "--anyway")
    assert promoted.code == 0, promoted.err
    text = (fleet.specs / "infer.yaml").read_text()
    assert text.startswith("# Reads what the fleet has learnt.\n")
    assert f'digest: "{model_of(3, 6, -1.5)}"' in text
    assert text.endswith("}]  # promoted\n")
    fleet.ready("Task/default/infer")
    (copy,) = fleet.copies("Task/default/infer")
    assert copy["result"] == "three"
