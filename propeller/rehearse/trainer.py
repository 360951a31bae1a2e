"""A training guest that is pure arithmetic: a delta of seeded numbers, in a real, signed PFU1.

What it makes depends on its entry alone (seed, base, format), as a guest's must (federated.md 4.8).
Where a `pupil` is given, that one learns from the model of the round instead.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from propeller.fl.encodings import encode
from propeller.fl.layout import Layout
from propeller.fl.model import read_model
from propeller.fl.strategies.stateful import CONTROLLED, Scaffold, change_of
from propeller.wire.messages import Entry, WireTraining
from propeller.wire.signing import SigningKey
from propeller.wire.updates import Flag, Update, pack, signed_bytes, update_id
from proplet.runtime.private import veil_of, veiled

MAX_COUNT = 1 << 24
"""Parameters of the largest model of a simulation."""

Masked = Callable[[WireTraining, np.ndarray, int], bytes]
"""(what is asked, delta, samples) -> the body of a masked update."""

Twist = Callable[[str, bytes], bytes]
"""What a liar makes of the update it should send: (proplet, bytes) -> bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a pupil made of a round: f32 in layout order, records it has, steps it took."""

    delta: np.ndarray
    samples: int
    steps: int = 0


Pupil = Callable[[str, WireTraining, Layout, np.ndarray], Learnt]
"""(proplet, training, layout, parameters to start from) -> what it learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """count: numbers of the model. samples: of a proplet, by name, else 10. twist: see `Twist`.

    steps: local steps it tells, by name, else none. score: the accuracy that a measurement of round
    n gives. entropy: what the device's own noise is made of. pupil: who really learns, which needs
    a job with a model.
    """

    count: int = 4
    samples: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    score: Callable[[int], float] = lambda number: 0.5 + number / 100
    twist: Twist = lambda _proplet, data: data
    declines: frozenset[str] = frozenset()
    entropy: Callable[[int], bytes] = lambda size: b"\7" * size
    pupil: Pupil | None = None

    def delta(self, training: WireTraining) -> np.ndarray:
        """The numbers of that seed."""
        rng = random.Random(training.seed)
        return np.array([rng.uniform(-1, 1) for _ in range(self.count)], np.float32)

    def _learnt(
        self, training: WireTraining, proplet: str, blobs: Mapping[str, bytes]
    ) -> tuple[Layout, np.ndarray, Learnt]:
        """The layout, where it started, and what it learnt."""
        if self.pupil is None:
            samples, steps = self.samples.get(proplet, 10), self.steps.get(proplet, 0)
            layout = Layout.flat(self.count)
            zeros = np.zeros(self.count, np.float32)
            return layout, zeros, Learnt(delta=self.delta(training), samples=samples, steps=steps)
        assert training.model is not None, "a pupil starts from a model"
        layout, base = read_model(blobs[training.model.digest], max_count=MAX_COUNT)
        return layout, base, self.pupil(proplet, training, layout, base)

    def update(
        self,
        entry: Entry,
        proplet: str,
        key: SigningKey,
        blobs: Mapping[str, bytes],
        *,
        masked: Masked | None = None,
    ) -> bytes:
        """The whole file. blobs: what the device has fetched. masked: how it hides a delta where
        only a sum may be seen."""
        training = entry.fl
        assert training is not None and training.step == "train"
        layout, base, learnt = self._learnt(training, proplet, blobs)
        delta, veil = learnt.delta, veil_of(training.clip, training.noise)
        if veil is not None:
            delta = veiled(delta, veil, self.entropy)
        if CONTROLLED in dict(training.params):
            delta = self._doubled(training, delta, learnt.steps, blobs)
            layout = Layout.flat(len(delta))
        samples, meta = learnt.samples, {"loss": f"{1 / training.round:.4f}"}
        flags = Flag(0) if veil is None else Flag.CLIPPED
        if training.format == "f32-full":
            flags |= Flag.FULL
        if training.secure is None:
            body = encode(training.format, delta, base=base, layout=layout).body
        else:
            assert masked is not None
            body = masked(training, delta, samples)
            samples, meta, flags = 1, {}, flags | Flag.SECURE
        update = Update(
            encoding=training.format,
            job=uuid.UUID(training.job).bytes,
            round=training.round,
            attempt=training.attempt,
            samples=samples,
            steps=learnt.steps,
            count=layout.count,
            base=training.model.digest if training.model is not None else "",
            layout=training.layout.digest if training.layout is not None else "",
            meta=meta,
            flags=flags,
            body=body,
        )
        # The name covers the header, which says that it is signed, but not the signature.
        unsigned = pack(replace(update, signature=bytes(64)))
        signature = key.sign(signed_bytes(update_id(unsigned), training.nonce))
        return self.twist(proplet, unsigned[:-64] + signature)

    def _doubled(
        self, training: WireTraining, delta: np.ndarray, steps: int, blobs: Mapping[str, bytes]
    ) -> np.ndarray:
        """A delta with the change of the device's control variate behind it."""
        state = None if training.control is None else blobs[training.control.digest]
        control = Scaffold().control(state, len(delta))
        rate = float(dict(training.params)["learningRate"])
        return np.concatenate((delta, change_of(control, delta, steps=steps, rate=rate)))

    def measurement(self, entry: Entry, proplet: str) -> str:
        """What an evaluating guest says."""
        assert entry.fl is not None
        metrics = {"accuracy": f"{self.score(entry.fl.round):.4f}"}
        return json.dumps({"metrics": metrics, "samples": self.samples.get(proplet, 10)})


HONEST = Trainer()
