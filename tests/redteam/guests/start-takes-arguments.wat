;; A `_start` that wants arguments nobody gives.
(module (memory (export "memory") 1) (func (export "_start") (param i32 i64)))
