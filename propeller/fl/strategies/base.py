"""What a strategy is: from a base model and a closed set of updates to the next model.

A pure function of its arguments, so that a round can be recomputed by anyone who has them. What
must outlive a round (momentum, control variates) is bytes with a digest. Strategies are made by
`registry.strategy`, which knows ours and those of other packages.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from propeller.fl.errors import Refusal, Why
from propeller.fl.fold import Contribution

Vector = NDArray[np.float32]
Sum = NDArray[np.float64]

STATE_MAGIC: Final = b"PFS1"
_MAX_HEAD: Final = 4096


class Trait:
    """What a strategy asks of a round, for `compatible`."""

    RANKS = "ranks"  # looks at single updates: a sum is not enough
    STEPS = "steps"  # needs local steps in every update
    CONTROL = "control"  # keeps a control variate on each device
    ASYNC = "async"  # takes updates of older bases


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """base: f32 (P,). contributions: in any order, one a proplet. state: what the last step left,
    None in the first round. clients: how many could ever take part (SCAFFOLD's N)."""

    base: Vector
    contributions: tuple[Contribution, ...]
    state: bytes | None = None
    clients: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """model: f32 (P,). state: for the next round. used: proplets whose updates counted.

    notes: words and numbers for the round's file.
    """

    model: Vector
    state: bytes | None = None
    used: frozenset[str] = frozenset()
    notes: Mapping[str, str] = field(default_factory=dict)


class Strategy(Protocol):
    """See the module."""

    @property
    def name(self) -> str:
        """As specs say it."""

    @property
    def traits(self) -> frozenset[str]:
        """Out of `Trait`."""

    def trainer(self) -> Mapping[str, str]:
        """Parameters that every trainer is given, as decimal text."""

    def step(self, round_: Round) -> Step:
        """The next model. Raises Refusal (zero-weight, ...) when the updates give none."""


def pack_state(kind: str, step: int, **arrays: Sum) -> bytes:
    """Named f64 vectors as bytes: equal values, equal bytes."""
    head = json.dumps(
        {"kind": kind, "step": step, "arrays": {n: len(a) for n, a in sorted(arrays.items())}},
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    head += b" " * (-len(head) % 8)
    body = b"".join(arrays[name].astype("<f8").tobytes() for name in sorted(arrays))
    return STATE_MAGIC + struct.pack("<I", len(head)) + head + body


def unpack_state(data: bytes, kind: str, count: int, *names: str) -> tuple[int, dict[str, Sum]]:
    """Steps taken and the vectors called `names`, each of `count`. Raises Refusal (model) for
    other bytes."""
    try:
        if data[:4] != STATE_MAGIC:
            raise ValueError("no PFS1 header")
        size = struct.unpack_from("<I", data, 4)[0]
        if size > _MAX_HEAD:
            raise ValueError("a long header")
        head = json.loads(data[8 : 8 + size])
        if head["kind"] != kind or any(n != count for n in head["arrays"].values()):
            raise ValueError(f"state of {str(head['kind'])[:40]}")
        if sorted(head["arrays"]) != sorted(names):
            raise ValueError("other vectors than the strategy keeps")
        steps = head["step"]
        if type(steps) is not int or steps < 0:
            raise ValueError("a step that is no count")
        body = np.frombuffer(data, "<f8", offset=8 + size)
        if len(body) != count * len(names):
            raise ValueError("cut short")
        if not np.isfinite(body).all():
            raise ValueError("a NaN or an infinity")
        parts = body.astype(np.float64).reshape(len(names), count)
        return steps, dict(zip(sorted(names), parts, strict=True))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise Refusal(Why.MODEL, f"not the strategy's state: {error}") from error


def moved(base: Vector, delta: Sum) -> Vector:
    """base + delta with one rounding. Raises Refusal (not-finite)."""
    with np.errstate(over="ignore"):
        found = (base.astype(np.float64) + delta).astype(np.float32)
    if not np.isfinite(found).all():
        raise Refusal(Why.NOT_FINITE, "the next model would not be finite")
    return found


def names_of(contributions: tuple[Contribution, ...]) -> frozenset[str]:
    """Their proplets."""
    return frozenset(one.proplet for one in contributions)
