;; Exports a number where a function is expected.
(module (memory (export "memory") 1) (global (export "_start") i32 (i32.const 1)))
