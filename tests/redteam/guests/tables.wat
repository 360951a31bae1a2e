;; Many tables instead of a large one.
(module (memory (export "memory") 1)
  (table 9000000 funcref) (table 9000000 funcref) (table 9000000 funcref) (table 9000000 funcref)
  (table 9000000 funcref) (table 9000000 funcref) (table 9000000 funcref) (table 9000000 funcref)
  (func (export "_start")))
