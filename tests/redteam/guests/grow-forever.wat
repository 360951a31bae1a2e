;; Asks for more memory for ever, in the hope that asking costs the host something.
(module (memory (export "memory") 1)
  (func (export "_start") (loop $more (drop (memory.grow (i32.const 65535))) (br $more))))
