"""Many clients in one process: local SGD in numpy, and the very code that a real round runs.

For tests of accuracy and poisoning, for measurements, and for whoever writes a strategy: selection,
envelope, admission, the look at lengths, fold and strategy are the real ones; only devices, broker
and store are missing. Pure: all chance is drawn from a seed, so a run has one result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from propeller.fl.admit import FAR, Assignment, admit, far_out
from propeller.fl.encodings import encode
from propeller.fl.errors import Refusal
from propeller.fl.fold import Contribution, Held, Vector
from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import model_digest, write_model
from propeller.fl.privacy.accounting import Budget, Ledger
from propeller.fl.privacy.clipping import AdaptiveBound, count_noise, split
from propeller.fl.privacy.noise import Mechanism
from propeller.fl.select import invited_count, select, training_seed
from propeller.fl.strategies.base import Round, Strategy
from propeller.wire.updates import Flag, Update, pack

NOTHING_SPENT = Ledger(job="simulation")

Labels = NDArray[np.int64]
Draw = np.random.Generator


@dataclass(frozen=True, slots=True)
class Shard:
    """One client's data: x f32 (n, features), y (n,)."""

    x: Vector
    y: Labels


@dataclass(frozen=True, slots=True)
class Mlp:
    """One hidden layer of rectifiers, softmax and cross-entropy; hidden 0: softmax regression."""

    features: int
    hidden: int
    classes: int

    @property
    def layout(self) -> Layout:
        """w1, b1, w2, b2, or w, b."""
        if not self.hidden:
            return Layout.of(
                Tensor("w", (self.features, self.classes)), Tensor("b", (self.classes,))
            )
        return Layout.of(
            Tensor("w1", (self.features, self.hidden)),
            Tensor("b1", (self.hidden,)),
            Tensor("w2", (self.hidden, self.classes)),
            Tensor("b2", (self.classes,)),
        )

    def initial(self, draw: Draw) -> Vector:
        """He's start for weights, zeros for the rest."""
        parts = [
            draw.normal(0, (2 / tensor.shape[0]) ** 0.5, tensor.count)
            if len(tensor.shape) == 2
            else np.zeros(tensor.count)
            for tensor in self.layout.tensors
        ]
        return np.concatenate(parts).astype(np.float32)

    def parts(self, flat: Vector) -> list[Vector]:
        """Views, in layout order."""
        return [
            flat[at : at + tensor.count].reshape(tensor.shape) for tensor, at in self.layout.offsets
        ]

    def scores(self, parts: Sequence[Vector], x: Vector) -> tuple[Vector, Vector]:
        """What the last layer sees, and its raw outputs."""
        inner = x
        if self.hidden:
            inner = np.maximum(x @ parts[0] + parts[1], 0)
        return inner, inner @ parts[-2] + parts[-1]

    def accuracy(self, flat: Vector, shard: Shard) -> float:
        """Share of `shard` that is classified as it is labelled."""
        raw = self.scores(self.parts(flat), shard.x)[1]
        return float(np.mean(raw.argmax(axis=1) == shard.y))

    def sgd(self, flat: Vector, shard: Shard, recipe: Recipe, draw: Draw) -> tuple[Vector, int]:
        """Parameters after the recipe, and how many steps that took."""
        whole = flat.copy()
        parts, start = self.parts(whole), self.parts(flat)
        rate, steps = np.float32(recipe.rate), 0
        for _ in range(recipe.epochs):
            order = draw.permutation(len(shard.y))
            for at in range(0, len(order), recipe.batch):
                rows = order[at : at + recipe.batch]
                x, y = shard.x[rows], shard.y[rows]
                inner, raw = self.scores(parts, x)
                raw = np.exp(raw - raw.max(axis=1, keepdims=True))
                wrong = raw / raw.sum(axis=1, keepdims=True)
                wrong[np.arange(len(y)), y] -= 1
                wrong /= np.float32(len(y))
                gradients = [inner.T @ wrong, wrong.sum(axis=0)]
                if self.hidden:
                    back = (wrong @ parts[-2].T) * (inner > 0)
                    gradients = [x.T @ back, back.sum(axis=0), *gradients]
                for part, began, gradient in zip(parts, start, gradients, strict=True):
                    pulled = gradient
                    if recipe.mu:
                        pulled = gradient + np.float32(recipe.mu) * (part - began)
                    np.subtract(part, rate * pulled, out=part)
                steps += 1
        return whole, steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Of local training. mu: FedProx's."""

    epochs: int = 1
    batch: int = 16
    rate: float = 0.1
    mu: float = 0.0


Attack = Callable[[Vector], Vector]
"""What a malicious client makes of its delta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Central differential privacy of a run: `multiplier` times `bound` over `weight`, the whole
    weight of the expected cohort, paid from `budget`. cap: samples that give the whole weight."""

    bound: float
    multiplier: float
    budget: Budget
    cap: int | None = None
    adapt: AdaptiveBound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a run is about. invited: clients a round. attacks: by client, empty for honest ones.

    dropout: the share of the invited who never answer. far: as `admit.far_out` takes it; infinite
    to see what a strategy does on its own. privacy: noise in every fold.
    """

    net: Mlp
    shards: Mapping[str, Shard]
    strategy: Strategy
    invited: int
    recipe: Recipe = Recipe()
    encoding: str = "f32-delta"
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    dropout: float = 0.0
    far: float = FAR
    privacy: Privacy | None = None
    seed: int = 0

    @property
    def job(self) -> UUID:
        """Of the seed."""
        return UUID(int=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How far a run is. refused: words and how often; used: clients in the last model. ledger: what
    noise has cost. bound: the next clipping norm, where it follows updates."""

    round: int
    model: Vector
    state: bytes | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    used: frozenset[str] = frozenset()
    ledger: Ledger = NOTHING_SPENT
    bound: float | None = None

    @property
    def bytes(self) -> int:
        """Of its parameters."""
        return self.model.nbytes


def begun(world: World) -> Course:
    """Before the first round."""
    return Course(round=0, model=world.net.initial(np.random.default_rng([world.seed, 1])))


def run(world: World, rounds: int, course: Course | None = None) -> Course:
    """`rounds` rounds on. Raises Refusal where a round cannot be folded, or paid for (budget)."""
    found = begun(world) if course is None else course
    for _ in range(rounds):
        found = one_round(world, found)
    return found


def one_round(world: World, course: Course) -> Course:
    """Select, train, send, admit, look at lengths, fold."""
    number, layout = course.round + 1, world.net.layout
    seed, job = world.seed.to_bytes(16), str(world.job)
    base = model_digest(write_model(layout, course.model))
    count = invited_count(target=world.invited, over=Fraction(1), eligible=len(world.shards))
    cohort = select(world.shards, count=count, seed=seed, job=job, round_=number, attempt=1)
    asked = Assignment(
        job=job,
        round=number,
        attempt=1,
        nonce="",
        base=base,
        layout=layout.digest,
        encoding=world.encoding,
    )
    refused = dict(course.refused)
    admitted: dict[str, tuple[Contribution, float]] = {}
    for client in cohort:
        text = training_seed(seed, job=job, round_=number, attempt=1, proplet=client)
        draw = np.random.default_rng(int(text, 16))
        if world.dropout and draw.random() < world.dropout:
            continue
        try:
            found = admit(_sent(world, course, asked, client, draw), asked, layout, course.model)
        except Refusal as error:
            refused[error.why.value] = refused.get(error.why.value, 0) + 1
            continue
        contribution = Contribution(
            proplet=client,
            samples=found.update.samples,
            deltas=Held(found.delta),
            body=found.update.body_digest,
            steps=found.update.steps,
        )
        admitted[client] = (contribution, found.norm)
    if world.privacy is not None:
        return _noised(world, course, world.privacy, admitted, refused)
    far = far_out({client: norm for client, (_, norm) in admitted.items()}, times=world.far)
    if far:
        refused["huge-norm"] = refused.get("huge-norm", 0) + len(far)
    step = world.strategy.step(
        Round(
            base=course.model,
            contributions=tuple(one for name, (one, _) in admitted.items() if name not in far),
            state=course.state,
            clients=len(world.shards),
        )
    )
    return Course(round=number, model=step.model, state=step.state, refused=refused, used=step.used)


def _noised(
    world: World,
    course: Course,
    privacy: Privacy,
    admitted: Mapping[str, tuple[Contribution, float]],
    refused: Mapping[str, int],
) -> Course:
    """The rest of a round under noise: paid first; nobody is left out for what others sent."""
    multiplier, adapt = privacy.multiplier, privacy.adapt
    ledger = course.ledger.pay(privacy.budget, multiplier=multiplier)
    draw = np.random.default_rng([world.seed, course.round + 1, 2])
    bound = course.bound or privacy.bound
    following = None
    if adapt is not None:
        counts = count_noise(world.invited)
        multiplier = split(multiplier, counts=counts)
        norms = [norm for _, norm in admitted.values()]
        noise = float(draw.standard_normal()) * counts
        following = replace(adapt, bound=bound).after(norms, noise=noise, members=world.invited)
    mechanism = Mechanism(
        bound=bound, multiplier=multiplier, weight=float(world.invited), cap=privacy.cap
    )
    mean = mechanism.mean((one for one, _ in admitted.values()), len(course.model), draw)
    one = Contribution(proplet="", samples=1, deltas=Held(mean.astype(np.float32)))
    step = world.strategy.step(
        Round(base=course.model, contributions=(one,), state=course.state, clients=0)
    )
    return Course(
        round=course.round + 1,
        model=step.model,
        state=step.state,
        refused=refused,
        used=frozenset(admitted),
        ledger=ledger,
        bound=None if following is None else following.bound,
    )


def _sent(world: World, course: Course, asked: Assignment, client: str, draw: Draw) -> bytes:
    """The packed update of one client."""
    shard, layout = world.shards[client], world.net.layout
    trained, steps = world.net.sgd(course.model, shard, world.recipe, draw)
    delta = (trained.astype(np.float64) - course.model).astype(np.float32)
    if client in world.attacks:
        delta = world.attacks[client](delta)
    sent = encode(world.encoding, delta, base=course.model, layout=layout, uniform=draw)
    return pack(
        Update(
            encoding=world.encoding,
            job=world.job.bytes,
            round=asked.round,
            attempt=1,
            samples=len(shard.y),
            count=layout.count,
            base=asked.base,
            layout=asked.layout,
            steps=steps,
            flags=Flag.FULL if world.encoding == "f32-full" else Flag(0),
            body=sent.body,
        )
    )


def dealt(data: Shard, clients: int, *, alpha: float, draw: Draw) -> dict[str, Shard]:
    """`data` among `clients`, classes by Dirichlet(alpha): 100 is even, 0.1 is a class or two.

    Nobody goes empty: who got nothing is given one record of whoever has most.
    """
    owner = np.empty(len(data.y), np.int64)
    for label in np.unique(data.y):
        rows = draw.permutation(np.flatnonzero(data.y == label))
        shares = draw.dirichlet(np.full(clients, alpha))
        cuts = np.round(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
        for client, part in enumerate(np.split(rows, cuts)):
            owner[part] = client
    sizes = np.bincount(owner, minlength=clients)
    for empty in np.flatnonzero(sizes == 0):
        richest = int(sizes.argmax())
        owner[np.flatnonzero(owner == richest)[0]] = empty
        sizes[richest] -= 1
        sizes[empty] = 1
    return {
        f"c{client:05}": Shard(data.x[owner == client], data.y[owner == client])
        for client in range(clients)
    }


def mislabelled(shard: Shard, classes: int) -> Shard:
    """Labels the other way round: 9 - y of ten."""
    return replace(shard, y=classes - 1 - shard.y)


def scaled(factor: float) -> Attack:
    """A delta times `factor`; -3 pushes away three times as hard as one pulls."""

    def attack(delta: Vector) -> Vector:
        return (delta * np.float32(factor)).astype(np.float32)

    return attack
