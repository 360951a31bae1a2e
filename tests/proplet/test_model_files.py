"""Guests that read models: `/models` holds the blobs of the entry under their names, read-only."""

from __future__ import annotations

from propeller.wire.messages import BlobRef, WireModel
from proplet.modules import Modules, inputs
from proplet.runtime.fit import MODELS, offered

READER = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "weights.bin")
  (func (export "_start")
    ;; it cannot be opened for writing
    (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 11)
          (i32.const 0) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 80)))
      (then unreachable))
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 11)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 80))
      (then unreachable))
    (i32.store (i32.const 96) (i32.const 1024))
    (i32.store (i32.const 100) (i32.const 4096))
    (if (call $read (i32.load (i32.const 80)) (i32.const 96) (i32.const 1) (i32.const 112))
      (then unreachable))
    (i32.store (i32.const 100) (i32.load (i32.const 112)))
    (drop (call $write (i32.const 1) (i32.const 96) (i32.const 1) (i32.const 112)))))
"""


def model(blob: BlobRef) -> tuple[WireModel, ...]:
    return (WireModel(name="weights.bin", blob=blob),)


def test_a_guest_reads_its_model_and_cannot_change_it(workshop) -> None:
    """What it prints are the bytes of the blob."""
    blob = workshop.blobs.keep(b"0.5 0.25 -1")
    outcome = workshop.run(READER, models=model(blob))
    assert (outcome.ok, outcome.result) == (True, "0.5 0.25 -1"), outcome.error


def test_a_model_that_is_gone_fails_the_run_in_words(workshop) -> None:
    """It was here when the run was prepared, and somebody emptied the disk."""
    blob = workshop.blobs.keep(b"bytes")
    key = None
    entry = workshop.entry(READER, models=model(blob))
    assert workshop.prepare(entry) == ""
    workshop.blobs.path(blob.digest).unlink()
    workshop.supervisor.start(entry)
    key = (entry.uid, entry.run)
    workshop.until(lambda: key in workshop.over)
    assert "models cannot be laid out" in workshop.over[key].error


def test_models_are_fetched_before_a_start_and_stay_while_they_are_used(workshop) -> None:
    """Like a module: asked for by digest, and spared."""
    blob = BlobRef(digest="sha256:" + "a" * 64, size=7)
    entry = workshop.entry(READER, models=model(blob))
    assert inputs(entry) == (blob,)
    assert blob.digest in Modules().needed([entry])


def test_an_agent_says_that_it_hands_models_to_guests() -> None:
    """Also one that denies something else: planning asks for that word."""
    assert MODELS in offered()
    assert MODELS in offered(("Clock",))
