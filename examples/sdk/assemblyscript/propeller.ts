/**
 * What a module may ask of its host: `propeller` for AssemblyScript. What is about a request is for
 * Functions only.
 *
 * Export a function without parameters that returns nothing or an i32: 0 it went well, anything else
 * it failed. A call against a limit ends the module with a reason that the caller sees.
 *
 *     asc function.ts --runtime stub -O3 --use abort= -o function.wasm
 */

// @ts-ignore: decorator
@external("propeller", "input_len") declare function _input_len(): i32;
// @ts-ignore: decorator
@external("propeller", "input_read") declare function _input_read(to: usize, off: i32, len: i32): i32;
// @ts-ignore: decorator
@external("propeller", "output_write") declare function _output_write(from: usize, len: i32): void;
// @ts-ignore: decorator
@external("propeller", "output_type") declare function _output_type(from: usize, len: i32): void;
// @ts-ignore: decorator
@external("propeller", "request_get") declare function _request_get(name: usize, len: i32, to: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("propeller", "config_get") declare function _config_get(name: usize, len: i32, to: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("propeller", "log") declare function _log(level: i32, from: usize, len: i32): void;
// @ts-ignore: decorator
@external("propeller", "metric") declare function _metric(name: usize, len: i32, value: f64): void;
// @ts-ignore: decorator
@external("propeller", "random") declare function _random(to: usize, len: i32): void;
// @ts-ignore: decorator
@external("propeller", "publish") declare function _publish(name: usize, len: i32, data: usize, size: i32): i32;
// @ts-ignore: decorator
@external("propeller", "receive") declare function _receive(name: usize, len: i32, to: usize, cap: i32, wait: i32): i32;
// @ts-ignore: decorator
@external("propeller", "receive_topic") declare function _receive_topic(to: usize, cap: i32): i32;

// @ts-ignore: decorator
@external("propeller", "point_read") declare function _pointRead(name: usize, len: i32, to: usize): i32;
// @ts-ignore: decorator
@external("propeller", "point_write") declare function _pointWrite(name: usize, len: i32, value: f64): i32;

/** The answer's HTTP status, 200 to 599. */
// @ts-ignore: decorator
@external("propeller", "output_status") export declare function outputStatus(status: i32): void;
/** Unix milliseconds. */
// @ts-ignore: decorator
@external("propeller", "now_ms") export declare function nowMs(): i64;

export const ERROR: i32 = 0;
export const WARNING: i32 = 1;
export const INFO: i32 = 2;
export const DEBUG: i32 = 3;

/** The whole request. */
export function input(): Uint8Array {
  const data = new Uint8Array(_input_len());
  _input_read(data.dataStart, 0, data.length);
  return data;
}

/** Appends to the answer: 128 KiB in all. */
export function output(data: Uint8Array): void {
  _output_write(data.dataStart, data.length);
}

/** The same for text. */
export function outputText(text: string): void {
  const data = String.UTF8.encode(text);
  _output_write(changetype<usize>(data), data.byteLength);
}

/** The answer's content type. */
export function outputType(type: string): void {
  const data = String.UTF8.encode(type);
  _output_type(changetype<usize>(data), data.byteLength);
}

/** Of the request: `method`, `path`, `query` or `header:NAME`; null where it is not there. */
export function request(name: string): string | null {
  const key = String.UTF8.encode(name);
  const at = changetype<usize>(key);
  const len = _request_get(at, key.byteLength, 0, 0);
  if (len < 0) return null;
  const value = new ArrayBuffer(len);
  _request_get(at, key.byteLength, changetype<usize>(value), len);
  return String.UTF8.decode(value);
}

/** A variable of `spec.run.env`; null where it is not there. */
export function config(name: string): string | null {
  const key = String.UTF8.encode(name);
  const at = changetype<usize>(key);
  const len = _config_get(at, key.byteLength, 0, 0);
  if (len < 0) return null;
  const value = new ArrayBuffer(len);
  _config_get(at, key.byteLength, changetype<usize>(value), len);
  return String.UTF8.decode(value);
}

/** A line for `propeller logs`. */
export function log(level: i32, text: string): void {
  const data = String.UTF8.encode(text);
  _log(level, changetype<usize>(data), data.byteLength);
}

/** A number that the module tells of itself. */
export function metric(name: string, value: f64): void {
  const data = String.UTF8.encode(name);
  _metric(changetype<usize>(data), data.byteLength, value);
}

/** So many random bytes of the system. */
export function random(count: i32): Uint8Array {
  const data = new Uint8Array(count);
  _random(data.dataStart, count);
  return data;
}

/** What `publish` answers: it was taken, or why not. */
export const TAKEN: i32 = 0;
export const ABSENT: i32 = -1;
export const TOO_LONG: i32 = -2;
export const TOO_FAST: i32 = -3;

/** Publishes to a topic of `spec.run.topics`, by its name there. */
export function publish(name: string, data: Uint8Array): i32 {
  const key = String.UTF8.encode(name);
  return _publish(changetype<usize>(key), key.byteLength, data.dataStart, data.length);
}

/** The next message of a topic, null where none came within `waitMs`. Not for Functions. */
export function receive(name: string, waitMs: i32): Uint8Array | null {
  const key = String.UTF8.encode(name);
  const at = changetype<usize>(key);
  let room = new Uint8Array(4096);
  let len = _receive(at, key.byteLength, room.dataStart, room.length, waitMs);
  if (len > room.length) {
    room = new Uint8Array(len);
    len = _receive(at, key.byteLength, room.dataStart, len, 0);
  }
  return len < 0 ? null : room.subarray(0, len);
}

/** The topic of the message taken last, below the channel. */
export function receiveTopic(): string {
  const data = new Uint8Array(256);
  const len = _receive_topic(data.dataStart, data.length);
  return String.UTF8.decodeUnsafe(data.dataStart, len < 256 ? len : 256);
}

/** What `write` answers where the device's owner does not allow that value. */
export const BEYOND: i32 = -2;

/** The value of a sensor of `spec.run.points`; NaN where it is not granted, too soon, or not there. */
export function read(name: string): f64 {
  const key = String.UTF8.encode(name);
  const value = new StaticArray<f64>(1);
  const code = _pointRead(changetype<usize>(key), key.byteLength, changetype<usize>(value));
  return code == 0 ? value[0] : NaN;
}

/** Drives an output of `spec.run.points`: TAKEN, ABSENT, BEYOND, TOO_FAST or -4. */
export function write(name: string, value: f64): i32 {
  const key = String.UTF8.encode(name);
  return _pointWrite(changetype<usize>(key), key.byteLength, value);
}
