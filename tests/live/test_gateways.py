"""Two fleets, one above the other, as real processes: the lower one is a single proplet above."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from live_trainers import saying

from propeller.fl.layout import Layout
from propeller.fl.model import write_model
from propeller.model.ids import sha256_digest

pytestmark = pytest.mark.live

KEY = "FederatedTask/default/quick"
TRAINER = saying(
    '{"update":[1,2,-0.5],"kind":"delta","num_samples":7,"metrics":{"loss":0.5}}',
)
ROUNDS = 6


def task(fleet: Any, **more: Any) -> None:
    spec = {
        "module": {"file": "trainer.wat"},
        "rounds": ROUNDS,
        "cohort": {"clientsPerRound": 2, "close": "Cohort"},
        "updateFormat": "json-f64",
        **more,
    }
    fleet.write("trainer.wat", TRAINER)
    fleet.spec("FederatedTask", "quick", spec)


def model_of(*numbers: float) -> str:
    flat = np.array(numbers, np.float32)
    return sha256_digest(write_model(Layout.flat(len(flat)), flat))


def test_a_site_of_two_is_one_proplet_of_the_fleet_above(another_fleet: Any, fleet: Any):
    """A gateway and a plain proplet train six rounds; the site's reconciler and the gateway are
    killed on the way. The model is what three proplets of one fleet would have made, to the last
    bit, and a round says 21 samples: the gateway's 14 and the other's 7."""
    above, site = fleet, another_fleet
    task(above)
    task(site, upstream="Enabled", rounds=100)
    above.broker()
    site.broker()
    above.serve()
    below = site.serve()
    for name in ("lathe", "press"):
        site.proplet(name)
    site.ready(KEY)
    socket = site.state / "run" / "api.sock"
    gateway = above.proplet("gateway", "--site", str(socket))
    above.proplet("oven")

    def committed() -> int:
        return int((above.status(KEY) or {"status": {}})["status"].get("rounds", {}).get(
            "committed", 0))  # fmt: skip

    above.until(lambda: committed() >= 2, "two rounds", timeout=120)
    below.kill()
    site.serve()
    above.until(lambda: committed() >= 3, "a round after the site's reconciler died", timeout=120)
    gateway.kill()
    above.proplet("gateway", "--site", str(socket))
    above.ready(KEY)
    status = above.status(KEY)["status"]
    assert status["model"]["digest"] == model_of(ROUNDS, 2 * ROUNDS, -ROUNDS / 2)
    assert status["metrics"] == {"loss": "0.5"}
    folder = above.state / "status" / "default" / "FederatedTask" / "quick" / "rounds"
    told = sorted(folder.iterdir())
    assert len(told) == ROUNDS
    assert "samples: 21" in told[0].read_text()
    assert site.status(KEY)["status"]["model"]["digest"] == status["model"]["digest"]
