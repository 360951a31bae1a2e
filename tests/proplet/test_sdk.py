"""The three SDKs build, and what they build computes the same thing in a worker."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

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


def run(*command: str | Path, cwd: Path | None = None) -> None:
    env = {**os.environ, "MAKEFLAGS": ""}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def in_c(out: Path) -> Path:
    (out / "mean.c").write_text(MEAN_IN_C)
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-ffp-contract=off", "-Wl,--no-entry"]
    run("clang", *flags, "-I", SDK / "c", "-o", out / "c.wasm", out / "mean.c")
    return out / "c.wasm"


def in_rust(out: Path) -> Path:
    flags = ["-Cpanic=abort", "-Dwarnings"]
    library = ["--crate-type=rlib", "--crate-name=propeller_fl", "-o", out / "libpropeller_fl.rlib"]
    run(*RUSTC, *flags, *library, SDK / "rust" / "src" / "lib.rs")
    linked = ["--extern", f"propeller_fl={out / 'libpropeller_fl.rlib'}", "--crate-type=cdylib"]
    run(*RUSTC, *flags, *linked, "-o", out / "r.wasm", SDK / "rust" / "examples" / "mean.rs")
    return out / "r.wasm"


def in_assemblyscript(out: Path) -> Path:
    run("make", "-C", EXAMPLES / "modules", f"OUT={out}", out / "node/node_modules/.bin/asc")
    flags = ["--runtime", "stub", "-O3", "--use", "abort="]
    source = SDK / "assemblyscript" / "mean.ts"
    run(out / "node/node_modules/.bin/asc", source, *flags, "-o", out / "a.wasm")
    return out / "a.wasm"


@pytest.mark.live
@pytest.mark.parametrize("build", [in_c, in_rust, in_assemblyscript])
def test_the_mean_of_a_device(tmp_path: Path, make_workshop: Maker, build: object) -> None:
    """Every language reads records, parameters, and submits the same four bytes a feature."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    rows = [(1.0, -2.0, 5), (2.0, 4.0, 6), (6.0, 1.0, 7)]
    packed = b"".join(struct.pack("<ffi", *row) for row in rows)
    (data / "all.pfr").write_bytes(header(2, 1, 3) + packed)
    module = build(out).read_bytes()  # type: ignore[operator]
    workshop = make_workshop({"data": (data, False)})
    mount = (WireMount(name="data", path="/data", access="ReadOnly"),)
    outcome = workshop.run(module, fl=FL, mounts=mount)
    assert outcome.ok, outcome.error
    assert outcome.blob is not None
    update = unpack(workshop.blobs.read(outcome.blob.digest), max_body=1024)
    assert np.frombuffer(update.body, "<f4").tolist() == [3.0, 1.0]
    assert (update.samples, update.meta["seen"]) == (3, "3.0")


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
