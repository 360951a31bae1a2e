"""What rounds have cost: Renyi differential privacy, added up, and turned into (epsilon, delta).

Gaussian mechanism at order a: a / (2 z^2). Poisson-sampled with rate q, integer a (Mironov et al.
2019): 1/(a-1) * log sum_k C(a,k) (1-q)^(a-k) q^k exp((k^2-k) / (2 z^2)). Rounds add. Conversion
(Canonne et al. 2020): eps = rdp + log1p(-1/a) - log(delta a)/(a-1), the least over orders.

A cohort chosen by a seed that anyone can read is not a secret sample, so q is 1 unless the caller
knows better: no amplification by default. The unit of protection is one client; neighbouring fleets
differ by one client's presence, which is why nothing here depends on who came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from propeller.errors import UsageError
from propeller.fl.errors import Refusal, Why

FRACTIONS: Final = tuple(1 + step / 20 for step in range(1, 20))
WHOLE: Final = (*range(2, 257), 320, 384, 512, 768, 1024, 2048, 4096)
ORDERS: Final = (*FRACTIONS, *WHOLE)
VERSION: Final = 1
LEAST: Final = 1e-6
MOST: Final = 1e6
"""Of a noise multiplier; what is outside is a mistake, and its square may be no number."""


def renyi(order: float, *, multiplier: float, rate: float = 1.0) -> float:
    """The cost of one round at `order`. rate: q; below 1 the order is a whole number."""
    if rate == 1.0:
        return order / (2 * multiplier**2)
    if rate == 0.0:
        return 0.0
    whole = int(order)
    assert whole == order, "sampled: whole orders only"
    logs = [
        math.lgamma(whole + 1)
        - math.lgamma(k + 1)
        - math.lgamma(whole - k + 1)
        + (whole - k) * math.log1p(-rate)
        + k * math.log(rate)
        + (k * k - k) / (2 * multiplier**2)
        for k in range(whole + 1)
    ]
    top = max(logs)
    return (top + math.log(math.fsum(math.exp(one - top) for one in logs))) / (whole - 1)


def converted(cost: float, order: float, delta: float) -> float:
    """The epsilon of a cost at one order; at least 0."""
    epsilon = cost + math.log1p(-1 / order) - math.log(delta * order) / (order - 1)
    return max(epsilon, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a job may spend: no round is begun that would go past `epsilon` at `delta`."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise UsageError(f"privacy: maxEpsilon must be above 0, not {self.epsilon:g}")
        if not 0 < self.delta < 1:
            raise UsageError(f"privacy: delta must be between 0 and 1, not {self.delta:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What a job has spent so far: rounds by (multiplier, rate). Written down *before* the noised
    model is: a crash between the two spends a round for nothing and never the other way round."""

    job: str
    rounds: tuple[tuple[float, float, int], ...] = ()

    @property
    def spent(self) -> int:
        """Rounds in all."""
        return sum(times for _, _, times in self.rounds)

    def epsilon(self, delta: float) -> float:
        """What all of it costs at `delta`; 0 for nothing."""
        if not self.rounds:
            return 0.0
        sampled = any(rate != 1.0 for _, rate, _ in self.rounds)
        return min(
            converted(
                math.fsum(
                    times * renyi(order, multiplier=multiplier, rate=rate)
                    for multiplier, rate, times in self.rounds
                ),
                order,
                delta,
            )
            for order in (WHOLE[:255] if sampled else ORDERS)
        )

    def after(self, *, multiplier: float, rate: float = 1.0) -> Ledger:
        """With one more round."""
        if not (LEAST <= multiplier <= MOST and 0 <= rate <= 1):
            raise UsageError(f"privacy: a round of noise {multiplier:g} at rate {rate:g}")
        known = {(z, q): times for z, q, times in self.rounds}
        known[multiplier, rate] = known.get((multiplier, rate), 0) + 1
        return replace(self, rounds=tuple((*key, times) for key, times in sorted(known.items())))

    def pay(self, budget: Budget, *, multiplier: float, rate: float = 1.0) -> Ledger:
        """With one more round, if the budget has it. Raises Refusal (budget)."""
        found = self.after(multiplier=multiplier, rate=rate)
        cost = found.epsilon(budget.delta)
        if cost > budget.epsilon:
            raise Refusal(
                Why.BUDGET,
                f"round {found.spent} would spend epsilon {cost:.4g} of {budget.epsilon:g} at "
                f"delta {budget.delta:g}",
            )
        return found

    def to_json(self) -> bytes:
        """As it is kept: equal ledgers, equal bytes."""
        document = {"job": self.job, "rounds": [list(row) for row in self.rounds], "v": VERSION}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes | None, *, job: str, rounds: int) -> Ledger:
        """What was kept of `job`, of which at least `rounds` rounds are committed.

        Raises Refusal (ledger) where it is missing, unreadable, another job's or too short: a lost
        ledger stops a job, it does not start over at nothing.
        """
        if data is None:
            if rounds:
                raise Refusal(Why.LEDGER, f"missing, with {rounds} rounds committed")
            return cls(job=job)
        try:
            document = json.loads(data)
            rows = document["rounds"]
            if document["v"] != VERSION or document["job"] != job:
                raise ValueError("of another job or version")
            found = cls(job=job, rounds=tuple(_row(row) for row in rows))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise Refusal(Why.LEDGER, f"unreadable: {error}") from error
        if found.spent < rounds:
            raise Refusal(Why.LEDGER, f"knows {found.spent} rounds of {rounds}")
        return found

    def facts(self, delta: float) -> Mapping[str, str]:
        """For the round's file."""
        return {"epsilon": f"{self.epsilon(delta):.6g}", "delta": f"{delta:g}"}


def _row(row: object) -> tuple[float, float, int]:
    if not isinstance(row, list) or len(row) != 3:
        raise ValueError("a row is [multiplier, rate, rounds]")
    multiplier, rate, times = row
    if type(multiplier) is not float or type(rate) is not float or type(times) is not int:
        raise ValueError("a row of other types")
    if not (LEAST <= multiplier <= MOST and 0 <= rate <= 1 and 0 < times < 1 << 53):
        raise ValueError("a row out of range")
    return multiplier, rate, times
