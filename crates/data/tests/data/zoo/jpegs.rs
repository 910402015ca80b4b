//! JPEG files.

use super::{Odd, reads_nearly, refused};
use crate::common::jpeg_bytes::{Jpeg, adobe, colour, exif_segment, grey, segment};

pub fn all() -> Vec<Odd> {
    [colours(), turned(), wholes(), damaged()].into_iter().flatten().collect()
}

/// Every value of `blocks`, `across` of them a row, as a square of 8x8.
fn squares(across: usize, blocks: &[u8]) -> Vec<u8> {
    blocks
        .chunks(across)
        .flat_map(|row| {
            let line: Vec<u8> = row.iter().flat_map(|&v| [v; 8]).collect();
            line.repeat(8)
        })
        .collect()
}

fn planes(values: [u8; 3], area: usize) -> Vec<u8> {
    values.iter().flat_map(|&v| vec![v; area]).collect()
}

fn with(jpeg: &Jpeg, frame: u8, segments: &[Vec<u8>]) -> Jpeg {
    Jpeg { frame, segments: segments.to_vec(), ..jpeg.clone() }
}

const BASELINE: u8 = 0xc0;
const EXTENDED: u8 = 0xc1;
const PROGRESSIVE: u8 = 0xc2;

fn colours() -> Vec<Odd> {
    let six = [10, 60, 110, 160, 200, 250];
    let greys = grey(24, 16, &six);
    let grey_values = squares(3, &six);
    // JFIF: R = Y + 1.402 (Cr - 128), G = Y - 0.344 (Cb - 128) - 0.714 (Cr - 128), B = Y + 1.772
    // (Cb - 128).
    let ycc = [(1, 1, &[100][..]), (1, 1, &[100][..]), (1, 1, &[180][..])];
    let [y, cb, cr] = ycc;
    let rgb = [173, 73, 50];
    let halved = colour(16, 16, &[(2, 2, &[100; 4]), (1, 1, cb.2), (1, 1, cr.2)]);
    let halved_across = colour(16, 8, &[(2, 1, &[100; 2]), (1, 1, cb.2), (1, 1, cr.2)]);
    let halved_down = colour(8, 16, &[(1, 2, &[100; 2]), (1, 1, cb.2), (1, 1, cr.2)]);
    let inks = [(1, 1, &[255][..]), (1, 1, &[128][..]), (1, 1, &[0][..]), (1, 1, &[255][..])];
    let cmyk = colour(8, 8, &inks);
    // Y, Cb and Cr of the inks, which are then inverted once more, and K.
    let ycck = colour(8, 8, &[y, (1, 1, &[128]), (1, 1, &[128]), (1, 1, &[255])]);
    let rgb_as_is = colour(8, 8, &[(1, 1, &[250]), (1, 1, &[20]), (1, 1, &[90])]);
    let quarter = colour(16, 16, &[(2, 2, &[20, 90, 160, 230]), (1, 1, &[128]), (1, 1, &[128])]);
    let odd = grey(11, 5, &[40, 40]);
    vec![
        reads_nearly("grey.jpg", greys.bytes(), [1, 16, 24], &grey_values),
        reads_nearly(
            "grey-progressive.jpg",
            with(&greys, PROGRESSIVE, &[]).bytes(),
            [1, 16, 24],
            &grey_values,
        ),
        reads_nearly("grey-extended.jpg", with(&greys, EXTENDED, &[]).bytes(), [1, 16, 24], &grey_values),
        reads_nearly("colour-444.jpg", colour(8, 8, &ycc).bytes(), [3, 8, 8], &planes(rgb, 64)),
        reads_nearly("colour-420.jpg", halved.bytes(), [3, 16, 16], &planes(rgb, 256)),
        reads_nearly("colour-422.jpg", halved_across.bytes(), [3, 8, 16], &planes(rgb, 128)),
        reads_nearly("colour-440.jpg", halved_down.bytes(), [3, 16, 8], &planes(rgb, 128)),
        reads_nearly("grey-420.jpg", quarter.bytes(), [1, 16, 16], &squares(2, &[20, 90, 160, 230])),
        reads_nearly(
            "colour-420-progressive.jpg",
            with(&halved, PROGRESSIVE, &[]).bytes(),
            [3, 16, 16],
            &planes(rgb, 256),
        ),
        reads_nearly(
            "rgb.jpg",
            with(&rgb_as_is, BASELINE, &[adobe(0)]).bytes(),
            [3, 8, 8],
            &planes([250, 20, 90], 64),
        ),
        // Adobe stores the inks inverted: 255 means no ink.
        reads_nearly(
            "cmyk.jpg",
            with(&cmyk, BASELINE, &[adobe(0)]).bytes(),
            [3, 8, 8],
            &planes([255, 128, 0], 64),
        ),
        reads_nearly("ycck.jpg", with(&ycck, BASELINE, &[adobe(2)]).bytes(), [1, 8, 8], &[155; 64]),
        reads_nearly("odd-sides.jpg", odd.bytes(), [1, 5, 11], &[40; 55]),
        reads_nearly("one-pixel.jpg", grey(1, 1, &[77]).bytes(), [1, 1, 1], &[77]),
    ]
}

/// All eight EXIF orientations of a grid of blocks 0 1 2 / 3 4 5, and one that there is not.
fn turned() -> Vec<Odd> {
    let values = [10, 60, 110, 160, 200, 250];
    let upright: [(&str, u8, usize, [usize; 6]); 9] = [
        ("exif-1.jpg", 1, 3, [0, 1, 2, 3, 4, 5]),
        ("exif-2.jpg", 2, 3, [2, 1, 0, 5, 4, 3]),
        ("exif-3.jpg", 3, 3, [5, 4, 3, 2, 1, 0]),
        ("exif-4.jpg", 4, 3, [3, 4, 5, 0, 1, 2]),
        ("exif-5.jpg", 5, 2, [0, 3, 1, 4, 2, 5]),
        ("exif-6.jpg", 6, 2, [3, 0, 4, 1, 5, 2]),
        ("exif-7.jpg", 7, 2, [5, 2, 4, 1, 3, 0]),
        ("exif-8.jpg", 8, 2, [2, 5, 1, 4, 0, 3]),
        ("exif-0.jpg", 0, 3, [0, 1, 2, 3, 4, 5]),
    ];
    upright
        .into_iter()
        .map(|(name, orientation, across, order)| {
            let jpeg = with(&grey(24, 16, &values), BASELINE, &[exif_segment(orientation)]);
            let blocks = order.map(|i| values[i]);
            let shape = [1, 8 * 6 / across, 8 * across];
            reads_nearly(name, jpeg.bytes(), shape, &squares(across, &blocks))
        })
        .collect()
}

/// Unusual and still whole.
fn wholes() -> Vec<Odd> {
    let six = [10, 60, 110, 160, 200, 250];
    let plain = grey(24, 16, &six);
    let values = squares(3, &six);
    let restarted = Jpeg { restart: 2, ..plain.clone() };
    let mut trailing = plain.bytes();
    trailing.extend(b"trailing garbage");
    let mut filled = plain.bytes();
    filled.splice(2..2, [0xff, 0xff]);
    let comment = segment(0xfe, b"a comment with \xff\xd9 in it");
    let thumbnail = segment(0xe1, &[b"Exif\0\0".as_slice(), &grey(8, 8, &[1]).bytes()].concat());
    let broken_exif = segment(0xe1, b"Exif\0\0MM\0*\xff\xff\xff\xff");
    vec![
        reads_nearly("restart-markers.jpg", restarted.bytes(), [1, 16, 24], &values),
        reads_nearly("trailing-garbage.jpg", trailing, [1, 16, 24], &values),
        reads_nearly("fill-bytes.jpg", filled, [1, 16, 24], &values),
        reads_nearly("comment.jpg", with(&plain, BASELINE, &[comment]).bytes(), [1, 16, 24], &values),
        reads_nearly("thumbnail.jpg", with(&plain, BASELINE, &[thumbnail]).bytes(), [1, 16, 24], &values),
        reads_nearly("broken-exif.jpg", with(&plain, BASELINE, &[broken_exif]).bytes(), [1, 16, 24], &values),
        reads_nearly("jpeg-named.png", plain.bytes(), [1, 16, 24], &values),
        reads_nearly("upper-case.JPEG", plain.bytes(), [1, 16, 24], &values),
    ]
}

fn damaged() -> Vec<Odd> {
    let plain = grey(24, 16, &[10, 60, 110, 160, 200, 250]);
    let whole = plain.bytes();
    let thumbnail = segment(0xe1, &[b"Exif\0\0".as_slice(), &whole].concat());
    let mut cut_with_thumbnail = with(&plain, BASELINE, &[thumbnail]).bytes();
    cut_with_thumbnail.truncate(cut_with_thumbnail.len() - 2);
    let sized = |width, height| {
        let mut bytes = whole.clone();
        let at = bytes.windows(2).position(|pair| pair == [0xff, BASELINE]).unwrap();
        bytes[at + 5..at + 7].copy_from_slice(&u16::to_be_bytes(height));
        bytes[at + 7..at + 9].copy_from_slice(&u16::to_be_bytes(width));
        bytes
    };
    let arithmetic = with(&plain, 0xc9, &[]).bytes();
    let lossless = with(&plain, 0xc3, &[]).bytes();
    let twelve_bits = Jpeg { precision: 12, ..with(&plain, EXTENDED, &[]) }.bytes();
    let two_components = colour(8, 8, &[(1, 1, &[9]), (1, 1, &[9])]).bytes();
    let scan = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let without_scan = [&whole[..scan], &[0xff, 0xd9]].concat();
    vec![
        refused("start-alone.jpg", whole[..2].to_vec(), "no PNG, JPEG"),
        refused("cut-in-tables.jpg", whole[..40].to_vec(), "cut short"),
        refused("cut-before-scan.jpg", whole[..scan].to_vec(), "cut short"),
        refused("cut-in-scan.jpg", whole[..whole.len() - 4].to_vec(), "cut short"),
        refused("without-end.jpg", whole[..whole.len() - 2].to_vec(), "cut short"),
        refused("cut-with-thumbnail.jpg", cut_with_thumbnail, "cut short"),
        refused("without-scan.jpg", without_scan, "cut short"),
        refused("65500-square.jpg", sized(65_500, 65_500), "limit"),
        refused("16000-square.jpg", sized(16_000, 16_000), "cannot hold the 16000x16000 pixels"),
        refused("too-wide.jpg", sized(16_385, 1), "limit"),
        refused("zero-width.jpg", sized(0, 16), "width or height is set to zero"),
        refused("zero-height.jpg", sized(24, 0), "width or height is set to zero"),
        refused("arithmetic.jpg", arithmetic, "arithmetic"),
        refused("lossless.jpg", lossless, "lossless"),
        refused("twelve-bits.jpg", twelve_bits, "12 bits"),
        refused("two-components.jpg", two_components, "2 components"),
    ]
}
