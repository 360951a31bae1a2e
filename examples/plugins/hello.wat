;; Something that runs, so that there is something to ask about.
(module (memory (export "memory") 1) (func (export "_start")))
