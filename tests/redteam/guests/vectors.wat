;; Writes with half a million pieces, each of them all of its memory: 30 TiB in one call.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1000)
  (func (export "_start") (local $at i32)
    (loop $fill
      (i32.store (i32.add (local.get $at) (i32.const 4)) (i32.const 65536000))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const 4194304))))
    (loop $more
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 524288) (i32.const 65535996)))
      (br $more))))
