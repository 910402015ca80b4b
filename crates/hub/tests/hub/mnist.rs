//! Real MNIST through candle-datasets' `load_dir` and back, byte for byte.
//!
//! The four published files are taken from the directory that `DUET_MNIST` names, or from
//! `../shared/data/mnist` beside the workspace. Without them the test says so and passes.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use candle_datasets::vision::mnist;
use duet_data::FolderOptions;
use duet_hub::{PixelOrder, PublicSet, convert};
use flate2::read::GzDecoder;

const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

fn published() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
    let dir = env::var_os("DUET_MNIST").map_or(beside, PathBuf::from);
    let there = |name: &str| dir.join(format!("{name}.gz")).is_file();
    if NAMES.iter().all(|name| there(name)) {
        return Some(dir);
    }
    // Not eprintln!, which the test harness hides of a test that passes.
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: no MNIST in {}; set DUET_MNIST to a directory of its four .gz files",
        dir.display()
    );
    None
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn mnist_comes_back_byte_for_byte() {
    let Some(published) = published() else { return };
    let folder = tempfile::tempdir().unwrap();
    // candle-datasets reads no gzip.
    let plain = folder.path().join("plain");
    fs::create_dir(&plain).unwrap();
    for name in NAMES {
        fs::write(plain.join(name), unpacked(&published.join(format!("{name}.gz")))).unwrap();
    }

    let dataset = mnist::load_dir(&plain).unwrap();
    let images = convert(PublicSet::Mnist, PixelOrder::ByRow, &dataset).unwrap();
    images.check_counts().unwrap();
    let written = folder.path().join("written");
    images.write(&written).unwrap();

    for name in NAMES {
        let ours = unpacked(&written.join(format!("{name}.gz")));
        assert!(ours == fs::read(plain.join(name)).unwrap(), "{name} differs");
    }
    let open = |dir: &Path| duet_data::open(dir, &FolderOptions::default()).unwrap();
    let (ours, theirs) = (open(&written), open(&published));
    assert!(ours.train == theirs.train && ours.test == theirs.test);
    assert_eq!((ours.train.len(), ours.test.len()), (60_000, 10_000));
}
