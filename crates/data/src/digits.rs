//! The embedded data set: 12,000 images of MNIST, as PNG sheets that people can view.
//!
//! `digits/README.md` states their origin, their licence, the rule that chose them, and how to make them
//! again.

use std::io::Cursor;
use std::path::Path;

use crate::dataset::{Dataset, Shape, Splits};
use crate::error::DataError;
use crate::{classes, parallel};

/// The number of images of each class in the training sheets.
const TRAIN_PER_CLASS: usize = 1000;
/// The number of images of each class in the test sheets.
const TEST_PER_CLASS: usize = 200;

/// The number of images in a row of a sheet.
const COLUMNS: usize = 25;

/// Rows and columns of one image.
const SIDE: usize = 28;

macro_rules! sheets {
    ($split:literal) => {
        [
            include_bytes!(concat!("../digits/", $split, "-0.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-1.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-2.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-3.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-4.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-5.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-6.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-7.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-8.png")).as_slice(),
            include_bytes!(concat!("../digits/", $split, "-9.png")).as_slice(),
        ]
    };
}

static TRAIN: [&[u8]; 10] = sheets!("train");
static TEST: [&[u8]; 10] = sheets!("test");

/// The embedded digits: 1x28x28, classes `0` to `9`, 1,000 training and 200 test images of each.
///
/// They are the first images of each class in MNIST's training and test file. Classes alternate: image `i`
/// has class `i % 10`, so that the first `10 n` images hold `n` of each class.
///
/// # Errors
/// None unless the crate was built from damaged sheets.
pub fn digits() -> Result<Splits, DataError> {
    let sheets: Vec<(&str, usize, &[u8], usize)> = (0..10)
        .map(|class| ("train", class, TRAIN[class], TRAIN_PER_CLASS))
        .chain((0..10).map(|class| ("test", class, TEST[class], TEST_PER_CLASS)))
        .collect();
    let decoded = parallel::map(&sheets, |&(split, class, png, count)| {
        let tiles = decode_sheet(png, count);
        tiles.map_err(|cause| {
            DataError::malformed(
                Path::new(&format!("digits/{split}-{class}.png")),
                cause,
                "make the sheets again as digits/README.md says",
            )
        })
    });
    let mut decoded = decoded.into_iter().collect::<Result<Vec<_>, _>>()?;
    let test = decoded.split_off(10);
    Ok(Splits {
        name: "digits".into(),
        train: interleave(&decoded, TRAIN_PER_CLASS)?,
        test: interleave(&test, TEST_PER_CLASS)?,
        left_out: Vec::new(),
    })
}

/// The sheet's pixels, `count` images one below the other.
fn decode_sheet(png: &[u8], count: usize) -> Result<Vec<u8>, String> {
    let (width, height) = (COLUMNS * SIDE, count / COLUMNS * SIDE);
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().map_err(|e| e.to_string())?;
    let info = reader.info();
    let found = (info.width as usize, info.height as usize);
    let grey = (png::ColorType::Grayscale, png::BitDepth::Eight);
    if found != (width, height) || (info.color_type, info.bit_depth) != grey {
        return Err(format!(
            "the sheet is {}x{} {:?} {:?}, not {width}x{height} of 8-bit grey",
            found.0, found.1, info.color_type, info.bit_depth
        ));
    }
    let mut sheet = vec![0; width * height];
    reader.next_frame(&mut sheet).map_err(|e| e.to_string())?;

    let mut tiles = Vec::with_capacity(sheet.len());
    for i in 0..count {
        let (top, left) = (i / COLUMNS * SIDE, i % COLUMNS * SIDE);
        for y in top..top + SIDE {
            tiles.extend_from_slice(&sheet[y * width + left..][..SIDE]);
        }
    }
    Ok(tiles)
}

/// Image 0 of every class, then image 1 of every class, and so on.
fn interleave(classes_tiles: &[Vec<u8>], count: usize) -> Result<Dataset, DataError> {
    let len = SIDE * SIDE;
    let mut pixels = Vec::with_capacity(classes_tiles.len() * count * len);
    let mut labels = Vec::with_capacity(classes_tiles.len() * count);
    for i in 0..count {
        for (class, tiles) in classes_tiles.iter().enumerate() {
            pixels.extend_from_slice(&tiles[i * len..(i + 1) * len]);
            labels.push(class as u32);
        }
    }
    let shape = Shape { channels: 1, height: SIDE, width: SIDE };
    Dataset::new(shape, pixels, labels, classes::digits())
}
