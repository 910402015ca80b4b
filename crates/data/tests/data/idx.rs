//! IDX files: golden bytes, the data sets in this format, and every kind of false claim.

use std::fs;
use std::path::Path;

use crate::common::{Bytes, assert_says, directory, gzip, idx_images, idx_labels, open, put, refusal};
use duet_data::{FolderOptions, ImageSize};
use proptest::prelude::*;

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// Two images of 2 rows and 3 columns, byte for byte.
const GOLDEN_IMAGES: [u8; 28] =
    [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 251, 252, 253, 254, 255, 0];
const GOLDEN_LABELS: [u8; 10] = [0, 0, 8, 1, 0, 0, 0, 2, 7, 9];

fn put_golden(dir: &Path) {
    put(dir, TRAIN_IMAGES, &GOLDEN_IMAGES);
    put(dir, TRAIN_LABELS, &GOLDEN_LABELS);
    put(dir, TEST_IMAGES, &idx_images(1, 2, 3, &[9; 6]));
    put(dir, TEST_LABELS, &idx_labels(&[3]));
}

/// The four files with these labels, all images 2x3, under names that begin with `prefix`.
fn put_set(dir: &Path, prefix: &str, test: &str, labels: &[u8]) {
    let count = labels.len() as u32;
    let pixels: Vec<u8> = (0..6 * count).map(|v| v as u8).collect();
    for part in ["train", test] {
        let images = idx_images(count, 2, 3, &pixels);
        put(dir, &format!("{prefix}{part}-images-idx3-ubyte"), &images);
        put(dir, &format!("{prefix}{part}-labels-idx1-ubyte"), &idx_labels(labels));
    }
}

/// The refusal of the golden set with one file replaced.
fn refusal_with(name: &str, bytes: &[u8]) -> String {
    let dir = directory();
    put_golden(dir.path());
    put(dir.path(), name, bytes);
    let message = refusal(dir.path());
    assert_says(&message, &[name]);
    message
}

#[test]
fn golden_bytes_read_as_written() {
    let dir = directory();
    put_golden(dir.path());
    let splits = open(dir.path()).unwrap();
    let shape = splits.train.shape();
    assert_eq!((shape.channels, shape.height, shape.width), (1, 2, 3));
    assert_eq!(splits.train.labels(), [7, 9]);
    assert_eq!(splits.train.bytes(0), [1, 2, 3, 4, 5, 6]);
    assert_eq!(splits.train.bytes(1), [251, 252, 253, 254, 255, 0]);
    assert_eq!(splits.test.labels(), [3]);
    assert_eq!(splits.train.classes().len(), 10);
    assert_eq!(splits.name, dir.path().file_name().unwrap().to_str().unwrap());
}

#[test]
fn gzip_is_told_by_content_and_dotted_names_are_usual_too() {
    let plain = directory();
    put_golden(plain.path());
    let dir = directory();
    put(dir.path(), "train-images.idx3-ubyte.gz", &gzip(&GOLDEN_IMAGES));
    put(dir.path(), "train-labels-idx1-ubyte.gz", &GOLDEN_LABELS);
    put(dir.path(), "t10k-images.idx3-ubyte", &gzip(&idx_images(1, 2, 3, &[9; 6])));
    put(dir.path(), "t10k-labels.idx1-ubyte", &idx_labels(&[3]));
    let (a, b) = (open(plain.path()).unwrap(), open(dir.path()).unwrap());
    assert_eq!((a.train, a.test), (b.train, b.test));
}

#[test]
fn a_raw_subfolder_is_looked_into() {
    let dir = directory();
    put_golden(&dir.path().join("FashionMNIST/raw"));
    for path in ["FashionMNIST", "FashionMNIST/raw"] {
        let splits = open(&dir.path().join(path)).unwrap();
        assert_eq!(splits.name, "FashionMNIST");
        assert_eq!(splits.train.classes()[9], "Ankle boot");
    }
}

#[test]
fn class_names_come_from_the_folder_or_from_a_list() {
    let dir = directory();
    let classes = |folder: &str| open(&dir.path().join(folder)).unwrap().train.classes().to_vec();
    for folder in ["fashion-mnist", "mnist", "kmnist", "listed-fashion"] {
        put_golden(&dir.path().join(folder));
    }
    assert_eq!(classes("fashion-mnist")[0], "T-shirt/top");
    assert_eq!(classes("mnist")[9], "9");
    assert_eq!(classes("kmnist")[9], "wo");
    let list = "\u{feff}a\r\nb\nc\nd\ne\nf\ng\nh\ni\nj k \n\n";
    put(dir.path(), "listed-fashion/classes.txt", list.as_bytes());
    assert_eq!(classes("listed-fashion"), ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j k"]);
}

#[test]
fn a_bad_list_of_classes_is_refused() {
    let with_list = |list: &[u8]| {
        let dir = directory();
        put_golden(dir.path());
        put(dir.path(), "classes.txt", list);
        let message = refusal(dir.path());
        assert_says(&message, &["classes.txt"]);
        message
    };
    assert_says(&with_list(b"a\nb\n"), &["label 7 of item 0", "2 class names"]);
    assert_says(&with_list(b"a\n\nb\n"), &["class 1 is empty"]);
    assert_says(&with_list(b"a\na\n"), &["\"a\""]);
    assert_says(&with_list(b""), &["no classes"]);
    assert_says(&with_list(b"a\n\xff\n"), &["UTF-8"]);
}

#[test]
fn emnist_is_turned_and_named() {
    let dir = directory();
    let number = |split: &str, labels: &[u8]| {
        let folder = dir.path().join(split);
        put_set(&folder, &format!("emnist-{split}-"), "test", labels);
        let splits = open(&folder).unwrap();
        let shape = splits.train.shape();
        assert_eq!((shape.height, shape.width), (3, 2));
        assert_eq!(splits.train.bytes(0), [0, 3, 1, 4, 2, 5]);
        assert_eq!(splits.name, format!("emnist-{split}"));
        let train = splits.train;
        let name = |i| train.classes()[train.label(i) as usize].clone();
        (train.classes().len(), (0..train.len()).map(name).collect::<String>())
    };
    assert_eq!(number("letters", &[1, 26]), (26, "AZ".into()));
    assert_eq!(number("digits", &[0, 9]), (10, "09".into()));
    assert_eq!(number("mnist", &[0, 9]), (10, "09".into()));
    assert_eq!(number("balanced", &[9, 10, 36, 39, 46]), (47, "9Aaet".into()));
    assert_eq!(number("bymerge", &[9, 10, 36, 39, 46]), (47, "9Aaet".into()));
    assert_eq!(number("byclass", &[10, 36, 61]), (62, "Aaz".into()));
}

#[test]
fn emnist_letters_begin_at_one() {
    let dir = directory();
    put_set(dir.path(), "emnist-letters-", "test", &[1, 0]);
    assert_says(&refusal(dir.path()), &["label 0 of item 1", "labels 1 to 26"]);
}

#[test]
fn of_several_sets_a_file_chooses_one() {
    let dir = directory();
    put_set(&dir.path().join("gzip"), "emnist-letters-", "test", &[1]);
    put_set(&dir.path().join("gzip"), "emnist-digits-", "test", &[0]);
    let message = refusal(dir.path());
    assert_says(&message, &["emnist-digits, emnist-letters", "naming one of its files"]);
    let chosen = dir.path().join("gzip/emnist-digits-train-images-idx3-ubyte");
    assert_eq!(open(&chosen).unwrap().name, "emnist-digits");
}

#[test]
fn missing_files_are_named() {
    let dir = directory();
    put_golden(dir.path());
    fs::remove_file(dir.path().join(TRAIN_LABELS)).unwrap();
    fs::remove_file(dir.path().join(TEST_IMAGES)).unwrap();
    let message = refusal(dir.path());
    assert_says(&message, &["incomplete", TRAIN_LABELS, TEST_IMAGES]);
    assert!(!message.contains(TEST_LABELS), "{message}");
}

#[test]
fn the_magic_number_is_checked() {
    let message = refusal_with(TRAIN_IMAGES, &GOLDEN_LABELS);
    assert_says(&message, &["[00, 00, 08, 01]", "[00, 00, 08, 03]"]);
    assert_says(&refusal_with(TRAIN_LABELS, b"<!DOCTYPE html>"), &["[3c, 21, 44, 4f]"]);
    assert_says(&refusal_with(TRAIN_LABELS, b""), &["[]"]);
    assert_says(&refusal_with(TRAIN_IMAGES, &GOLDEN_IMAGES[..9]), &["inside the header", "9"]);
}

#[test]
fn a_header_that_claims_too_much_is_refused_without_believing_it() {
    let cut = refusal_with(TRAIN_IMAGES, &GOLDEN_IMAGES[..27]);
    assert_says(&cut, &["2 images of 2x3", "12 bytes", "only 11"]);
    let large = refusal_with(TRAIN_IMAGES, &idx_images(2, 30_000, 60_000, &[1; 12]));
    assert_says(&large, &["3600000000 bytes", "only 12"]);
    let huge = refusal_with(TRAIN_IMAGES, &idx_images(2, u32::MAX, u32::MAX, &[1; 12]));
    assert_says(&huge, &["4294967295x4294967295"]);

    let mut labels = GOLDEN_LABELS;
    labels[4..8].copy_from_slice(&99_000_000_u32.to_be_bytes());
    assert_says(&refusal_with(TRAIN_LABELS, &labels), &["99000000 labels", "only 2"]);
    labels[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_says(&refusal_with(TRAIN_LABELS, &labels), &["4294967295 labels"]);
}

#[test]
fn trailing_bytes_are_refused() {
    let longer = [&GOLDEN_IMAGES[..], &[0]].concat();
    assert_says(&refusal_with(TRAIN_IMAGES, &longer), &["more follow"]);
    assert_says(&refusal_with(TRAIN_IMAGES, &gzip(&longer)), &["more follow"]);
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_its_header_claims() {
    // 64 MB of zeros behind a header that claims 12 bytes.
    let mut bomb = idx_images(2, 2, 3, &[]);
    bomb.resize(64 << 20, 0);
    let bomb = gzip(&bomb);
    assert_says(&refusal_with(TRAIN_IMAGES, &bomb), &["12 bytes", "more follow"]);
}

#[test]
fn a_set_has_a_limit_that_can_be_raised() {
    let dir = directory();
    put_golden(dir.path());
    let with = |max_bytes| {
        let options = FolderOptions { max_bytes, ..FolderOptions::default() };
        duet_data::open(dir.path(), &options).map_err(|error| error.to_string())
    };
    assert!(with(12).is_ok());
    assert_says(&with(11).unwrap_err(), &["2 images of 2x3, 12 bytes", "11 are read", "--max-gigabytes"]);
    let large = FolderOptions {
        image_size: Some(ImageSize::square(4).unwrap()),
        max_bytes: 12,
        ..FolderOptions::default()
    };
    assert_says(&duet_data::open(dir.path(), &large).unwrap_err().to_string(), &["at 1x4x4, 32 bytes"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    for name in [TRAIN_IMAGES, TRAIN_LABELS, "classes.txt"] {
        let dir = directory();
        put_golden(dir.path());
        let path = dir.path().join(name);
        let _ = std::fs::remove_file(&path);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let message = open(dir.path()).map(drop).unwrap_err().to_string();
        assert_says(&message, &[name]);
    }
}

#[test]
fn damaged_gzip_is_told_from_a_short_file() {
    let packed = gzip(&GOLDEN_IMAGES);
    let cut = refusal_with(TRAIN_IMAGES, &packed[..packed.len() - 9]);
    assert_says(&cut, &["gzip data is cut short"]);
    let mut wrong_checksum = packed.clone();
    let at = packed.len() - 8;
    wrong_checksum[at] ^= 1;
    assert_says(&refusal_with(TRAIN_IMAGES, &wrong_checksum), &["gzip data is corrupt"]);
    assert_says(&refusal_with(TRAIN_IMAGES, &packed[..5]), &["cut short"]);
    let followed = [&packed[..], b"junk"].concat();
    assert_says(&refusal_with(TRAIN_IMAGES, &followed), &["gzip data"]);
}

#[test]
fn counts_labels_and_shapes_must_agree() {
    let three = refusal_with(TRAIN_LABELS, &idx_labels(&[1, 2, 3]));
    assert_says(&three, &[TRAIN_IMAGES, "2 images", "3 labels"]);
    let ten = refusal_with(TEST_LABELS, &idx_labels(&[10]));
    assert_says(&ten, &["label 10 of item 0", "0 to 9", "classes.txt"]);
    let other = refusal_with(TEST_IMAGES, &idx_images(1, 3, 2, &[0; 6]));
    assert_says(&other, &["1x3x2", "1x2x3", TRAIN_IMAGES]);
}

#[test]
fn an_empty_set_is_refused() {
    let dir = directory();
    put_golden(dir.path());
    put(dir.path(), TRAIN_LABELS, &idx_labels(&[]));
    put(dir.path(), TRAIN_IMAGES, &idx_images(0, 2, 3, &[]));
    assert_says(&refusal(dir.path()), &[TRAIN_IMAGES, "nothing in it"]);
    assert_says(
        &refusal_with(TRAIN_IMAGES, &idx_images(2, 0, 3, &[])),
        &["2 images of 0x3", "nothing in it"],
    );
}

#[test]
fn size_and_channels_can_be_asked_for() {
    let dir = directory();
    put_golden(dir.path());
    let options = FolderOptions {
        image_size: Some(ImageSize::square(4).unwrap()),
        channels: Some(3),
        ..FolderOptions::default()
    };
    let test = duet_data::open(dir.path(), &options).unwrap().test;
    let shape = test.shape();
    assert_eq!((shape.channels, shape.height, shape.width), (3, 4, 4));
    assert_eq!(test.bytes(0), [9; 48]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(
        rows in 1_usize..6,
        columns in 1_usize..6,
        labels in prop::collection::vec(0_u8..10, 1..12),
        seed in any::<u8>(),
        zipped in any::<bool>(),
    ) {
        let len = labels.len() * rows * columns;
        let pixels: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
        let images = idx_images(labels.len() as u32, rows as u32, columns as u32, &pixels);
        let packed = |bytes: Vec<u8>| if zipped { gzip(&bytes) } else { bytes };
        let dir = directory();
        for part in ["train", "t10k"] {
            let (images, labels) = (packed(images.clone()), packed(idx_labels(&labels)));
            put(dir.path(), &format!("{part}-images-idx3-ubyte"), &images);
            put(dir.path(), &format!("{part}-labels-idx1-ubyte"), &labels);
        }
        let splits = open(dir.path()).unwrap();
        for dataset in [&splits.train, &splits.test] {
            let read: Vec<u8> = (0..dataset.len()).flat_map(|i| dataset.bytes(i)).copied().collect();
            prop_assert_eq!(&read, &pixels);
            prop_assert!(dataset.labels().iter().zip(&labels).all(|(&a, &b)| a == u32::from(b)));
        }
    }

    /// Any bytes in the place of any file give a data set or an error, and neither panic nor wait.
    #[test]
    fn damage_is_survived(
        file in 0_usize..4,
        zipped in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let dir = directory();
        put_golden(dir.path());
        let path = dir.path().join([TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS][file]);
        let mut bytes = fs::read(&path).unwrap();
        if zipped {
            bytes = gzip(&bytes);
        }
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        if let Ok(splits) = open(dir.path()) {
            prop_assert!(splits.train.labels().iter().all(|&label| label < 10));
        }
    }
}
