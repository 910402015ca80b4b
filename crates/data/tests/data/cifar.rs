//! CIFAR's binary versions.

use std::fs;
use std::path::Path;

use duet_data::{DataError, FolderOptions, LabelKind, Splits};

use crate::common::{Bytes, assert_says, directory, open, put, refusal};

/// A record whose planes are constant: `value`, `value + 1` and `value + 2`, but for the first
/// pixel of red, which is 0.
fn record(label: u8, value: u8) -> Vec<u8> {
    let mut bytes = vec![label];
    for channel in 0..3 {
        bytes.extend([value + channel; 1024]);
    }
    bytes[1] = 0;
    bytes
}

fn put_batches(dir: &Path) {
    for batch in 1..=5 {
        let records = [record(batch, 10 * batch), record(0, 200)].concat();
        put(dir, &format!("data_batch_{batch}.bin"), &records);
    }
    put(dir, "test_batch.bin", &record(9, 100));
}

#[test]
fn batches_read_in_order_as_planes() {
    let dir = directory();
    put_batches(dir.path());
    let splits = open(dir.path()).unwrap();
    assert_eq!(splits.name, "cifar-10");
    assert_eq!(splits.train.labels(), [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
    assert_eq!(splits.test.labels(), [9]);
    let shape = splits.train.shape();
    assert_eq!((shape.channels, shape.height, shape.width), (3, 32, 32));
    let pixels = splits.train.bytes(2);
    assert_eq!(pixels, &record(2, 20)[1..]);
    assert_eq!((pixels[0], pixels[1], pixels[1024], pixels[3071]), (0, 20, 21, 22));
    assert_eq!(splits.train.classes()[6], "frog");
}

#[test]
fn the_archives_subfolder_is_looked_into() {
    let dir = directory();
    put_batches(&dir.path().join("cifar-10-batches-bin"));
    assert_eq!(open(dir.path()).unwrap().train.len(), 10);
}

#[test]
fn names_come_from_the_files_beside() {
    let dir = directory();
    put_batches(dir.path());
    put(dir.path(), "batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
    assert_eq!(open(dir.path()).unwrap().train.classes()[6], "g");
    put(dir.path(), "classes.txt", b"0\n1\n2\n3\n4\n5\nsix\n7\n8\n9\n");
    assert_eq!(open(dir.path()).unwrap().train.classes()[6], "six");
    put(dir.path(), "classes.txt", b"one\n");
    assert_says(&refusal(dir.path()), &["classes.txt", "1 class names", "10"]);
}

#[test]
fn missing_batches_are_named() {
    let dir = directory();
    put_batches(dir.path());
    fs::remove_file(dir.path().join("data_batch_4.bin")).unwrap();
    fs::remove_file(dir.path().join("test_batch.bin")).unwrap();
    let message = refusal(dir.path());
    assert_says(&message, &["CIFAR-10", "missing data_batch_4.bin and test_batch.bin"]);
}

#[test]
fn sizes_and_labels_are_checked() {
    let refusal_with = |bytes: &[u8]| {
        let dir = directory();
        put_batches(dir.path());
        put(dir.path(), "data_batch_2.bin", bytes);
        let message = refusal(dir.path());
        assert_says(&message, &["data_batch_2.bin"]);
        message
    };
    assert_says(&refusal_with(&[0; 3072]), &["3072 bytes", "3073"]);
    assert_says(&refusal_with(&[]), &["0 bytes"]);
    let records = [record(0, 1), record(10, 1)].concat();
    assert_says(&refusal_with(&records), &["label 10 of record 1"]);
}

/// A record of CIFAR-100: the coarse label comes first.
fn record_of_hundred(coarse: u8, fine: u8, value: u8) -> Vec<u8> {
    [&[coarse], &record(fine, value)[..]].concat()
}

fn put_hundred(dir: &Path) {
    put(dir, "train.bin", &[record_of_hundred(0, 4, 10), record_of_hundred(19, 99, 20)].concat());
    put(dir, "test.bin", &record_of_hundred(7, 30, 30));
}

fn open_with(dir: &Path, label: Option<LabelKind>) -> Result<Splits, DataError> {
    duet_data::open(dir, &FolderOptions { label, ..FolderOptions::default() })
}

#[test]
fn cifar_100s_fine_and_coarse_labels_are_classes() {
    let dir = directory();
    put_hundred(&dir.path().join("cifar-100-binary"));
    let fine = open_with(dir.path(), None).unwrap();
    assert_eq!(
        (fine.name.as_str(), fine.train.labels(), fine.test.labels()),
        ("cifar-100-fine", &[4, 99][..], &[30][..])
    );
    assert_eq!(fine.train.pixels(1), &record(99, 20)[1..]);
    assert_eq!([4, 30, 99].map(|label| fine.train.classes()[label].as_str()), ["beaver", "dolphin", "worm"]);
    assert_says(&fine.left_out[0], &["fine labels", "--label coarse"]);
    let coarse = open_with(dir.path(), Some(LabelKind::Coarse)).unwrap();
    assert_eq!((coarse.name.as_str(), coarse.train.labels()), ("cifar-100-coarse", &[0, 19][..]));
    assert_eq!((coarse.train.classes().len(), coarse.train.classes()[19].as_str()), (20, "vehicles_2"));
    assert!(coarse.left_out.is_empty());
    assert_eq!(coarse.train.pixels(1), fine.train.pixels(1));
}

#[test]
fn cifar_100s_names_sizes_labels_and_files_are_checked() {
    let dir = directory();
    put_hundred(dir.path());
    put(dir.path(), "coarse_label_names.txt", b"a\nb\n");
    assert_eq!(open(dir.path()).unwrap().train.classes()[99], "worm");
    let message = open_with(dir.path(), Some(LabelKind::Coarse)).unwrap_err().to_string();
    assert_says(&message, &["coarse_label_names.txt", "2 class names where CIFAR-100 has 20"]);
    let names: Vec<String> = (0..100).map(|i| format!("own {i}")).collect();
    put(dir.path(), "fine_label_names.txt", names.join("\n").as_bytes());
    assert_eq!(open(dir.path()).unwrap().train.classes()[99], "own 99");
    put(dir.path(), "test.bin", &record(1, 2));
    assert_says(&refusal(dir.path()), &["test.bin", "3073 bytes", "CIFAR-100's records of 3074"]);
    put(dir.path(), "test.bin", &record_of_hundred(1, 100, 2));
    assert_says(&refusal(dir.path()), &["test.bin", "label 100 of record 0"]);
    fs::remove_file(dir.path().join("test.bin")).unwrap();
    assert_says(&refusal(dir.path()), &["CIFAR-100's binary version", "missing test.bin"]);
}

#[test]
fn a_label_is_chosen_only_where_there_are_two() {
    let dir = directory();
    put_batches(dir.path());
    for label in [LabelKind::Fine, LabelKind::Coarse] {
        let message = open_with(dir.path(), Some(label)).unwrap_err().to_string();
        assert_says(&message, &["have one label", &label.to_string(), "leave out --label"]);
    }
    assert_eq!("coarse".parse::<LabelKind>().unwrap(), LabelKind::Coarse);
    assert_says(&"Coarse".parse::<LabelKind>().unwrap_err().to_string(), &["Coarse", "fine or coarse"]);
}

#[test]
fn files_that_only_have_cifar_100s_names_are_left_to_other_formats() {
    let dir = directory();
    put(dir.path(), "train.bin", b"tokens");
    assert_says(&refusal(dir.path()), &["no data set among 1 file"]);
    put(dir.path(), "train", b"a text");
    put(dir.path(), "test", b"another");
    assert_says(&refusal(dir.path()), &["no data set among 3 files"]);
}
