"""The SDKs of Functions build, and what they build answers alike in a worker."""

from __future__ import annotations

import base64
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from propeller.wire.call_messages import WireServe
from propeller.wire.point_messages import WirePoint
from propeller.wire.topic_messages import WireTopic
from proplet.pending import Pending, Result
from proplet.points import Points, read_output, read_sensor, together

if TYPE_CHECKING:
    from conftest import Maker

EXAMPLES = Path(__file__).parents[2] / "examples"
SDK = EXAMPLES / "sdk"
RUSTC = ["/usr/bin/rustc", "--edition=2021", "--target=wasm32-unknown-unknown", "-Copt-level=s"]
UPPER_IN_C = """
#include "propeller.h"
PROPELLER_EXPORT(upper) int upper(void) {
  static char text[256], word[16];
  const int len = propeller_input_read(text, 0, sizeof text);
  int name;
  double level;
  for (int i = 0; i < len; i++) text[i] -= text[i] >= 'a' && text[i] <= 'z' ? 32 : 0;
  PROPELLER_TYPE("text/plain");
  propeller_output_write(text, len);
  name = PROPELLER_CONFIG("NAME", word, sizeof word);
  if (name > 0) { propeller_output_write(" ", 1); propeller_output_write(word, name); }
  if (PROPELLER_REQUEST("header:x-none", word, sizeof word) != PROPELLER_ABSENT) return 1;
  if (propeller_now_ms() == 0) return 1;
  propeller_random(word, sizeof word);
  PROPELLER_METRIC("bytes", len);
  PROPELLER_LOG(PROPELLER_INFO, "done");
  if (PROPELLER_PUBLISH("out", text, len) != 0) return 2;
  if (PROPELLER_READ("level", &level) != 0 || level != 2.5) return 3;
  if (PROPELLER_WRITE("lamp", 2) != PROPELLER_BEYOND || PROPELLER_WRITE("lamp", 1) != 0) return 4;
  return 0;
}
"""


def run(*command: str | Path) -> None:
    env = {**os.environ, "MAKEFLAGS": ""}
    words = [str(word) for word in command]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def in_c(out: Path) -> Path:
    (out / "upper.c").write_text(UPPER_IN_C)
    flags = ["--target=wasm32", "-O2", "-nostdlib", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry"]
    run("clang", *flags, "-I", SDK / "c", "-o", out / "c.wasm", out / "upper.c")
    return out / "c.wasm"


def in_rust(out: Path) -> Path:
    crate = SDK / "rust-function"
    flags = ["-Cpanic=abort", "-Dwarnings"]
    library = out / "libpropeller_function.rlib"
    made = ["--crate-type=rlib", "--crate-name=propeller_function", "-o", library]
    run(*RUSTC, *flags, *made, crate / "src" / "lib.rs")
    linked = ["--extern", f"propeller_function={library}", "--crate-type=cdylib"]
    run(*RUSTC, *flags, *linked, "-o", out / "r.wasm", crate / "examples" / "upper.rs")
    return out / "r.wasm"


def in_assemblyscript(out: Path) -> Path:
    run("make", "-C", EXAMPLES / "modules", f"OUT={out}", out / "node/node_modules/.bin/asc")
    flags = ["--runtime", "stub", "-O3", "--use", "abort="]
    source = SDK / "assemblyscript" / "upper.ts"
    run(out / "node/node_modules/.bin/asc", source, *flags, "-o", out / "a.wasm")
    return out / "a.wasm"


@pytest.mark.parametrize("build", [in_c, in_rust, in_assemblyscript])
def test_a_module_of_each_language_answers(
    build: object, make_workshop: Maker, tmp_path: Path
) -> None:
    """Request, answer, type, configuration, an absent header, clock, dice, log, metric, message,
    a sensor and an output."""
    assert callable(build)
    shop = make_workshop()
    (tmp_path / "level").write_text("25")
    (tmp_path / "lamp").write_text("0")
    shop.supervisor._points = Points(
        together(
            [read_sensor(f"level={tmp_path}/level scale=0.1")],
            [read_output(f"lamp={tmp_path}/lamp")],
        )
    )
    entry = shop.entry(
        build(tmp_path).read_bytes(),
        mode="serve",
        entrypoint="upper",
        env=(("NAME", "ana"),),
        topics=(WireTopic(name="out", publish="said"),),
        points=(WirePoint(name="level", read="level"), WirePoint(name="lamp", write="lamp")),
        serve=WireServe(interface="Bytes", concurrency=1, queue=1, ready=1),
    )
    said: list[str] = []
    shop.supervisor._talk = lambda _key, told: said.append(told["data"])
    key = shop.start(entry)
    pool = shop.supervisor.pools.find(key)
    assert pool is not None
    done: list[Result] = []
    now = time.monotonic_ns() // 1_000_000
    request = {"method": "POST", "path": "", "query": "", "headers": []}
    body = base64.b64encode(b"hello 7").decode()
    pool.submit(
        Pending(
            id="c",
            request={**request, "body": body},
            came=now,
            ends=now + 10_000,
            answer=done.append,
        )
    )
    shop.until(lambda: done)
    (result,) = done
    assert (result.state, base64.b64decode(result.body)) == ("done", b"HELLO 7 ana"), result
    assert [base64.b64decode(one) for one in said] == [b"HELLO 7"]
    assert (tmp_path / "lamp").read_text() == "1\n"
    assert result.headers == (("content-type", "text/plain"),)
    assert pool.tally.metrics == {"bytes": 7000}  # thousandths
    (log,) = shop.supervisor.logs(key).glob("stderr.*")
    assert log.read_text() == "info: done\n"
