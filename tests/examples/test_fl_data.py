"""The data of the federated examples: the same bytes on every machine, and what they hold."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from examples.fl.digits import prepare as digits
from examples.fl.records import read_records
from examples.fl.watch import prepare as watch

ROOT = Path(__file__).parents[2] / "examples" / "fl"


def digest_of(folder: Path) -> str:
    """Of all files, names and bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.pfr")):
        found.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("module", "wanted"),
    [(digits, "aa0794f761fe112e"), (watch, "13f7aa6e80fd50e0")],
    ids=["digits", "watch"],
)
def test_prepared_data_are_the_same_bytes_everywhere(
    tmp_path: Path, module: ModuleType, wanted: str
) -> None:
    """A changed package, split or order shows here and not as another accuracy."""
    module.prepare(tmp_path)
    assert digest_of(tmp_path) == wanted


@pytest.mark.parametrize(("module", "name"), [(digits, "digits"), (watch, "watch")])
def test_the_first_models_are_what_their_seed_gives(module: ModuleType, name: str) -> None:
    """The committed safetensors files come out of `models`, byte for byte."""
    for file, data in module.models().items():
        assert (ROOT / name / file).read_bytes() == data, file


def test_the_digits_are_split_unevenly_over_eight(tmp_path: Path) -> None:
    """1437 to train on in eight shards whose classes differ, 360 to test with everywhere."""
    digits.prepare(tmp_path)
    shards = [read_records(place / "train.pfr") for place in sorted(tmp_path.iterdir())]
    assert len(shards) == 8
    assert sum(len(labels) for _, labels in shards) == 1437
    shares = [np.bincount(labels, minlength=10).max() / len(labels) for _, labels in shards]
    assert min(shares) > 0.15
    test_x, test_y = read_records(tmp_path / "digits-1" / "test.pfr")
    assert np.bincount(test_y).min() >= 33
    assert (test_x.min(), test_x.max()) == (0.0, 1.0)


def test_the_watch_has_twenty_clients_as_life_made_them(tmp_path: Path) -> None:
    """Ten people, two sides; features together have mean 0 and deviation 1."""
    watch.prepare(tmp_path)
    shards = [read_records(place / "train.pfr") for place in sorted(tmp_path.iterdir())]
    assert len(shards) == 20
    everything = np.concatenate([features for features, _ in shards]).astype(np.float64)
    assert everything.shape == (2648, 30)
    assert np.abs(everything.mean(axis=0)).max() < 1e-5
    assert np.abs(everything.std(axis=0) - 1).max() < 1e-5
