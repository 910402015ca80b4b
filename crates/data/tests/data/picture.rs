//! Pictures: values to bytes, grids, and PNG files that are whole or absent.

use std::fs;

use crate::common::{assert_says, directory};
use duet_data::{Captions, DataError, ImageSize, Picture, Raster, texts_of_png};
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

/// The margins of a grid: the rows above it and the columns to its left.
fn around(captioned: &Picture, grid: &Picture) -> (usize, usize) {
    let found = (0..=captioned.width - grid.width).find(|left| {
        let top = captioned.height - grid.height;
        let start = |y: usize| ((top + y) * captioned.width + left) * grid.channels;
        let row = grid.width * grid.channels;
        (0..grid.height)
            .all(|y| captioned.pixels[start(y)..start(y) + row] == grid.pixels[y * row..(y + 1) * row])
    });
    (captioned.height - grid.height, found.expect("the grid's own pixels are as they were"))
}

/// How many pixels are nearly black.
fn ink(picture: &Picture, y: std::ops::Range<usize>, x: std::ops::Range<usize>) -> usize {
    let pixels = y.flat_map(|y| x.clone().map(move |x| (y, x)));
    pixels.filter(|(y, x)| picture.pixels[(y * picture.width + x) * picture.channels] < 96).count()
}

fn captions(title: &str, rows: &[&str], columns: &[&str]) -> Captions {
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    Captions { title: title.into(), rows: owned(rows), columns: owned(columns) }
}

/// A grid's own pixels stay, and the words around it are black on white.
#[test]
fn captions_stand_around_a_grid_and_leave_it_as_it_is() {
    for (channels, scale) in [(1, 1), (1, 2), (3, 4), (1, 32)] {
        let cell = |i: usize| picture(channels, 20, 20, &vec![40 * i as u8; 400 * channels]);
        let cells: Vec<Picture> = (0..6).map(cell).collect();
        let grid = Picture::grid(&cells, 3, 1).unwrap().scaled(scale);
        let words = captions("ddim, 25 steps", &["three", "ぁ8"], &["0", "1", "a long name"]);
        let captioned = Picture::captioned_grid(&cells, 3, scale, &words).unwrap();
        let (top, left) = around(&captioned, &grid);
        assert!(top > 2 * (11 + scale) && left > 2 * (11 + scale), "{top}, {left}");
        assert!(ink(&captioned, 0..top / 3, 0..captioned.width) > 20, "the title");
        assert!(ink(&captioned, top / 3..top, left..captioned.width) > 20, "the columns");
        assert!(ink(&captioned, top..captioned.height, 0..left) > 20, "the rows");
        let plain = Picture::captioned_grid(&cells, 3, scale, &Captions::default()).unwrap();
        assert_eq!(plain, grid);
    }
    let cells = [picture(1, 1, 1, &[0])];
    let refusal = Picture::captioned_grid(&cells, 1, 0, &Captions::default()).unwrap_err();
    assert_says(&refusal.to_string(), &["scale"]);
}

/// Each text has the room that it needs: none reaches the edge, and a longer one makes more room.
#[test]
fn captions_are_wrapped_and_never_cut() {
    let cells: Vec<Picture> = (0..4).map(|i| picture(1, 28, 28, &[60 * i as u8; 784])).collect();
    let grid = Picture::grid(&cells, 2, 1).unwrap().scaled(2);
    let around = |words: &Captions| {
        let captioned = Picture::captioned_grid(&cells, 2, 2, words).unwrap();
        let edge = |y: std::ops::Range<usize>, x| ink(&captioned, y, x);
        let (height, width) = (captioned.height, captioned.width);
        assert_eq!(edge(0..1, 0..width) + edge(0..height, 0..1) + edge(0..height, width - 1..width), 0);
        let (top, left) = around(&captioned, &grid);
        (top, left, ink(&captioned, 0..top, 0..width) + ink(&captioned, top..height, 0..left))
    };
    let long = "heun, 25 steps, guidance 1.5 in 0.2-0.8, rescaled by 0.7";
    let (short_title, long_title) = (captions("heun", &[], &[]), captions(long, &[], &[]));
    assert!(around(&long_title).0 >= around(&short_title).0 + 15);
    let (short_name, long_name) =
        (captions("", &[], &["cat"; 2]), captions("", &[], &["golden retriever"; 2]));
    assert!(around(&long_name).0 >= around(&short_name).0 + 12);
    let row = |name: &str| around(&captions("", &[name; 2], &[]));
    assert!(row("golden retriever").1 > row("cat").1 + 50);
    // Three lines have room in a row: the margin grows to its limit, and beyond it only as it must.
    let name = "a long name of a class that a person gave it ";
    let widths = [1, 2, 3, 6].map(|times| row(&name.repeat(times)).1);
    assert!(widths[0] <= widths[1] && widths[1] <= 16 * 13 + 8, "{widths:?}");
    assert!(widths[1] < widths[2] && widths[3] < 3 * widths[1], "{widths:?}");
    // Twice the text is twice the ink.
    let ratio = row(&format!("{long} {long}")).2 as f64 / row(long).2 as f64;
    assert!((ratio - 2.0).abs() < 0.2, "{ratio}");
}

/// Titles of one line make pictures of one size, as the frames of an animation have it.
#[test]
fn short_titles_do_not_change_a_pictures_size() {
    let cells = [picture(1, 28, 28, &[0; 784])];
    let side = |title: &str, scale| {
        let captioned = Picture::captioned_grid(&cells, 1, scale, &captions(title, &[], &[])).unwrap();
        (captioned.height, captioned.width)
    };
    for scale in 1..33 {
        for title in ["x at t = 999", "x at t = 1", "x0 as predicted"] {
            assert_eq!(side(title, scale), side("x", scale), "{title:?} at {scale}");
        }
    }
}

/// All sizes and letters give a picture.
#[test]
fn no_caption_panics() {
    let odd = "\u{7}\u{301}ぁ \u{feff}\n🦀 \u{200f}שלום ᾱ x̂ﬃ";
    let long = "w".repeat(5000);
    for (side, scale) in [(1, 1), (1, 32), (2, 3), (8, 1), (64, 2)] {
        let cells: Vec<Picture> = (0..3).map(|_| picture(1, side, side, &vec![9; side * side])).collect();
        for text in [odd, &long, "", " "] {
            for columns in [1, 2, 5] {
                let words = captions(text, &[text; 9], &[text; 9]);
                let captioned = Picture::captioned_grid(&cells, columns, scale, &words).unwrap();
                around(&captioned, &Picture::grid(&cells, columns, 1).unwrap().scaled(scale));
            }
        }
    }
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
fn an_image_is_fitted_and_becomes_values_again() {
    let wide = Raster::from(picture(3, 2, 4, &[9; 24]));
    let square = ImageSize::square(2).unwrap();
    let fitted = wide.fitted(1, square).unwrap();
    assert_eq!(fitted, Raster::from(picture(1, 2, 2, &[9; 4])));
    let values = fitted.to_unit();
    assert_eq!(Picture::from_unit(1, 2, 2, &values), fitted.clone().into_picture());
    assert_says(&fitted.fitted(2, square).unwrap_err().to_string(), &["channels is 1"]);
}
