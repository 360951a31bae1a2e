;; Wants the functions of a training round outside of one.
(module (import "propeller_fl" "model_len" (func (result i32))) (memory (export "memory") 1)
  (func (export "_start")))
