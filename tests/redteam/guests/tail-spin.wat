;; Never ends and never loops: two functions return into each other for ever.
(module
  (memory (export "memory") 1)
  (func $a (return_call $b))
  (func $b (return_call $a))
  (func (export "_start") (call $a)))
