//! Arrays as NumPy itself wrote them: `numpy/make_arrays.py` made the files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Bytes, assert_says, directory, open, refusal};
use duet_data::{Depth, PixelSlice};

fn written(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/numpy").join(name)
}

/// What the script says of a pixel.
fn pixel(i: usize, c: usize, y: usize, x: usize) -> u8 {
    (10 * i + y + 3 * x + 40 * c) as u8
}

/// Image `i` as planes.
fn image(i: usize, channels: usize) -> Vec<u8> {
    let places = (0..channels).flat_map(|c| (0..4).flat_map(move |y| (0..5).map(move |x| (c, y, x))));
    places.map(|(c, y, x)| pixel(i, c, y, x)).collect()
}

/// A directory that holds these files alone.
fn only(names: &[&str]) -> tempfile::TempDir {
    let dir = directory();
    for name in names {
        fs::copy(written(name), dir.path().join(name)).unwrap();
    }
    dir
}

#[test]
fn medmnists_files_are_read_with_their_own_images_to_test_with() {
    let splits = open(&written("medmnist.npz")).unwrap();
    let shape = splits.train.shape();
    assert_eq!((shape.channels, shape.height, shape.width), (3, 4, 5));
    assert_eq!(
        (splits.name.as_str(), splits.train.labels(), splits.test.labels()),
        ("medmnist", &[0, 1, 2, 0, 1, 2][..], &[2, 0, 1][..])
    );
    assert_eq!((splits.train.bytes(4), splits.test.bytes(1)), (&image(4, 3)[..], &image(9, 3)[..]));
    assert_eq!(splits.train.classes(), ["0", "1", "2"]);
    assert!(splits.left_out.iter().any(|text| text.contains("val_images")), "{:?}", splits.left_out);
}

#[test]
fn kerass_names_and_nameless_arrays_of_two_files_are_read() {
    let splits = open(&written("keras.npz")).unwrap();
    assert_eq!((splits.train.bytes(3), splits.test.bytes(1)), (&image(3, 1)[..], &image(7, 1)[..]));
    let names = [
        "kmnist-train-imgs.npz",
        "kmnist-train-labels.npz",
        "kmnist-test-imgs.npz",
        "kmnist-test-labels.npz",
    ];
    let dir = only(&names);
    for path in [dir.path().to_path_buf(), dir.path().join(names[2])] {
        let splits = open(&path).unwrap();
        assert_eq!((splits.train.len(), splits.test.len()), (6, 2));
        assert_eq!((splits.train.bytes(5), splits.test.labels()), (&image(5, 1)[..], &[0, 1][..]));
    }
}

#[test]
fn numbers_of_every_type_become_the_same_bytes() {
    for name in ["unit.npz", "signed.npz", "floats.npz", "integers.npz"] {
        let splits = open(&written(name)).unwrap();
        let (train, test) = (&splits.train, &splits.test);
        // The last of each class is held out.
        assert_eq!((train.labels(), test.labels()), (&[0, 1, 2][..], &[0, 1, 2][..]), "{name}");
        assert_eq!((train.bytes(1), test.bytes(2)), (&image(1, 1)[..], &image(5, 1)[..]), "{name}");
    }
    let splits = open(&written("planes.npz")).unwrap();
    assert_eq!((splits.train.bytes(2), splits.test.bytes(0)), (&image(2, 3)[..], &image(3, 3)[..]));
    let bools = open(&written("bools.npz")).unwrap();
    let expected: Vec<u8> = image(1, 1).iter().map(|&value| if value > 20 { 255 } else { 0 }).collect();
    assert_eq!(bools.train.bytes(1), expected);
}

#[test]
fn arrays_side_by_side_are_one_set_and_may_have_names() {
    let dir = only(&["images.npy", "labels.npy"]);
    fs::write(dir.path().join("classes.txt"), "cat\ndog\nbird\n").unwrap();
    for path in [dir.path().to_path_buf(), dir.path().join("labels.npy")] {
        let splits = open(&path).unwrap();
        assert_eq!((splits.train.len(), splits.test.len()), (3, 3));
        assert_eq!(splits.train.classes(), ["cat", "dog", "bird"]);
    }
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    assert_says(&refusal(dir.path()), &["classes.txt", "2 names", "2"]);
}

#[test]
fn arrays_of_sixteen_bits_keep_them_and_those_of_bytes_stay_bytes() {
    let splits = open(&written("sixteen.npz")).unwrap();
    // 257 times the byte, and the number of the image more.
    let expected: Vec<u16> = image(2, 1).iter().map(|&byte| 257 * u16::from(byte) + 2).collect();
    assert_eq!(splits.train.pixels(2), PixelSlice::Sixteen(&expected));
    assert_eq!((splits.train.depth(), splits.test.depth()), (Depth::Sixteen, Depth::Sixteen));
    assert_eq!(open(&written("colour-sixteen.npz")).unwrap().train.depth(), Depth::Sixteen);
    let bytes = open(&written("bytes-in-sixteen.npz")).unwrap();
    assert_eq!(bytes.train.bytes(2), &image(2, 1)[..]);
}

#[test]
fn what_cannot_be_images_with_labels_is_refused_by_name_and_reason() {
    for (name, words) in [
        ("objects.npz", &["objects.npz: images", "Python objects"][..]),
        ("words.npz", &["words.npz: labels", "texts"]),
        ("fortran.npz", &["fortran.npz: images", "Fortran", "ascontiguousarray"]),
        ("fewer.npz", &["6 images and 5 labels"]),
        ("halves.npz", &["label 0.5 of image 0"]),
        ("negative.npz", &["label -1 of image 0"]),
        ("thousands.npz", &["thousands.npz: images: a value is 771", "0 to 255", "uint16"]),
        ("hot.npz", &["labels of shape [6, 3]"]),
        ("far.npz", &["values from 0 to", "0 to 255"]),
        ("alone.npz", &["images without labels"]),
        ("nameless.npz", &["no array is called images"]),
        ("twice.npz", &["x and", "both images"]),
    ] {
        assert_says(&refusal(&written(name)), words);
    }
}

#[test]
fn what_is_no_archive_or_is_cut_is_refused() {
    let dir = directory();
    let whole = fs::read(written("medmnist.npz")).unwrap();
    for (name, bytes) in
        [("a.npz", &b"no archive"[..]), ("b.npz", &whole[..whole.len() / 2]), ("c.npz", &[][..])]
    {
        fs::write(dir.path().join(name), bytes).unwrap();
        assert_says(&refusal(&dir.path().join(name)), &[name, ".npz"]);
    }
    fs::write(dir.path().join("x.npy"), &fs::read(written("images.npy")).unwrap()[..150]).unwrap();
    assert_says(&refusal(&dir.path().join("x.npy")), &["x.npy", "cut"]);
}
