"""Trainers that are plain WASI programs: variables, stdout, and what they cannot reach."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import write_model
from propeller.wire.messages import BlobRef, WireMount, WireTraining
from propeller.wire.updates import Update, unpack
from proplet.runtime.answers import Answer, Metrics
from proplet.runtime.contract import environment, read_metrics, read_update
from proplet.runtime.lesson import Lesson
from proplet.runtime.virtual import Refusal

if TYPE_CHECKING:
    from conftest import Maker, Workshop

    from proplet.effects import Outcome

WB = Layout.of(Tensor("w", (3,)), Tensor("b", ()))
BASE = np.array([1, 2, 3, 4], np.float32)
FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=3,
    attempt=1,
    step="train",
    format="json-f64",
    nonce="0" * 32,
    seed="00112233445566ff",
    guest="Env",
    params=(("learningRate", "0.05"), ("note", "slow"), ("localEpochs", "2")),
)
LESSON = Lesson(
    proplet="p1",
    job=FL.job,
    round=3,
    attempt=1,
    step="train",
    format="json-f64",
    guest="Env",
    seed=bytes.fromhex(FL.seed),
    params=FL.params,
    version="sha256:" + "a" * 64,
    data=None,
    samples=None,
    base=BASE,
    layout=WB,
)
WASI = """
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func $say (param $at i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $try (param $fd i32) (param $at i32) (param $len i32) (result i32)
    (call $open (local.get $fd) (i32.const 0) (local.get $at) (local.get $len) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
"""


def program(body: str, data: str = "") -> str:
    """A WASI program that does this; `data` begins at 1000."""
    return f'(module {WASI} (data (i32.const 1000) "{data}") (func (export "_start") {body}))'


def says(text: str) -> str:
    """A program that writes this."""
    quoted = "".join(f"\\{byte:02x}" for byte in text.encode())
    return program(f"(call $say (i32.const 1000) (i32.const {len(text.encode())}))", quoted)


def teach(workshop: Workshop, module: str | bytes, number: int = 1, **changes: object) -> Outcome:
    """Run it as one step of a round that begins with BASE."""
    mounts, env = changes.pop("mounts", ()), changes.pop("env", ())
    ref = workshop.blobs.keep(write_model(WB, BASE))
    fl = replace(FL, model=BlobRef(digest=ref.digest, size=ref.size), **changes)  # type: ignore[arg-type]
    return workshop.run(module, number, fl=fl, mounts=mounts, env=env)


def update_of(workshop: Workshop, outcome: Outcome) -> Update:
    assert outcome.ok, outcome.error
    assert outcome.blob is not None
    return unpack(workshop.blobs.read(outcome.blob.digest), max_body=1 << 20)


def test_the_variables_of_a_round() -> None:
    """Every name of the contract and its aliases; numbers keep their digits."""
    told = dict(environment(LESSON, 12))
    assert json.loads(base64.b64decode(told["FL_GLOBAL_UPDATE_B64"])) == [1, 2, 3, 4]
    assert {name: told[name] for name in told if name != "FL_GLOBAL_UPDATE_B64"} == {
        "FL_JOB_ID": FL.job,
        "FL_ROUND_ID": "3",
        "FL_ATTEMPT": "1",
        "FL_MODE": "train",
        "FL_PROPLET_ID": "p1",
        "FL_GLOBAL_VERSION": LESSON.version,
        "FL_FORMAT": "json-f64",
        "FL_GLOBAL_UPDATE_FORMAT": "json-f64",
        "FL_NUM_SAMPLES": "12",
        "FL_HYPERPARAMS": '{"learningRate":0.05,"note":"slow","localEpochs":2}',
        "FL_LOCAL_EPOCHS": "2",
        "FL_LEARNING_RATE": "0.05",
        "FL_SEED": "00112233445566ff",
        "MODEL_DATA": '{"w":[1.0,2.0,3.0],"b":4.0}',
        "ROUND_ID": "3",
        "MODEL_URI": LESSON.version,
        "HYPERPARAMS": '{"learningRate":0.05,"note":"slow","localEpochs":2}',
        "PROPLET_ID": "p1",
    }


def test_without_a_model_there_is_none_in_the_environment() -> None:
    """FL_GLOBAL_UPDATE_B64 is not set, and the version is empty."""
    told = dict(environment(replace(LESSON, base=None, layout=None, version=""), 1))
    assert "FL_GLOBAL_UPDATE_B64" not in told
    assert told["FL_GLOBAL_VERSION"] == ""


def test_a_model_too_large_for_the_environment_is_refused() -> None:
    """It is never silently left out."""
    big = replace(LESSON, base=np.full(40_000, 0.1, np.float32), layout=Layout.flat(40_000))
    with pytest.raises(Refusal, match="ModelTooLargeForEnv"):
        environment(big, 1)
    assert "FL_GLOBAL_UPDATE_B64" not in dict(environment(replace(big, guest="File"), 1))


def read(text: str, lesson: Lesson = LESSON) -> tuple[Answer, Metrics]:
    metrics = Metrics()
    return read_update(lesson, text.encode(), metrics), metrics


FIRST = '{"round_id":3,"proplet_id":"p1","num_samples":5,"metrics":{"loss":0.5},"update":%s}'


@pytest.mark.parametrize(
    ("text", "delta", "samples"),
    [
        ("[1.5, 2, 3, 4]\n", [0.5, 0, 0, 0], None),
        ('{"update": [1, 0, 0, 2], "kind": "delta", "num_samples": 9}', [1, 0, 0, 2], 9),
        ('{"update": {"w": [1, 2, 4], "b": 4}}', [0, 0, 1, 0], None),
        (FIRST % '{"w":[1,2,3],"b":6}', [0, 0, 0, 2], 5),
    ],
)
def test_the_forms_of_an_update(text: str, delta: list[float], samples: int | None) -> None:
    """A list of full weights, an object, and the first Propeller's object."""
    answer, _ = read(text)
    assert (answer.delta.tolist(), answer.samples) == (delta, samples)


def test_w_and_b_have_an_order_even_before_a_layout_is_known() -> None:
    """In round 1 of a task without a model the vector comes first, then the number."""
    answer, _ = read('{"update": {"b": 7, "w": [5, 6]}}', replace(LESSON, base=None, layout=None))
    assert answer.delta.tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 bytes that are not one JSON value"),
        ("[1,2,3,4] [1]", "13 bytes that are not one JSON value"),
        ("[1,2,3]", "3 numbers, expected 4"),
        ("[1,2,3,NaN]", "11 bytes that are not one JSON value"),
        ("[1,2,3,1e60]", "a number that is not finite"),
        ("[1,2,3,true]", "the update is not a list of numbers"),
        ('{"weights": [1]}', "neither a list of numbers nor an object with update"),
        ('{"update": [1,2,3,4], "kind": "half"}', "kind is neither full nor delta"),
        ('{"update": [1,2,3,4], "num_samples": 0}', "num_samples must be at least 1"),
        ('{"update": [1,2,3,4], "num_samples": 1.5}', "num_samples is not a whole number"),
        ('{"update": {"w": [1,2], "b": 4}}', "2 numbers in w, expected 3"),
        ('{"update": {"v": [1,2,3], "b": 4}}', "the tensors of the update are not w, b"),
        ('{"update": [1,2,3,4], "round_id": 2}', "round_id is that of another round"),
        ('{"update": [1,2,3,4], "proplet_id": "p2"}', "proplet_id is that of another proplet"),
        ('{"update": [1,2,3,4], "metrics": {"a b": 1}}', "a metric's name"),
        ('{"update": [1,2,3,4], "metrics": {"a": "1"}}', "a metric that is no finite number"),
        ("[" * 100_000, "not one JSON value"),
        (
            json.dumps({"update": [1, 2, 3, 4], "metrics": {f"m{n}": n for n in range(17)}}),
            "more than 16 metrics",
        ),
    ],
)
def test_an_update_that_is_none_says_why(text: str, words: str) -> None:
    """Whatever is wrong on stdout is told in words, and nothing is guessed."""
    with pytest.raises(Refusal, match=r"^rejected: ") as refused:
        read(text)
    assert words in str(refused.value)


def test_an_evaluation_on_stdout() -> None:
    """Metrics and samples; anything else is refused."""
    metrics = Metrics()
    assert read_metrics(b'{"num_samples": 4, "metrics": {"accuracy": 0.5}}', metrics) == 4
    assert metrics.texts() == {"accuracy": "0.5"}
    with pytest.raises(Refusal, match="not an object with metrics"):
        read_metrics(b"[1]", metrics)


def test_a_binary_update_has_exactly_its_size(workshop: Workshop) -> None:
    """17 bytes are no update of four parameters, 16 are."""
    wrong = teach(workshop, says("x" * 17), format="f32-full")
    assert wrong.error == "rejected: 17 bytes, expected 16"
    right = teach(workshop, says("\0" * 16), 2, format="f32-full")
    assert update_of(workshop, right).body == bytes(16)


def test_a_flood_of_stdout_is_cut(workshop: Workshop) -> None:
    """The contract bounds stdout by the size of the model; more ends the run."""
    flood = program("(loop (call $say (i32.const 1000) (i32.const 60000)) (br 0))")
    outcome = teach(workshop, flood)
    assert (outcome.ok, outcome.error) == (
        False,
        "rejected: wrote more to stdout than an update has",
    )


def test_a_program_finds_its_variables_and_no_others(workshop: Workshop) -> None:
    """As many as the contract lists, whatever else the entry or this machine has."""
    count = len(environment(LESSON, 1))
    module = program(
        f"""(drop (call $env (i32.const 100) (i32.const 104)))
        (if (i32.ne (i32.load (i32.const 100)) (i32.const {count})) (then unreachable))
        (call $say (i32.const 1000) (i32.const 9))""",
        "[1,2,3,4]",
    )
    assert update_of(workshop, teach(workshop, module)).samples == 1


def test_a_program_finds_the_variables_of_the_spec_as_well(workshop: Workshop) -> None:
    """Those it names, and a round's own where both would name one."""
    count = len(environment(LESSON, 1))
    module = program(
        f"""(drop (call $env (i32.const 100) (i32.const 104)))
        (if (i32.ne (i32.load (i32.const 100)) (i32.const {count + 1})) (then unreachable))
        (call $say (i32.const 1000) (i32.const 9))""",
        "[1,2,3,4]",
    )
    env = (("RATE", "5"), ("FL_SEED", "mine"))
    assert update_of(workshop, teach(workshop, module, env=env)).samples == 1


def test_numbers_without_a_model_are_not_guessed_from_bytes(workshop: Workshop) -> None:
    """Twelve bytes of text are no three numbers; JSON says what it is."""
    told = replace(LESSON, base=None, layout=None, version="", format="f32-delta")
    with pytest.raises(Refusal, match="12 bytes of stdout; without model or layout only json-f64"):
        read_update(told, b"hello world\n", Metrics())
    with pytest.raises(Refusal, match="13 bytes, not a list of f32"):
        read_update(told, b"hello, world\n", Metrics())
    named = replace(told, format="json-f64")
    assert read_update(named, b"[1, 2, 3]", Metrics()).delta.tolist() == [1, 2, 3]


def test_no_file_outside_of_its_data(tmp_path: Path, make_workshop: Maker) -> None:
    """/data is there and read-only; its parent, absolute paths and links out of it are not."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "in").write_text("x")
    (tmp_path / "secret").write_text("x")
    (data / "link").symlink_to(tmp_path / "secret")
    workshop = make_workshop({"data": (data, True)})
    body = "(if (call $try (i32.const 3) (i32.const 1000) (i32.const 2)) (then unreachable))"
    for at, length in ((1010, 9), (1020, 4), (1030, 11)):
        body += f"""(if (i32.eqz (call $try (i32.const 3) (i32.const {at}) (i32.const {length})))
          (then unreachable))"""
    body += """(if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 1050) (i32.const 3)
        (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))
        (then unreachable))
      (if (i32.eqz (call $try (i32.const 4) (i32.const 1000) (i32.const 2))) (then unreachable))
      (call $say (i32.const 1060) (i32.const 9))"""
    texts = {0: "in", 10: "../secret", 20: "link", 30: "/etc/passwd", 50: "new", 60: "[1,2,3,4]"}
    blank = bytearray(b" " * 70)
    for at, text in texts.items():
        blank[at : at + len(text)] = text.encode()
    mount = (WireMount(name="data", path="/data", access="ReadWrite"),)
    outcome = teach(workshop, program(body, blank.decode()), mounts=mount)
    assert outcome.ok, outcome.error
    assert not (data / "new").exists()


def test_a_model_as_a_file(workshop: Workshop) -> None:
    """guest.model: File puts the parameters at /model/global.f32."""
    module = program(
        """(if (call $try (i32.const 3) (i32.const 1000) (i32.const 10)) (then unreachable))
        (i32.store (i32.const 0) (i32.const 2000)) (i32.store (i32.const 4) (i32.const 64))
        (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))
        (f32.store (i32.const 2004) (f32.const 9))
        (call $say (i32.const 2000) (i32.load (i32.const 8)))""",
        "global.f32",
    )
    update = update_of(workshop, teach(workshop, module, guest="File", format="f32-full"))
    assert np.frombuffer(update.body, "<f4").tolist() == [1, 9, 3, 4]


# Waits 30 s, then writes the clock in seconds and three random bytes as floats.
TIME = program(
    """(i32.store8 (i32.const 32) (i32.const 0)) (i32.store (i32.const 40) (i32.const 1))
    (i64.store (i32.const 48) (i64.const 30000000000))
    (drop (call $poll (i32.const 24) (i32.const 100) (i32.const 1) (i32.const 132)))
    (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 200)))
    (f32.store (i32.const 300) (f32.demote_f64 (f64.div
      (f64.convert_i64_u (i64.load (i32.const 200))) (f64.const 1e9))))
    (drop (call $random (i32.const 200) (i32.const 3)))
    (f32.store (i32.const 304) (f32.convert_i32_u (i32.load8_u (i32.const 200))))
    (f32.store (i32.const 308) (f32.convert_i32_u (i32.load8_u (i32.const 201))))
    (f32.store (i32.const 312) (f32.convert_i32_u (i32.load8_u (i32.const 202))))
    (call $say (i32.const 300) (i32.const 16))"""
)


def test_time_and_chance_are_the_rounds(workshop: Workshop) -> None:
    """A wait of 30 s takes none and moves a clock that began at 0; chance is HMAC of the seed."""
    import hmac

    bodies = [
        update_of(workshop, teach(workshop, TIME, number, format="f32-full")).body
        for number in (1, 2)
    ]
    assert bodies[0] == bodies[1]
    label = b"propeller-fl-random-v1\0" + struct.pack("<Q", 0)
    chance = hmac.digest(bytes.fromhex(FL.seed), label, "sha256")[:3]
    assert np.frombuffer(bodies[0], "<f4").tolist() == [30.0, *chance]


def test_75_is_no_failure_of_the_program(workshop: Workshop) -> None:
    """proc_exit(75) declines, whatever was written before."""
    outcome = teach(workshop, program("(call $exit (i32.const 75))"))
    assert (outcome.exit, outcome.error) == (75, "declined: it has nothing to train on")


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The quick start's trainer, built with Go."""
    out = tmp_path_factory.mktemp("go") / "fl-train.wasm"
    folder = Path(__file__).parents[2] / "examples" / "fl-train"
    extra = {"GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    command = ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(out), "."]
    subprocess.run(command, cwd=folder, env={**os.environ, **extra}, check=True)
    return out.read_bytes()


@pytest.mark.live
def test_the_quick_starts_trainer_gives_the_numbers_of_the_page(
    workshop: Workshop, quick_start: bytes
) -> None:
    """Go for wasip1: p1 sees (1, 3) and (2, 5), one step of 0.05 from zero is w 0.325, b 0.2."""
    layout = Layout.of(Tensor("w", (1,)), Tensor("b", ()))
    ref = workshop.blobs.keep(write_model(layout, np.zeros(2, np.float32)))
    fl = replace(
        FL,
        model=BlobRef(digest=ref.digest, size=ref.size),
        params=(("learningRate", "0.05"), ("localEpochs", "1")),
    )
    updates = [
        update_of(workshop, workshop.run(quick_start, number, fl=fl, memory=256 << 20))
        for number in (1, 2)
    ]
    found = json.loads(updates[0].body)["tensors"]
    assert found == {"w": [float(np.float32(0.325))], "b": float(np.float32(0.2))}
    assert (updates[0].samples, updates[0].meta["loss_before"]) == (2, "8.5")
    assert updates[0].body == updates[1].body
