;; A daemon that says "beat 1", "beat 2", ... every five seconds and sleeps in between.
;;
;; Memory, by hand, because there is no libc here:
;;     0  iovec for fd_write: pointer, length
;;     8  bytes written, then events seen
;;    16  subscription for poll_oneoff (48 bytes): clock, monotonic, relative
;;    64  event that poll_oneoff writes (32 bytes)
;;   128  the line: "beat " at 128, digits end at 152, newline at 152
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 128) "beat ")
  (data (i32.const 152) "\n")

  (global $period_ns i64 (i64.const 5000000000))

  ;; Writes the digits of $n so that they end just before the newline.
  ;; Gives the address of the first one.
  (func $digits (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 152))
    (loop $next
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at)
        (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $next (local.get $n)))
    (local.get $at))

  (func $write (param $from i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $from))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func $say (param $n i32)
    (local $first i32)
    (local.set $first (call $digits (local.get $n)))
    ;; "beat " moves up to stand in front of the digits, so that a line is one write.
    (local.set $first (i32.sub (local.get $first) (i32.const 5)))
    (memory.copy (local.get $first) (i32.const 128) (i32.const 5))
    (call $write (local.get $first) (i32.sub (i32.const 153) (local.get $first))))

  (func $sleep
    (i64.store (i32.const 16) (i64.const 0))                ;; userdata
    (i32.store8 (i32.const 24) (i32.const 0))               ;; tag: clock
    (i32.store (i32.const 32) (i32.const 1))                ;; clock id: monotonic
    (i64.store (i32.const 40) (global.get $period_ns))      ;; timeout
    (i64.store (i32.const 48) (i64.const 0))                ;; precision
    (i32.store16 (i32.const 56) (i32.const 0))              ;; flags: relative
    (drop (call $poll_oneoff (i32.const 16) (i32.const 64) (i32.const 1) (i32.const 8))))

  (func (export "_start")
    (local $n i32)
    (loop $beat
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (call $say (local.get $n))
      (call $sleep)
      (br $beat))))
