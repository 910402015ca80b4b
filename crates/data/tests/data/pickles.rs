//! CIFAR's Python versions, as Python itself wrote them: `cifar/make_cifar.py` made the files.

use std::fs;
use std::path::{Path, PathBuf};

use duet_data::{FolderOptions, LabelKind, from_bytes};

use crate::common::{Bytes, assert_says, directory, open, put, refusal};

fn written(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/cifar").join(name)
}

/// What the script says of an image whose red is `red`.
fn image(red: u8) -> Vec<u8> {
    let mut planes = [red, red + 50, red + 100].map(|value| vec![value; 1024]).concat();
    planes[0] = 0;
    planes
}

#[test]
fn the_published_pickles_of_python_2_are_read() {
    for path in ["published/cifar-10-batches-py", "published"] {
        let splits = open(&written(path)).unwrap();
        assert_eq!(splits.name, "cifar-10");
        assert_eq!((splits.train.labels(), splits.test.labels()), (&[0, 1, 2, 3, 4][..], &[5][..]));
        assert_eq!((splits.train.bytes(3), splits.test.bytes(0)), (&image(30)[..], &image(50)[..]));
        assert_eq!(splits.train.classes()[9], "name_9");
        assert!(splits.left_out.is_empty());
    }
    let hundred = written("published/cifar-100-python");
    for (label, labels, name, last) in [
        (None, [4, 30, 99], "cifar-100-fine", "fine_99"),
        (Some(LabelKind::Fine), [4, 30, 99], "cifar-100-fine", "fine_99"),
        (Some(LabelKind::Coarse), [0, 0, 19], "cifar-100-coarse", "coarse_19"),
    ] {
        let options = FolderOptions { label, ..FolderOptions::default() };
        let splits = duet_data::open(&hundred, &options).unwrap();
        assert_eq!((splits.name.as_str(), splits.train.labels()), (name, &labels[..]));
        assert_eq!((splits.train.bytes(2), splits.test.bytes(0)), (&image(12)[..], &image(40)[..]));
        assert_eq!(splits.train.classes().last().unwrap(), last);
        let says_of_the_others = splits.left_out.iter().any(|text| text.contains("--label coarse"));
        assert_eq!(says_of_the_others, label.is_none());
    }
}

#[test]
fn what_python_3_saves_again_in_any_protocol_is_the_same() {
    for folder in ["again2", "again3", "again4", "again5", "bytes2", "bytes4", "arrays", "arrays5"] {
        let splits = open(&written(folder)).unwrap();
        assert_eq!(splits.train.labels(), [4, 30, 99], "{folder}");
        let images: Vec<_> = (0..3).map(|i| splits.train.bytes(i).to_vec()).collect();
        assert_eq!(images, [image(10), image(11), image(12)], "{folder}");
        assert_eq!(splits.test.pixels(0), image(40), "{folder}");
        // No file of names is beside them.
        assert_eq!(splits.train.classes()[99], "worm", "{folder}");
    }
}

#[test]
fn names_of_classes_txt_beat_those_of_the_pickle() {
    let dir = directory();
    for name in ["train", "test", "meta"] {
        fs::copy(written("published/cifar-100-python").join(name), dir.path().join(name)).unwrap();
    }
    let names: Vec<String> = (0..100).map(|i| format!("own {i}")).collect();
    put(dir.path(), "classes.txt", names.join("\n").as_bytes());
    assert_eq!(open(dir.path()).unwrap().train.classes()[3], "own 3");
    put(dir.path(), "classes.txt", b"one\ntwo\n");
    assert_says(&refusal(dir.path()), &["classes.txt", "2 class names", "CIFAR-100 has 100"]);
    fs::remove_file(dir.path().join("classes.txt")).unwrap();
    let ten = fs::read(written("published/cifar-10-batches-py/batches.meta")).unwrap();
    put(dir.path(), "meta", &ten);
    assert_says(&refusal(dir.path()), &["meta", "no list fine_label_names", "remove it"]);
    put(dir.path(), "meta", &ten[..40]);
    assert_says(&refusal(dir.path()), &["meta", "it is cut"]);
    fs::remove_file(dir.path().join("test")).unwrap();
    assert_says(&refusal(dir.path()), &["CIFAR-100's Python version", "missing test"]);
}

fn refusal_of(batch: &[u8]) -> String {
    from_bytes::cifar100_pickle(batch, LabelKind::Fine).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_images_with_labels_is_refused_with_its_reason() {
    for (name, words) in [
        ("floats", "data are no bytes"),
        ("objects", "Python objects"),
        ("narrow", "data of shape [1, 1024], and images are (n, 3072)"),
        ("fewer", "1 images and 0 fine_labels"),
        ("far", "label 100 of image 0 is not one of 0 to 99"),
        ("words", "label 0 is a text, not a whole number"),
        ("scalars", "numpy._core.multiarray.scalar"),
        ("unnamed", "no data, but images, labels"),
        ("list", "it is no dictionary"),
        ("records", "no plain numbers"),
        ("matrix", "numpy.ma"),
        ("oldest", "protocol 2 or newer"),
    ] {
        let message = refusal_of(&fs::read(written("bad").join(name)).unwrap());
        assert_says(&message, &[words]);
        assert_says(&message, &["fetch"]);
    }
    let whole = fs::read(written("published/cifar-100-python/train")).unwrap();
    for length in [0, 1, 2, 30, 200, whole.len() - 1] {
        refusal_of(&whole[..length]);
    }
    assert_says(&refusal_of(&[&whole[..], b"N."].concat()), &["more bytes follow"]);
    assert_says(&refusal_of(b"\x80\x63}."), &["protocol 99"]);
}

#[test]
fn nothing_of_a_pickle_is_executed_and_the_call_is_named() {
    for name in ["call2", "call4"] {
        let message = refusal_of(&fs::read(written("bad").join(name)).unwrap());
        assert_says(&message, &["it would call posix.system", "nothing of a pickle is executed"]);
    }
    // By every way to a function: by name, by class, by extension, by persistent number.
    for (pickle, words) in [
        (&b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR."[..], "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.foo\x93.", "numpy.ndarray.foo"),
        (b"\x80\x02(ios\nsystem\n.", "0x69"),
        (b"\x80\x02(cnumpy\nndarray\no.", "0x6f"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "0x81"),
        (b"\x80\x02\x82\x01.", "0x82"),
        (b"\x80\x02PX\n.", "0x50"),
        (b"\x80\x02c\x1b[31m\n\xff\x07\n.", "\\u{1b}[31m."),
    ] {
        let message = refusal_of(pickle);
        assert_says(&message, &[words]);
        assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
    }
}
