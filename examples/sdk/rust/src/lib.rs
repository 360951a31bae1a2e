//! What a module that trains may ask of its host: `propeller_fl`, safely.
//!
//! Export `train` (and `evaluate`) as `extern "C" fn() -> i32`: 0 went well, [`DECLINED`] there is
//! nothing to train on, anything else failed. A call against a limit ends the module with a reason
//! that the operator sees, so nothing here returns an error.
//!
//! ```sh
//! rustc --edition=2021 --target=wasm32-unknown-unknown --crate-type=cdylib -C opt-level=s \
//!   -C panic=abort -C strip=symbols trainer.rs
//! ```
#![no_std]

/// What `train` returns when there is nothing to train on.
pub const DECLINED: i32 = 75;

/// How a result is given; the host makes the format of the round out of either.
#[derive(Clone, Copy)]
pub enum Encoding {
    /// Parameters after training minus those before.
    Delta = 1,
    /// Parameters after training.
    Full = 2,
}

mod host {
    #[link(wasm_import_module = "propeller_fl")]
    extern "C" {
        pub fn model_len() -> i32;
        pub fn model_read(off: i32, dst: *mut f32, len: i32);
        pub fn correction_read(off: i32, dst: *mut f32, len: i32);
        pub fn data_next(dst: *mut u8, cap: i32) -> i32;
        pub fn param_i64(name: *const u8, len: i32, missing: i64) -> i64;
        pub fn param_f64(name: *const u8, len: i32, missing: f64) -> f64;
        pub fn rand_u64() -> u64;
        pub fn metric(name: *const u8, len: i32, value: f64);
        pub fn steps(count: i32);
        pub fn submit(encoding: i32, src: *const f32, len: i32, samples: i64);
    }
}

/// Parameters of the model; 0 while there is none.
pub fn model_len() -> usize {
    (unsafe { host::model_len() }) as usize / 4
}

/// Fills `into` with the model's parameters from `from` on.
pub fn model_read(from: usize, into: &mut [f32]) {
    unsafe { host::model_read(from as i32 * 4, into.as_mut_ptr(), into.len() as i32 * 4) }
}

/// Fills `into` with what is added to each gradient under a strategy with control variates
/// (SCAFFOLD), from parameter `from` on; zeros under the others.
pub fn correction_read(from: usize, into: &mut [f32]) {
    let bytes = into.len() as i32 * 4;
    unsafe { host::correction_read(from as i32 * 4, into.as_mut_ptr(), bytes) }
}

/// Fills `into` with whole records and returns the bytes that were read; 0 at the end, after which
/// the next call begins at the start again. A record is `data.features` f32, then `data.labels`
/// i32, little-endian.
pub fn data_next(into: &mut [u8]) -> usize {
    (unsafe { host::data_next(into.as_mut_ptr(), into.len() as i32) }) as usize
}

/// A hyperparameter that is whole, or `missing`. The host adds `round`, `data.records`,
/// `data.features` and `data.labels`.
pub fn param_i64(name: &str, missing: i64) -> i64 {
    unsafe { host::param_i64(name.as_ptr(), name.len() as i32, missing) }
}

/// A hyperparameter, or `missing`.
pub fn param_f64(name: &str, missing: f64) -> f64 {
    unsafe { host::param_f64(name.as_ptr(), name.len() as i32, missing) }
}

/// The next 64 random bits of this step, the same on every run of it.
pub fn rand_u64() -> u64 {
    unsafe { host::rand_u64() }
}

/// Tells a finite number; at most 16 names.
pub fn metric(name: &str, value: f64) {
    unsafe { host::metric(name.as_ptr(), name.len() as i32, value) }
}

/// Tells how many optimiser steps were made.
pub fn steps(count: u32) {
    unsafe { host::steps(count as i32) }
}

/// Hands over the result, once, and how many samples it came from.
pub fn submit(encoding: Encoding, values: &[f32], samples: u64) {
    let bytes = values.len() as i32 * 4;
    unsafe { host::submit(encoding as i32, values.as_ptr(), bytes, samples as i64) }
}

/// Ends an evaluation: it submits no model, only its samples.
pub fn evaluated(samples: u64) {
    unsafe { host::submit(Encoding::Full as i32, core::ptr::null(), 0, samples as i64) }
}
