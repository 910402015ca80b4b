//! A folder with one image file: what is read from there is what is read from memory.
#![no_main]

use std::cell::LazyCell;
use std::fs;

use duet_data::{FolderOptions, Picture};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("class")).expect("a folder in it");
        folder
    });
}

fuzz_target!(|data: &[u8]| {
    FOLDER.with(|folder| {
        fs::write(folder.path().join("class/image.png"), data).expect("a file in it");
        let opened = duet_data::open(folder.path(), &FolderOptions::default());
        match (opened, Picture::decode(data)) {
            (Ok(splits), Ok(picture)) => {
                let shape = splits.train.shape();
                assert_eq!(
                    (shape.channels, shape.height, shape.width),
                    (picture.channels, picture.height, picture.width)
                );
            }
            (Err(_), Err(_)) => {}
            (opened, decoded) => panic!("{:?}, {:?}", opened.err(), decoded.err()),
        }
    });
});
