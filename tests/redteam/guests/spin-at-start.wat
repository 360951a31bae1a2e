;; Never ends, before anything of it was called: in its start function.
(module (memory (export "memory") 1) (func $s (loop br 0)) (start $s) (func (export "_start")))
