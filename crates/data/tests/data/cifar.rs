//! CIFAR-10's binary batches.

use std::fs;
use std::path::Path;

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
