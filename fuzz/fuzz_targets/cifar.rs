//! Records of CIFAR-10's binary version.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(set) = duet_data::from_bytes::cifar10(data) {
        assert_eq!(3073 * set.len(), data.len());
    }
});
