//! A safetensors file.
#![no_main]

use std::io::Write;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(data).expect("room for it");
    let _ = duet_model::read_tensors(file.path(), &Device::Cpu);
});
