;; The smallest useful module: no imports, no memory, one typed export.
;; `run: {entrypoint: add, args: ["40", "2"]}` gives the result "42".
(module
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    local.get $a
    local.get $b
    i32.add))
