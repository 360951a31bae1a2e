;; Declares a table of 400 million entries.
(module (memory (export "memory") 1) (table 400000000 funcref) (func (export "_start")))
