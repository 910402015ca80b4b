//! Pictures: values to bytes, grids, and PNG files that are whole or absent.

use std::fs;

use crate::common::{assert_says, directory};
use duet_data::{Captions, DataError, Picture, texts_of_png};
use proptest::prelude::*;

fn picture(channels: usize, height: usize, width: usize, pixels: &[u8]) -> Picture {
    Picture::new(channels, height, width, pixels.to_vec()).unwrap()
}

fn decode(png: &[u8]) -> Picture {
    let image = image::load_from_memory_with_format(png, image::ImageFormat::Png).unwrap();
    let (height, width) = (image.height() as usize, image.width() as usize);
    let channels = usize::from(image.color().channel_count());
    picture(channels, height, width, image.as_bytes())
}

#[test]
fn values_are_rounded_and_clamped_and_nan_is_black() {
    let values = [-1.0, 1.0, 0.0, -0.999, 0.9961, -7.0, 7.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let made = Picture::from_unit(1, 2, 5, &values);
    assert_eq!(made.pixels, [0, 255, 128, 0, 255, 0, 255, 255, 0, 0]);
    assert_eq!((made.channels, made.height, made.width), (1, 2, 5));
}

#[test]
fn planes_become_pixels() {
    let unit = |v: u8| f32::from(v) / 127.5 - 1.0;
    let planes = [1, 2, 3, 4, 5, 6].map(unit);
    assert_eq!(Picture::from_unit(3, 1, 2, &planes).pixels, [1, 3, 5, 2, 4, 6]);
}

#[test]
#[should_panic(expected = "not 2")]
fn two_channels_panic() {
    Picture::from_unit(2, 1, 1, &[0.0; 2]);
}

#[test]
fn shapes_are_checked() {
    let refusal = |channels, height, width, count| {
        Picture::new(channels, height, width, vec![0; count]).unwrap_err().to_string()
    };
    assert_says(&refusal(4, 1, 1, 4), &["not 4"]);
    assert_says(&refusal(1, 0, 1, 0), &["empty"]);
    assert_says(&refusal(3, 2, 2, 11), &["12", "not 11"]);
    assert_says(&refusal(3, usize::MAX, 2, 0), &["too large"]);
}

#[test]
fn a_grid_is_filled_row_by_row_on_white() {
    let cells: Vec<Picture> = (1..=3).map(|v| picture(1, 1, 2, &[v, v])).collect();
    let grid = Picture::grid(&cells, 2, 1).unwrap();
    assert_eq!((grid.height, grid.width), (5, 7));
    #[rustfmt::skip]
    let expected = [
        255, 255, 255, 255, 255, 255, 255,
        255,   1,   1, 255,   2,   2, 255,
        255, 255, 255, 255, 255, 255, 255,
        255,   3,   3, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255,
    ];
    assert_eq!(grid.pixels, expected);
    let tight = Picture::grid(&cells, 100, 0).unwrap();
    assert_eq!(tight, picture(1, 1, 6, &[1, 1, 2, 2, 3, 3]));
}

#[test]
fn a_grid_of_colours_keeps_pixels_together() {
    let cells = [picture(3, 1, 1, &[1, 2, 3]), picture(3, 1, 1, &[4, 5, 6])];
    assert_eq!(Picture::grid(&cells, 2, 0).unwrap().pixels, [1, 2, 3, 4, 5, 6]);
    assert_eq!(Picture::grid(&cells, 1, 0).unwrap().height, 2);
}

#[test]
fn a_grid_of_nothing_or_of_unlike_pictures_is_refused() {
    let (a, b) = (picture(1, 1, 2, &[0; 2]), picture(1, 2, 1, &[0; 2]));
    let refusal = |pictures: &[Picture], columns, padding| {
        Picture::grid(pictures, columns, padding).unwrap_err().to_string()
    };
    assert_says(&refusal(&[], 1, 0), &["no picture"]);
    assert_says(&refusal(std::slice::from_ref(&a), 0, 0), &["column"]);
    assert_says(&refusal(&[a.clone(), b], 1, 0), &["(1, 1, 2)", "picture 1"]);
    assert_says(&refusal(&[a], 1, usize::MAX), &["overflows"]);
}

#[test]
fn scaling_repeats_pixels() {
    let scaled = picture(3, 1, 2, &[1, 2, 3, 4, 5, 6]).scaled(2);
    let row = [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6];
    assert_eq!(scaled, picture(3, 2, 4, &row.repeat(2)));
    assert_eq!(scaled.scaled(1), scaled);
}

#[test]
fn a_written_file_decodes_to_the_same_pixels_and_leaves_nothing_else() {
    let dir = directory();
    let path = dir.path().join("out.png");
    for value in [1, 2] {
        let written = picture(1, 2, 2, &[value, 0, 255, value]);
        written.write_png(&path).unwrap();
        assert_eq!(decode(&fs::read(&path).unwrap()), written);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_refused_write_says_why_and_leaves_nothing() {
    let dir = directory();
    let made = picture(1, 1, 1, &[0]);
    let error = made.write_png(dir.path().join("nowhere/x.png")).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }));
    assert_says(&error.to_string(), &["nowhere/x.png", "no directory", "create it"]);

    fs::create_dir(dir.path().join("taken.png")).unwrap();
    let error = made.write_png(dir.path().join("taken.png")).unwrap_err();
    assert_says(&error.to_string(), &["cannot write", "taken.png"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_link_stays_and_its_target_is_written() {
    let dir = directory();
    let (link, target) = (dir.path().join("link.png"), dir.path().join("target.png"));
    fs::write(&target, b"old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let made = picture(1, 1, 1, &[5]);
    made.write_png(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(decode(&fs::read(&target).unwrap()), made);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn png_is_lossless(
        colour in any::<bool>(),
        height in 1_usize..9,
        width in 1_usize..9,
        seed in any::<u32>(),
    ) {
        let channels = if colour { 3 } else { 1 };
        let value = |i: usize| (seed.wrapping_mul(2_654_435_761).wrapping_add(i as u32 * 40_503) >> 7) as u8;
        let pixels: Vec<u8> = (0..channels * height * width).map(value).collect();
        let made = picture(channels, height, width, &pixels);
        prop_assert_eq!(decode(&made.encode_png()), made);
    }
}

/// A grid's own pixels stand where they stood, and the words around it are black on white.
#[test]
fn captions_stand_around_a_grid_and_leave_it_as_it_is() {
    let cells: Vec<Picture> = (0..6).map(|i| picture(1, 20, 20, &[40 * i as u8; 400])).collect();
    let captions = Captions {
        title: "ddim, 25 steps".into(),
        rows: vec!["three".into(), "ぁ8".into()],
        columns: ["0", "1", "a long name"].map(String::from).to_vec(),
    };
    let grid = Picture::grid(&cells, 3, 1).unwrap().scaled(2);
    let captioned = Picture::captioned_grid(&cells, 3, 2, &captions).unwrap();
    let (top, left) = (captioned.height - grid.height, captioned.width - grid.width);
    assert_eq!((top, left), (32, 5 * 8 + 8));
    for y in 0..grid.height {
        let from = (top + y) * captioned.width + left;
        assert_eq!(
            captioned.pixels[from..from + grid.width],
            grid.pixels[y * grid.width..(y + 1) * grid.width]
        );
    }
    let black = |y: std::ops::Range<usize>, x: std::ops::Range<usize>| {
        y.flat_map(|y| x.clone().map(move |x| (y, x)))
            .filter(|(y, x)| captioned.pixels[y * captioned.width + x] == 0)
            .count()
    };
    assert!(black(0..16, 0..captioned.width) > 50, "the title");
    assert!(black(16..32, left..captioned.width) > 50, "the columns");
    assert!(black(top..captioned.height, 0..left) > 50, "the rows");
    // A name that is too long for its column is cut, not written into the next.
    assert_eq!(black(16..32, captioned.width - 4..captioned.width), 0);
    let plain = Picture::captioned_grid(&cells, 3, 2, &Captions::default()).unwrap();
    assert_eq!(plain, grid);
    assert_says(&Picture::captioned_grid(&cells, 3, 0, &captions).unwrap_err().to_string(), &["scale"]);
}

#[test]
fn texts_come_back_from_a_png() {
    let picture = picture(3, 2, 1, &[1, 2, 3, 4, 5, 6]);
    let texts = [("Title", "class 3, seed 5".to_string()), ("duet", "{\"x̂\": \"é\\n\"}".to_string())];
    let bytes = picture.encode_png_with(&texts);
    assert_eq!(decode(&bytes), picture);
    let read = texts_of_png(&bytes).unwrap();
    assert_eq!(read, texts.map(|(keyword, text)| (keyword.to_string(), text)));
    assert!(texts_of_png(&picture.encode_png()).unwrap().is_empty());
    assert_says(&texts_of_png(b"GIF89a").unwrap_err().to_string(), &["does not begin as one"]);
    assert_says(&texts_of_png(&bytes[..40]).unwrap_err().to_string(), &["cannot be read"]);
    // Every byte changed, none panics.
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 0x55;
        let _ = texts_of_png(&damaged);
    }
}

#[test]
fn compressed_texts_are_held_to_the_limit_of_plain_ones() {
    let compressed = |sizes: &[usize]| {
        let mut bytes = Vec::new();
        let mut writer = png::Encoder::new(&mut bytes, 1, 1).write_header().unwrap();
        for &size in sizes {
            let mut chunk = png::text_metadata::ITXtChunk::new("duet", " ".repeat(size));
            chunk.compress_text().unwrap();
            writer.write_text_chunk(&chunk).unwrap();
        }
        writer.write_image_data(&[0]).unwrap();
        writer.finish().unwrap();
        bytes
    };
    let mebibyte = 1 << 20;
    assert_eq!(texts_of_png(&compressed(&[100])).unwrap()[0].1.len(), 100);
    assert_eq!(texts_of_png(&compressed(&[10_000])).unwrap()[0].1.len(), 10_000);
    for sizes in [&[mebibyte + 1][..], &[100 << 20], &[mebibyte / 2; 3]] {
        assert_says(&texts_of_png(&compressed(sizes)).unwrap_err().to_string(), &["cannot be read"]);
    }
}

#[test]
fn a_picture_is_fitted_and_becomes_values_again() {
    let wide = picture(3, 2, 4, &[9; 24]);
    let fitted = wide.fitted(1, 2).unwrap();
    assert_eq!(fitted, picture(1, 2, 2, &[9; 4]));
    let values = fitted.to_unit();
    assert_eq!(Picture::from_unit(1, 2, 2, &values), fitted);
    assert_says(&fitted.fitted(2, 2).unwrap_err().to_string(), &["channels is 1"]);
}
