;; Treats every descriptor as a socket. Exits 0 when none was one.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv"
    (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $fd i32)
    (i32.store (i32.const 4) (i32.const 8))
    (loop $each
      (if (i32.eqz (call $accept (local.get $fd) (i32.const 0) (i32.const 16)))
        (then (call $exit (i32.const 1))))
      (if (i32.eqz (call $send (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0)
          (i32.const 16)))
        (then (call $exit (i32.const 2))))
      (if (i32.eqz (call $recv (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 0)
          (i32.const 16) (i32.const 20)))
        (then (call $exit (i32.const 3))))
      (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
      (br_if $each (i32.lt_u (local.get $fd) (i32.const 64))))
    (call $exit (i32.const 0))))
