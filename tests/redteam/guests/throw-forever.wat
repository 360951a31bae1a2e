;; Throws and catches for ever.
(module (memory (export "memory") 1) (tag $e)
  (func (export "_start")
    (loop $again
      (block $caught (try_table (catch $e $caught) (throw $e)))
      (br $again))))
