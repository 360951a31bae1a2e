"""FedNova and SCAFFOLD with the trainers in C: local steps and control variates on real devices."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from examples.fl.digits.prepare import prepare
from propeller.fl.model import read_model
from propeller.fl.strategies.base import unpack_state
from propeller.registry.blobs import BlobStore
from propeller.wire.updates import unpack

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "fl" / "digits"


def test_a_round_of_fednova_is_what_its_updates_give_by_hand(fleet: Any) -> None:
    """Uneven shards, so uneven steps: x + (sum p tau) sum p D / tau, recomputed from what devices
    sent; plain averaging would give another model."""
    for name in ("proplets.yaml", "mlp.wasm", "mlp.safetensors"):
        shutil.copy(EXAMPLE / name, fleet.specs)
    prepare(fleet.place / "data")
    document = yaml.safe_load((EXAMPLE / "digits.yaml").read_text())
    spec = document["spec"]
    spec.update(rounds=1, strategy={"name": "FedNova"}, reveal="Proplets", retainUpdates="Enabled")
    spec.pop("evaluation")
    (fleet.specs / "digits.yaml").write_text(yaml.safe_dump(document))
    done = fleet.run(
        *("up", "specs", "--state", "state", "--proplets", "8", "--until-ready"),
        *("--data", str(fleet.place / "data")),
    )
    assert done.code == 0, done.err
    place = fleet.state / "status/default/FederatedTask/digits/rounds/0001.yaml"
    told = yaml.safe_load(place.read_text())
    blobs = BlobStore(fleet.state / "blobs")
    updates = [
        unpack(blobs.read(each["update"]), max_body=1 << 20) for each in told["contributors"]
    ]
    assert len(updates) == 8
    assert len({update.steps for update in updates}) > 3, "uneven shards take uneven steps"
    samples = sum(update.samples for update in updates)
    deltas = [np.frombuffer(update.body, "<f4").astype(np.float64) for update in updates]
    effective = sum(update.samples * update.steps for update in updates) / samples
    mean = sum(
        update.samples / samples * delta / update.steps
        for update, delta in zip(updates, deltas, strict=True)
    )
    plain = sum(
        update.samples / samples * delta for update, delta in zip(updates, deltas, strict=True)
    )
    _, base = read_model((EXAMPLE / "mlp.safetensors").read_bytes(), max_count=1 << 20)
    _, model = read_model(blobs.read(told["model"]["digest"]), max_count=1 << 20)
    moved = model.astype(np.float64) - base
    assert moved == pytest.approx(effective * mean, abs=1e-6)
    assert np.abs(moved - plain).max() > 1e-3


def test_devices_keep_their_control_variates_between_rounds(fleet: Any) -> None:
    """SCAFFOLD with the trainer in C and the agent's bookkeeping: three rounds, everybody in each,
    the model learns, and each proplet has the c_k of its newest two rounds on disk."""
    for name in ("proplets.yaml", "mlp-scaffold.wasm", "mlp.safetensors"):
        shutil.copy(EXAMPLE / name, fleet.specs)
    prepare(fleet.place / "data")
    document = yaml.safe_load((EXAMPLE / "digits.yaml").read_text())
    spec = document["spec"]
    spec.update(rounds=3, strategy={"name": "SCAFFOLD"}, module={"file": "mlp-scaffold.wasm"})
    spec["evaluation"]["every"] = 3
    (fleet.specs / "digits.yaml").write_text(yaml.safe_dump(document))
    done = fleet.run(
        *("up", "specs", "--state", "state", "--proplets", "8", "--until-ready"),
        *("--data", str(fleet.place / "data")),
    )
    assert done.code == 0, done.err
    folder = fleet.state / "status/default/FederatedTask/digits/rounds"
    found = [yaml.safe_load(path.read_text()) for path in sorted(folder.iterdir())]
    assert [each["received"] for each in found] == [{"accepted": 8}] * 3
    states = [each["strategyState"] for each in found]
    assert len(set(states)) == 3
    _, kept = unpack_state(BlobStore(fleet.state / "blobs").read(states[-1]), "SCAFFOLD", 2410, "c")
    assert np.abs(kept["c"]).max() > 1e-3
    assert float(found[-1]["metrics"]["accuracy"]) > 0.75
    own = list((fleet.state / "proplets").rglob("leftovers/*"))
    assert len(own) == 2 * 8
    assert {path.stat().st_size for path in own} == {4 * 2410}
