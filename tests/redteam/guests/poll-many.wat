;; Waits for 700,000 things at once, again and again.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1000)
  (func (export "_start") (local $at i32)
    (loop $fill
      (i32.store (i32.add (local.get $at) (i32.const 16)) (i32.const 1))
      (i64.store (i32.add (local.get $at) (i32.const 24)) (i64.const 60000000000))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const 33600000))))
    (loop $more
      (drop (call $poll (i32.const 0) (i32.const 33600000) (i32.const 700000) (i32.const 8)))
      (br $more))))
