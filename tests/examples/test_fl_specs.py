"""The federated examples' specs: taken as they are, and about the files beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from propeller.model.federated import FederatedTask
from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree

ROOT = Path(__file__).parents[2] / "examples" / "fl"
DEVICES = {"digits": 8, "watch": 20}


def kept(data: bytes) -> str:
    """A blob store that only names."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", DEVICES)
def test_the_specs_are_taken(name: str) -> None:
    """One job, as many devices as `prepare` has folders for, and clients for a full round."""
    files = {path.name: path.read_bytes() for path in (ROOT / name).iterdir() if path.is_file()}
    revision = load(Tree(name=name, files=files), domain="test", keep=kept, inspect=inspect)
    kinds = [type(each).__name__ for each in revision.objects.values()]
    assert kinds.count("Proplet") == DEVICES[name]
    (job,) = [each for each in revision.objects.values() if isinstance(each, FederatedTask)]
    assert job.terms.target == DEVICES[name]
    assert job.model is not None
    assert job.model.initial == kept(files["mlp.safetensors"])


@pytest.mark.parametrize("name", DEVICES)
def test_the_devices_are_those_of_prepare(name: str, tmp_path: Path) -> None:
    """`--data OUT` finds a folder for every Proplet of the example."""
    from examples.fl.digits.prepare import prepare as digits
    from examples.fl.watch.prepare import prepare as watch

    {"digits": digits, "watch": watch}[name](tmp_path)
    declared = yaml.safe_load_all((ROOT / name / "proplets.yaml").read_text())
    assert {each["metadata"]["name"] for each in declared} == {p.name for p in tmp_path.iterdir()}
