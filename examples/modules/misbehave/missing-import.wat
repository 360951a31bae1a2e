;; Needs a host function that no proplet has: refused before anything is sent.
(module
  (import "plant" "open_valve" (func $open_valve (param i32)))
  (func (export "_start")
    (call $open_valve (i32.const 7))))
