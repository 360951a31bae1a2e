;; Wants something no proplet offers.
(module (import "host" "system" (func (param i32))) (memory (export "memory") 1)
  (func (export "_start")))
