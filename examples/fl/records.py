"""Writes what the example devices train on: record files and a first model. Called by `prepare`.

The format is that of docs/reference/federated-guest.md: a 32-byte header, then records of f32
features and an i32 label. All chance is `random.Random(seed)`, whose numbers Python promises to
keep, so the same packages give the same bytes everywhere.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.int32]


def write_records(path: Path, features: Features, labels: Labels) -> None:
    """One file of (n, k) features and (n,) labels."""
    count, width = features.shape
    rows = np.empty((count, width + 1), "<i4")
    rows[:, :width] = np.ascontiguousarray(features, "<f4").view("<i4")
    rows[:, width] = labels
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<4sIIIQQ", b"PFR1", width, 1, 0, count, 0) + rows.tobytes())


def read_records(path: Path) -> tuple[Features, Labels]:
    """The inverse of `write_records`."""
    data = path.read_bytes()
    _, width, labels, _, count, _ = struct.unpack_from("<4sIIIQQ", data)
    rows = np.frombuffer(data, "<i4", offset=32).reshape(count, width + labels)
    return rows[:, :width].copy().view("<f4").astype(np.float32), rows[:, width].astype(np.int32)


def dirichlet_shards(
    labels: Labels, *, shards: int, alpha: float, seed: int, least: int = 16
) -> list[list[int]]:
    """Indices of each shard: of every class a share drawn from Dirichlet(alpha).

    Drawn again until every shard has at least `least` records.
    """
    rng = random.Random(seed)
    while True:
        taken: list[list[int]] = [[] for _ in range(shards)]
        for label in sorted(set(labels.tolist())):
            found = np.flatnonzero(labels == label).tolist()
            rng.shuffle(found)
            drawn = [rng.gammavariate(alpha, 1.0) for _ in range(shards)]
            total, so_far, begin = math.fsum(drawn), 0.0, 0
            for shard, share in enumerate(drawn):
                so_far += share / total
                end = len(found) if shard == shards - 1 else round(so_far * len(found))
                taken[shard] += found[begin:end]
                begin = end
        if min(len(shard) for shard in taken) >= least:
            for shard in taken:
                rng.shuffle(shard)
            return taken


def first_model(shapes: Sequence[tuple[str, tuple[int, ...]]], *, seed: int) -> bytes:
    """A model file of these tensors: matrices uniform as He has it, everything else zero."""
    from propeller.fl.layout import Layout, Tensor
    from propeller.fl.model import write_model

    rng = random.Random(seed)
    layout = Layout.of(*(Tensor(name, shape) for name, shape in shapes))
    values: list[float] = []
    for tensor in layout.tensors:
        if len(tensor.shape) == 2:
            bound = math.sqrt(6.0 / tensor.shape[1])
            values += [rng.uniform(-bound, bound) for _ in range(tensor.count)]
        else:
            values += [0.0] * tensor.count
    return write_model(layout, np.array(values, np.float32))
