//! Answers with its request in capitals, and says who asked.
#![no_std]
#![no_main]

use propeller_function as host;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[no_mangle]
extern "C" fn upper() -> i32 {
    let mut text = [0u8; 256];
    let mut word = [0u8; 16];
    let read = host::input_read(0, &mut text);
    text[..read].make_ascii_uppercase();
    host::output_type("text/plain");
    host::output(&text[..read]);
    if let Some((name, _)) = host::config("NAME", &mut word) {
        host::output(b" ");
        host::output(name);
    }
    if host::request("header:x-none", &mut word).is_some() || host::now_ms() == 0 {
        return 1;
    }
    host::random(&mut word);
    host::metric("bytes", read as f64);
    host::log(host::Level::Info, "done");
    if host::publish("out", &text[..read]).is_err() {
        return 2;
    }
    if host::read("level") != Ok(2.5) || host::write("lamp", 1.0).is_err() {
        return 3;
    }
    0
}
