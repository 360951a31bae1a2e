"""Defects of other frameworks that are about the engine of rounds, each shown to be absent here.

D9 and D10 of our survey; those about arithmetic are in tests/fl. And where D9 could come back:
every place at which a reconciler may die is one that some test kills it at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_federated import KilledError, a_fleet, done, finished, killed, learning, rounds_of, spec

from propeller.model.rounds import RoundState
from propeller.rehearse.fleet import MINUTE, SECOND, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import Trainer
from propeller.state.failpoints import At, arm, disarm
from propeller.wire.messages import Entry

ROOT = Path(__file__).parents[2]
ROUNDS = 6


def begun(folder: Path) -> Sim:
    sim = a_fleet(folder)
    for name in ("p0", "p1", "p2"):
        sim.proplets[name].guests = Guests(run_ms=(20, 20))
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=ROUNDS))
    return sim


def test_d9_a_killed_server_loses_no_round(tmp_path: Path) -> None:
    """kill -9 of the reconciler after three of six rounds: the three stay as they were, the run
    goes on with the fourth, and ends with the model of a run in which nothing died."""
    quiet, sim = begun(tmp_path / "quiet"), begun(tmp_path / "killed")
    assert quiet.run(5 * MINUTE, until=lambda: finished(quiet))
    assert sim.run(5 * MINUTE, until=lambda: done(sim) == 3)
    before = [one.record for one in rounds_of(sim) if one.state is RoundState.COMMITTED]
    sim.restart_manager(away=2 * SECOND)
    assert sim.run(5 * MINUTE, until=lambda: finished(sim))
    after = rounds_of(sim)
    assert [one.number for one in after] == [*range(1, ROUNDS + 1)]
    assert [one.record for one in after][:3] == before
    assert learning(sim).job.model == learning(quiet).job.model


def test_d10_a_round_waits_for_nobody_s_poll(tmp_path: Path) -> None:
    """A peer that asks every three seconds takes 8.5 s for a round whatever the training takes.
    Here nobody polls: on the simulation's clock a round of guests that run 20 ms, with links and
    workers of some milliseconds, is over within a second."""
    sim = begun(tmp_path)
    assert sim.run(MINUTE, until=lambda: done(sim) == 1)
    since = sim.now
    assert sim.run(MINUTE, until=lambda: finished(sim))
    assert sim.now - since < (ROUNDS - 1) * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Clumsy(Trainer):
    """Its first attempt at every round breaks off in the middle of the update."""

    def update(self, entry: Entry, proplet: str, *more: Any, **others: Any) -> bytes:
        data = Trainer.update(self, entry, proplet, *more, **others)
        assert entry.fl is not None
        return data[:50] if entry.fl.attempt == 1 and proplet == "p1" else data


def abandoning(folder: Path) -> Sim:
    sim = a_fleet(folder, trainer=Clumsy())
    sim.start_manager()
    sim.write("fl.yaml", spec(rounds=2, maxAttempts=2))
    return sim


@pytest.mark.parametrize("hit", [1, 2])
def test_a_reconciler_killed_as_it_gives_a_round_up_comes_to_the_same_record(
    tmp_path: Path, hit: int
) -> None:
    """kill -9 between the decision that an attempt failed and its row: it is abandoned once, with
    the reason of its updates, and the attempt after it makes the model of a quiet run."""
    quiet, sim = abandoning(tmp_path / "quiet"), abandoning(tmp_path / "killed")
    assert quiet.run(5 * MINUTE, until=lambda: finished(quiet))
    arm("learning.abandoned", At(hit, killed))
    deaths = 0
    try:
        while not finished(sim):
            assert sim.now < 10 * MINUTE + quiet.now
            try:
                sim.run(100, until=lambda: finished(sim))
            except KilledError:
                disarm()
                deaths += 1
                sim.restart_manager(away=300)
                sim.run(SECOND)
    finally:
        disarm()
    assert deaths == 1, "nobody was killed"
    told = [(one.number, one.attempt, one.state) for one in rounds_of(sim)]
    gone, kept = RoundState.ABANDONED, RoundState.COMMITTED
    assert told == [(1, 1, gone), (1, 2, kept), (2, 1, gone), (2, 2, kept)]
    assert learning(sim).job.record == learning(quiet).job.record


def test_every_place_where_a_reconciler_may_die_is_died_at() -> None:
    """A fail point that no test arms proves nothing: each name of the source is in a test."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    source = "".join(path.read_text() for path in (ROOT / "propeller").rglob("*.py"))
    named = set(re.findall(r'fail_point\("([a-z.]+)"\)', source))
    assert {"learning.row", "promotion.opened", "upstream.asked"} <= named
    assert 'fail_point(f"learning.{round_.state.lower()}")' in source
    named |= {f"learning.{state.lower()}" for state in RoundState if state.over}
    assert {name for name in named if f'"{name}"' not in tests} == set()
