"""The classifier of handwritten digits: its weights are real, and its module says what they say."""

from __future__ import annotations

import json
import subprocess
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import wasmtime

from propeller.registry.wasm import inspect
from propeller.sources.load import load
from propeller.sources.tree import Tree

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "functions" / "digits"
SDK = ROOT / "examples" / "sdk" / "c"
FLAGS = ["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry"]


@dataclass
class Host:
    """The imports the module takes, and what it answered."""

    body: bytes
    out: bytearray = field(default_factory=bytearray)
    status: int = 200
    metrics: dict[str, float] = field(default_factory=dict)


class Classifier:
    """A module in a bare wasmtime; each call in a fresh instance."""

    def __init__(self, path: Path) -> None:
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, path.read_bytes())

    def call(self, body: bytes) -> Host:
        host, store = Host(body), wasmtime.Store(self.engine)
        linker = wasmtime.Linker(self.engine)
        i32, f64 = wasmtime.ValType.i32(), wasmtime.ValType.f64()

        def memory(caller: wasmtime.Caller) -> wasmtime.Memory:
            found = caller["memory"]
            assert isinstance(found, wasmtime.Memory)
            return found

        def read(caller: wasmtime.Caller, at: int, off: int, most: int) -> int:
            data = host.body[off : off + most]
            memory(caller).write(caller, data, at)
            return len(data)

        def text(caller: wasmtime.Caller, at: int, length: int) -> bytes:
            return bytes(memory(caller).read(caller, at, at + length))

        for name, params, results, function in (
            ("input_len", [], [i32], lambda _caller: len(host.body)),
            ("input_read", [i32] * 3, [i32], read),
            ("output_write", [i32] * 2, [], lambda c, at, n: host.out.extend(text(c, at, n))),
            ("output_status", [i32], [], lambda _caller, status: setattr(host, "status", status)),
            ("output_type", [i32] * 2, [], lambda _caller, _at, _length: None),
            (
                "metric",
                [i32, i32, f64],
                [],
                lambda c, at, n, value: host.metrics.update({text(c, at, n).decode(): value}),
            ),
        ):
            kind = wasmtime.FuncType(params, results)
            linker.define_func("propeller", name, kind, function, access_caller=True)
        instance = linker.instantiate(store, self.module)
        classify = instance.exports(store)["classify"]
        assert isinstance(classify, wasmtime.Func)
        assert classify(store) == 0
        return host


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """What the network never saw, and what is on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sklearn.datasets import load_digits
    found = load_digits()
    kept = np.arange(len(found.target)) % 5 == 0
    return found.data[kept].astype(int), found.target[kept]


@pytest.mark.parametrize("built", [False, True])
def test_it_knows_digits_that_it_never_saw(
    built: bool, images: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """The committed module, and one built from the sources here: at least 95 of 100."""
    path = EXAMPLE / "digits.wasm"
    if built:
        path = tmp_path / "digits.wasm"
        command = ["clang", *FLAGS, "-I", str(SDK), "-o", str(path), str(EXAMPLE / "digits.c")]
        subprocess.run(command, check=True)
    classifier, right = Classifier(path), 0
    for image, label in zip(*images, strict=True):
        answer = classifier.call(json.dumps(image.tolist()).encode())
        told = json.loads(answer.out)
        assert answer.status == 200
        assert 10 <= told["percent"] <= 100
        assert 0.1 <= answer.metrics["confidence"] <= 1
        right += told["digit"] == label
    assert right >= 0.95 * len(images[1])


@pytest.mark.parametrize(
    "body", [b"", b"[1, 2, 3]", b"[17" + b",0" * 63 + b"]", b"0," * 65, b"x" * 3000]
)
def test_what_is_no_image_is_said_to_be_none(body: bytes) -> None:
    """A status of its own and words, not a trap."""
    answer = Classifier(EXAMPLE / "digits.wasm").call(body)
    assert answer.status == 422
    assert "64 whole numbers" in json.loads(answer.out)["error"]


def test_its_spec_is_taken() -> None:
    """As it lies there."""
    files = {path.name: path.read_bytes() for path in EXAMPLE.iterdir() if path.is_file()}
    revision = load(
        Tree(name="example", files=files), domain="d", keep=lambda _: None, inspect=inspect
    )
    assert [str(key) for key in revision.objects] == ["Function/default/digits"]
