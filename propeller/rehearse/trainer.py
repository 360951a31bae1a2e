"""A training guest that is pure arithmetic: a delta of seeded numbers, in a real, signed PFU1.

What it makes depends on its entry alone (seed, base, format), as a guest's must (federated.md 4.8).
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from propeller.fl.encodings import encode
from propeller.fl.layout import Layout
from propeller.wire.messages import Entry, WireTraining
from propeller.wire.signing import SigningKey
from propeller.wire.updates import Flag, Update, pack, signed_bytes, update_id
from proplet.runtime.private import veil_of, veiled

Twist = Callable[[str, bytes], bytes]
"""What a liar makes of the update it should send: (proplet, bytes) -> bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """count: numbers of the model. samples: of a proplet, by name, else 10. twist: see `Twist`.

    steps: local steps it tells, by name, else none. score: the accuracy that a measurement of round
    n gives. entropy: what the device's own noise is made of.
    """

    count: int = 4
    samples: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    score: Callable[[int], float] = lambda number: 0.5 + number / 100
    twist: Twist = lambda _proplet, data: data
    declines: frozenset[str] = frozenset()
    entropy: Callable[[int], bytes] = lambda size: b"\7" * size

    def delta(self, training: WireTraining) -> np.ndarray:
        """The numbers of that seed."""
        rng = random.Random(training.seed)
        return np.array([rng.uniform(-1, 1) for _ in range(self.count)], np.float32)

    def update(self, entry: Entry, proplet: str, key: SigningKey) -> bytes:
        """The whole file."""
        training = entry.fl
        assert training is not None and training.step == "train"
        layout = Layout.flat(self.count)
        delta, veil = self.delta(training), veil_of(training.clip, training.noise)
        if veil is not None:
            delta = veiled(delta, veil, self.entropy)
        body = encode(training.format, delta, layout=layout).body
        update = Update(
            encoding=training.format,
            job=uuid.UUID(training.job).bytes,
            round=training.round,
            attempt=training.attempt,
            samples=self.samples.get(proplet, 10),
            steps=self.steps.get(proplet, 0),
            count=self.count,
            base=training.model.digest if training.model is not None else "",
            layout=training.layout.digest if training.layout is not None else "",
            meta={"loss": f"{1 / training.round:.4f}"},
            flags=Flag(0) if veil is None else Flag.CLIPPED,
            body=body,
        )
        # The name covers the header, which says that it is signed, but not the signature.
        unsigned = pack(replace(update, signature=bytes(64)))
        signature = key.sign(signed_bytes(update_id(unsigned), training.nonce))
        return self.twist(proplet, unsigned[:-64] + signature)

    def measurement(self, entry: Entry, proplet: str) -> str:
        """What an evaluating guest says."""
        assert entry.fl is not None
        metrics = {"accuracy": f"{self.score(entry.fl.round):.4f}"}
        return json.dumps({"metrics": metrics, "samples": self.samples.get(proplet, 10)})


HONEST = Trainer()
