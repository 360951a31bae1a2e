"""Secure aggregation between real proplets: keys, shares, masked updates and sums over a broker."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from examples.fl.digits.prepare import prepare
from propeller.fl.model import read_model
from propeller.registry.blobs import BlobStore

pytestmark = pytest.mark.live

EXAMPLE = Path(__file__).parents[2] / "examples" / "fl" / "digits"


def trained(fleet: Any, state: str, **privacy: Any) -> tuple[dict[str, Any], np.ndarray]:
    """One round of the digits example on eight proplets; its file and its model."""
    document = yaml.safe_load((EXAMPLE / "digits.yaml").read_text())
    spec = document["spec"]
    spec.update(rounds=1, roundDeadline="1m", privacy=privacy)
    spec.pop("evaluation")
    spec["cohort"] |= {"maxSamples": 400}
    (fleet.specs / "digits.yaml").write_text(yaml.safe_dump(document))
    done = fleet.run(
        *("up", "specs", "--state", state, "--proplets", "8", "--until-ready"),
        *("--data", str(fleet.place / "data")),
    )
    assert done.code == 0, done.err
    place = fleet.place / state / "status/default/FederatedTask/digits/rounds/0001.yaml"
    told = yaml.safe_load(place.read_text())
    blobs = BlobStore(fleet.place / state / "blobs")
    return told, read_model(blobs.read(told["model"]["digest"]), max_count=1 << 20)[1]


def test_eight_proplets_come_to_the_same_model_without_showing_their_updates(fleet: Any) -> None:
    """The same round in the open and under masks: one model, to the step of the grid; the samples
    are the sum's, and no metric of a single trainer is told."""
    for name in ("proplets.yaml", "mlp.wasm", "mlp.safetensors"):
        shutil.copy(EXAMPLE / name, fleet.specs)
    prepare(fleet.place / "data")
    plain, open_model = trained(fleet, "open")
    told, model = trained(fleet, "masked", secureAggregation="Enabled")
    assert told["received"] == plain["received"] == {"accepted": 8}
    assert told["samples"] == plain["samples"]
    assert told["job"] == plain["job"], "so the trainers had the same seeds"
    assert "metrics" not in told
    step = 2 * 8 / ((1 << 22) - 1) * 8 * 400 / told["samples"]
    assert np.abs(model - open_model).max() <= step + 1e-6
    assert np.abs(open_model).max() > 100 * step, "and the grid is fine enough for that to say much"
