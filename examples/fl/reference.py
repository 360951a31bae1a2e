"""The trainers of `modules/` in numpy, to check them by: same model, same steps, other code.

float32 throughout, but sums in numpy's order, so a round agrees to rounding and not to the bit.
`train` and `accuracy` take the flat parameters of a layout (mlp: w1, b1, w2, b2; softmax: w, b).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.fl.records import Features, Labels

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Net:
    """hidden: units of the hidden layer, 0 for softmax regression."""

    features: int
    classes: int
    hidden: int = 0

    @property
    def count(self) -> int:
        """Parameters in all."""
        inner = self.hidden or self.features
        first = self.hidden * (self.features + 1)
        return first + self.classes * (inner + 1)

    def parts(self, flat: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        """w1, b1, w2, b2 as views; the first two empty for softmax regression."""
        inner = self.hidden or self.features
        sizes = (self.hidden * self.features, self.hidden, self.classes * inner, self.classes)
        w1, b1, w2, b2 = np.split(flat, np.cumsum(sizes)[:-1])
        return w1.reshape(self.hidden, self.features), b1, w2.reshape(self.classes, inner), b2

    def scores(self, flat: Vector, x: Features) -> tuple[Vector, Vector]:
        """Hidden activations (or x itself) and class probabilities, a row a record."""
        w1, b1, w2, b2 = self.parts(flat)
        inner = np.maximum(x @ w1.T + b1, 0) if self.hidden else x
        raw = inner @ w2.T + b2
        raw = np.exp(raw - raw.max(axis=1, keepdims=True))
        return inner, raw / raw.sum(axis=1, keepdims=True)

    def gradient(self, flat: Vector, x: Features, y: Labels) -> Vector:
        """Of the mean cross-entropy of a batch."""
        inner, wrong = self.scores(flat, x)
        wrong[np.arange(len(y)), y] -= 1
        wrong /= np.float32(len(y))
        w2, b2 = wrong.T @ inner, wrong.sum(axis=0)
        if not self.hidden:
            return np.concatenate([w2.ravel(), b2])
        back = (wrong @ self.parts(flat)[2]) * (inner > 0)
        return np.concatenate([(back.T @ x).ravel(), back.sum(axis=0), w2.ravel(), b2])

    def accuracy(self, flat: Vector, x: Features, y: Labels) -> float:
        """Share of records whose likeliest class is theirs."""
        return float((self.scores(flat, x)[1].argmax(axis=1) == y).mean())

    def train(
        self,
        flat: Vector,
        x: Features,
        y: Labels,
        *,
        epochs: int = 5,
        batch: int = 16,
        rate: float = 0.1,
        mu: float = 0.0,
        seed: int = 0,
    ) -> Vector:
        """Parameters after so many epochs of mini-batch gradient descent."""
        rng, start, w = random.Random(seed), flat, flat.copy()
        for _ in range(epochs):
            at, wanted = 0, 1 + rng.randrange(batch)
            while at < len(y):
                part = slice(at, at + wanted)
                slope = self.gradient(w, x[part], y[part])
                w = (w - np.float32(rate) * (slope + np.float32(mu) * (w - start))).astype("f4")
                at, wanted = at + wanted, batch
        return w
