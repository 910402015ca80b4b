//! A model's `config.json`.
#![no_main]

use duet_model::UNetConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(config) = UNetConfig::from_json(text) {
        let _ = config.validate();
    }
});
