//! A zip or tar archive of images.
#![no_main]

use duet_data::{FolderOptions, from_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let options = FolderOptions { max_bytes: 1 << 24, ..FolderOptions::default() };
    if let Ok(splits) = from_bytes::archive(data, &options) {
        assert!(!splits.train.is_empty());
    }
});
