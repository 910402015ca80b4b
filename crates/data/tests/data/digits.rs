//! The embedded digits are what digits/README.md says they are.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::common::Bytes;
use duet_data::{Dataset, digits};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("digits")
}

/// Lines of `hash  name`.
fn hashes(file: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    let pair = |line: &str| {
        let (hash, name) = line.split_once("  ").unwrap();
        (hash.to_string(), name.to_string())
    };
    text.lines().map(pair).collect()
}

#[test]
fn there_are_1000_and_200_images_of_each_class() {
    let splits = digits().unwrap();
    let shape = splits.train.shape();
    assert_eq!((shape.channels, shape.height, shape.width), (1, 28, 28));
    assert_eq!(splits.test.shape(), shape);
    assert_eq!(splits.train.class_counts(), [1000; 10]);
    assert_eq!(splits.test.class_counts(), [200; 10]);
    let names: Vec<String> = (0..10).map(|c| c.to_string()).collect();
    assert_eq!(splits.train.classes(), names);
    assert_eq!(splits.test.classes(), names);
    assert_eq!(splits.describe(), "digits: 10000 training and 2000 test images, 1x28x28, 10 classes");
}

#[test]
fn classes_alternate() {
    let splits = digits().unwrap();
    for dataset in [&splits.train, &splits.test] {
        assert!((0..dataset.len()).all(|i| dataset.label(i) as usize == i % 10));
    }
}

#[test]
fn images_and_labels_have_the_recorded_fingerprints() {
    let splits = digits().unwrap();
    let found =
        [(splits.train.fingerprint(), "train".to_string()), (splits.test.fingerprint(), "test".to_string())];
    assert_eq!(hashes("FINGERPRINTS"), found);
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for (fingerprint, _) in &found {
        crate::common::assert_says(&readme, &[fingerprint]);
    }
}

#[test]
fn sheets_have_the_recorded_checksums_and_are_small() {
    let recorded = hashes("CHECKSUMS");
    assert_eq!(recorded.len(), 20);
    let mut total = 0;
    for (hash, name) in recorded {
        let bytes = fs::read(folder().join(&name)).unwrap();
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), hash, "{name}");
        total += bytes.len();
    }
    assert!(total <= 2_500_000, "{total} bytes of sheets");
}

/// Needs MNIST's own files, from `DUET_MNIST` or `../shared/data/mnist` beside the workspace.
#[test]
fn they_are_the_first_of_each_class_in_mnist() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
    let dir = match env::var_os("DUET_MNIST") {
        Some(dir) => PathBuf::from(dir),
        None if beside.is_dir() => beside,
        None => {
            // Not eprintln: the test harness would swallow it.
            let message = "SKIPPED: set DUET_MNIST to the directory of MNIST's four files";
            writeln!(std::io::stderr(), "{message}").unwrap();
            return;
        }
    };
    let mnist = crate::common::open(&dir).unwrap();
    let splits = digits().unwrap();
    assert_eq!((mnist.train.len(), mnist.test.len()), (60_000, 10_000));
    assert_first_of_each_class(&splits.train, &mnist.train);
    assert_first_of_each_class(&splits.test, &mnist.test);
}

fn assert_first_of_each_class(digits: &Dataset, mnist: &Dataset) {
    for class in 0..10 {
        let of_class = |dataset: &Dataset| -> Vec<usize> {
            let is = |&i: &usize| dataset.label(i) == class;
            (0..dataset.len()).filter(is).collect()
        };
        let (ours, theirs) = (of_class(digits), of_class(mnist));
        assert!(theirs.len() >= ours.len());
        for (i, j) in ours.into_iter().zip(theirs) {
            assert!(digits.bytes(i) == mnist.bytes(j), "class {class}: {i} is not {j}");
        }
    }
}
