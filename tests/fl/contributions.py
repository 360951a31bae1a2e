"""Updates to fold, for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from propeller.fl.fold import Contribution, Held, Spooled

Vector = NDArray[np.float32]


def vector(*numbers: float) -> Vector:
    """f32."""
    return np.array(numbers, np.float32)


def given(
    *deltas: Sequence[float] | Vector,
    samples: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
    staleness: Sequence[int] | None = None,
) -> tuple[Contribution, ...]:
    """One of each proplet p0000, p0001, ..."""
    return tuple(
        Contribution(
            proplet=f"p{index:04}",
            samples=samples[index] if samples else 1,
            deltas=Held(np.asarray(delta, np.float32)),
            steps=steps[index] if steps else 0,
            staleness=staleness[index] if staleness else 0,
        )
        for index, delta in enumerate(deltas)
    )


def spooled(delta: Vector) -> Spooled:
    """As a round's worker keeps it: bytes that are read in pieces."""
    data = b"head" + delta.astype("<f4").tobytes()
    return Spooled(partial(_read, data), 4)


def _read(data: bytes, count: int, offset: int) -> bytes:
    return data[offset : offset + count]


def crowd(count: int, size: int, *, seed: int = 1) -> tuple[Contribution, ...]:
    """`count` updates of `size` normal numbers and a few samples each."""
    draw = np.random.default_rng(seed)
    samples = [int(one) for one in draw.integers(1, 1000, count)]
    return given(*draw.normal(size=(count, size)).astype(np.float32), samples=samples)
