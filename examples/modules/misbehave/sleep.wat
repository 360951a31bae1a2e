;; Never ends and burns nothing: asleep in a host call for an hour, where fuel does not count.
;; Its timeout must stop it all the same.
;;
;;   0  subscription for poll_oneoff (48 bytes): clock, monotonic, relative
;;  64  event (32 bytes)
;;  96  events seen
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 96)))))
