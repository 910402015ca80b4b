//! CIFAR's Python versions.
#![no_main]

use duet_data::{LabelKind, from_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = from_bytes::cifar10_pickle(data);
    if let Ok(set) = from_bytes::cifar100_pickle(data, LabelKind::Coarse) {
        assert!(3072 * set.len() <= data.len());
    }
});
