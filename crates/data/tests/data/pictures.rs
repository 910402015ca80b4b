//! Image files that Pillow, tifffile and libpng wrote, decoded as Pillow decodes them.

use std::fs;
use std::path::PathBuf;

use crate::common::{Bytes, assert_says, directory, open, put, refusal};
use duet_data::{
    Dataset, Depth, FolderOptions, ImageSize, Picture, PixelSlice, Pixels, Raster, Shape, Splits,
};

/// Rows and columns of most of them.
const SIDES: (usize, usize) = (6, 8);

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/pictures").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn decoded(bytes: &[u8]) -> Result<Raster, String> {
    Raster::decode(bytes, 1_000_000).map_err(|error| error.to_string())
}

/// Pixel (y, x) of channel c of the files of 16 bits, as make_pictures.py has it.
fn deep(y: usize, x: usize, c: usize) -> u16 {
    (257 * (20 * y + 10 * x + 40 * c) + y) as u16
}

/// All of them, (channels, height, width).
fn deep_planes(channels: usize) -> Vec<u16> {
    let (height, width) = SIDES;
    let at = |i: usize| deep(i / width % height, i % width, i / (height * width));
    (0..channels * height * width).map(at).collect()
}

/// A folder of one class with these files.
fn folder(names: &[&str]) -> Splits {
    let dir = directory();
    for name in names {
        put(dir.path(), &format!("class/{name}"), &bytes(name));
    }
    open(dir.path()).unwrap()
}

#[test]
fn files_of_every_format_are_what_pillow_decodes() {
    let expected = String::from_utf8(bytes("expected.txt")).unwrap();
    let mut read = 0;
    for line in expected.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let numbers: Vec<usize> = words.map(|word| word.parse().unwrap()).collect();
        let (sides, values) = numbers.split_at(3);
        let splits = folder(&[name]);
        let Shape { channels, height, width } = splits.train.shape();
        assert_eq!([channels, height, width], sides[..], "{name}");
        assert_eq!(splits.train.depth(), Depth::Eight, "{name}");
        // Decoders of lossy images scale colours up as they like.
        let within = if name.starts_with("lossy") { 12 } else { 1 };
        let worst = splits.train.bytes(0).iter().zip(values).map(|(a, b)| usize::from(*a).abs_diff(*b)).max();
        assert!(worst <= Some(within), "{name}: {worst:?} off");
        read += 1;
    }
    assert_eq!(read, 27);
}

#[test]
fn the_content_says_what_a_file_is_and_not_its_name() {
    for name in ["palette.gif", "lossless.webp", "rgb.bmp", "lzw.tiff"] {
        let dir = directory();
        put(dir.path(), "class/x.png", &bytes(name));
        let named = folder(&[name]).train;
        assert_eq!(open(dir.path()).unwrap().train.pixels(0), named.pixels(0), "{name}");
    }
}

#[test]
fn sixteen_bits_of_png_and_tiff_are_all_kept() {
    let mut kinds = vec!["16", "16-deflate", "16-lzw", "16-tiles", "16-big-endian", "16-big"];
    for (kind, channels) in [("grey", 1), ("rgb", 3)] {
        for name in kinds.iter().map(|name| format!("{kind}-{name}.tiff")).chain([format!("{kind}-16.png")]) {
            let train = folder(&[&name]).train;
            assert_eq!(train.shape(), Shape { channels, height: SIDES.0, width: SIDES.1 }, "{name}");
            assert_eq!(train.pixels(0), PixelSlice::Sixteen(&deep_planes(channels)), "{name}");
        }
        kinds.push("16-planes");
    }
    assert_eq!(folder(&["white-is-zero-16.tiff"]).train.pixels(0), PixelSlice::Sixteen(&deep_planes(1)));
}

#[test]
fn one_file_of_sixteen_bits_makes_the_folder_so() {
    let train = folder(&["grey-16.png", "grey.bmp", "grey.tif"]).train;
    assert_eq!((train.len(), train.depth()), (2, Depth::Sixteen));
    let splits = folder(&["grey-16.png", "grey.bmp"]);
    for data in [&splits.train, &splits.test] {
        let PixelSlice::Sixteen(values) = data.pixels(0) else { panic!("{data:?}") };
        // 257 times the byte, and of the deep one the row more.
        let expected = deep_planes(1);
        let exact = values == expected;
        assert!(
            exact
                || values.iter().zip(&expected).enumerate().all(|(i, (a, b))| a + (i / SIDES.1) as u16 == *b)
        );
    }
    assert!(splits.describe().contains("1x6x8 of 16 bits"), "{}", splits.describe());
}

#[test]
fn values_that_differ_by_one_of_65535_differ_in_what_the_network_sees() {
    let shape = Shape { channels: 1, height: 1, width: 65_536 };
    let data =
        Dataset::of_pixels(shape, (0..=u16::MAX).collect::<Vec<_>>().into(), vec![0], vec!["a".into()]);
    let data = data.unwrap();
    let mut values = vec![0f32; 65_536];
    data.image(0, &mut values);
    assert_eq!((values[0], values[65_535]), (-1.0, 1.0));
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
    for (v, value) in values.iter().enumerate() {
        assert!((f64::from(*value) - (v as f64 / 65_535.0 * 2.0 - 1.0)).abs() < 1e-7);
    }
}

#[test]
fn bytes_are_the_same_values_in_sixteen_bits() {
    let bytes: Vec<u8> = (0..=255).collect();
    let deep: Vec<u16> = bytes.iter().map(|&v| u16::from(v) * 257).collect();
    let (mut eight, mut sixteen) = ([0f32; 256], [0f32; 256]);
    Pixels::from(bytes.clone()).as_slice().to_unit(&mut eight);
    Pixels::from(deep.clone()).as_slice().to_unit(&mut sixteen);
    assert!(eight.iter().zip(&sixteen).all(|(a, b)| (a - b).abs() < 2e-7));
    assert_eq!(Raster::new(1, 16, 16, deep).unwrap().into_picture().pixels, bytes);
}

#[test]
fn fingerprints_tell_depths_and_the_last_bits_apart() {
    let shape = Shape { channels: 1, height: 2, width: 1 };
    let of =
        |pixels: Pixels| Dataset::of_pixels(shape, pixels, vec![0], vec!["a".into()]).unwrap().fingerprint();
    let eight = of(vec![1u8, 2].into());
    assert_eq!(eight, Dataset::new(shape, vec![1, 2], vec![0], vec!["a".into()]).unwrap().fingerprint());
    let sixteen = [vec![257, 514], vec![257, 515], vec![1, 2]].map(|pixels: Vec<u16>| of(pixels.into()));
    let mut all: Vec<&String> = sixteen.iter().chain([&eight]).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn resizing_and_grey_keep_sixteen_bits() {
    let dir = directory();
    put(dir.path(), "class/x.tiff", &bytes("rgb-16.tiff"));
    let size = Some(ImageSize::new(3, 4).unwrap());
    let options = FolderOptions { image_size: size, channels: Some(1), ..FolderOptions::default() };
    let train = duet_data::open(dir.path(), &options).unwrap().train;
    let PixelSlice::Sixteen(values) = train.pixels(0) else { panic!("{train:?}") };
    // All are linear in y, x and c: away from the border a half-size pixel is the mean of four.
    let grey = |y: f64, x: f64| 257.0 * (20.0 * y + 10.0 * x + 40.0 * (0.7152 + 2.0 * 0.0722)) + y;
    let expected = grey(2.5, 2.5);
    assert!((f64::from(values[5]) - expected).abs() <= 2.0, "{} for {expected}", values[5]);
    assert!(values.iter().any(|value| value % 257 != 0));
}

#[test]
fn the_limit_of_a_set_counts_both_bytes_of_a_value() {
    let dir = directory();
    put(dir.path(), "class/x.png", &bytes("grey-16.png"));
    let at_most = |max_bytes| {
        let options = FolderOptions { max_bytes, ..FolderOptions::default() };
        duet_data::open(dir.path(), &options)
            .map(|splits| splits.train.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(at_most(96), Ok(1));
    assert_says(&at_most(95).unwrap_err(), &["96 bytes", "--max-gigabytes"]);
}

#[test]
fn few_values_of_sixteen_bits_are_warned_about_too() {
    let shape = Shape { channels: 1, height: 1, width: 2 };
    let of = |values: Vec<u16>| {
        let part = || Dataset::of_pixels(shape, values.clone().into(), vec![0], vec!["a".into()]).unwrap();
        Splits::new("scans", part(), part()).unwrap().warnings()
    };
    let found = of(vec![0, 4095]);
    assert!(
        found.len() == 1 && found[0].contains("0 to 4095 of 0 to 65535") && found[0].contains("10 or 12"),
        "{found:?}"
    );
    assert_says(&of(vec![9, 9])[0], &["blank"]);
    assert!(of(vec![0, 40_000]).is_empty());
}

#[test]
fn other_kinds_of_image_are_refused_with_what_they_are() {
    for (name, words) in [
        ("palette.tiff", &["a TIFF of a palette", "8 or 16 bits"][..]),
        ("transparent-grey.tiff", &["grey with transparency"]),
        ("point.tiff", &["numbers with a point"]),
        ("sign.tiff", &["numbers with a sign"]),
        ("wide.tiff", &["32 bits a value"]),
        ("ycbcr.tiff", &["YCbCr"]),
        ("lab.tiff", &["Lab"]),
        ("fax.tiff", &["fax"]),
        ("zstd.tiff", &["method 50000"]),
        ("avif.avif", &["avif is not read"]),
        ("qoi.qoi", &["qoi is not read"]),
    ] {
        let dir = directory();
        put(dir.path(), &format!("class/{name}"), &bytes(&format!("refused/{name}")));
        assert_says(&refusal(dir.path()), words);
    }
    for (name, kind) in
        [("avif.avif", "HEIC or AVIF"), ("qoi.qoi", "QOI"), ("ppm.ppm", "PPM"), ("jpeg2000.jp2", "JPEG 2000")]
    {
        assert_says(
            &decoded(&bytes(&format!("refused/{name}"))).unwrap_err(),
            &["no PNG, JPEG", kind, "convert"],
        );
    }
}

/// A cut image may still have its first frame, but never other pixels.
#[test]
fn no_cut_file_is_read_as_another_image() {
    let names = [
        "rgb.bmp",
        "palette.bmp",
        "palette.gif",
        "animated.gif",
        "lossless.webp",
        "lossy.webp",
        "animated.webp",
    ];
    let tiffs =
        ["rgb.tiff", "lzw.tiff", "deflate.tiff", "rgb-16-tiles.tiff", "rgb-16-planes.tiff", "packbits.tiff"];
    for name in names.into_iter().chain(tiffs) {
        let whole = bytes(name);
        let image = decoded(&whole).unwrap();
        let mut refused = 0;
        for end in 0..whole.len() {
            match decoded(&whole[..end]) {
                Ok(cut) => assert_eq!(cut, image, "{name} of {end} bytes"),
                Err(error) => refused += usize::from(!error.contains("panicked")),
            }
        }
        assert!(refused > whole.len() / 3, "{name}: {refused} of {} refused", whole.len());
    }
}

#[test]
fn pictures_for_people_have_eight_bits_of_what_was_read() {
    let picture = Picture::decode(&bytes("grey-16.png")).unwrap();
    let raster = decoded(&bytes("grey-16.png")).unwrap();
    assert_eq!(picture, raster.clone().into_picture());
    assert_eq!(picture.pixels[3 * SIDES.1 + 5], (u32::from(deep(3, 5, 0)) as f64 / 257.0).round() as u8);
    let values = raster.to_unit();
    assert_eq!(values[3 * SIDES.1 + 5], f32::from(deep(3, 5, 0)) / 32767.5 - 1.0);
}

#[test]
fn tiles_and_canvases_that_are_not_there_are_refused() {
    let mut tiles = bytes("grey-16-tiles.tiff");
    // The tags TileWidth and TileLength: a number of 2 or 4 bytes at their end.
    for tag in [322u16, 323] {
        let at = tiles.windows(2).position(|pair| pair == tag.to_le_bytes()).unwrap();
        let four = tiles[at + 2] == 4;
        tiles[at + 8..][..4].copy_from_slice(&(if four { 1 << 20 } else { 60_000u32 }).to_le_bytes());
    }
    assert_says(&decoded(&tiles).unwrap_err(), &["TIFF of tiles"]);
    // A lossy frame that says 16383x16383 on a canvas of 8x6.
    let mut frame = bytes("lossy-alpha.webp");
    let at = frame.windows(3).position(|start| start == [0x9d, 0x01, 0x2a]).unwrap();
    frame[at + 3..at + 7].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    assert_says(&decoded(&frame).unwrap_err(), &["16383x16383", "canvas of 8x6"]);
}
