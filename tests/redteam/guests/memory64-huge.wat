;; Wants more than the machine has, with 64-bit addresses.
(module (memory (export "memory") i64 0x100000000) (func (export "_start")))
