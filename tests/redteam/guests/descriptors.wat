;; Closes, renumbers and seeks every descriptor there may be, and then floods what is left of stdout.
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $fd i32)
    (drop (call $renumber (i32.const 3) (i32.const 1)))
    (loop $each
      (drop (call $seek (local.get $fd) (i64.const 9223372036854775807) (i32.const 0) (i32.const 8)))
      (drop (call $renumber (local.get $fd) (i32.sub (i32.const 100000) (local.get $fd))))
      (drop (call $close (local.get $fd)))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $fd) (i32.const 3000))))
    (i32.store (i32.const 4) (i32.const 65536))
    (local.set $fd (i32.const 0))
    (loop $more
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $fd) (i32.const 1000))))))
