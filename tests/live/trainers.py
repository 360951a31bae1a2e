"""Guests of federated rounds that tests of several files run."""

from __future__ import annotations


def saying(text: str) -> str:
    """A WASI command that prints `text`."""
    words = text.replace("\\", "\\\\").replace('"', "\\22")
    return f"""(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{words}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const {len(text)}))
    (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


READER = """(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "quick")
  (func (export "_start")
    (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 80))
      (then unreachable))
    (i32.store (i32.const 96) (i32.const 1024))
    (i32.store (i32.const 100) (i32.const 4096))
    (if (call $read (i32.load (i32.const 80)) (i32.const 96) (i32.const 1) (i32.const 112))
      (then unreachable))
    ;; the first parameter stands behind the header, whose length stands first: 3 is f32 0x40400000
    (if (i32.eq (i32.load (i32.add (i32.const 1032) (i32.load (i32.const 1024))))
                (i32.const 0x40400000))
      (then (i32.store (i32.const 100) (i32.const 5)) (i32.store (i32.const 96) (i32.const 200)))
      (else (i32.store (i32.const 100) (i32.const 4)) (i32.store (i32.const 96) (i32.const 220))))
    (drop (call $write (i32.const 1) (i32.const 96) (i32.const 1) (i32.const 112))))
  (data (i32.const 200) "three")
  (data (i32.const 220) "else"))
"""
