"""Poisoned rounds through the whole engine: real loop, real agents, signed updates, admission.

Twenty proplets learn to read digits; four of them lie. The attack keeps its lengths below what
admission throws out, so what holds is the strategy and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from propeller.fl.layout import Layout
from propeller.fl.model import read_model, write_model
from propeller.fl.simulate import Mlp, Recipe, Shard, dealt, mislabelled
from propeller.model.ids import sha256_digest
from propeller.model.rounds import Bucket, Learning, Round
from propeller.rehearse.fleet import MINUTE, Sim
from propeller.rehearse.guests import Guests
from propeller.rehearse.trainer import Learnt, Trainer
from propeller.wire.messages import WireTraining

NET = Mlp(64, 32, 10)
RECIPE = Recipe(epochs=5, batch=16, rate=0.1)
NAMES = [f"p{index:02}" for index in range(20)]
LIARS = frozenset(NAMES[::5])
WAT = """(module (memory (export "memory") 1) (func (export "_start")))"""

Vector = np.ndarray
Lie = Callable[[Vector], Vector]


@cache
def digits() -> tuple[Shard, Shard]:
    """1437 to learn from, 360 to be judged by."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(42).permutation(len(y))
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int64)
    return Shard(x[:1437], y[:1437]), Shard(x[1437:], y[1437:])


def backwards(delta: Vector) -> Vector:
    """Honest training, sent six times and the other way: six lengths, where ten are let in."""
    return (np.float32(-6) * delta).astype(np.float32)


def thrice(delta: Vector) -> Vector:
    """What the table in the documentation sends, of labels the other way round."""
    return (np.float32(-3) * delta).astype(np.float32)


class School:
    """A fleet whose proplets learn, and what it comes to."""

    def __init__(self, folder: Path, *, alpha: float, seed: int, wrong_labels: bool, lie: Lie):
        learn, _ = digits()
        shards = dealt(learn, len(NAMES), alpha=alpha, draw=np.random.default_rng(seed))
        self.shards = dict(zip(NAMES, shards.values(), strict=True))
        self.lie = lie
        if wrong_labels:
            for name in LIARS:
                self.shards[name] = mislabelled(self.shards[name], 10)
        self.sim = Sim(folder, seed=seed + 1)
        self.sim.write("trainer.wat", WAT)
        start = write_model(NET.layout, NET.initial(np.random.default_rng([seed, 1])))
        (self.sim.specs / "start.safetensors").write_bytes(start)
        self.start = sha256_digest(start)
        guests = Guests(run_ms=(5, 40), trainer=Trainer(pupil=self.taught))
        for name in NAMES:
            self.sim.add(name, guests=guests)

    def taught(self, proplet: str, training: WireTraining, layout: Layout, base: Vector) -> Learnt:
        assert layout == NET.layout
        draw = np.random.default_rng(int(training.seed, 16))
        shard = self.shards[proplet]
        after, steps = NET.sgd(base, shard, RECIPE, draw)
        delta = (after.astype(np.float64) - base).astype(np.float32)
        if proplet in LIARS:
            delta = self.lie(delta)
        return Learnt(delta=delta, samples=len(shard.y), steps=steps)

    def rounds(self, number: int, name: str, **parameters: str) -> tuple[float, list[Round]]:
        """Per cent of the digits read right after so many rounds, and the rounds."""
        spec = {
            "module": {"file": "trainer.wat"},
            "model": {"file": "start.safetensors", "initial": self.start},
            "rounds": number,
            "cohort": {"clientsPerRound": 20, "minClients": 15, "close": "Cohort"},
            "roundDeadline": "2m",
            "strategy": {"name": name, "parameters": parameters},
            "updateFormat": "f32-delta",
        }
        document = {"apiVersion": "propeller.dev/v1alpha1", "kind": "FederatedTask"}
        document |= {"metadata": {"name": "fl"}, "spec": spec}
        self.sim.start_manager()
        self.sim.write("fl.yaml", yaml.safe_dump(document))
        self.sim.run(number * MINUTE, until=lambda: self.learning.round is not None)
        assert self.sim.run(number * MINUTE, until=lambda: self.done == number), (
            self.sim.what_is_not()
        )
        (uid,) = self.sim.manager.reconciler.world.learning.known
        found = self.sim.manager.store.rounds(uid)
        job = self.learning.job
        assert job is not None
        _, flat = read_model(self.sim.manager.shop.blobs.read(job.model.digest), max_count=10_000)
        return 100 * NET.accuracy(flat, digits()[1]), found

    @property
    def learning(self) -> Learning:
        return next(iter(self.sim.manager.reconciler.world.learning.known.values()), Learning())

    @property
    def done(self) -> int:
        return 0 if self.learning.job is None else self.learning.job.done


RULES = [("Median", {}), ("MultiKrum", {"faulty": "4"}), ("TrimmedMean", {"beta": "0.2"})]


@pytest.mark.parametrize(
    ("name", "asked", "least", "most"),
    [
        ("FedAvg", {}, 0, 30),
        ("Median", {}, 65, 100),
        ("MultiKrum", {"faulty": "4"}, 80, 100),
    ],
)
def test_four_liars_of_twenty_break_the_mean_and_no_robust_rule(
    tmp_path: Path, name: str, asked: dict[str, str], least: float, most: float
) -> None:
    """Eight rounds, uneven data, each update let in by admission: the strategy decides."""
    school = School(tmp_path, alpha=0.5, seed=0, wrong_labels=False, lie=backwards)
    reached, rounds = school.rounds(8, name, **asked)
    assert least <= reached <= most
    assert all(one.counts() == {Bucket.ACCEPTED: 20} for one in rounds)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("alpha", [100.0, 0.5])
@pytest.mark.parametrize(
    ("name", "asked", "least", "most"),
    [
        ("FedAvg", {}, 0, 60),
        ("NormClip", {}, 88, 100),
        ("Median", {}, 90, 100),
        ("TrimmedMean", {"beta": "0.2"}, 90, 100),
        ("MultiKrum", {"faulty": "4"}, 92, 100),
    ],
)
def test_the_poisoning_table_of_the_engine(
    tmp_path: Path, alpha: float, name: str, asked: dict[str, str], least: float, most: float
) -> None:
    """Sixty rounds; the figures are in docs/reference/strategies.md."""
    school = School(tmp_path, alpha=alpha, seed=0, wrong_labels=False, lie=backwards)
    reached, rounds = school.rounds(60, name, **asked)
    left_out = sum(one.counts()[Bucket.REJECTED] for one in rounds)
    print(f"{name} a={alpha}: {reached:.1f}, {left_out} updates left out")
    assert least <= reached <= most
