"""Differential privacy through the real loop: paid before it is drawn, refused past the budget."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_federated import KilledError, a_fleet, done, finished, killed, learning, rounds_of, spec
from test_guards import say_yes

from propeller.fl.model import read_model
from propeller.fl.privacy.accounting import Ledger
from propeller.model.rounds import RoundState
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.rehearse.trainer import Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.messages import Entry

NOISE = {"multiplier": "4", "delta": "1e-5", "maxEpsilon": "8"}
LONG = Trainer(count=2000)
"""Updates of length 25 or so."""


def private(noise: dict[str, str] = NOISE, norm: str = "1.0", **more: Any) -> dict[str, Any]:
    return {"privacy": {"clipping": {"norm": norm}, "noise": noise}, **more}


def weights(sim: Sim, round_: Any) -> np.ndarray:
    data = sim.manager.shop.blobs.read(round_.fold.model.digest)
    return read_model(data, max_count=1 << 20)[1]


def told(sim: Sim, number: int = 1) -> dict[str, Any]:
    place = sim.state.status / f"default/FederatedTask/fl/rounds/{number:04}.yaml"
    found: dict[str, Any] = yaml.safe_load(place.read_text())
    return found


def spent_in_journal(sim: Sim) -> list[int]:
    """Rounds that the newest entry of each line has paid for, in order."""
    place = sim.state.journal / "journal.jsonl"
    lines = place.read_text().splitlines() if place.exists() else ()
    entries = [json.loads(line) for line in lines]
    return [
        sum(row[2] for row in json.loads(one["entry"]["ledger"])["rounds"])
        for one in entries
        if one["kind"] == "spend"
    ]


def test_a_noised_round_costs_what_its_file_says(tmp_path: Path) -> None:
    """Three rounds: noise of z C / W on each number, epsilon as the accountant has it."""
    sim = a_fleet(tmp_path, trainer=LONG)
    sim.start_manager()
    sim.write("fl.yaml", spec(**private()))
    assert sim.run(2 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    sim.run(SECOND)
    first = weights(sim, rounds_of(sim)[0])
    assert np.std(first) == pytest.approx(4 * 1.0 / 3, rel=0.1)
    for number in (1, 2, 3):
        spent = told(sim, number)["privacy"]["spent"]
        ledger = Ledger(job="", rounds=((4.0, 1.0, number),))
        assert float(spent["epsilon"]) == pytest.approx(ledger.epsilon(1e-5), rel=1e-4)
        assert spent["rounds"] == str(number)
    assert dict(learning(sim).job.spent)["rounds"] == "3"
    assert spent_in_journal(sim) == [1, 2, 3]


def test_a_private_round_says_nothing_of_single_updates(tmp_path: Path) -> None:
    """No trainer's metrics, no samples, no digest by which an update could be recognised."""
    sim = a_fleet(tmp_path, trainer=LONG)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, **private()))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    sim.run(SECOND)
    found = told(sim)
    assert not {"metrics", "samples", "contributorsDigest"} & found.keys()
    (round_,) = rounds_of(sim)
    assert not any(str(part.body) in str(found) for part in round_.parts.values())
    blobs = sim.manager.shop.blobs
    assert not any(blobs.has(part.update.digest) for part in round_.parts.values())


def test_rounds_past_the_budget_are_refused(tmp_path: Path) -> None:
    """Ready is False with the reason, the object is stalled, and one event tells it; a larger
    budget needs a person, and then it goes on."""
    sim = a_fleet(tmp_path, trainer=LONG)
    sim.start_manager()
    small = {**NOISE, "maxEpsilon": "2.0"}
    sim.write("fl.yaml", spec(rounds=9, **private(small)))
    assert sim.run(2 * MINUTE, until=lambda: bool(learning(sim).job and learning(sim).job.broke))
    sim.run(MINUTE)
    paid = done(sim)
    assert 0 < paid < 9
    assert float(dict(learning(sim).job.spent)["epsilon"]) <= 2.0
    assert sim.manager.reasons().count("BudgetSpent") == 1
    (row,) = [one for one in sim.manager.store.statuses() if one.key.name == "fl"]
    listed = json.loads(row.document)["status"]["conditions"]
    conditions = {one["type"]: (one["status"], one["reason"]) for one in listed}
    assert conditions["Ready"] == ("False", "BudgetSpent")
    assert conditions["Stalled"] == ("True", "BudgetSpent")
    sim.write("fl.yaml", spec(rounds=9, **private(NOISE)))
    sim.run(MINUTE)
    assert done(sim) == paid, "nobody has confirmed the larger budget"
    pause = sim.manager.reconciler.specs.approvals.pauses["default"]
    assert (pause.guard, "maxEpsilon 8, it was 2" in pause.message) == ("privacy", True)
    say_yes(sim, pause.digest)
    assert sim.run(2 * MINUTE, until=lambda: done(sim) > paid)


@pytest.mark.parametrize(
    ("point", "hit"),
    [("learning.spent", 1), ("learning.spent", 2), ("learning.folded", 1), ("learning.folded", 2)]
    + [("state.committed", hit) for hit in range(12, 90, 12)],
)
def test_a_crash_never_forgets_what_was_spent(tmp_path: Path, point: str, hit: int) -> None:
    """kill -9 between the journal and the store, and anywhere else: at least one payment for each
    noise that was drawn, and never fewer than there are rounds."""
    sim = a_fleet(tmp_path, trainer=LONG)
    drawn: list[int] = []
    sim.start_manager()
    sim.write("fl.yaml", spec(**private({**NOISE, "maxEpsilon": "80"})))
    arm(point, At(hit, killed))
    end = sim.now + 5 * MINUTE
    try:
        watch(sim, drawn)
        while not finished(sim):
            assert sim.now < end, "it never finished"
            try:
                sim.run(100, until=lambda: finished(sim))
            except KilledError:
                disarm()
                sim.restart_manager(away=300)
                watch(sim, drawn)
                sim.run(SECOND)
    finally:
        disarm()
    paid = int(dict(learning(sim).job.spent)["rounds"])
    assert paid >= len(drawn) >= 3
    assert max(spent_in_journal(sim)) >= paid


def watch(sim: Sim, drawn: list[int]) -> None:
    """Count every draw of this life of the reconciler."""

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return os.urandom(size)

    sim.manager.shop = replace(sim.manager.shop, entropy=entropy)


def test_a_lost_database_does_not_give_a_budget_back(tmp_path: Path) -> None:
    """The journal has the ledger; another runKey is another job and the same ledger."""
    sim = a_fleet(tmp_path, trainer=LONG)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=2, **private({**NOISE, "maxEpsilon": "4"})))
    assert sim.run(2 * MINUTE, until=lambda: finished(sim))
    sim.kill_manager()
    sim.delete_database()
    sim.start_manager()
    sim.run(10 * SECOND)
    again = spec(rounds=2, runKey="again", **private({**NOISE, "maxEpsilon": "4"}))
    sim.write("fl.yaml", again)
    assert sim.run(2 * MINUTE, until=lambda: finished(sim) and learning(sim).round.number == 2)
    assert dict(learning(sim).job.spent)["rounds"] == "4"


def test_an_object_that_is_written_again_goes_on_with_its_ledger(tmp_path: Path) -> None:
    """Deleting it and writing the same name does not give its budget back."""
    sim = a_fleet(tmp_path, trainer=LONG)
    sim.start_manager()
    sim.write("other.yaml", spec(rounds=1).replace("name: fl", "name: other"))
    sim.write("fl.yaml", spec(rounds=1, **private()))
    assert sim.run(2 * MINUTE, until=lambda: spent_in_journal(sim) == [1])
    sim.run(10 * SECOND)
    sim.remove("fl.yaml")
    sim.run(20 * SECOND)
    assert not any(one.key.name == "fl" for one in sim.manager.store.statuses())
    sim.write("fl.yaml", spec(rounds=1, **private()))
    assert sim.run(6 * MINUTE, until=lambda: spent_in_journal(sim) == [1, 2])


def test_a_clipping_norm_that_follows_finds_the_median_length(tmp_path: Path) -> None:
    """From far below it rises: the sign of the step is right, and each round says its norm."""
    sim = a_fleet(tmp_path, trainer=LONG)
    sim.start_manager()
    clipping = {"norm": "5", "adapt": {"rate": "1"}}
    sim.write("fl.yaml", spec(rounds=8, privacy={"clipping": clipping}))
    assert sim.run(4 * MINUTE, until=lambda: finished(sim))
    norms = [float(told(sim, number)["privacy"]["clipping"]) for number in range(1, 9)]
    assert norms[0] == 5
    assert norms[:4] == sorted(norms[:4])
    median = sorted(float(part.norm) for part in rounds_of(sim)[0].parts.values())[1]
    assert norms[-1] == pytest.approx(median, rel=0.7)
    assert all(one.state is RoundState.COMMITTED for one in rounds_of(sim))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (private(), private({**NOISE, "multiplier": "3"}), "a noise multiplier of 3, it was 4"),
        (private(), private({**NOISE, "delta": "1e-3"}), "delta 1e-3, it was 1e-5"),
        (private(), {"privacy": {"clipping": {"norm": "1.0"}}}, "no noise any more"),
        ({"privacy": {"clipping": {"norm": "1.0"}}}, {}, "no clipping any more"),
        ({"privacy": {"local": {"norm": "1"}}}, {}, "no clipping on devices any more"),
        ({}, {"reveal": "Proplets"}, "proplets are named"),
        ({}, {"retainUpdates": "Enabled"}, "single updates are kept"),
    ],
)
def test_less_privacy_waits_for_a_person(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], words: str
) -> None:
    """Whatever the App's guards say; the way back needs nobody."""
    sim = a_fleet(tmp_path)
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=1, **before))
    assert sim.run(MINUTE, until=lambda: finished(sim))
    sim.write("fl.yaml", spec(rounds=2, **after))
    sim.run(20 * SECOND)
    pause = sim.manager.reconciler.specs.approvals.pauses["default"]
    assert words in pause.message
    assert done(sim) == 1
    sim.write("fl.yaml", spec(rounds=1, **before))
    sim.run(5 * SECOND)
    assert not sim.manager.reconciler.specs.approvals.pauses


@dataclass(frozen=True, slots=True, kw_only=True)
class Careless(Trainer):
    """A device that signs its update as it is, whatever the round asks it to do first."""

    def update(self, entry: Entry, proplet: str, *rest: Any, **more: Any) -> bytes:
        if proplet == "p1" and entry.fl is not None:
            entry = replace(entry, fl=replace(entry.fl, clip=None, noise=None))
        return Trainer.update(self, entry, proplet, *rest, **more)


def test_a_device_that_does_not_clip_is_not_believed(tmp_path: Path) -> None:
    """The round asked for it: an update whose envelope does not say so is rejected."""
    sim = a_fleet(tmp_path, trainer=Careless(count=2000))
    sim.start_manager()
    more = {"cohort": {"minClients": 2}, "retainUpdates": "Enabled"}
    sim.write("fl.yaml", spec(rounds=1, privacy={"local": {"norm": "2.0"}}, **more))
    assert sim.run(3 * MINUTE, until=lambda: finished(sim)), sim.what_is_not()
    (round_,) = rounds_of(sim)
    assert round_.parts["p1"].why.startswith("unclipped: ")
    assert sorted(part.proplet for part in round_.accepted) == ["p0", "p2"]
    assert all(1.9 < float(part.norm) <= 2.0 for part in round_.accepted)
    assert told(sim)["privacy"]["local"] == {"norm": "2.0", "multiplier": "0"}
