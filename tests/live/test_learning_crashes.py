"""kill -9 in the middle of rounds: reconciler, proplets and broker, at random; the same digests.

Each round needs all four proplets, the server's optimiser has a state, and updates leave out most
numbers for later rounds, so whatever a crash loses or does twice changes the final digest.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import pytest

pytestmark = pytest.mark.live

KEY = "FederatedTask/default/crashes"
NAMES = ("kiln", "mill", "oven", "press")
COUNT = 3000

TRAINER = """(module
  (import "propeller_fl" "model_read" (func $read (param i32 i32 i32)))
  (import "propeller_fl" "rand_u64" (func $rand (result i64)))
  (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
  (memory (export "memory") 1)
  (func (export "train") (local $i i32)
    (call $read (i32.const 0) (i32.const 0) (i32.const BYTES))
    (loop $next
      ;; w = 0.9 w + a number of [-0.1, 0.1) from the round's seed
      (f32.store (local.get $i) (f32.add
        (f32.mul (f32.load (local.get $i)) (f32.const 0.9))
        (f32.mul (f32.convert_i32_s (i32.wrap_i64 (call $rand))) (f32.const 4.65e-11))))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const BYTES))))
    (call $submit (i32.const 2) (i32.const 0) (i32.const BYTES) (i64.const 7))))
""".replace("BYTES", str(4 * COUNT))


def a_fleet(fleet: Any, rounds: int) -> None:
    """The job, mosquitto, and nothing that runs yet."""
    fleet.write("trainer.wat", TRAINER)
    fleet.spec(
        "FederatedTask",
        "crashes",
        {
            "module": {"file": "trainer.wat"},
            "run": {"entrypoint": "train"},
            "model": {"initial": "Zeros", "layout": [{"name": "w", "shape": [COUNT]}]},
            "rounds": rounds,
            "cohort": {"clientsPerRound": 4, "minClients": 4, "close": "Cohort"},
            "roundDeadline": "10m",
            "strategy": {"name": "FedAdam"},
            "updateFormat": "topk-f32",
            "guest": {"model": "Imports"},
        },
    )
    for name in NAMES:  # declared, so that nobody begins before all of them are there
        fleet.spec("Proplet", name, {"heartbeat": "1s"})
    fleet.broker()


def committed(fleet: Any) -> int:
    document = fleet.status(KEY)
    return document["status"]["rounds"]["committed"] if document else 0


def what_came(fleet: Any) -> tuple[str, str]:
    """Model and optimiser state after the last round."""
    fleet.until(lambda: fleet.condition(KEY, "Ready").get("status") == "True", "the last round")
    status = fleet.status(KEY)["status"]
    folder = fleet.state / "status" / "default" / "FederatedTask" / "crashes" / "rounds"
    last = (folder / f"{status['rounds']['committed']:04}.yaml").read_text()
    (state,) = [line for line in last.splitlines() if line.startswith("strategyState")]
    return status["model"]["digest"], state


def quiet(fleet: Any, rounds: int) -> tuple[str, str]:
    """A run in which nothing happens."""
    a_fleet(fleet, rounds)
    fleet.serve()
    for name in NAMES:
        fleet.proplet(name, heartbeat="1s")
    return what_came(fleet)


def stormy(fleet: Any, rounds: int, seed: int, patience: float) -> tuple[tuple[str, str], Counter]:
    """The same while one process after the other is killed and started again."""
    draw = random.Random(seed)
    a_fleet(fleet, rounds)
    serving = fleet.serve()
    devices = {name: fleet.proplet(name, heartbeat="1s") for name in NAMES}
    fleet.until(lambda: committed(fleet) >= 1, "the first round")
    killed: Counter[str] = Counter()
    end = time.monotonic() + patience
    victims: list[str] = []
    while committed(fleet) < rounds and time.monotonic() < end:
        time.sleep(draw.uniform(0, 0.1))  # short beside a round, so that each of them is hit
        if not victims:
            victims = ["reconciler", "broker", draw.choice(NAMES)]
            draw.shuffle(victims)
        victim = victims.pop()
        killed["proplet" if victim in NAMES else victim] += 1
        if victim == "reconciler":
            serving.kill()
            serving = fleet.serve()
        elif victim == "broker":
            fleet.broker().kill()
            time.sleep(draw.uniform(0, 0.3))
            fleet.broker().start()
        else:
            devices[victim].kill()
            time.sleep(draw.uniform(0, 0.3))
            devices[victim] = fleet.proplet(victim, heartbeat="1s")
        if draw.random() < 0.5:  # else the next one falls before this one is back on its feet
            next_ = min(rounds, committed(fleet) + 1)
            fleet.until(lambda n=next_: committed(fleet) >= n, "another round", timeout=patience)
    return what_came(fleet), killed


def twice(make: Any, rounds: int, seed: int, patience: float) -> Counter:
    """Both runs, in places of their own; what was killed in the second."""
    calm = quiet(make("quiet"), rounds)
    came, killed = stormy(make("stormy"), rounds, seed, patience)
    assert came == calm, f"seed {seed}, killed {dict(killed)}"
    assert set(killed) == {"reconciler", "broker", "proplet"}, killed
    return killed


def test_whatever_is_killed_the_last_model_is_that_of_a_quiet_run(new_fleet: Any) -> None:
    """Seven rounds, everything killed at least once."""
    twice(new_fleet, 7, seed=5, patience=120)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2])
def test_thirty_rounds_in_a_storm(new_fleet: Any, seed: int) -> None:
    """The long form: dozens of kills."""
    killed = twice(new_fleet, 30, seed=seed, patience=1200)
    assert sum(killed.values()) >= 20, killed
