;; Grows a table until it gets no more: what limits on memory forget.
(module (memory (export "memory") 1) (table $t 1 externref)
  (func (export "_start")
    (loop $more
      (br_if $more (i32.ne (table.grow $t (ref.null extern) (i32.const 1000000)) (i32.const -1))))
    unreachable))
