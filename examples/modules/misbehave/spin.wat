;; Never ends and never sleeps: its fuel or its timeout must stop it.
(module
  (func (export "_start")
    (loop $again
      (br $again))))
