;; Asks for the time for ever.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $more (drop (call $time (i32.const 0) (i64.const 1) (i32.const 8))) (br $more))))
