"""`python -m examples.fl.watch.prepare OUT`: seglearn's watch data, one device for each arm.

140 recordings of a smart watch (three axes of acceleration, three of rotation, 50 Hz) of ten people
doing seven exercises of the shoulder, on the left or on the right. A device is one person's one
side: twenty clients as life made them, `watch-1-0` .. `watch-10-1`. Windows of 128 samples every 64
become 30 features: mean, deviation, least, most and mean step of each axis, put to mean 0 and
deviation 1 over all training windows. The last quarter of every recording is the test set, which
every device gets whole. Needs the package `seglearn`; see docs/how-to/write-a-trainer.md.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.fl.records import Features, Labels, first_model, write_records

WINDOW, EVERY = 128, 64
SEED = 42
MLP = (("w1", (64, 30)), ("b1", (64,)), ("w2", (7, 64)), ("b2", (7,)))
SOFTMAX = (("w", (7, 30)), ("b", (7,)))

Client = tuple[int, int]
"""Person from 1, side (1: right)."""


def load() -> tuple[dict[Client, tuple[Features, Labels]], tuple[Features, Labels]]:
    """Training windows of each client, and the test set of all."""
    spec = importlib.util.find_spec("seglearn")  # found, not imported: only its data are needed
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the package seglearn is not installed: pip install seglearn")
    place = Path(next(iter(spec.submodule_search_locations))) / "data" / "watch_dataset.npy"
    # A pickle: taken from the package that pip verified, and from nowhere else.
    raw = np.load(place, allow_pickle=True).item()
    parts: dict[Client, list[tuple[NDArray[np.float64], int]]] = {}
    tests: list[tuple[NDArray[np.float64], int]] = []
    for series, label, person, side in zip(
        raw["X"], raw["y"], raw["subject"], raw["side"], strict=True
    ):
        cut = len(series) * 3 // 4
        client = int(person), int(side)
        parts.setdefault(client, []).append((_windows(series[:cut]), int(label)))
        tests.append((_windows(series[cut:]), int(label)))
    everything = np.concatenate([rows for found in parts.values() for rows, _ in found])
    mean, deviation = everything.mean(axis=0), everything.std(axis=0)
    order = np.random.RandomState(SEED)  # its stream is frozen by promise

    def joined(found: list[tuple[NDArray[np.float64], int]]) -> tuple[Features, Labels]:
        rows = (np.concatenate([rows for rows, _ in found]) - mean) / deviation
        labels = np.concatenate([np.full(len(rows), label) for rows, label in found])
        shuffled = order.permutation(len(labels))
        return rows[shuffled].astype(np.float32), labels[shuffled].astype(np.int32)

    return {client: joined(parts[client]) for client in sorted(parts)}, joined(tests)


def _windows(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shape (windows, 30)."""
    rows = []
    for at in range(0, len(series) - WINDOW + 1, EVERY):
        part = series[at : at + WINDOW]
        steps = np.abs(np.diff(part, axis=0)).mean(axis=0)
        stats = (part.mean(axis=0), part.std(axis=0), part.min(axis=0), part.max(axis=0), steps)
        rows.append(np.concatenate(stats))
    return np.array(rows).reshape(-1, 30)


def prepare(out: Path) -> None:
    """Writes OUT/watch-PERSON-SIDE/train.pfr and test.pfr for every client."""
    clients, (test_features, test_labels) = load()
    for (person, side), (features, labels) in clients.items():
        folder = out / f"watch-{person}-{side}"
        write_records(folder / "train.pfr", features, labels)
        write_records(folder / "test.pfr", test_features, test_labels)


def models() -> dict[str, bytes]:
    """The models training starts from, by file name; they are committed beside the specs."""
    return {
        "mlp.safetensors": first_model(MLP, seed=SEED),
        "softmax.safetensors": first_model(SOFTMAX, seed=SEED),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m examples.fl.watch.prepare OUT")
    prepare(Path(sys.argv[1]))
    print(f"20 devices in {sys.argv[1]}")
