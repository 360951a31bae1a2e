"""The three SDKs build, and what they build computes the same thing in a worker."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from propeller.fl.layout import Layout
from propeller.fl.model import write_model
from propeller.fl.strategies.base import pack_state
from propeller.wire.messages import WireMount, WireTraining
from propeller.wire.updates import unpack
from proplet.runtime.samples import header

if TYPE_CHECKING:
    from conftest import Maker

EXAMPLES = Path(__file__).parents[2] / "examples"
SDK = EXAMPLES / "sdk"
FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=1,
    attempt=1,
    step="train",
    format="f32-full",
    nonce="0" * 32,
    seed="00000000000000aa",
    guest="Imports",
)
RUSTC = ["/usr/bin/rustc", "--edition=2021", "--target=wasm32-unknown-unknown", "-Copt-level=s"]
MEAN_IN_C = """
#include "propeller_fl.h"
static float record[9], mean[8];
static double sum[8];
FL_EXPORT(train) int train(void) {
  int features = (int)FL_PARAM_I64("data.features", 0), seen = 0;
  int size = (features + (int)FL_PARAM_I64("data.labels", 0)) * 4;
  if (features == 0) return FL_DECLINED;
  for (; fl_data_next(record, size) > 0; seen++)
    for (int i = 0; i < features; i++) sum[i] += record[i];
  for (int i = 0; i < features; i++) mean[i] = (float)(sum[i] / seen);
  FL_METRIC("seen", seen);
  fl_submit(FL_F32_FULL, mean, features * 4, seen);
  return 0;
}
"""

CORRECTED_IN_C = """
#include "propeller_fl.h"
static float delta[4096];
FL_EXPORT(train) int train(void) {
  int count = fl_model_len() / 4, half = count / 2;
  if (count == 0 || count > 4096) return FL_DECLINED;
  float rate = (float)FL_PARAM_F64("learningRate", 0);
  fl_correction_read(0, delta, half * 4);
  fl_correction_read(half * 4, delta + half, (count - half) * 4);
  for (int i = 0; i < count; i++) delta[i] *= -rate;
  fl_steps(1);
  fl_submit(FL_F32_DELTA, delta, count * 4, 1);
  return 0;
}
"""
IN_C = {"mean": MEAN_IN_C, "corrected": CORRECTED_IN_C}
Build = Callable[[str], bytes]


def run(*command: str | Path, cwd: Path | None = None) -> None:
    env = {**os.environ, "MAKEFLAGS": ""}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def in_c(out: Path, name: str) -> Path:
    (out / f"{name}.c").write_text(IN_C[name])
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-ffp-contract=off", "-Wl,--no-entry"]
    run("clang", *flags, "-I", SDK / "c", "-o", out / f"{name}.wasm", out / f"{name}.c")
    return out / f"{name}.wasm"


def in_rust(out: Path, name: str) -> Path:
    flags = ["-Cpanic=abort", "-Dwarnings"]
    library = out / "libpropeller_fl.rlib"
    if not library.exists():
        words = ["--crate-type=rlib", "--crate-name=propeller_fl", "-o", library]
        run(*RUSTC, *flags, *words, SDK / "rust" / "src" / "lib.rs")
    linked = ["--extern", f"propeller_fl={library}", "--crate-type=cdylib"]
    source = SDK / "rust" / "examples" / f"{name}.rs"
    run(*RUSTC, *flags, *linked, "-o", out / f"{name}.wasm", source)
    return out / f"{name}.wasm"


def in_assemblyscript(out: Path, name: str) -> Path:
    compiler = out / "node/node_modules/.bin/asc"
    if not compiler.exists():
        run("make", "-C", EXAMPLES / "modules", f"OUT={out}", compiler)
    flags = ["--runtime", "stub", "-O3", "--use", "abort="]
    run(compiler, SDK / "assemblyscript" / f"{name}.ts", *flags, "-o", out / f"{name}.wasm")
    return out / f"{name}.wasm"


@pytest.fixture(scope="module", params=[in_c, in_rust, in_assemblyscript])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Modules of one language by name; what that needs is fetched once."""
    out = tmp_path_factory.mktemp(request.param.__name__)

    def built(name: str) -> bytes:
        found: bytes = request.param(out, name).read_bytes()
        return found

    return built


@pytest.mark.live
def test_the_mean_of_a_device(tmp_path: Path, make_workshop: Maker, build: Build) -> None:
    """Every language reads records, parameters, and submits the same four bytes a feature."""
    data = tmp_path / "data"
    data.mkdir()
    rows = [(1.0, -2.0, 5), (2.0, 4.0, 6), (6.0, 1.0, 7)]
    packed = b"".join(struct.pack("<ffi", *row) for row in rows)
    (data / "all.pfr").write_bytes(header(2, 1, 3) + packed)
    workshop = make_workshop({"data": (data, False)})
    mount = (WireMount(name="data", path="/data", access="ReadOnly"),)
    outcome = workshop.run(build("mean"), fl=FL, mounts=mount)
    assert outcome.ok, outcome.error
    assert outcome.blob is not None
    update = unpack(workshop.blobs.read(outcome.blob.digest), max_body=1024)
    assert np.frombuffer(update.body, "<f4").tolist() == [3.0, 1.0]
    assert (update.samples, update.meta["seen"]) == (3, "3.0")


@pytest.mark.live
def test_the_correction_of_scaffold(make_workshop: Maker, build: Build) -> None:
    """Every language reads what is added to gradients: the server's control variate where the
    device has none of its own yet, zeros where the strategy has none at all."""
    workshop = make_workshop()
    model = workshop.blobs.keep(write_model(Layout.flat(3), np.ones(3, np.float32)))
    c = np.array([2.0, -4.0, 0.5])
    state = workshop.blobs.keep(pack_state("SCAFFOLD", 1, c=c))
    rate = ("learningRate", "0.5")
    fl = replace(FL, format="f32-delta", model=model, params=(rate,))
    plain = workshop.run(build("corrected"), 1, entrypoint="train", fl=fl)
    assert plain.ok, plain.error
    update = unpack(workshop.blobs.read(plain.blob.digest), max_body=1024)
    assert np.frombuffer(update.body, "<f4").tolist() == [0.0, 0.0, 0.0]
    fl = replace(fl, params=(("controlVariates", "Enabled"), rate), control=state)
    found = workshop.run(build("corrected"), 2, entrypoint="train", fl=fl)
    assert found.ok, found.error
    update = unpack(workshop.blobs.read(found.blob.digest), max_body=1024)
    assert update.steps == 1
    assert np.frombuffer(update.body, "<f4")[:3].tolist() == [-1.0, 2.0, -0.25]


@pytest.mark.live
def test_the_training_modules_are_what_their_source_builds(tmp_path: Path) -> None:
    """With the recorded clang byte for byte; another one builds modules all the same."""
    folder = EXAMPLES / "fl"
    run("make", "-C", folder / "modules", f"OUT={tmp_path}")
    run("make", "-C", folder / "modules", "check")
    recorded = (folder / "modules" / "DIGESTS").read_text().splitlines()
    clang = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True)
    same = recorded[0] == f"# clang: {clang.stdout.splitlines()[0]}"
    for line in recorded[1:]:
        name = line.split()[1]
        built = (tmp_path / name).read_bytes()
        assert built.startswith(b"\0asm")
        assert not same or built == (folder / name).read_bytes(), name
