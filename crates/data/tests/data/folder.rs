//! One folder of images for each class: which images are found, how they are read, and which are refused.

use std::collections::HashSet;
use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::common::{Bytes, assert_says, directory, open, put, refusal};
use duet_data::{DataError, FolderOptions, ImageSize, Picture, Splits};
use image::{DynamicImage, GrayAlphaImage, ImageFormat, Luma, RgbImage, RgbaImage};
use proptest::prelude::*;

fn grey(width: usize, height: usize, value: u8) -> Vec<u8> {
    let pixels = vec![value; width * height];
    Picture::new(1, height, width, pixels).unwrap().encode_png()
}

fn colour(width: usize, height: usize, rgb: [u8; 3]) -> Vec<u8> {
    let pixels = rgb.repeat(width * height);
    Picture::new(3, height, width, pixels).unwrap().encode_png()
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn with(dir: &Path, side: Option<usize>, channels: Option<usize>) -> Splits {
    let image_size = side.map(|side| ImageSize::square(side).unwrap());
    let options = FolderOptions { image_size, channels, ..FolderOptions::default() };
    duet_data::open(dir, &options).unwrap()
}

fn counts(splits: &Splits) -> (Vec<usize>, Vec<usize>) {
    (splits.train.class_counts(), splits.test.class_counts())
}

/// (channels, height, width) and the pixels of the only image of a folder with this file.
fn read_one(name: &str, bytes: &[u8]) -> ((usize, usize, usize), Vec<u8>) {
    let dir = directory();
    put(dir.path(), &format!("class/{name}"), bytes);
    let train = open(dir.path()).unwrap().train;
    assert_eq!(train.len(), 1);
    let shape = train.shape();
    let shape = (shape.channels, shape.height, shape.width);
    (shape, train.bytes(0).to_vec())
}

#[test]
fn classes_are_folders_in_byte_order_and_other_files_are_ignored() {
    let dir = directory();
    for (path, value) in [("b/2.png", 2), ("b/10.PNG", 10), ("Z/1.png", 1), ("é/3.png", 3)] {
        put(dir.path(), path, &grey(2, 1, value));
    }
    for ignored in ["README.md", "b/notes.txt", "b/.hidden.png", ".git/x.png", "__MACOSX/x.png"] {
        put(dir.path(), ignored, b"no image");
    }
    fs::create_dir(dir.path().join("b/more.png")).unwrap();
    let splits = open(dir.path()).unwrap();
    assert_eq!(splits.train.classes(), ["Z", "b", "é"]);
    let (train, test) = counts(&splits);
    assert_eq!((train, test), (vec![1, 1, 1], vec![0, 1, 0]));
    let mut of_b = vec![splits.train.bytes(1)[0], splits.test.bytes(0)[0]];
    of_b.sort();
    assert_eq!(of_b, [2, 10]);
    assert_eq!(
        splits.describe().split_once(": ").unwrap().1.split(',').next(),
        Some("3 training and 1 test image")
    );
}

#[test]
fn files_that_are_left_out_are_told() {
    let dir = directory();
    for path in ["b/1.png", "b/2.png", "c/1.png"] {
        put(dir.path(), path, &grey(2, 1, 7));
    }
    for path in ["b/notes.txt", "b/labels.TXT", "c/0001", "c/Thumbs.db", "c/desktop.ini"] {
        put(dir.path(), path, b"no image");
    }
    let warnings = open(dir.path()).unwrap().left_out;
    assert_says(&warnings.join("\n"), &["3 files in the class folders", "1 with .txt", "1 with no ending"]);
    put(dir.path(), "samples.png", &grey(2, 1, 7));
    let warnings = open(dir.path()).unwrap().left_out;
    assert_says(&warnings.join("\n"), &["1 image beside the class folders"]);
}

#[test]
fn folders_beside_a_split_are_told() {
    let dir = directory();
    for path in ["train/a/1.png", "test/a/2.png", "val/a/3.png", "extra/a/4.png", "more/5.png"] {
        put(dir.path(), path, &grey(1, 1, 7));
    }
    put(dir.path(), "docs/readme.txt", b"");
    let told = open(dir.path()).unwrap().left_out;
    let told: Vec<&str> =
        told.iter().filter_map(|line| line.split_once(" is left out")).map(|(name, _)| name).collect();
    assert_eq!(told, ["val", "extra", "more"]);
}

#[test]
fn images_that_no_folder_of_classes_can_have_are_refused_and_not_dropped() {
    let endings =
        ["pgm", "ppm", "PNM", "tga", "ico", "dds", "exr", "hdr", "qoi", "psd", "svg", "cr2", "jxl", "dcm"];
    let dir = directory();
    put(dir.path(), "a/1.png", &grey(1, 1, 7));
    for ending in endings {
        put(dir.path(), &format!("a/x.{ending}"), b"P5 1 1 255 0");
    }
    let message = refusal(dir.path());
    assert_says(&message, &["14 image files cannot be used", "pgm is not read, convert it"]);
    put(dir.path(), "b/1.png", b"P5\n1 1\n255\n0");
    assert_says(&refusal(dir.path()), &["b/1.png: no PNG, JPEG, WebP, GIF, BMP or TIFF file but PBM, PGM"]);
}

#[test]
fn images_one_folder_deeper_are_refused_and_not_dropped() {
    let dir = directory();
    for path in ["a/1.png", "b/1.png", "b/more/2.png"] {
        put(dir.path(), path, &grey(1, 1, 7));
    }
    assert_says(&refusal(dir.path()), &["b/more: ", "directly in a class folder", "move them to"]);
    fs::rename(dir.path().join("b/more/2.png"), dir.path().join("b/2.png")).unwrap();
    assert_eq!(open(dir.path()).unwrap().train.classes(), ["a", "b"]);
    put(dir.path(), "c/2024/may/1.png", &grey(1, 1, 7));
    assert_says(&refusal(dir.path()), &["c/2024/may: "]);
}

#[test]
fn what_duet_makes_in_a_folder_of_images_is_no_class() {
    let dir = directory();
    for path in ["a/1.png", "a/2.png", "b/1.png", "b/2.png"] {
        put(dir.path(), path, &grey(1, 1, path.len() as u8));
    }
    let before = open(dir.path()).unwrap();
    fs::create_dir_all(dir.path().join("runs/00002-killed")).unwrap();
    for made in [
        "runs/00001-photos/config.toml",
        "runs/00001-photos/LOCK",
        "runs/00001-photos/eval.png",
        "runs/00001-photos/samples/step-000010.png",
        "started/LOCK",
        "mine/config.toml",
        "mine/checkpoints/step-000010/manifest.json",
        "exported/model_index.json",
        "exported/samples.png",
        "sweep/sheet.png",
        "sweep/table.csv",
        "sweep/cells/1.png",
    ] {
        put(dir.path(), made, b"");
    }
    assert_eq!(open(dir.path()).unwrap(), before);
    // A class may be called so.
    put(dir.path(), "runs/1.png", &grey(1, 1, 7));
    assert_says(&refusal(dir.path()), &["runs/00001-photos"]);
    fs::remove_dir_all(dir.path().join("runs")).unwrap();
    put(dir.path(), "runs/1.png", &grey(1, 1, 7));
    assert_eq!(open(dir.path()).unwrap().train.classes(), ["a", "b", "runs"]);
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_named_as_images_are_refused_at_once() {
    let dir = directory();
    put(dir.path(), "a/1.png", &grey(1, 1, 7));
    let pipe = dir.path().join("a/2.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("a/3.jpg")).unwrap();
    assert_says(&refusal(dir.path()), &["2 image files", "a pipe", "a device"]);
    assert_says(&Picture::read(&pipe).unwrap_err().to_string(), &["2.png", "a pipe"]);
}

#[test]
fn images_and_sets_have_limits_that_can_be_raised() {
    let dir = directory();
    for path in ["a/1.png", "a/2.png"] {
        put(dir.path(), path, &colour(10, 10, [1, 2, 3]));
    }
    let with = |max_pixels, max_bytes| {
        let options = FolderOptions { max_pixels, max_bytes, ..FolderOptions::default() };
        duet_data::open(dir.path(), &options).map_err(|error| error.to_string())
    };
    assert!(with(100, 600).is_ok());
    assert_says(&with(99, 600).unwrap_err(), &["2 image files", "megapixels", "--max-megapixels"]);
    assert_says(&with(100, 599).unwrap_err(), &["2 images of 3x10x10, 600 bytes", "599", "--max-gigabytes"]);
    let small = FolderOptions {
        image_size: Some(ImageSize::square(5).unwrap()),
        max_bytes: 599,
        ..FolderOptions::default()
    };
    assert_eq!(duet_data::open(dir.path(), &small).unwrap().train.shape().len(), 75);
}

#[test]
fn a_single_class_is_enough() {
    let dir = directory();
    put(dir.path(), "only/a.png", &grey(3, 2, 7));
    let splits = open(dir.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (1, 0));
    assert_eq!(splits.train.bytes(0), [7; 6]);
}

/// The file names of a class that are held out, told by the pixel that names the file.
fn held_out(dir: &Path) -> HashSet<u8> {
    let test = open(dir).unwrap().test;
    (0..test.len()).map(|i| test.bytes(i)[0]).collect()
}

#[test]
fn about_one_in_ten_is_held_out_by_name_alone() {
    let fill = |dir: &Path, numbers: &mut dyn Iterator<Item = u8>| {
        for i in numbers {
            put(dir, &format!("class/{i}.png"), &grey(1, 1, i));
        }
    };
    let dir = directory();
    fill(dir.path(), &mut (0..200));
    let first = held_out(dir.path());
    assert!((8..=32).contains(&first.len()), "{}", first.len());

    // Another place, more images, and a second class change nothing for these.
    let other = directory();
    let inner = other.path().join("inner");
    fill(&inner, &mut (0..=255).rev());
    put(&inner, "aaa/x.png", &grey(1, 1, 255));
    let mut more = held_out(&inner);
    more.retain(|&i| i < 200);
    assert_eq!(more, first);

    // The rule itself is fixed: a change of it would change everybody's test split.
    let mut golden: Vec<u8> = first.into_iter().filter(|&i| i < 60).collect();
    golden.sort();
    assert_eq!(golden, GOLDEN_HELD_OUT);
}

const GOLDEN_HELD_OUT: &[u8] = &[17, 20, 27, 30, 37, 56];

#[test]
fn of_two_images_one_is_held_out() {
    for names in [["a", "b"], ["c", "d"], ["x", "y"], ["1", "2"]] {
        let dir = directory();
        for name in names {
            put(dir.path(), &format!("class/{name}.png"), &grey(1, 1, 0));
        }
        assert_eq!(counts(&open(dir.path()).unwrap()), (vec![1], vec![1]));
    }
}

#[test]
fn folders_named_train_and_test_are_the_splits() {
    for (train, test) in [("train", "test"), ("Train", "val"), ("training", "testing")] {
        let dir = directory();
        for (split, class, file) in [
            (train, "cat", "1.png"),
            (train, "cat", "2.png"),
            (train, "dog", "1.png"),
            (test, "dog", "1.png"),
        ] {
            put(dir.path(), &format!("{split}/{class}/{file}"), &grey(1, 1, 0));
        }
        let splits = open(dir.path()).unwrap();
        assert_eq!(splits.train.classes(), ["cat", "dog"]);
        assert_eq!(splits.test.classes(), ["cat", "dog"]);
        assert_eq!(counts(&splits), (vec![2, 1], vec![0, 1]));
    }
}

#[test]
fn test_is_preferred_to_val_if_it_has_classes() {
    let dir = directory();
    put(dir.path(), "train/cat/1.png", &grey(1, 1, 1));
    put(dir.path(), "val/cat/1.png", &grey(1, 1, 2));
    put(dir.path(), "test/unsorted.png", &grey(1, 1, 3));
    assert_eq!(open(dir.path()).unwrap().test.bytes(0), [2]);
    put(dir.path(), "test/cat/1.png", &grey(1, 1, 3));
    assert_eq!(open(dir.path()).unwrap().test.bytes(0), [3]);
}

#[test]
fn without_test_some_of_train_are_held_out() {
    let dir = directory();
    for i in 0..4 {
        put(dir.path(), &format!("train/cat/{i}.png"), &grey(1, 1, 0));
    }
    let splits = open(dir.path()).unwrap();
    assert_eq!(splits.train.len() + splits.test.len(), 4);
    assert!(!splits.test.is_empty());

    fs::create_dir(dir.path().join("test")).unwrap();
    assert_says(&refusal(dir.path()), &["test", "no folders of images"]);
}

#[test]
fn a_class_may_be_named_train() {
    let dir = directory();
    put(dir.path(), "train/1.png", &grey(1, 1, 0));
    put(dir.path(), "train/unused/1.txt", b"");
    put(dir.path(), "plane/1.png", &grey(1, 1, 0));
    assert_eq!(open(dir.path()).unwrap().train.classes(), ["plane", "train"]);
}

#[test]
fn a_test_class_without_training_images_is_refused() {
    let dir = directory();
    put(dir.path(), "train/cat/1.png", &grey(1, 1, 0));
    put(dir.path(), "test/cow/1.png", &grey(1, 1, 0));
    assert_says(&refusal(dir.path()), &["cow", "training split has no class"]);
}

#[test]
fn empty_classes_and_names_alike_are_refused() {
    let dir = directory();
    put(dir.path(), "cat/1.png", &grey(1, 1, 0));
    put(dir.path(), "dog/deeper/1.txt", b"");
    assert_says(&refusal(dir.path()), &["dog", "no image file", "directly"]);
    put(dir.path(), "dog/1.png", &grey(1, 1, 0));
    assert!(open(dir.path()).is_ok());
    if put(dir.path(), "Dog/1.png", &grey(1, 1, 0)).exists() && fs::read_dir(dir.path()).unwrap().count() == 3
    {
        assert_says(&refusal(dir.path()), &["dog", "Dog", "case alone"]);
    }
}

#[test]
fn a_directory_of_nothing_known_is_told_what_would_be() {
    let accepted = ["train-images-idx3-ubyte", "data_batch_1.bin", "folder of images per class (PNG, JPEG"];
    let message = |files: &[&str]| {
        let dir = directory();
        for file in files {
            put(dir.path(), file, b"x");
        }
        let message = refusal(dir.path());
        assert_says(&message, &accepted);
        message
    };
    assert_says(&message(&[]), &["is empty"]);
    assert_says(&message(&["a.txt", "b/c.txt"]), &["1 file and 1 folder"]);
    assert_says(&message(&["1.png"]), &["not in one folder per class"]);
    assert_says(&message(&["data_batch_1"]), &["Python version"]);
    assert_says(&message(&["photos.zip", "other/notes.txt"]), &["photos.zip", "name it itself"]);

    let dir = directory();
    assert_says(&refusal(&dir.path().join("nowhere")), &["cannot read", "nowhere"]);
    let file = put(dir.path(), "file.txt", b"x");
    assert_says(&refusal(&file), &["file.txt", "not a directory"]);
}

#[test]
fn every_bad_file_is_listed_with_its_reason() {
    let dir = directory();
    let image = colour(8, 8, [1, 2, 3]);
    put(dir.path(), "a/fine.png", &image);
    put(dir.path(), "a/cut.png", &image[..image.len() - 20]);
    put(dir.path(), "a/empty.jpg", b"");
    put(dir.path(), "b/text.png", b"<html>");
    put(dir.path(), "b/new.heic", b"RIFF");
    // Bad files are reported before different sizes.
    put(dir.path(), "b/other.png", &grey(9, 9, 0));
    let jpeg = encode(RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 9])), ImageFormat::Jpeg);
    put(dir.path(), "b/cut.jpg", &jpeg[..jpeg.len() * 3 / 4]);
    let Err(DataError::BadFiles { listed, unlisted, .. }) = open(dir.path()) else {
        panic!("bad files are accepted");
    };
    let names: Vec<_> = listed.iter().map(|bad| bad.path.strip_prefix(dir.path()).unwrap()).collect();
    let expected = ["a/cut.png", "a/empty.jpg", "b/cut.jpg", "b/new.heic", "b/text.png"];
    assert_eq!(names, expected.map(Path::new));
    assert_eq!(unlisted, 0);
    assert_says(&listed[2].reason, &["cut short"]);
    assert_says(&listed[3].reason, &["heic", "convert"]);
    assert_says(&listed[4].reason, &["no PNG, JPEG"]);
    assert_says(&refusal(dir.path()), &["5 image files", "repair", "b/text.png: no PNG"]);
}

#[test]
fn of_many_bad_files_twenty_are_listed() {
    let dir = directory();
    for i in 10..35 {
        put(dir.path(), &format!("a/{i}.png"), b"no");
    }
    let message = refusal(dir.path());
    assert_says(&message, &["25 image files", "10.png", "29.png", "and 5 more"]);
    assert!(!message.contains("30.png"), "{message}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_never_in_circles() {
    use std::os::unix::fs::symlink;
    let dir = directory();
    let outside = directory();
    put(outside.path(), "1.png", &grey(1, 1, 5));
    symlink(outside.path(), dir.path().join("linked")).unwrap();
    put(dir.path(), "a/1.png", &grey(1, 1, 4));
    symlink(dir.path(), dir.path().join("a/circle")).unwrap();
    symlink("self.png", dir.path().join("a/self.png")).unwrap();
    let message = refusal(dir.path());
    assert_says(&message, &["1 image file cannot be used", "a/self.png"]);
    fs::remove_file(dir.path().join("a/self.png")).unwrap();
    assert_eq!(open(dir.path()).unwrap().train.classes(), ["a", "linked"]);
}

#[test]
fn images_of_one_size_need_no_size() {
    let dir = directory();
    put(dir.path(), "a/1.png", &grey(5, 3, 1));
    put(dir.path(), "b/1.png", &grey(5, 3, 2));
    put(dir.path(), "b/2.png", &grey(3, 5, 3));
    put(dir.path(), "b/3.png", &grey(4, 4, 3));
    let message = refusal(dir.path());
    assert_says(&message, &["a/1.png is 5x3", "b/2.png is 3x5", "--image-size"]);
    let shape = with(dir.path(), Some(4), None).train.shape();
    assert_eq!((shape.channels, shape.height, shape.width), (1, 4, 4));
}

#[test]
fn the_middle_square_is_what_is_resized() {
    let dir = directory();
    // Columns 0 0 8 8 8 8 0 0: the middle square is all 8.
    let row = [0, 0, 8, 8, 8, 8, 0, 0];
    let wide = Picture::new(1, 4, 8, row.repeat(4)).unwrap();
    put(dir.path(), "a/wide.png", &wide.encode_png());
    for size in [1, 2, 3, 4, 9] {
        let train = with(dir.path(), Some(size), None).train;
        assert_eq!(train.bytes(0), vec![8; size * size]);
    }
}

#[test]
fn the_largest_middle_part_of_the_asked_proportion_is_what_is_resized() {
    // All of it is 0, but for a part of 8.
    let with_part = |(height, width): (usize, usize), rows: Range<usize>, columns: Range<usize>| {
        let at = |i: usize| if rows.contains(&(i / width)) && columns.contains(&(i % width)) { 8 } else { 0 };
        Picture::new(1, height, width, (0..height * width).map(at).collect()).unwrap()
    };
    for (sides, rows, columns, size) in [
        ((4, 8), 0..4, 1..7, "4x6"),
        ((4, 8), 0..4, 1..7, "8x12"),
        ((4, 8), 0..4, 1..7, "2x3"),
        ((8, 4), 1..7, 0..4, "6x4"),
        ((8, 4), 3..5, 0..4, "3x6"),
        ((9, 9), 3..6, 0..9, "1x3"),
        ((5, 3), 0..5, 1..2, "16384x1"),
    ] {
        let dir = directory();
        put(dir.path(), "a/x.png", &with_part(sides, rows, columns).encode_png());
        let size: ImageSize = size.parse().unwrap();
        let options = FolderOptions { image_size: Some(size), ..FolderOptions::default() };
        let train = duet_data::open(dir.path(), &options).unwrap().train;
        assert_eq!((train.shape().height, train.shape().width), (size.height(), size.width()));
        assert!(train.bytes(0).iter().all(|&value| value == 8), "{size} of {sides:?}: {:?}", train.bytes(0));
    }
}

#[test]
fn an_image_size_is_a_number_or_height_and_width() {
    let size = |text: &str| text.parse::<ImageSize>().map_err(|error| error.to_string());
    for (text, height, width) in [("32", 32, 32), ("24x40", 24, 40), ("24×40", 24, 40), ("16384x1", 16384, 1)]
    {
        assert_eq!(size(text), Ok(ImageSize::new(height, width).unwrap()));
    }
    assert_eq!(["32", "32x32", "24x40"].map(|text| size(text).unwrap().to_string()), ["32", "32", "24x40"]);
    for text in
        ["", "x", "24x", "x40", "+4", "24 x 40", "-1", "24x40x3", "a", "1e3", "99999999999999999999999"]
    {
        assert_says(&size(text).unwrap_err(), &["32", "24x40"]);
    }
    assert_says(&size("0").unwrap_err(), &["1 to 16384", "not 0"]);
    assert_says(&size("8x16385").unwrap_err(), &["1 to 16384", "not 16385"]);
}

#[test]
fn shrinking_averages() {
    let dir = directory();
    let checks: Vec<u8> = (0..256).map(|i| if (i / 16 + i) % 2 == 0 { 0 } else { 200 }).collect();
    let checks = Picture::new(1, 16, 16, checks).unwrap();
    put(dir.path(), "a/checks.png", &checks.encode_png());
    let train = with(dir.path(), Some(4), None).train;
    assert!(train.bytes(0).iter().all(|&v| v.abs_diff(100) <= 4), "{:?}", train.bytes(0));
}

#[test]
fn channels_follow_the_images_unless_asked_for() {
    let dir = directory();
    put(dir.path(), "a/grey.png", &grey(1, 1, 9));
    // Grey, though stored with three channels.
    put(dir.path(), "b/grey.png", &colour(1, 1, [7, 7, 7]));
    assert_eq!(open(dir.path()).unwrap().train.shape().channels, 1);
    assert_eq!(with(dir.path(), None, Some(3)).train.bytes(1), [7, 7, 7]);
    put(dir.path(), "c/red.png", &colour(1, 1, [255, 0, 0]));
    let train = open(dir.path()).unwrap().train;
    assert_eq!((train.bytes(0), train.bytes(2)), (&[9, 9, 9][..], &[255, 0, 0][..]));
    let train = with(dir.path(), None, Some(1)).train;
    assert_eq!((train.bytes(0), train.bytes(2)), (&[9][..], &[54][..]));
}

#[test]
fn colours_are_planes() {
    let pixels = vec![1, 2, 3, 4, 5, 6];
    let png = Picture::new(3, 1, 2, pixels).unwrap().encode_png();
    assert_eq!(read_one("x.png", &png), ((3, 1, 2), vec![1, 4, 2, 5, 3, 6]));
}

#[test]
fn transparency_is_laid_on_white() {
    let pixels = vec![10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 51];
    let png = encode(RgbaImage::from_raw(3, 1, pixels).unwrap(), ImageFormat::Png);
    let planes = vec![10, 255, 204, 20, 255, 224, 30, 255, 244];
    assert_eq!(read_one("x.png", &png), ((3, 1, 3), planes));
    let grey = GrayAlphaImage::from_raw(2, 1, vec![9, 255, 9, 0]).unwrap();
    assert_eq!(read_one("x.png", &encode(grey, ImageFormat::Png)), ((1, 1, 2), vec![9, 255]));
}

#[test]
fn jpeg_is_read_and_so_is_a_wrong_ending() {
    let flat = RgbImage::from_pixel(16, 8, image::Rgb([200, 200, 200]));
    let jpeg = encode(flat, ImageFormat::Jpeg);
    for name in ["x.jpg", "x.JPEG", "x.png"] {
        let (shape, pixels) = read_one(name, &jpeg);
        assert_eq!(shape, (1, 8, 16));
        assert!(pixels.iter().all(|v| v.abs_diff(200) <= 1));
    }
}

/// A JPEG file of a left half in black and a right half in white, with an EXIF orientation.
fn oriented(orientation: u8) -> Vec<u8> {
    let halves = image::GrayImage::from_fn(32, 16, |x, _| Luma([if x < 16 { 0 } else { 255 }]));
    let jpeg = encode(halves, ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn exif_orientation_is_applied() {
    // Upright shape, and whether the first row's left, its right and the last row's left are white.
    let look = |orientation| {
        let ((_, height, width), pixels) = read_one("x.jpg", &oriented(orientation));
        let white = |y: usize, x: usize| pixels[y * width + x] > 128;
        let corners = [white(0, 0), white(0, width - 1), white(height - 1, 0)];
        ((height, width), corners)
    };
    assert_eq!(look(1), ((16, 32), [false, true, false]));
    assert_eq!(look(3), ((16, 32), [true, false, true]));
    assert_eq!(look(6), ((32, 16), [false, false, true]));
    assert_eq!(look(8), ((32, 16), [true, true, false]));
}

#[test]
fn channels_out_of_range_are_refused() {
    let dir = directory();
    put(dir.path(), "a/1.png", &grey(1, 1, 0));
    let options = FolderOptions { channels: Some(2), ..FolderOptions::default() };
    let refusal = duet_data::open(dir.path(), &options).unwrap_err().to_string();
    assert_says(&refusal, &["channels", "not 2"]);
}

#[test]
fn a_header_of_absurd_size_is_refused() {
    let dir = directory();
    let mut png = grey(1, 1, 0);
    // IHDR's width and height, and its checksum.
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    put(dir.path(), "a/1.png", &png);
    assert_says(&refusal(dir.path()), &["a/1.png", "limit"]);
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Files to damage: a PNG, a palette-like small PNG with alpha, a JPEG.
fn samples() -> Vec<(PathBuf, Vec<u8>)> {
    let picture = RgbImage::from_fn(12, 10, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, 50]));
    let alpha = RgbaImage::from_fn(5, 5, |x, y| image::Rgba([9, x as u8, y as u8, 40 * x as u8]));
    vec![
        ("x.png".into(), encode(picture.clone(), ImageFormat::Png)),
        ("x.png".into(), encode(alpha, ImageFormat::Png)),
        ("x.jpg".into(), encode(picture, ImageFormat::Jpeg)),
        ("x.jpg".into(), oriented(6)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damaged_images_are_survived(
        sample in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (name, mut bytes) = samples().swap_remove(sample);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let dir = directory();
        put(&dir.path().join("class"), name.to_str().unwrap(), &bytes);
        let options = FolderOptions { image_size: Some(ImageSize::square(6).unwrap()), channels: None, ..FolderOptions::default() };
        if let Ok(splits) = duet_data::open(dir.path(), &options) {
            prop_assert_eq!(splits.train.len(), 1);
        }
    }
}

#[test]
fn the_classes_of_one_flat_folder_are_what_its_names_begin_with() {
    let dir = directory();
    for i in 0..12 {
        put(dir.path(), &format!("cat_{i:03}.png"), &grey(4, 4, 10));
        put(dir.path(), &format!("dog_of_{i:03}.png"), &grey(4, 4, 200));
    }
    let splits = open(dir.path()).unwrap();
    assert_eq!(splits.train.classes(), ["cat", "dog"]);
    assert_eq!(splits.train.len() + splits.test.len(), 24);
    assert!(splits.test.class_counts().iter().all(|&count| count > 0));
    let label = splits.train.labels().iter().position(|&label| label == 1).unwrap();
    assert!(splits.train.bytes(label).iter().all(|&pixel| pixel == 200));
    assert!(splits.left_out.iter().any(|text| text.contains("cat, dog")), "{:?}", splits.left_out);
}

#[test]
fn a_flat_folder_whose_names_make_no_classes_is_none() {
    for names in [
        &["cat_1.png", "cat_2.png"][..],
        &["cat_1.png", "cat_2.png", "dog_1.png"],
        &["cat_1.png", "cat_2.png", "dog_1.png", "dog_2.png", "x.png"],
        &["_1.png", "_2.png", "a_1.png", "a_2.png"],
        &["a_.png", "b_.png"],
    ] {
        let dir = directory();
        names.iter().for_each(|name| drop(put(dir.path(), name, &grey(4, 4, 10))));
        assert_says(&refusal(dir.path()), &["not in one folder per class"]);
    }
    let dir = directory();
    ["a_1.png", "a_2.png", "A_1.png", "A_2.png"]
        .iter()
        .for_each(|name| drop(put(dir.path(), name, &grey(4, 4, 10))));
    assert_says(&refusal(dir.path()), &["case alone"]);
}
