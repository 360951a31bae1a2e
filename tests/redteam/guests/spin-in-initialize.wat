;; Never ends in `_initialize`, which is called before the entry point.
(module (func (export "_initialize") (loop br 0)) (func (export "f")))
