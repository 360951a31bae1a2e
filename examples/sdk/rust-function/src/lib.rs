//! What a module may ask of its host: `propeller`, safely. What is about a request is for Functions
//! only.
//!
//! Export `extern "C" fn() -> i32`: 0 it went well, anything else it failed. A call against a limit
//! ends the module with a reason that its caller sees, so nothing here returns an error.
//!
//! ```sh
//! rustc --edition=2021 --target=wasm32-unknown-unknown --crate-type=cdylib -C opt-level=s \
//!   -C panic=abort -C strip=symbols function.rs
//! ```
#![no_std]

mod host {
    #[link(wasm_import_module = "propeller")]
    extern "C" {
        pub fn input_len() -> i32;
        pub fn input_read(to: *mut u8, off: i32, len: i32) -> i32;
        pub fn output_write(from: *const u8, len: i32);
        pub fn output_status(status: i32);
        pub fn output_type(from: *const u8, len: i32);
        pub fn request_get(name: *const u8, len: i32, to: *mut u8, cap: i32) -> i32;
        pub fn config_get(name: *const u8, len: i32, to: *mut u8, cap: i32) -> i32;
        pub fn log(level: i32, from: *const u8, len: i32);
        pub fn metric(name: *const u8, len: i32, value: f64);
        pub fn now_ms() -> i64;
        pub fn random(to: *mut u8, len: i32);
        pub fn publish(name: *const u8, len: i32, data: *const u8, size: i32) -> i32;
        pub fn receive(name: *const u8, len: i32, to: *mut u8, cap: i32, wait: i32) -> i32;
        pub fn receive_topic(to: *mut u8, cap: i32) -> i32;
        pub fn point_read(name: *const u8, len: i32, to: *mut f64) -> i32;
        pub fn point_write(name: *const u8, len: i32, value: f64) -> i32;
    }
}

/// How much a line of the log matters.
#[derive(Clone, Copy)]
pub enum Level {
    /// Something is wrong.
    Error = 0,
    /// Something may go wrong.
    Warning = 1,
    /// Worth knowing.
    Info = 2,
    /// For whoever wrote the module.
    Debug = 3,
}

/// Bytes of the request.
pub fn input_len() -> usize {
    (unsafe { host::input_len() }) as usize
}

/// Copies the request from `from` on into `into`; how many bytes that were.
pub fn input_read(from: usize, into: &mut [u8]) -> usize {
    (unsafe { host::input_read(into.as_mut_ptr(), from as i32, into.len() as i32) }) as usize
}

/// Appends to the answer: 128 KiB in all.
pub fn output(data: &[u8]) {
    unsafe { host::output_write(data.as_ptr(), data.len() as i32) }
}

/// The answer's HTTP status, 200 to 599.
pub fn output_status(status: u16) {
    unsafe { host::output_status(i32::from(status)) }
}

/// The answer's content type.
pub fn output_type(kind: &str) {
    unsafe { host::output_type(kind.as_ptr(), kind.len() as i32) }
}

/// Of the request: `method`, `path`, `query` or `header:NAME`. The part of it that fits `into`, and
/// how long all of it is; None where it is not there.
pub fn request<'a>(name: &str, into: &'a mut [u8]) -> Option<(&'a [u8], usize)> {
    let whole = unsafe {
        host::request_get(name.as_ptr(), name.len() as i32, into.as_mut_ptr(), into.len() as i32)
    };
    given(whole, into)
}

/// The same for a variable of `spec.run.env`.
pub fn config<'a>(name: &str, into: &'a mut [u8]) -> Option<(&'a [u8], usize)> {
    let whole = unsafe {
        host::config_get(name.as_ptr(), name.len() as i32, into.as_mut_ptr(), into.len() as i32)
    };
    given(whole, into)
}

fn given(whole: i32, into: &[u8]) -> Option<(&[u8], usize)> {
    let whole = usize::try_from(whole).ok()?;
    Some((&into[..whole.min(into.len())], whole))
}

/// A line for `propeller logs`; 4 KiB of it are kept.
pub fn log(level: Level, text: &str) {
    unsafe { host::log(level as i32, text.as_ptr(), text.len() as i32) }
}

/// A number that the module tells of itself: at most 64 names of at most 128 bytes.
pub fn metric(name: &str, value: f64) {
    unsafe { host::metric(name.as_ptr(), name.len() as i32, value) }
}

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    unsafe { host::now_ms() }
}

/// Random bytes of the system, 64 KiB at a time.
pub fn random(into: &mut [u8]) {
    unsafe { host::random(into.as_mut_ptr(), into.len() as i32) }
}

/// Why a message was not taken or did not come, or a point was not read or driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// `spec.run.topics` has no such name for that.
    Absent,
    /// It is above `maxSize`, or above the room there is: then it stays. Of an output: it may not have
    /// that value.
    TooLong,
    /// It is above `rate`: try again later.
    TooFast,
    /// No message came in time.
    Nothing,
}

fn refused(code: i32) -> Refused {
    match code {
        -1 => Refused::Absent,
        -2 => Refused::TooLong,
        -3 => Refused::TooFast,
        _ => Refused::Nothing,
    }
}

/// Publishes to a topic of `spec.run.topics`, by its name there. What is taken is sent when there is
/// a link, in order.
pub fn publish(name: &str, data: &[u8]) -> Result<(), Refused> {
    let told = unsafe {
        host::publish(name.as_ptr(), name.len() as i32, data.as_ptr(), data.len() as i32)
    };
    if told == 0 { Ok(()) } else { Err(refused(told)) }
}

/// The next message of a topic, waited for up to `wait_ms` (60,000 at most). Not for Functions.
pub fn receive<'a>(name: &str, into: &'a mut [u8], wait_ms: u16) -> Result<&'a [u8], Refused> {
    let len = unsafe {
        host::receive(
            name.as_ptr(),
            name.len() as i32,
            into.as_mut_ptr(),
            into.len() as i32,
            i32::from(wait_ms),
        )
    };
    match usize::try_from(len) {
        Err(_) => Err(refused(len)),
        Ok(len) if len > into.len() => Err(Refused::TooLong),
        Ok(len) => Ok(&into[..len]),
    }
}

/// The topic of the message taken last, below the channel, as far as it fits.
pub fn receive_topic(into: &mut [u8]) -> &[u8] {
    let len = unsafe { host::receive_topic(into.as_mut_ptr(), into.len() as i32) };
    &into[..usize::try_from(len).unwrap_or(0).min(into.len())]
}

/// The value of a sensor of `spec.run.points`, by its name there. `Nothing` where the device gives
/// none now.
pub fn read(name: &str) -> Result<f64, Refused> {
    let mut value = 0.0;
    let told = unsafe { host::point_read(name.as_ptr(), name.len() as i32, &mut value) };
    if told == 0 { Ok(value) } else { Err(refused(told)) }
}

/// Drives an output of `spec.run.points`. `TooLong` is a value beyond what the device's owner allows.
/// When the module ends, the device puts it back to what is safe.
pub fn write(name: &str, value: f64) -> Result<(), Refused> {
    let told = unsafe { host::point_write(name.as_ptr(), name.len() as i32, value) };
    if told == 0 { Ok(()) } else { Err(refused(told)) }
}
