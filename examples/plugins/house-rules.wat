;; A plugin: every workload has a label "team", and says when it takes all the memory there is.
;; What has no LOG_LEVEL gets one. Proplets on mains power are better places. docs/reference/plugins.md says what may be imported.
(module
  (import "propeller" "refuse" (func $refuse (param i32 i32)))
  (import "propeller" "warn" (func $warn (param i32 i32)))
  (import "propeller" "label" (func $label (param i32 i32 i32 i32)))
  (import "propeller" "env" (func $env (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\22team\22:")
  (data (i32.const 16) "\22memory\22:\22Unlimited\22")
  (data (i32.const 64) "needs a label team: who is called when it fails?")
  (data (i32.const 128) "may take all the memory of a device")
  (data (i32.const 192) "LOG_LEVEL")
  (data (i32.const 208) "info")
  (data (i32.const 216) "reviewed")
  (data (i32.const 224) "house-rules")
  (data (i32.const 240) "\22power\22:\22mains\22")
  (global $size (mut i32) (i32.const 0))
  (global $at i32 (i32.const 1024))

  ;; Where the question goes.
  (func (export "input") (param $size i32) (result i32)
    (global.set $size (local.get $size))
    (drop (memory.grow (i32.shr_u (local.get $size) (i32.const 16))))
    (global.get $at))

  ;; Whether the question has these bytes anywhere.
  (func $has (param $word i32) (param $len i32) (result i32)
    (local $i i32) (local $j i32)
    (loop $next
      (if (i32.gt_u (i32.add (local.get $i) (local.get $len)) (global.get $size))
        (then (return (i32.const 0))))
      (local.set $j (i32.const 0))
      (loop $same
        (if (i32.eq (local.get $j) (local.get $len)) (then (return (i32.const 1))))
        (if (i32.eq
              (i32.load8_u (i32.add (global.get $at) (i32.add (local.get $i) (local.get $j))))
              (i32.load8_u (i32.add (local.get $word) (local.get $j))))
          (then
            (local.set $j (i32.add (local.get $j) (i32.const 1)))
            (br $same))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))
    unreachable)

  (func (export "admit")
    (if (i32.eqz (call $has (i32.const 0) (i32.const 7)))
      (then (call $refuse (i32.const 64) (i32.const 48))))
    (if (call $has (i32.const 16) (i32.const 20))
      (then (call $warn (i32.const 128) (i32.const 35)))))

  (func (export "enrich")
    (call $label (i32.const 216) (i32.const 8) (i32.const 224) (i32.const 11))
    (call $env (i32.const 192) (i32.const 9) (i32.const 208) (i32.const 4)))

  (func (export "place") (result i64)
    (i64.mul (i64.const 100)
      (i64.extend_i32_u (call $has (i32.const 240) (i32.const 15))))))
