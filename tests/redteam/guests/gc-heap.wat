;; Fills the garbage collector's heap with what it holds on to: memory that is no linear memory.
(module (memory (export "memory") 1)
  (type $bytes (array (mut i8)))
  (type $node (struct (field (ref null $node)) (field (ref $bytes))))
  (func (export "_start") (local $list (ref null $node))
    (loop $more
      (local.set $list
        (struct.new $node (local.get $list) (array.new_default $bytes (i32.const 1000000))))
      (br $more))))
