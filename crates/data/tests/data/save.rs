//! Data sets that are written are read as they were.

use crate::common::{Bytes, assert_says, directory, open};
use duet_data::{Contents, DataError, Picture, Shape, from_bytes, save_idx, save_npz};
use std::path::Path;

/// A picture whose pixels say which it is.
fn picture(shape: Shape, i: usize) -> Picture {
    let pixels = (0..shape.len()).map(|p| (37 * i + 5 * p) as u8).collect();
    Picture::new(shape.channels, shape.height, shape.width, pixels).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// All images of both splits with their labels, by the first byte.
fn read_back(path: &Path) -> (Vec<String>, Vec<(u32, Vec<u8>)>) {
    let splits = open(path).unwrap();
    assert!(splits.left_out.is_empty(), "{:?}", splits.left_out);
    let all = [&splits.train, &splits.test].into_iter();
    let mut images: Vec<_> =
        all.flat_map(|set| (0..set.len()).map(|i| (set.label(i), set.bytes(i).to_vec()))).collect();
    images.sort();
    (splits.train.classes().to_vec(), images)
}

fn planes(picture: &Picture) -> Vec<u8> {
    let of = |channel: usize| picture.pixels.iter().skip(channel).step_by(picture.channels).copied();
    (0..picture.channels).flat_map(of).collect()
}

const LABELS: [u32; 7] = [0, 1, 2, 2, 1, 0, 2];

fn expected(shape: Shape) -> Vec<(u32, Vec<u8>)> {
    let mut all: Vec<_> = (0..7).map(|i| (LABELS[i], planes(&picture(shape, i)))).collect();
    all.sort();
    all
}

#[test]
fn arrays_that_are_saved_are_read_with_the_names_of_their_classes() {
    let dir = directory();
    let classes = names(&["T-shirt/top", "数字 \u{1F600}", " é"]);
    for channels in [1, 3] {
        let shape = Shape { channels, height: 4, width: 5 };
        let path = dir.path().join(format!("set-{channels}.npz"));
        let contents = Contents { shape, labels: &LABELS, classes: &classes };
        save_npz(&path, contents, |i| Ok(picture(shape, i))).unwrap();
        assert_eq!(read_back(&path), (classes.clone(), expected(shape)));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(from_bytes::npz(&bytes, 1 << 20).unwrap().train.classes(), classes);
        save_npz(&path, contents, |i| Ok(picture(shape, i))).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same set is the same file");
    }
}

#[test]
fn idx_files_that_are_saved_are_read_and_need_none_to_test_with() {
    let dir = directory();
    let shape = Shape { channels: 1, height: 4, width: 5 };
    let classes = names(&["T-shirt/top", "b", "c"]);
    let contents = Contents { shape, labels: &LABELS, classes: &classes };
    save_idx(dir.path(), contents, |i| Ok(picture(shape, i))).unwrap();
    assert_eq!(read_back(dir.path()), (classes, expected(shape)));
    let splits = open(dir.path()).unwrap();
    assert_eq!(splits.test.class_counts(), [1, 1, 1], "one of each class is held out");
}

#[test]
fn what_a_format_cannot_hold_is_refused_and_nothing_is_written() {
    let dir = directory();
    let grey = Shape { channels: 1, height: 4, width: 5 };
    let colour = Shape { channels: 3, ..grey };
    let idx = |shape: Shape, labels: &[u32], classes: &[&str]| {
        let classes = names(classes);
        let contents = Contents { shape, labels, classes: &classes };
        save_idx(dir.path(), contents, |i| Ok(picture(shape, i))).unwrap_err().to_string()
    };
    assert_says(&idx(colour, &[0], &["a"]), &["grey", "3 channels"]);
    assert_says(&idx(grey, &[0], &["a\nb"]), &["classes.txt", "a\\nb"]);
    assert_says(&idx(grey, &[0], &[" a"]), &["classes.txt"]);
    assert_says(&idx(grey, &[0], &["a", "a"]), &["two classes are named \"a\""]);
    assert_says(&idx(grey, &[1], &["a"]), &["label 1"]);
    let many: Vec<String> = (0..257).map(|i| i.to_string()).collect();
    assert_says(&idx(grey, &[0], &many.iter().map(String::as_str).collect::<Vec<_>>()), &["256 classes"]);
    let classes = names(&["a"]);
    let path = dir.path().join("set.npz");
    let contents = Contents { shape: grey, labels: &[0, 0], classes: &classes };
    let error =
        save_npz(&path, contents, |i| Ok(picture(if i == 0 { grey } else { colour }, i))).unwrap_err();
    assert_says(&error.to_string(), &["image 1", "3x4x5", "1x4x5"]);
    let told = DataError::Invalid { cause: "no such image".into() };
    let mut told = Some(told);
    let error = save_npz(&path, contents, |_| Err(told.take().unwrap())).unwrap_err();
    assert_eq!(error.to_string(), "no such image");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn bad_names_of_classes_in_an_archive_are_refused_by_name() {
    let dir = directory();
    let shape = Shape { channels: 1, height: 4, width: 5 };
    let path = dir.path().join("set.npz");
    let classes = names(&["aa", "bb", "cc"]);
    let contents = Contents { shape, labels: &LABELS, classes: &classes };
    save_npz(&path, contents, |i| Ok(picture(shape, i))).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let with = |from: &[u8], to: &[u8]| {
        from_bytes::npz(&changed(&bytes, from, to), 1 << 20).unwrap_err().to_string()
    };
    assert_says(&with(b"<U2", b"|i1"), &["class_names", "no list of texts"]);
    assert_says(&with(b"b\0\0\0b", b"a\0\0\0a"), &["class_names", "two classes are named \"aa\""]);
    assert_says(&with(b"b\0\0\0b", b"\0\0\0\0\0"), &["class_names", "empty"]);
    assert_says(&with(b"b\0\0\0b", b"b\0\0\xff\xff"), &["class_names", "Unicode"]);
}

/// The same archive with other bytes in class_names.npy.
fn changed(archive: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    use std::io::{Cursor, Read, Write};
    let mut old = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..old.len() {
        let mut member = old.by_index(i).unwrap();
        let (name, mut bytes) = (member.name().unwrap().into_owned(), Vec::new());
        member.read_to_end(&mut bytes).unwrap();
        if name == "class_names.npy" {
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        new.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(&bytes).unwrap();
    }
    new.finish().unwrap().into_inner()
}
