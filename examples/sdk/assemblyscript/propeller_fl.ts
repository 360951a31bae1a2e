/**
 * What a module that trains may ask of its host: `propeller_fl` for AssemblyScript.
 *
 * Export `train(): i32` (and `evaluate(): i32`): 0 went well, DECLINED there is nothing to train on,
 * anything else failed. A call against a limit ends the module with a reason the operator sees.
 *
 *     asc trainer.ts --runtime stub -O3 --use abort= -o trainer.wasm
 */

export const DECLINED: i32 = 75;

/** Parameters after training minus those before. */
export const DELTA: i32 = 1;
/** Parameters after training. */
export const FULL: i32 = 2;

// @ts-ignore: decorator
@external("propeller_fl", "model_len") declare function _model_len(): i32;
// @ts-ignore: decorator
@external("propeller_fl", "model_read") declare function _model_read(off: i32, dst: usize, len: i32): void;
// @ts-ignore: decorator
@external("propeller_fl", "correction_read") declare function _correction_read(off: i32, dst: usize, len: i32): void;
// @ts-ignore: decorator
@external("propeller_fl", "data_next") declare function _data_next(dst: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("propeller_fl", "param_i64") declare function _param_i64(name: usize, len: i32, missing: i64): i64;
// @ts-ignore: decorator
@external("propeller_fl", "param_f64") declare function _param_f64(name: usize, len: i32, missing: f64): f64;
// @ts-ignore: decorator
@external("propeller_fl", "metric") declare function _metric(name: usize, len: i32, value: f64): void;
// @ts-ignore: decorator
@external("propeller_fl", "submit") declare function _submit(encoding: i32, src: usize, len: i32, samples: i64): void;

/** The next 64 random bits of this step, the same on every run of it. */
// @ts-ignore: decorator
@external("propeller_fl", "rand_u64") export declare function randU64(): u64;
/** Tells how many optimiser steps were made. */
// @ts-ignore: decorator
@external("propeller_fl", "steps") export declare function steps(count: i32): void;

/** The model's parameters; empty while there is none. */
export function model(): StaticArray<f32> {
  const bytes = _model_len();
  const all = new StaticArray<f32>(bytes / 4);
  _model_read(0, changetype<usize>(all), bytes);
  return all;
}

/** What is added to each gradient under a strategy with control variates (SCAFFOLD), laid out as the
 * model; zeros under the others. */
export function correction(): StaticArray<f32> {
  const bytes = _model_len();
  const all = new StaticArray<f32>(bytes / 4);
  _correction_read(0, changetype<usize>(all), bytes);
  return all;
}

/** Fills `into` with whole records; the bytes read, 0 at the end and then from the start again. */
export function dataNext(into: StaticArray<f32>): i32 {
  return _data_next(changetype<usize>(into), into.length * 4);
}

/** A hyperparameter that is whole, or `missing`. */
export function paramI64(name: string, missing: i64): i64 {
  const text = String.UTF8.encode(name);
  return _param_i64(changetype<usize>(text), text.byteLength, missing);
}

/** A hyperparameter, or `missing`. */
export function paramF64(name: string, missing: f64): f64 {
  const text = String.UTF8.encode(name);
  return _param_f64(changetype<usize>(text), text.byteLength, missing);
}

/** Tells a finite number; at most 16 names. */
export function metric(name: string, value: f64): void {
  const text = String.UTF8.encode(name);
  _metric(changetype<usize>(text), text.byteLength, value);
}

/** Hands over the result, once, and how many samples it came from. */
export function submit(encoding: i32, values: StaticArray<f32>, samples: i64): void {
  _submit(encoding, changetype<usize>(values), values.length * 4, samples);
}

/** Ends an evaluation: it submits no model, only its samples. */
export function evaluated(samples: i64): void {
  _submit(FULL, 0, 0, samples);
}
