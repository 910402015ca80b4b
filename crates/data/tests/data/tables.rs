//! Tables of images as pandas wrote them: `tables/make_tables.py` made the files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Bytes, assert_says, directory, gzip, open, refusal};

fn written(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tables").join(name)
}

/// What the script says of an image.
fn image(i: usize) -> Vec<u8> {
    (0..16).map(|p| if p == 0 { 0 } else { ((7 * i + 3 * p) % 256) as u8 }).collect()
}

#[test]
fn kaggles_table_is_read_by_its_header_and_its_unlabelled_images_are_left_out() {
    let dir = directory();
    for name in ["train.csv", "test.csv"] {
        fs::copy(written(name), dir.path().join(name)).unwrap();
    }
    let splits = open(dir.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (21, 3));
    assert_eq!((splits.train.bytes(4), splits.train.labels()[4]), (&image(4)[..], 1));
    // The eighth and last image of each class.
    assert_eq!((splits.test.bytes(0), splits.test.labels()), (&image(21)[..], &[0, 1, 2][..]));
    let told = |words: &str| splits.left_out.iter().any(|text| text.contains(words));
    assert!(
        told("the column that its header names") && told("test.csv is left out"),
        "{:?}",
        splits.left_out
    );
}

#[test]
fn tables_without_a_header_have_the_label_at_the_end_that_varies() {
    let splits = open(&written("mnist_5k.csv.gz")).unwrap();
    assert_eq!((splits.name.as_str(), splits.train.bytes(7)), ("mnist_5k", &image(7)[..]));
    assert!(splits.left_out[0].contains("column 17") && splits.left_out[0].contains("0 to 255"));
    let splits = open(&written("digits.csv.gz")).unwrap();
    let expected: Vec<u8> =
        image(7).iter().map(|&value| (f32::from(value % 17) * 255.0 / 16.0).round() as u8).collect();
    assert_eq!((splits.train.bytes(7), splits.train.labels()[7]), (&expected[..], 1));
    assert!(splits.left_out[0].contains("0 to 16"));
    let splits = open(&written("named.csv")).unwrap();
    let reversed: Vec<u8> = image(5).into_iter().rev().collect();
    assert_eq!((splits.train.bytes(5), splits.train.labels()[5]), (&reversed[..], 2));
}

#[test]
fn what_is_no_table_of_images_is_refused_with_line_and_column() {
    for (name, words) in [
        ("unlabelled.csv", &["unlabelled.csv", "which column has the labels", "header"][..]),
        ("both.csv", &["which column has the labels"]),
        ("oblong.csv", &["15 columns", "square"]),
        ("words.csv", &["line 2, column 5", "\"x\"", "no number"]),
        ("gaps.csv", &["line 2, column 5", "\"\"", "no number"]),
        ("bright.csv", &["pixels from 0 to 300"]),
        ("halves.csv", &["label 0.5 of row 1"]),
    ] {
        assert_says(&refusal(&written(name)), words);
    }
    let dir = directory();
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    assert_says(&refusal(&put("a.csv", b"")), &["a.csv", "no row"]);
    assert_says(&refusal(&put("b.csv", b"label,x\n")), &["no row"]);
    assert_says(&refusal(&put("c.csv", b"1,2\n3\n")), &["c.csv", "line: 2"]);
    assert_says(&refusal(&put("d.csv", &[b'1'; (1 << 24) + 70_000])), &["d.csv", "more than 16777216 bytes"]);
    let packed = gzip(b"label,x\n1,2\n");
    assert_says(&refusal(&put("e.csv.gz", &packed[..packed.len() - 6])), &["e.csv.gz"]);
}
