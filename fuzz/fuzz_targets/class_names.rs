//! A list of class names, and how a person refers to one of them.
#![no_main]

use duet_data::{class_index, from_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(names) = from_bytes::class_names(data) {
        let found = names.iter().map(|name| class_index(&names, name));
        assert!(found.eq((0..names.len()).map(Some)));
    }
});
