//! IDX files, gzipped or not: a u16 says how many of the bytes behind it are the images' file, and
//! the rest is the labels'.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let (images, labels) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
    let classes: Vec<String> = ('0'..='9').map(String::from).collect();
    if let Ok(set) = duet_data::from_bytes::idx(images, labels, classes) {
        assert_eq!(set.class_counts().iter().sum::<usize>(), set.len());
        assert!((0..set.len()).all(|i| set.pixels(i).len() == set.shape().len()));
    }
});
