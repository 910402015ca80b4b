//! A `scheduler_config.json`: what is accepted can be stepped with, written, and read again.
#![no_main]

use duet_schedule::DiffusersScheduler;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(scheduler) = DiffusersScheduler::from_json(text) {
        let _ = scheduler.noise_schedule();
        let _ = scheduler.steps(7);
        DiffusersScheduler::from_json(&scheduler.to_json()).expect("what was written is read");
    }
});
