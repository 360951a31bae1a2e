"""The example trainers in real workers: what they learn, and that they learn it the same twice."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from examples.fl.records import Features, Labels, read_records, write_records
from examples.fl.reference import Net
from propeller.fl.model import read_model, write_model
from propeller.wire.messages import BlobRef, WireMount, WireTraining
from propeller.wire.updates import Update, unpack

if TYPE_CHECKING:
    from conftest import Maker, Workshop

EXAMPLES = Path(__file__).parents[2] / "examples" / "fl"
FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=1,
    attempt=1,
    step="train",
    format="f32-delta",
    nonce="0" * 32,
    seed="00000000000000aa",
    guest="Imports",
)
MOUNT = (WireMount(name="data", path="/data", access="ReadOnly"),)
NETS = {
    "digits/mlp": Net(64, 10, 32),
    "digits/softmax": Net(64, 10),
    "watch/mlp": Net(30, 7, 64),
    "watch/softmax": Net(30, 7),
}


def blobs(net: Net, records: int, seed: int) -> tuple[Features, Labels]:
    """A cloud of points around a centre for each class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(net.classes, net.features))
    labels = rng.integers(0, net.classes, records).astype(np.int32)
    return (centres[labels] + rng.normal(size=(records, net.features))).astype("f4"), labels


def step(
    workshop: Workshop, name: str, model: bytes, number: int, **changes: object
) -> Update | str:
    """One step of the module, from that model: its update, or the result of an evaluation."""
    ref = workshop.blobs.keep(model)
    fl = replace(FL, model=BlobRef(digest=ref.digest, size=ref.size), **changes)  # type: ignore[arg-type]
    module = (EXAMPLES / f"{name}.wasm").read_bytes()
    outcome = workshop.run(module, number, entrypoint=fl.step, fl=fl, mounts=MOUNT, memory=65536)
    assert outcome.ok, outcome.error
    if fl.step == "evaluate":
        assert outcome.result is not None
        return outcome.result
    assert outcome.blob is not None
    return unpack(workshop.blobs.read(outcome.blob.digest), max_body=1 << 20)


@pytest.mark.parametrize("name", NETS)
def test_an_example_module_learns_like_the_reference(
    tmp_path: Path, make_workshop: Maker, name: str
) -> None:
    """After one step module and numpy know about as much, far more than before; it fits 64 KiB."""
    net, data = NETS[name], tmp_path / "data"
    x, y = blobs(net, 200, 1)
    test_x, test_y = blobs(net, 300, 2)
    write_records(data / "train.pfr", x, y)
    write_records(data / "test.pfr", test_x, test_y)
    model = (EXAMPLES / f"{name}.safetensors").read_bytes()
    layout, start = read_model(model, max_count=net.count)
    workshop = make_workshop({"data": (data, False)})
    update = step(workshop, name, model, 1)
    assert isinstance(update, Update)
    after = start + np.frombuffer(update.body, "<f4")
    theirs = net.accuracy(after, test_x, test_y)
    ours = net.accuracy(net.train(start, x, y), test_x, test_y)
    before = net.accuracy(start, test_x, test_y)
    assert theirs > before + 0.3
    assert abs(theirs - ours) < 0.06
    assert (update.samples, update.steps) == (200, update.steps)
    assert 60 <= update.steps <= 70
    told = step(workshop, name, write_model(layout, after.astype(np.float32)), 2, step="evaluate")
    assert f'"accuracy":"{theirs!r}"' in str(told)
    assert '"samples":300' in str(told)


def test_a_step_taken_alone_is_the_references_to_rounding(
    tmp_path: Path, make_workshop: Maker
) -> None:
    """One record, one epoch: no order of sums is left but that of float32."""
    net, data = NETS["digits/mlp"], tmp_path / "data"
    x, y = blobs(net, 1, 3)
    write_records(data / "train.pfr", x, y)
    model = (EXAMPLES / "digits/mlp.safetensors").read_bytes()
    _, start = read_model(model, max_count=net.count)
    params = (("learningRate", "0.05"), ("localEpochs", "1"), ("mu", "0.5"))
    update = step(make_workshop({"data": (data, False)}), "digits/mlp", model, 1, params=params)
    assert isinstance(update, Update)
    wanted = net.train(start, x, y, epochs=1, rate=0.05, mu=0.5) - start
    assert np.frombuffer(update.body, "<f4") == pytest.approx(wanted, abs=2e-6)


def test_a_trainer_leaves_the_same_bytes_on_two_devices(
    tmp_path: Path, make_workshop: Maker
) -> None:
    """Same module, model, data and seed: same body. Another seed orders batches otherwise."""
    x, y = blobs(NETS["watch/mlp"], 90, 4)
    write_records(tmp_path / "data" / "train.pfr", x, y)
    model = (EXAMPLES / "watch/mlp.safetensors").read_bytes()
    digests = []
    for place, seed in (("a", FL.seed), ("b", FL.seed), ("c", "0" * 16)):
        workshop = make_workshop({"data": (tmp_path / "data", False)}, tmp_path / place)
        update = step(workshop, "watch/mlp", model, 1, seed=seed)
        assert isinstance(update, Update)
        digests.append(hashlib.sha256(update.body).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def federated(
    workshop_of: dict[str, Workshop], name: str, model: bytes, rounds: int, rate: str
) -> list[float]:
    """Plain FedAvg over those devices: the accuracy on the test set after every round."""
    net = NETS[name]
    layout, current = read_model(model, max_count=net.count)
    accuracies = []
    for number in range(1, rounds + 1):
        total, weights = np.zeros(net.count), 0
        blob = write_model(layout, current)
        for device, workshop in workshop_of.items():
            seed = hashlib.sha256(f"{number}/{device}".encode()).hexdigest()[:16]
            params = (("learningRate", rate),)
            update = step(workshop, name, blob, number, round=number, seed=seed, params=params)
            assert isinstance(update, Update)
            total += update.samples * np.frombuffer(update.body, "<f4").astype(np.float64)
            weights += update.samples
        current = (current + total / weights).astype(np.float32)
        test = read_records(workshop_of[device].mounts["data"][0] / "test.pfr")
        accuracies.append(net.accuracy(current, *test))
    return accuracies


@pytest.mark.parametrize(
    ("rounds", "wanted"),
    [
        pytest.param(12, 0.92, marks=pytest.mark.slow),
        pytest.param(100, 0.95, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_eight_devices_learn_the_digits(
    tmp_path: Path, make_workshop: Maker, rounds: int, wanted: float
) -> None:
    """The prepared shards, the module in workers, plain averaging: what federated.md measured."""
    from examples.fl.digits.prepare import prepare

    prepare(tmp_path / "data")
    workshops = {
        place.name: make_workshop({"data": (place, False)}, tmp_path / place.name)
        for place in sorted((tmp_path / "data").iterdir())
    }
    assert len(workshops) == 8
    model = (EXAMPLES / "digits/mlp.safetensors").read_bytes()
    accuracies = federated(workshops, "digits/mlp", model, rounds, "0.1")
    assert np.mean(accuracies[-max(1, rounds // 10) :]) >= wanted
