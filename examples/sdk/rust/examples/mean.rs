//! The mean of every feature over the fleet: a trainer without a gradient. Its model is the mean.
#![no_std]
use propeller_fl as fl;

const MOST: usize = 64;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[no_mangle]
pub extern "C" fn train() -> i32 {
    let features = fl::param_i64("data.features", 0) as usize;
    let labels = fl::param_i64("data.labels", 0) as usize;
    if features == 0 || features > MOST || labels > 8 {
        return fl::DECLINED;
    }
    let mut sum = [0f64; MOST];
    let mut record = [0u8; 4 * (MOST + 8)];
    let mut seen = 0u64;
    while fl::data_next(&mut record[..4 * (features + labels)]) > 0 {
        for (at, total) in sum[..features].iter_mut().enumerate() {
            let mut value = [0u8; 4];
            value.copy_from_slice(&record[4 * at..4 * at + 4]);
            *total += f32::from_le_bytes(value) as f64;
        }
        seen += 1;
    }
    if seen == 0 {
        return fl::DECLINED;
    }
    let mut mean = [0f32; MOST];
    for at in 0..features {
        mean[at] = (sum[at] / seen as f64) as f32;
    }
    fl::metric("seen", seen as f64);
    fl::submit(fl::Encoding::Full, &mean[..features], seen);
    0
}
