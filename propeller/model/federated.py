"""What people write about federated learning, after the schema.

`FederatedTask.terms` is what a round is held under: an edit takes effect with the next round, and
each round keeps the terms it was begun with. Numbers that are not whole stay text, digit by digit;
whoever counts with them makes fractions or floats of them (`over`, `fraction`, `Comparison.holds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from propeller.model.ids import Digest, Key
from propeller.model.parts import Limits, Meta, ModuleRef, Prune, RunSpec, Suspend
from propeller.model.privacy import Adapt, Local, Noise, adapt_of, local_of, noise_of
from propeller.model.selector import Selector

ZEROS = "Zeros"
MASKED = "secagg-u32"
"""The format of updates that are only seen as a sum."""
BUFFERED = "FedBuff"
"""The strategy that takes updates of older models."""
MEANS = ("FedAvg", "FedProx")
"""Strategies whose next model is the base and the mean, which is what sums of sites can give."""
SUMS = "f64-partial"
"""The format of updates of gateways that send the sums of their sites, and no rounding."""
MOST_STALE = 100
"""Rounds that an update may be behind where its spec does not say."""
Pairs = tuple[tuple[str, str], ...]


class Mode(StrEnum):
    """Train folds updates into the model; Infer only has the cohort measure it."""

    TRAIN = "Train"
    INFER = "Infer"


class Close(StrEnum):
    """When a round is full: at the target number of updates, or when all of the cohort ended."""

    TARGET = "Target"
    COHORT = "Cohort"


class Reveal(StrEnum):
    """What status files say of single proplets: nothing, or who did what."""

    AGGREGATES = "Aggregates"
    PROPLETS = "Proplets"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One f32 tensor: its name and the lengths of its dimensions, () for a single number."""

    name: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers it has."""
        total = 1
        for length in self.shape:
            total *= length
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Where training starts. initial: digest of the safetensors bytes, None for zeros.

    layout: the tensors of zeros. At most one of `file` and `image` is set, and only with `initial`.
    """

    file: str | None = None
    image: str | None = None
    initial: Digest | None = None
    layout: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """`metrics.accuracy >= 0.92`: the name of a metric, the operator, the number as text."""

    metric: str
    operator: str
    number: str

    def __str__(self) -> str:
        return f"metrics.{self.metric} {self.operator} {self.number}"

    def holds(self, metrics: Mapping[str, str]) -> bool:
        """Whether these metrics (decimal text by name) say so; False where it is not measured."""
        if self.metric not in metrics:
            return False
        value, limit = float(metrics[self.metric]), float(self.number)
        match self.operator:
            case ">=":
                return value >= limit
            case "<=":
                return value <= limit
            case ">":
                return value > limit
            case _:
                return value < limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """How a model is measured: after every so many rounds, by a share of those who may take part.

    metric, maximise: which is the best model. stop: finish once it holds. patience: finish after so
    many measurements without a new best; None: never.
    """

    every: int = 1
    fraction: str = "1"
    metric: str = "accuracy"
    maximise: bool = True
    stop: Comparison | None = None
    patience: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one round is held under. deadline: ms. over: a factor as text.

    target: updates that make it full; least: without which it is not committed.
    samples: the most one update counts for; None: as many as it says. clip: largest L2 norm of an
    update as text, "" for any; where it starts with `adapt`. local: what devices do first. secure:
    whether only sums are seen. aggregator: the module that is the strategy, "" for none.
    """

    mode: Mode = Mode.TRAIN
    target: int
    least: int
    over: str = "1.3"
    close: Close = Close.TARGET
    samples: int | None = None
    deadline: int
    strategy: str = "FedAvg"
    parameters: Pairs = ()
    format: str = "f32-delta"
    guest: str = "Env"
    hyperparameters: Pairs = ()
    evaluation: Evaluation | None = None
    clip: str = ""
    adapt: Adapt | None = None
    noise: Noise | None = None
    local: Local | None = None
    secure: bool = False
    aggregator: Digest = Digest("")

    def invited(self, eligible: int) -> int:
        """How many are invited of so many (federated.md 2.13, ruling 19)."""
        wanted = Fraction(self.target) * Fraction(self.over)
        return min(eligible, -(-wanted.numerator // wanted.denominator))

    @property
    def stale(self) -> int | None:
        """How many rounds behind an update may be; None where a round takes only its own."""
        if self.mode is Mode.INFER or self.strategy != BUFFERED:
            return None
        return int(dict(self.parameters).get("maxStaleness", MOST_STALE))

    @property
    def asked(self) -> tuple[object, ...]:
        """What a trainer is told of them, and what its update is looked at by."""
        told = (self.mode, self.strategy, self.parameters, self.format, self.guest)
        return (*told, self.hyperparameters, self.samples, self.local, self.secure)

    def judges(self, eligible: int) -> int:
        """How many of so many measure the model: their share, rounded up, at least one."""
        if self.evaluation is None:
            return min(eligible, self.target)
        share = Fraction(eligible) * Fraction(self.evaluation.fraction)
        return min(eligible, max(1, -(-share.numerator // share.denominator)))


@dataclass(frozen=True, slots=True)
class Promotion:
    """Which model is good enough, and who should use it.

    row: which of its models, "" for the only one. branch: whether the edit is pushed as a branch;
    eager: with each better model, not only at the end.
    """

    when: Comparison
    to: Key
    row: str = ""
    branch: bool = False
    eager: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedTask:
    """Federated learning over proplets whose data stay where they are.

    upstream: whether each is asked for by the fleet above.
    rounds: how many are to be committed. attempts: how often each is tried. retain: whether single
    updates are kept after their round, for whoever wants to verify it.
    """

    meta: Meta
    module: ModuleRef
    run: RunSpec
    limits: Limits
    selector: Selector
    model: ModelSpec | None
    rounds: int
    attempts: int
    terms: Terms
    reveal: Reveal = Reveal.AGGREGATES
    retain: bool = False
    promote: Promotion | None = None
    upstream: bool = False
    run_key: str = ""
    prune: Prune = Prune.ENABLED
    depends_on: tuple[Key, ...] = ()
    suspend: Suspend | None = None


def comparison(text: str) -> Comparison:
    """The inverse of `str`; spaces around the operator may be missing."""
    for operator in (">=", "<=", ">", "<"):
        left, found, right = text.partition(operator)
        if found:
            return Comparison(left.strip().removeprefix("metrics."), operator, right.strip())
    raise ValueError(f"{text!r} is no comparison")


def model_of(given: Mapping[str, Any] | None) -> ModelSpec | None:
    """`spec.model` in canonical form."""
    if given is None:
        return None
    initial = given.get("initial")
    return ModelSpec(
        file=given.get("file"),
        image=given.get("image"),
        initial=None if initial in (None, ZEROS) else Digest(initial),
        layout=tuple(
            TensorSpec(row["name"], tuple(row["shape"])) for row in given.get("layout", ())
        ),
    )


def terms_of(spec: Mapping[str, Any]) -> Terms:
    """The terms that a canonical spec means."""
    cohort, strategy = spec["cohort"], spec["strategy"]
    clipping = spec["privacy"].get("clipping")
    secure = spec["privacy"]["secureAggregation"] == "Enabled"
    return Terms(
        mode=Mode(spec["mode"]),
        target=cohort["clientsPerRound"],
        least=cohort["minClients"],
        over=cohort["overProvision"],
        close=Close(cohort["close"]),
        samples=cohort.get("maxSamples"),
        deadline=spec["roundDeadline"],
        strategy=strategy["name"],
        parameters=pairs(strategy["parameters"]),
        format=MASKED if secure else spec["updateFormat"],
        guest=spec["guest"]["model"],
        hyperparameters=pairs(spec["hyperparameters"]),
        evaluation=_evaluation(spec.get("evaluation")),
        clip=clipping["norm"] if clipping is not None else "",
        adapt=adapt_of(spec["privacy"]),
        noise=noise_of(spec["privacy"]),
        local=local_of(spec["privacy"]),
        secure=secure,
        aggregator=Digest(strategy.get("module", {}).get("digest", "")),
    )


def _evaluation(given: Mapping[str, Any] | None) -> Evaluation | None:
    if given is None:
        return None
    stop = given.get("stop", {})
    return Evaluation(
        every=given["every"],
        fraction=given["cohort"]["fraction"],
        metric=given["best"]["metric"],
        maximise=given["best"]["goal"] == "Max",
        stop=comparison(stop["when"]) if "when" in stop else None,
        patience=stop.get("patience"),
    )


def promotion_of(given: Mapping[str, Any] | None, namespace: str) -> Promotion | None:
    """`spec.promote`; who is promoted to lives in the same namespace."""
    if given is None:
        return None
    to = given["to"]
    return Promotion(
        comparison(given["when"]),
        Key(to["kind"], namespace, to["name"]),
        row=given.get("model", ""),
        branch=given.get("mode") == "Branch",
        eager=given.get("at") == "Better",
    )


def pairs(table: Mapping[str, str]) -> Pairs:
    """A table by name, sorted."""
    return tuple(sorted(table.items()))
