"""Defects of other frameworks that are about the engine of rounds, each shown to be absent here.

D9 and D10 of our survey; those about arithmetic are in tests/fl.
"""

from __future__ import annotations

from pathlib import Path

from test_federated import a_fleet, done, finished, learning, rounds_of, spec

from propeller.model.rounds import RoundState
from propeller.rehearse.device import Guests
from propeller.rehearse.fleet import MINUTE, SECOND, Sim

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
