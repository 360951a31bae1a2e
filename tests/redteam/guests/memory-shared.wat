;; Wants memory to share between threads.
(module (memory (export "memory") 1 65536 shared) (func (export "_start")))
