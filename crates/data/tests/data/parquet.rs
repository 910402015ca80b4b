//! Parquet as its ecosystem wrote it: `parquet/make_parquet.py` made the files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{assert_says, directory, refusal};

fn written(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parquet").join(name)
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_its_feature_parquet_is_recognised_and_the_feature_is_named() {
    for name in ["hub", "hub/data", "converted", "packed/zstd.parquet"] {
        assert_says(&refusal(&written(name)), &[".parquet", "built without", "--features parquet"]);
    }
}

#[test]
fn of_several_sets_in_folders_one_has_to_be_named() {
    let dir = directory();
    for name in ["mnist", "cifar"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::copy(written("packed/zstd.parquet"), dir.path().join(name).join("train.parquet")).unwrap();
    }
    assert_says(&refusal(dir.path()), &["several folders", "cifar", "mnist", "name one of them"]);
}

#[cfg(feature = "parquet")]
mod with_the_feature {
    use super::*;
    use crate::common::{Bytes, open, put};
    use duet_data::{DataError, FolderOptions, LabelKind, Splits};

    /// What the script says of image `i`: 6x5 pixels, as planes.
    fn image(i: usize) -> Vec<u8> {
        let pixels = |value: fn(usize, usize, usize) -> usize| {
            (0..5).flat_map(move |y| (0..6).map(move |x| value(i, x, y) as u8)).collect::<Vec<u8>>()
        };
        [pixels(|i, _, _| 20 * i), pixels(|_, x, _| 3 * x), pixels(|_, _, y| 4 * y)].concat()
    }

    fn open_with(path: &Path, label: Option<LabelKind>) -> Result<Splits, DataError> {
        duet_data::open(path, &FolderOptions { label, ..FolderOptions::default() })
    }

    #[test]
    fn a_hubs_shards_are_read_by_split_with_their_class_names() {
        for path in ["hub", "hub/data"] {
            let splits = open(&written(path)).unwrap();
            assert_eq!(splits.name, "hub");
            assert_eq!((splits.train.labels(), splits.test.labels()), (&[0, 1, 2, 2, 1, 0][..], &[2, 0][..]));
            let shape = splits.train.shape();
            assert_eq!((shape.channels, shape.height, shape.width), (3, 5, 6));
            for i in 0..6 {
                assert_eq!(splits.train.pixels(i), image(i));
            }
            assert_eq!(splits.test.pixels(1), image(7));
            assert_eq!(splits.train.classes(), ["bird", "cat", "dog"]);
            assert_says(&splits.left_out.join("\n"), &["validate"]);
            assert_eq!(splits.left_out.len(), 1);
        }
        // The images to test with have no labels there, and about one in ten is held out.
        let splits = open(&written("converted")).unwrap();
        assert_eq!((splits.train.len() + splits.test.len(), splits.train.classes()[2].as_str()), (4, "dog"));
        assert_says(&splits.left_out.join("\n"), &["left out", "-1"]);
    }

    #[test]
    fn of_a_fine_and_a_coarse_label_one_is_the_class() {
        for (label, labels, name) in [
            (None, [0, 1, 2, 3, 4, 5], "f5"),
            (Some(LabelKind::Fine), [0, 1, 2, 3, 4, 5], "f5"),
            (Some(LabelKind::Coarse), [0, 0, 0, 1, 1, 1], "c1"),
        ] {
            let splits = open_with(&written("hundred"), label).unwrap();
            assert_eq!(
                (splits.train.labels(), splits.train.classes().last().unwrap().as_str()),
                (&labels[..], name)
            );
            let says_of_the_others = splits.left_out.iter().any(|text| text.contains("--label coarse"));
            assert_eq!(says_of_the_others, label.is_none());
        }
        let message = open_with(&written("hub"), Some(LabelKind::Coarse)).unwrap_err().to_string();
        assert_says(&message, &["one label", "leave out --label"]);
    }

    #[test]
    fn every_packing_and_every_writer_gives_the_same_images() {
        let mut read = 0;
        for entry in fs::read_dir(written("packed")).unwrap() {
            let path = entry.unwrap().path();
            let splits = open(&path).unwrap_or_else(|error| panic!("{error}"));
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(splits.name, name);
            let mut found: Vec<(u32, Vec<u8>)> = [&splits.train, &splits.test]
                .iter()
                .flat_map(|part| (0..part.len()).map(|i| (part.label(i), part.bytes(i).to_vec())))
                .collect();
            found.sort_by_key(|(_, pixels)| pixels[0]);
            let expected: Vec<_> = [0, 1, 2, 2, 1, 0].into_iter().zip((0..6).map(image)).collect();
            assert_eq!(found, expected, "{name}");
            assert!(!splits.test.is_empty(), "{name}");
            let classes = if name.starts_with("pandas") || name == "datasets" {
                ["bird", "cat", "dog"]
            } else {
                ["0", "1", "2"]
            };
            assert_eq!(splits.train.classes(), classes, "{name}");
            let says = splits.left_out.join("\n");
            assert_eq!(says.contains("labels the column label"), name != "datasets", "{name}: {says}");
            read += 1;
        }
        assert_eq!(read, 17);
    }

    #[test]
    fn names_in_classes_txt_beat_the_files_own() {
        let dir = directory();
        fs::copy(written("hub/data/test-00000-of-00001.parquet"), dir.path().join("train.parquet")).unwrap();
        put(dir.path(), "classes.txt", b"x\ny\nz\n");
        assert_eq!(open(dir.path()).unwrap().train.classes(), ["x", "y", "z"]);
        put(dir.path(), "classes.txt", b"x\ny\n");
        assert_says(&refusal(dir.path()), &["classes.txt", "2 names"]);
    }

    #[test]
    fn what_are_no_labelled_images_is_refused_with_row_and_column() {
        for (name, words) in [
            ("null-image", &["row 1 has no bytes in the column image"][..]),
            ("null-bytes", &["row 1 has no bytes in the column image"]),
            ("null-label", &["row 2 has no value in the column label"]),
            ("empty", &["row 0 has an empty image"]),
            ("no-image", &["6 image files cannot be used", "no-image.parquet/row 0", "Gif"]),
            ("floats", &["label holds neither whole numbers nor texts", "label (double)"]),
            ("lists", &["no column holds images", "image.list.element (list of int64)"]),
            ("list-label", &["label holds neither", "list of int64"]),
            ("unlabelled", &["no column is called label", "image.bytes (binary), image.path (text)"]),
            ("two-images", &["several columns hold images", "other.bytes"]),
            ("two-labels", &["several columns hold labels", "labels (int64)"]),
            ("words-alone", &["no column holds images", "text (text)"]),
            ("far", &["label 3 of row 3 is not one of 0 to 2"]),
            ("negative", &["label -1 of row 3"]),
            ("huge", &["label 1099511627776 of row 3"]),
            ("bad-json", &["huggingface", "no JSON"]),
            ("strings", &["no column holds images", "image (text)"]),
            ("none", &["no image"]),
            ("brotli", &["BROTLI", "snappy, gzip and zstd"]),
        ] {
            let message = refusal(&written("bad").join(format!("{name}.parquet")));
            assert_says(&message, words);
            assert_says(&message, &["bad"]);
        }
    }

    #[test]
    fn files_that_are_cut_or_differ_are_refused_by_name() {
        let whole = fs::read(written("hub/data/train-00000-of-00002.parquet")).unwrap();
        let dir = directory();
        for length in [0, 4, 7, 8, 12, 100, whole.len() / 2, whole.len() - 1] {
            put(dir.path(), "train.parquet", &whole[..length]);
            assert_says(&refusal(dir.path()), &["train.parquet", "cut", "fetch the file again"]);
        }
        // The middle is missing, and both ends are there.
        put(dir.path(), "train.parquet", &[&whole[..8], &whole[whole.len() / 2..]].concat());
        assert_says(&refusal(dir.path()), &["train.parquet"]);
        put(dir.path(), "train.parquet", &[&whole[..whole.len() - 4], b"PARE"].concat());
        assert_says(&refusal(dir.path()), &["encrypted"]);
        put(dir.path(), "train.parquet", &whole);
        fs::copy(written("packed/pandas-words.parquet"), dir.path().join("test.parquet")).unwrap();
        assert_says(&refusal(dir.path()), &["test.parquet", "not those of", "train.parquet"]);
        fs::remove_file(dir.path().join("train.parquet")).unwrap();
        assert_says(&refusal(dir.path()), &["no file is there to train on"]);
    }

    #[test]
    fn more_encoded_bytes_than_a_set_may_have_are_not_taken() {
        let options = FolderOptions { max_bytes: 500, ..FolderOptions::default() };
        let message = duet_data::open(&written("hub"), &options).unwrap_err().to_string();
        assert_says(&message, &["train-00000-of-00002.parquet", "encoded images", "--max-gigabytes"]);
    }
}
