"""Learning end to end in one process: accuracy, poisoning, thousands of clients."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from propeller.fl.admit import FAR
from propeller.fl.errors import Refusal
from propeller.fl.privacy.accounting import Budget
from propeller.fl.privacy.clipping import AdaptiveBound
from propeller.fl.simulate import (
    Course,
    Mlp,
    Privacy,
    Recipe,
    Shard,
    World,
    begun,
    dealt,
    mislabelled,
    run,
    scaled,
)
from propeller.fl.strategies.registry import strategy

NET, FLAT = Mlp(64, 32, 10), Mlp(64, 0, 10)


@cache
def digits() -> tuple[Shard, Shard]:
    """1437 to learn from, 360 to be judged by."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(42).permutation(len(y))
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int64)
    return Shard(x[:1437], y[:1437]), Shard(x[1437:], y[1437:])


def a_world(name: str = "FedAvg", *, alpha: float = 0.5, seed: int = 0, **asked: str) -> World:
    learn, _ = digits()
    return World(
        net=NET,
        shards=dealt(learn, 20, alpha=alpha, draw=np.random.default_rng(seed)),
        strategy=strategy(name, asked),
        invited=20,
        recipe=Recipe(epochs=5, batch=16, rate=0.1),
        seed=seed,
    )


def attacked(world: World) -> World:
    """Four of twenty learn 9 - y and send it three times, backwards; nobody looks at lengths."""
    bad = sorted(world.shards)[::5]
    shards = {
        name: mislabelled(shard, 10) if name in bad else shard
        for name, shard in world.shards.items()
    }
    return replace(world, shards=shards, attacks=dict.fromkeys(bad, scaled(-3.0)), far=math.inf)


def judged(course: Course) -> float:
    return 100 * NET.accuracy(course.model, digits()[1])


def test_twenty_clients_learn_together_what_none_has_alone() -> None:
    """Two classes or so each; after 30 rounds nine digits of ten are read."""
    world = a_world(alpha=0.1)
    assert judged(run(world, 30)) > 85
    start = begun(world).model
    for shard in list(world.shards.values())[:5]:
        alone, _ = NET.sgd(start, shard, Recipe(epochs=60), np.random.default_rng(1))
        assert 100 * NET.accuracy(alone, digits()[1]) < 70


def test_a_run_has_one_result() -> None:
    """All chance comes from the seed: the same bytes again, other bytes for another."""
    one, again = (run(a_world(), 3).model.tobytes() for _ in range(2))
    assert one == again
    assert run(replace(a_world(), seed=1), 3).model.tobytes() != one


def test_a_run_can_be_cut_and_taken_up() -> None:
    """Six rounds are three and three, momentum included."""
    world = a_world("FedAdam")
    half = run(world, 3)
    assert run(world, 3, half).model.tobytes() == run(world, 6).model.tobytes()


@pytest.mark.parametrize(
    ("name", "asked", "least", "most"),
    [
        ("FedAvg", {}, 0, 75),
        ("Median", {}, 85, 100),
        ("MultiKrum", {"faulty": "4"}, 88, 100),
        ("NormClip", {}, 85, 100),
    ],
)
def test_a_fifth_of_poisoners_breaks_the_mean_and_no_robust_rule(
    name: str, asked: dict[str, str], least: float, most: float
) -> None:
    """Twenty rounds of digits, uneven data: the short form of the table in the documentation."""
    assert least <= judged(run(attacked(a_world(name, **asked)), 20)) <= most


def test_looking_at_lengths_alone_already_helps_the_mean() -> None:
    """The same attack against admission as it is: what becomes far too long is left out."""
    world = replace(attacked(a_world()), far=FAR)
    course = run(world, 20)
    assert judged(course) > 85
    assert course.refused["huge-norm"] > 10


@pytest.mark.soak
@pytest.mark.parametrize("alpha", [100.0, 0.5])
@pytest.mark.parametrize(
    ("name", "asked", "floor"),
    [
        ("NormClip", {}, 90),
        ("Median", {}, 91),
        ("TrimmedMean", {"beta": "0.2"}, 90),
        ("MultiKrum", {"faulty": "4"}, 92),
    ],
)
def test_the_poisoning_table(alpha: float, name: str, asked: dict[str, str], floor: float) -> None:
    """Sixty rounds, three seeds, with and without attackers."""
    clean, hit = [], []
    for seed in range(3):
        world = a_world(name, alpha=alpha, seed=seed, **asked)
        clean.append(judged(run(world, 60)))
        hit.append(judged(run(attacked(world), 60)))
    print(f"{name} a={alpha}: {np.mean(clean):.1f} / {np.mean(hit):.1f}")
    assert np.mean(hit) >= floor
    assert np.mean(clean) >= 92


@pytest.mark.soak
@pytest.mark.parametrize(("name", "floor"), [("FedAvg", 94.0), ("FedAdam", 95.0)])
def test_very_uneven_data_reach_the_promised_accuracy(name: str, floor: float) -> None:
    """Dirichlet 0.1, a hundred rounds."""
    assert judged(run(a_world(name, alpha=0.1), 100)) >= floor


@pytest.mark.parametrize("encoding", ["f32-full", "f16-delta", "q8-delta", "q4-delta"])
def test_every_narrow_format_learns(encoding: str) -> None:
    """Eight times smaller, and nearly as good."""
    assert judged(run(replace(a_world(), encoding=encoding), 10)) > 80


def test_clients_that_send_nonsense_are_counted_and_left_out() -> None:
    """A NaN, and a delta a million times too long."""
    world = a_world()
    bad = sorted(world.shards)[:2]
    attacks = dict(zip(bad, (scaled(float("nan")), scaled(1e6)), strict=True))
    course = run(replace(world, attacks=attacks), 2)
    assert course.refused["huge-norm"] == 2
    assert not course.used & set(bad)
    assert np.isfinite(course.model).all()


def test_half_of_a_cohort_may_be_missing() -> None:
    """Dropouts slow learning down and do not stop it."""
    assert judged(run(replace(a_world(), dropout=0.5), 15)) > 80


def test_thirteen_hundred_clients_in_one_round() -> None:
    """A record or so each; more than one leaf of the fold."""
    learn, _ = digits()
    shards = dealt(learn, 1300, alpha=1.0, draw=np.random.default_rng(3))
    assert min(len(shard.y) for shard in shards.values()) >= 1
    assert sum(len(shard.y) for shard in shards.values()) == 1437
    course = run(replace(a_world(), shards=shards, invited=1300), 1)
    assert len(course.used) > 1024


def a_private_world(clients: int, multiplier: float, epsilon: float, **more: Any) -> World:
    """A record or so each, softmax regression; everybody weighs the same."""
    learn, _ = digits()
    budget = Budget(epsilon=epsilon, delta=1e-5)
    return World(
        net=FLAT,
        shards=dealt(learn, clients, alpha=100.0, draw=np.random.default_rng(3)),
        strategy=strategy("FedAvg", {"serverLearningRate": "4"}),
        invited=clients,
        recipe=Recipe(epochs=1, rate=1.0),
        privacy=Privacy(bound=1.0, multiplier=multiplier, budget=budget, **more),
    )


def test_a_thousand_clients_learn_under_noise_and_within_a_budget() -> None:
    """z = 4 over 1,000 clients costs them little accuracy; five rounds cost an epsilon of 2.45, and
    the sixth, which would break the budget, is refused."""
    world = a_private_world(1000, 4.0, 2.6)
    course = run(world, 5)
    assert len(course.used) == 1000
    assert course.ledger.epsilon(1e-5) == pytest.approx(2.453, abs=0.01)
    assert 100 * FLAT.accuracy(course.model, digits()[1]) > 65
    with pytest.raises(Refusal, match="budget"):
        run(world, 1, course)


def test_noise_of_few_clients_drowns_what_they_learn() -> None:
    """The same noise over 20 clients is fifty times as much in the model."""
    scores = [
        FLAT.accuracy(run(a_private_world(20, z, 1e9), 5).model, digits()[1]) for z in (4.0, 0.01)
    ]
    assert scores[0] < scores[1] - 0.3


def test_a_norm_that_follows_under_noise_comes_near_what_clients_send() -> None:
    """From far below it rises by its noised count, and the run pays no more for that."""
    adapt = AdaptiveBound(rate=1.0)
    world = a_private_world(100, 4.0, 1e9, adapt=adapt)
    assert world.privacy is not None
    world = replace(world, privacy=replace(world.privacy, bound=0.01))
    course = run(world, 8)
    assert course.bound is not None
    assert course.bound > 0.2
    assert course.ledger.rounds == ((4.0, 1.0, 8),)


def test_fedprox_pulls_towards_the_model_it_began_from() -> None:
    """A large mu leaves the delta small: the gradient of mu/2 ||w - x||^2."""
    world = a_world()
    shard, base = next(iter(world.shards.values())), begun(world).model
    lengths = [
        float(
            np.linalg.norm(
                NET.sgd(base, shard, Recipe(epochs=5, mu=mu), np.random.default_rng(1))[0] - base
            )
        )
        for mu in (0.0, 1.0, 5.0)
    ]
    assert lengths[0] > lengths[1] > lengths[2]
