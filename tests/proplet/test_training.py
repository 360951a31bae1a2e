"""Guests that train, in real workers: what they get, what they give, and that nothing else leaves.

The modules are written here in WebAssembly text, each with one fault or none.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from propeller.fl.encodings import decode
from propeller.fl.layout import Layout, Tensor
from propeller.fl.model import write_model
from propeller.wire.messages import BlobRef, WireMount, WireTraining
from propeller.wire.signing import SigningKey
from propeller.wire.updates import Flag, Update, signed_bytes, unpack, update_id
from proplet.runtime import samples

if TYPE_CHECKING:
    from conftest import Maker, Workshop

    from proplet.effects import Outcome

FL = WireTraining(
    job="11111111-2222-3333-4444-555555555555",
    round=3,
    attempt=1,
    step="train",
    format="f32-delta",
    nonce="0123456789abcdef" * 2,
    seed="00112233445566ff",
    guest="Imports",
    params=(("bias", "0.5"), ("localEpochs", "2")),
)
WB = Layout.of(Tensor("w", (3,)), Tensor("b", ()))
MODEL = write_model(WB, np.array([1.0, 2.0, 3.0, 4.0], np.float32))
DATA = (WireMount(name="data", path="/data", access="ReadOnly"),)

IMPORTS = """
  (import "propeller_fl" "model_len" (func $model_len (result i32)))
  (import "propeller_fl" "model_read" (func $model_read (param i32 i32 i32)))
  (import "propeller_fl" "data_next" (func $data_next (param i32 i32) (result i32)))
  (import "propeller_fl" "param_f64" (func $param_f64 (param i32 i32 f64) (result f64)))
  (import "propeller_fl" "param_i64" (func $param_i64 (param i32 i32 i64) (result i64)))
  (import "propeller_fl" "rand_u64" (func $rand (result i64)))
  (import "propeller_fl" "metric" (func $metric (param i32 i32 f64)))
  (import "propeller_fl" "steps" (func $steps (param i32)))
  (import "propeller_fl" "submit" (func $submit (param i32 i32 i32 i64)))
  (memory (export "memory") 2)
  (data (i32.const 0) "bias") (data (i32.const 8) "localEpochs") (data (i32.const 24) "loss")
"""
# w[0] += bias, then says so: the smallest trainer there is.
TRAINER = f"""(module {IMPORTS}
  (func (export "train") (result i32)
    (call $model_read (i32.const 0) (i32.const 100) (call $model_len))
    (f32.store (i32.const 100) (f32.add (f32.load (i32.const 100))
      (f32.demote_f64 (call $param_f64 (i32.const 0) (i32.const 4) (f64.const 9)))))
    (call $metric (i32.const 24) (i32.const 4) (f64.const 0.25))
    (call $steps (i32.wrap_i64 (call $param_i64 (i32.const 8) (i32.const 11) (i64.const 1))))
    (call $submit (i32.const 2) (i32.const 100) (call $model_len) (i64.const 7))
    i32.const 0))"""


def trains(body: str, result: str = "") -> str:
    """A module whose `train` is this."""
    return f'(module {IMPORTS} (func (export "train") {result} {body}))'


def teach(workshop: Workshop, module: str | bytes, number: int = 1, **changes: object) -> Outcome:
    """Run a module as one step of a round; `changes` by field of the training."""
    model = changes.pop("model", MODEL)
    mounts = changes.pop("mounts", ())
    limits = changes.pop("limits", {})
    fl = replace(FL, **changes)  # type: ignore[arg-type]  # fields by name, as a table
    if model is not None:
        ref = workshop.blobs.keep(model)  # type: ignore[arg-type]
        fl = replace(fl, model=BlobRef(digest=ref.digest, size=ref.size))
    return workshop.run(
        module,
        number,
        cause=f"round:{fl.round}",
        fl=fl,
        mounts=mounts,
        **limits,  # type: ignore[arg-type]
    )


def update_of(workshop: Workshop, outcome: Outcome) -> Update:
    """The update a run left, its signature checked."""
    assert outcome.ok, outcome.error
    assert outcome.blob is not None
    data = workshop.blobs.read(outcome.blob.digest)
    update = unpack(data, max_body=1 << 20)
    assert update.signature is not None
    key = SigningKey.from_seed(b"p" * 32).public
    assert key.verify(update.signature, signed_bytes(update_id(data), FL.nonce))
    return update


def test_a_trainer_leaves_a_signed_update(workshop: Workshop) -> None:
    """What `submit` takes becomes a delta in the round's encoding, in a signed envelope."""
    update = update_of(workshop, teach(workshop, TRAINER))
    assert np.frombuffer(update.body, "<f4").tolist() == [0.5, 0.0, 0.0, 0.0]
    assert (update.round, update.attempt, update.samples, update.steps) == (3, 1, 7, 2)
    assert (update.layout, update.count) == (WB.digest, 4)
    assert update.meta["loss"] == "0.25"
    assert str(update.meta["@module"]).startswith("sha256:")


def test_two_runs_leave_the_same_bytes(workshop: Workshop) -> None:
    """Random numbers come from the round's seed; another seed gives another body."""
    body = """(i64.store (i32.const 100) (i64.and (call $rand) (i64.const 0x3f7fffff3f7fffff)))
      (i64.store (i32.const 108) (i64.and (call $rand) (i64.const 0x3f7fffff3f7fffff)))
      (call $submit (i32.const 1) (i32.const 100) (i32.const 16) (i64.const 7))"""
    first, second = (update_of(workshop, teach(workshop, trains(body), n)) for n in (1, 2))
    other = update_of(workshop, teach(workshop, trains(body), 3, seed="0" * 16))
    assert first.body == second.body
    assert update_id_of(first) == update_id_of(second)
    assert first.body != other.body


def update_id_of(update: Update) -> str:
    from propeller.wire.updates import pack

    return update_id(pack(update))


def test_a_nan_has_one_form(workshop: Workshop) -> None:
    """Arithmetic on a NaN with a payload gives the canonical one, whatever the processor keeps."""
    body = """(i32.store (i32.const 100) (i32.reinterpret_f32 (f32.add
        (f32.reinterpret_i32 (i32.const 0x7fe12345)) (f32.const 1))))
      (f32.store (i32.const 104) (f32.convert_i32_u
        (i32.eq (i32.load (i32.const 100)) (i32.const 0x7fc00000))))
      (i32.store (i32.const 100) (i32.const 0))
      (call $submit (i32.const 1) (i32.const 100) (i32.const 16) (i64.const 7))"""
    update = update_of(workshop, teach(workshop, trains(body)))
    assert np.frombuffer(update.body, "<f4").tolist() == [0, 1, 0, 0]


def test_the_host_makes_the_rounds_format(workshop: Workshop) -> None:
    """A trainer submits plain floats; eight bits, sparse or JSON is the host's work."""
    for number, name in enumerate(("q8-delta", "topk-f32", "json-f64", "f32-full"), 1):
        update = update_of(workshop, teach(workshop, TRAINER, number, format=name))
        assert update.encoding == name
        base = np.array([1, 2, 3, 4], np.float32)
        delta = decode(name, update.body, layout=WB, base=base)
        assert delta.tolist() == [0.5, 0, 0, 0]


def test_what_a_sparse_update_leaves_out_comes_later(workshop: Workshop) -> None:
    """Top-k with one number of four: what it did not send adds to the next round, also when that
    round is tried again, and not to another job's."""
    body = """(f32.store (i32.const 100) (f32.const 3)) (f32.store (i32.const 104) (f32.const 2))
      (call $submit (i32.const 1) (i32.const 100) (i32.const 16) (i64.const 7))"""

    def sent(number: int, round_: int, job: str = FL.job) -> tuple[Update, list[float]]:
        params = (("topk", "0.25"),)
        changes = {"round": round_, "job": job, "params": params, "format": "topk-f32"}
        update = update_of(workshop, teach(workshop, trains(body), number, **changes))
        return update, decode("topk-f32", update.body, layout=WB).tolist()

    update, first = sent(1, 1)
    assert update.flags == Flag.FEEDBACK
    assert first == [3, 0, 0, 0]
    assert sent(2, 2)[1] == [0, 4, 0, 0]
    assert sent(3, 2)[1] == [0, 4, 0, 0]
    assert sent(4, 3)[1] == [6, 0, 0, 0]
    assert sent(5, 3, FL.job.replace("1", "9"))[1] == [3, 0, 0, 0]


def test_samples_are_capped(workshop: Workshop) -> None:
    """A spec's cap holds, whatever the guest says."""
    assert update_of(workshop, teach(workshop, TRAINER, samples=5)).samples == 5


def test_without_a_model_the_first_round_fixes_its_length(workshop: Workshop) -> None:
    """No model: model_len is 0, and the update says how many parameters there are."""
    body = """(if (call $model_len) (then unreachable))
      (f32.store (i32.const 104) (f32.const 2))
      (call $submit (i32.const 2) (i32.const 100) (i32.const 12) (i64.const 1))"""
    update = update_of(workshop, teach(workshop, trains(body), model=None))
    assert np.frombuffer(update.body, "<f4").tolist() == [0, 2, 0]
    assert (update.base, update.layout, update.count) == ("", "", 3)


def test_records_are_streamed_and_begin_again(tmp_path: Path, make_workshop: Maker) -> None:
    """data_next gives whole records of all files in order, then 0, then the first again."""
    data = tmp_path / "data"
    data.mkdir()
    for name, rows in (("a.pfr", [(1.5, 7)]), ("b.pfr", [(2.5, 8), (3.5, 9)]), ("test.pfr", [])):
        packed = b"".join(struct.pack("<fi", *row) for row in rows)
        (data / name).write_bytes(samples.header(1, 1, len(rows)) + packed)
    body = """(drop (call $data_next (i32.const 100) (i32.const 23)))
      (drop (call $data_next (i32.const 116) (i32.const 23)))
      (if (call $data_next (i32.const 200) (i32.const 23)) (then unreachable))
      (drop (call $data_next (i32.const 124) (i32.const 8)))
      (call $submit (i32.const 2) (i32.const 100) (i32.const 32) (call $param_i64
        (i32.const 40) (i32.const 12) (i64.const 0)))"""
    module = trains(body).replace('"loss")', '"loss") (data (i32.const 40) "data.records")', 1)
    workshop = make_workshop({"data": (data, False)})
    update = update_of(workshop, teach(workshop, module, model=None, mounts=DATA))
    rows = list(struct.iter_unpack("<fi", update.body))
    assert rows == [(1.5, 7), (2.5, 8), (3.5, 9), (1.5, 7)]
    assert update.samples == 3


def test_an_evaluation_is_metrics_and_samples(workshop: Workshop) -> None:
    """`evaluate` leaves canonical JSON and no model."""
    module = f"""(module {IMPORTS} (func (export "evaluate")
      (call $metric (i32.const 24) (i32.const 4) (f64.const 0.5))
      (call $submit (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 12))))"""
    outcome = teach(workshop, module, step="evaluate")
    assert (outcome.ok, outcome.result) == (True, '{"metrics":{"loss":"0.5"},"samples":12}')


SUBMIT = "(call $submit (i32.const 2) (i32.const 100) (i32.const %d) (i64.const %d))"
FAULTS = {
    "wrong size": (SUBMIT % (17, 7), "rejected: 17 bytes, expected 16"),
    "nothing": ("nop", "rejected: train() came back without submit"),
    "twice": (SUBMIT % (16, 7) + SUBMIT % (16, 7), "rejected: submit was called twice"),
    "no samples": (SUBMIT % (16, 0), "rejected: num_samples must be at least 1"),
    "minus samples": (SUBMIT % (16, -3), "rejected: num_samples must be at least 1"),
    "nan": (
        "(f32.store (i32.const 104) (f32.const nan))" + SUBMIT % (16, 7),
        "rejected: not-finite: a NaN or an infinity",
    ),
    "elsewhere": (
        "(call $submit (i32.const 2) (i32.const 131060) (i32.const 16) (i64.const 7))",
        "rejected: an address outside of its memory",
    ),
    "behind the model": (
        "(call $model_read (i32.const 8) (i32.const 100) (i32.const 12))",
        "rejected: model_read of 12 bytes at 8, the model has 16",
    ),
    "encoding": (
        "(call $submit (i32.const 77) (i32.const 100) (i32.const 16) (i64.const 7))",
        "rejected: submit does not know encoding 77",
    ),
    "a metric that is not": (
        "(call $metric (i32.const 24) (i32.const 4) (f64.const inf))",
        "rejected: a metric that is no finite number",
    ),
    "a name that is not": (
        "(call $metric (i32.const 60) (i32.const 4) (f64.const 1))",
        "rejected: a metric's name is 1 to 64 letters, digits, '_', '.' or '-'",
    ),
    "too many metrics": (
        """(local $i i32) (loop $more
          (i32.store8 (i32.const 27) (i32.add (i32.const 65) (local.get $i)))
          (call $metric (i32.const 24) (i32.const 4) (f64.const 1))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 17))))""",
        "rejected: more than 16 metrics",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_trainer_may_not_do_ends_it_with_its_reason(workshop: Workshop, fault: str) -> None:
    """Each fault fails the run, says why, and leaves no update."""
    body, words = FAULTS[fault]
    outcome = teach(workshop, trains(body))
    assert (outcome.ok, outcome.error, outcome.blob) == (False, words, None)


def test_75_means_there_was_nothing_to_train_on(workshop: Workshop) -> None:
    """`train` returning 75 declines; any other number fails."""
    declined = teach(workshop, trains("i32.const 75", "(result i32)"))
    assert (declined.ok, declined.exit) == (False, 75)
    assert declined.error == "declined: it has nothing to train on"
    failed = teach(workshop, trains("i32.const 9", "(result i32)"), 2)
    assert (failed.ok, failed.error) == (False, "train() returned 9")


def test_a_trainer_that_never_ends_is_ended(workshop: Workshop) -> None:
    """The entry's limit holds for training as well, in guest code and in calls to the host."""
    spin = teach(workshop, trains("(loop br 0)"), limits={"timeout": 500})
    assert spin.error == "ran longer than its limit of 500ms"
    calls = "(loop (drop (call $rand)) br 0)"
    assert teach(workshop, trains(calls), 2, limits={"timeout": 500}).error == spin.error


def test_the_words_of_a_trap_stay_on_the_device(make_workshop: Maker) -> None:
    """Unless the owner ships them: what a guest could spell into a trap or a status is dropped."""
    workshop = make_workshop()
    workshop.supervisor._trainer._ship = False  # type: ignore[union-attr]
    trap = teach(workshop, trains("unreachable"))
    assert (trap.error, trap.exit) == ("failed: it trapped", None)
    status = teach(workshop, trains("i32.const 99", "(result i32)"), 2)
    assert (status.error, status.exit) == ("failed: by its exit status", 1)


def test_only_a_round_offers_the_imports_of_training(workshop: Workshop) -> None:
    """The same module as an ordinary task is refused before it starts."""
    words = workshop.prepare(workshop.entry(TRAINER, entrypoint="train"))
    assert words == "needs propeller_fl, which only a FederatedTask offers"


def test_a_socket_is_an_import_nobody_provides(workshop: Workshop) -> None:
    """A module that wants one is refused; WASI's own socket calls find nothing to talk to."""
    asks = """(module (import "wasi_snapshot_preview1" "sock_open"
      (func (param i32 i32 i32) (result i32))) (memory (export "memory") 1)
      (func (export "train")))"""
    entry = workshop.entry(asks, entrypoint="train", fl=FL)
    assert workshop.prepare(entry) == (
        "needs an import nobody here provides: wasi_snapshot_preview1.sock_open"
    )
    tries = f"""(module (import "wasi_snapshot_preview1" "sock_accept"
        (func $accept (param i32 i32 i32) (result i32)))
      {IMPORTS} (func (export "train") (local $fd i32)
        (loop $next
          (if (i32.eqz (call $accept (local.get $fd) (i32.const 0) (i32.const 60)))
            (then unreachable))
          (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $fd) (i32.const 64))))
        {SUBMIT % (16, 7)}))"""
    assert teach(workshop, tries, 2).ok


def test_other_directories_are_refused(workshop: Workshop) -> None:
    """A round's module sees /data; anything else in its entry makes it unfit."""
    mount = WireMount(name="data", path="/etc", access="ReadOnly")
    entry = workshop.entry(TRAINER, entrypoint="train", fl=FL, mounts=(mount,))
    assert "sees /data and nothing else, not /etc" in workshop.prepare(entry)
