;; The trimmed mean, as an aggregator: `strategy: {name: Wasm, module: {file: trimmed.wat}}`.
;; Each coordinate is kept sorted while updates come in; `cut` (parameter, 1) fall away at each
;; end and the mean of the rest is added to the base. docs/reference/strategies.md says the calls.
(module
  (import "propeller" "parameter" (func $parameter (param i32 i32 f64) (result f64)))
  (import "propeller" "refuse" (func $refuse (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "cut")
  (data (i32.const 32) "cut leaves no update")
  (global $buffer i32 (i32.const 1024))
  (global $rows (mut i32) (i32.const 0))     ;; sorted: a row of `updates` f32 for each coordinate
  (global $numbers (mut i32) (i32.const 0))
  (global $updates (mut i32) (i32.const 0))
  (global $seen (mut i32) (i32.const 0))
  (global $cut (mut i32) (i32.const 0))

  ;; Room for the buffer and the rows; the address of the buffer.
  (func (export "begin") (param $numbers i32) (param $updates i32) (result i32)
    (local $end i64)
    (global.set $numbers (local.get $numbers))
    (global.set $updates (local.get $updates))
    (global.set $cut (i32.trunc_sat_f64_u
      (call $parameter (i32.const 16) (i32.const 3) (f64.const 1))))
    (if (i64.ge_u (i64.mul (i64.const 2) (i64.extend_i32_u (global.get $cut)))
                  (i64.extend_i32_u (local.get $updates)))
      (then (call $refuse (i32.const 32) (i32.const 20))))
    (global.set $rows (i32.add (global.get $buffer)
                               (i32.shl (local.get $numbers) (i32.const 2))))
    (local.set $end (i64.add (i64.extend_i32_u (global.get $buffer))
      (i64.mul (i64.shl (i64.extend_i32_u (local.get $numbers)) (i64.const 2))
               (i64.extend_i32_u (i32.add (local.get $updates) (i32.const 1))))))
    (if (i64.gt_u (local.get $end) (i64.const 0xffffffff)) (then unreachable))
    (if (i32.eq (i32.const -1)
                (memory.grow (i32.wrap_i64 (i64.shr_u (local.get $end) (i64.const 16)))))
      (then unreachable))
    (global.get $buffer))

  ;; One delta lies in the buffer: put each of its numbers into its row. Samples do not count.
  (func (export "update") (param $samples f64)
    (local $at i32) (local $row i32) (local $slot i32) (local $value f32)
    (local.set $row (global.get $rows))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (global.get $numbers)))
        (local.set $value (f32.load (i32.add (global.get $buffer)
                                             (i32.shl (local.get $at) (i32.const 2)))))
        (local.set $slot (i32.add (local.get $row) (i32.shl (global.get $seen) (i32.const 2))))
        (block $placed
          (loop $shift
            (br_if $placed (i32.eq (local.get $slot) (local.get $row)))
            (br_if $placed (f32.le (f32.load (i32.sub (local.get $slot) (i32.const 4)))
                                   (local.get $value)))
            (f32.store (local.get $slot) (f32.load (i32.sub (local.get $slot) (i32.const 4))))
            (local.set $slot (i32.sub (local.get $slot) (i32.const 4)))
            (br $shift)))
        (f32.store (local.get $slot) (local.get $value))
        (local.set $row (i32.add (local.get $row) (i32.shl (global.get $updates) (i32.const 2))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (global.set $seen (i32.add (global.get $seen) (i32.const 1))))

  ;; The base lies in the buffer: the new model takes its place. f64 until the one rounding.
  (func (export "finish") (result i32)
    (local $at i32) (local $row i32) (local $slot i32) (local $total f64) (local $here i32)
    (local.set $row (global.get $rows))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (global.get $numbers)))
        (local.set $total (f64.const 0))
        (local.set $slot (global.get $cut))
        (block $added
          (loop $add
            (br_if $added (i32.eq (local.get $slot)
                                  (i32.sub (global.get $updates) (global.get $cut))))
            (local.set $total (f64.add (local.get $total)
              (f64.promote_f32 (f32.load (i32.add (local.get $row)
                                                  (i32.shl (local.get $slot) (i32.const 2)))))))
            (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
            (br $add)))
        (local.set $here (i32.add (global.get $buffer)
                                  (i32.shl (local.get $at) (i32.const 2))))
        (f32.store (local.get $here) (f32.demote_f64 (f64.add
          (f64.promote_f32 (f32.load (local.get $here)))
          (f64.div (local.get $total)
            (f64.convert_i32_u (i32.sub (global.get $updates)
                                        (i32.shl (global.get $cut) (i32.const 1))))))))
        (local.set $row (i32.add (local.get $row) (i32.shl (global.get $updates) (i32.const 2))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (global.get $buffer)))
