;; Traps at once: the task fails and says where.
(module
  (func (export "_start")
    unreachable))
