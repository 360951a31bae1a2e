"""`python -m examples.fl.digits.prepare OUT`: scikit-learn's digits, split over eight devices.

1797 images of 8 x 8 grey dots (pixel / 16), ten classes. 360 images, the same share of each class,
are the test set of every device; the other 1437 go to `digits-1` .. `digits-8` by Dirichlet(0.5):
most devices see few of the ten digits. Needs the package `scikit-learn`; see docs/how-to/
write-a-trainer.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from examples.fl.records import (
    Features,
    Labels,
    dirichlet_shards,
    first_model,
    write_records,
)

SHARDS = 8
SEED = 42
MLP = (("w1", (32, 64)), ("b1", (32,)), ("w2", (10, 32)), ("b2", (10,)))
SOFTMAX = (("w", (10, 64)), ("b", (10,)))


def load() -> tuple[Features, Labels, Features, Labels]:
    """Features and labels to train on, then those of the test set."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    found = load_digits()
    features = (found.data / 16.0).astype(np.float32)
    labels = found.target.astype(np.int32)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=360, random_state=SEED, stratify=labels
    )
    return features[train], labels[train], features[test], labels[test]


def prepare(out: Path) -> None:
    """Writes OUT/digits-N/train.pfr and test.pfr for every device."""
    features, labels, test_features, test_labels = load()
    for number, shard in enumerate(
        dirichlet_shards(labels, shards=SHARDS, alpha=0.5, seed=SEED), 1
    ):
        folder = out / f"digits-{number}"
        write_records(folder / "train.pfr", features[shard], labels[shard])
        write_records(folder / "test.pfr", test_features, test_labels)


def models() -> dict[str, bytes]:
    """The models training starts from, by file name; they are committed beside the specs."""
    return {
        "mlp.safetensors": first_model(MLP, seed=SEED),
        "softmax.safetensors": first_model(SOFTMAX, seed=SEED),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m examples.fl.digits.prepare OUT")
    prepare(Path(sys.argv[1]))
    print(f"{SHARDS} devices in {sys.argv[1]}")
