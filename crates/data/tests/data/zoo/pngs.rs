//! PNG files.

use super::{Odd, Then, reads, refused};
use crate::common::jpeg_bytes::exif;
use crate::common::png_bytes::{
    GREY, GREY_ALPHA, Header, PALETTE, RGB, RGBA, chunk, crc32, file, image, repair_checksums, rows, zlib,
};

pub fn all() -> Vec<Odd> {
    [depths(), colours(), interlaced(), turned(), chunks(), cut(), lying(), damaged()]
        .into_iter()
        .flatten()
        .collect()
}

fn end() -> Vec<u8> {
    chunk(b"IEND", b"")
}

/// 0, 1, 2 and so on.
fn count(n: usize) -> Vec<u8> {
    (0..n).map(|v| v as u8).collect()
}

fn wide(samples: &[u8]) -> Vec<u16> {
    samples.iter().map(|&v| u16::from(v)).collect()
}

/// 3x2 of 0 to 5.
fn plain() -> Vec<u8> {
    with_chunks(&[])
}

fn with_chunks(between: &[Vec<u8>]) -> Vec<u8> {
    image(Header::new(3, 2, 8, GREY), between, &wide(&count(6)))
}

/// Grey of 1, 2, 4, 8 and 16 bits.
fn depths() -> Vec<Odd> {
    let grey = |depth, samples: &[u16]| image(Header::new(5, 1, depth, GREY), &[], samples);
    let deep = [0, 257, 257 * 100, 65_535, 300];
    let colour = [65_535, 0, 257 * 7, 257 * 8, 257 * 9, 257 * 10];
    let clear = [65_535, 0, 0, 65_535, 65_535, 0, 0, 0];
    vec![
        reads("grey-1.png", grey(1, &[0, 1, 1, 0, 1]), [1, 1, 5], &[0, 255, 255, 0, 255]),
        reads("grey-2.png", grey(2, &[0, 1, 2, 3, 0]), [1, 1, 5], &[0, 85, 170, 255, 0]),
        reads("grey-4.png", grey(4, &[0, 1, 7, 15, 8]), [1, 1, 5], &[0, 17, 119, 255, 136]),
        reads("grey-8.png", grey(8, &[0, 1, 7, 255, 8]), [1, 1, 5], &[0, 1, 7, 255, 8]),
        reads("grey-16.png", grey(16, &deep), [1, 1, 5], &[0, 1, 100, 255, 1]),
        reads(
            "rgb-16.png",
            image(Header::new(2, 1, 16, RGB), &[], &colour),
            [3, 1, 2],
            &[255, 8, 0, 9, 7, 10],
        ),
        reads(
            "rgba-16.png",
            image(Header::new(2, 1, 16, RGBA), &[], &clear),
            [3, 1, 2],
            &[255, 255, 0, 255, 0, 255],
        ),
        reads("one-pixel.png", image(Header::new(1, 1, 8, GREY), &[], &[9]), [1, 1, 1], &[9]),
        reads(
            "one-column.png",
            image(Header::new(1, 3000, 8, GREY), &[], &[9; 3000]),
            [1, 3000, 1],
            &[9; 3000],
        ),
        reads(
            "one-row-of-the-most.png",
            image(Header::new(16_384, 1, 8, GREY), &[], &[9; 16_384]),
            [1, 1, 16_384],
            &[9; 16_384],
        ),
    ]
}

/// Palettes, key colours, and alpha, which is laid on white.
fn colours() -> Vec<Odd> {
    let palette = chunk(b"PLTE", &[255, 0, 0, 0, 255, 0, 0, 0, 255, 7, 7, 7]);
    let indexed = |depth, between: &[Vec<u8>]| {
        let header = Header::new(4, 1, depth, PALETTE);
        image(header, between, &[0, 1, 2, 3])
    };
    let clear = chunk(b"tRNS", &[255, 0, 51]);
    let greys = chunk(b"PLTE", &[4, 4, 4, 9, 9, 9, 3, 3, 3, 0, 0, 0]);
    let planes = [255, 0, 0, 7, 0, 255, 0, 7, 0, 0, 255, 7];
    let rgb = Header::new(2, 1, 8, RGB);
    let rgba = image(Header::new(2, 1, 8, RGBA), &[], &[10, 20, 30, 255, 0, 100, 200, 51]);
    let key = chunk(b"tRNS", &[0, 1, 0, 2, 0, 3]);
    vec![
        reads("palette-8.png", indexed(8, std::slice::from_ref(&palette)), [3, 1, 4], &planes),
        reads("palette-4.png", indexed(4, std::slice::from_ref(&palette)), [3, 1, 4], &planes),
        reads("palette-2.png", indexed(2, std::slice::from_ref(&palette)), [3, 1, 4], &planes),
        reads("palette-of-greys.png", indexed(8, &[greys]), [1, 1, 4], &[4, 9, 3, 0]),
        reads(
            "palette-clear.png",
            indexed(8, &[palette, clear]),
            [3, 1, 4],
            &[255, 255, 204, 7, 0, 255, 204, 7, 0, 255, 255, 7],
        ),
        reads("rgba.png", rgba, [3, 1, 2], &[10, 204, 20, 224, 30, 244]),
        reads(
            "all-clear.png",
            image(Header::new(2, 1, 8, RGBA), &[], &[1, 2, 3, 0, 4, 5, 6, 0]),
            [1, 1, 2],
            &[255, 255],
        ),
        reads(
            "grey-alpha.png",
            image(Header::new(3, 1, 8, GREY_ALPHA), &[], &[9, 255, 9, 0, 0, 51]),
            [1, 1, 3],
            &[9, 255, 204],
        ),
        reads("rgb-key.png", image(rgb, &[key], &[1, 2, 3, 1, 2, 4]), [3, 1, 2], &[255, 1, 255, 2, 255, 4]),
        reads(
            "grey-key.png",
            image(Header::new(3, 1, 8, GREY), &[chunk(b"tRNS", &[0, 5])], &[5, 6, 7]),
            [1, 1, 3],
            &[255, 6, 7],
        ),
        reads("rgb-without-colour.png", image(rgb, &[], &[8, 8, 8, 9, 9, 9]), [1, 1, 2], &[8, 9]),
        refused(
            "palette-of-two-bytes-a-colour.png",
            indexed(8, &[chunk(b"PLTE", &[9; 8])]),
            "three a colour",
        ),
        refused("palette-missing.png", indexed(8, &[]), "palette"),
    ]
}

fn interlaced() -> Vec<Odd> {
    let grey = |width, height| {
        let header = Header::new(width, height, 8, GREY).interlaced();
        let samples = count((width * height) as usize);
        (image(header, &[], &wide(&samples)), samples)
    };
    let ((large, large_values), (small, small_values)) = (grey(11, 13), grey(3, 2));
    let bits: Vec<u8> = (0..90).map(|i| i / 7 % 2).collect();
    let one_bit = image(Header::new(9, 10, 1, GREY).interlaced(), &[], &wide(&bits));
    let whites: Vec<u8> = bits.iter().map(|bit| 255 * bit).collect();
    vec![
        reads("interlaced.png", large, [1, 13, 11], &large_values),
        reads("interlaced-small.png", small, [1, 2, 3], &small_values),
        reads("interlaced-1-bit.png", one_bit, [1, 10, 9], &whites),
    ]
}

/// EXIF orientations in an eXIf chunk.
fn turned() -> Vec<Odd> {
    let turned = |orientation| with_chunks(&[chunk(b"eXIf", &exif(orientation))]);
    vec![
        reads("exif-3.png", turned(3), [1, 2, 3], &[5, 4, 3, 2, 1, 0]),
        reads("exif-6.png", turned(6), [1, 3, 2], &[3, 0, 4, 1, 5, 2]),
        reads("exif-8.png", turned(8), [1, 3, 2], &[2, 5, 1, 4, 0, 3]),
        reads("exif-none-such.png", turned(9), [1, 2, 3], &count(6)),
    ]
}

/// Unusual chunks, and unusual orders of them.
fn chunks() -> Vec<Odd> {
    let header = Header::new(3, 2, 8, GREY);
    let data = zlib(&rows(header, &wide(&count(6))));
    let split: Vec<Vec<u8>> = data.iter().map(|&byte| chunk(b"IDAT", &[byte])).collect();
    let idat = chunk(b"IDAT", &data);
    let control = |sequence: u8| {
        let mut bytes = vec![0, 0, 0, sequence];
        bytes.extend([3_u32, 2, 0, 0].iter().flat_map(|v| v.to_be_bytes()));
        bytes.extend([0, 1, 0, 10, 0, 0]);
        chunk(b"fcTL", &bytes)
    };
    let other_frame = zlib(&rows(header, &[200; 6]));
    let frames = chunk(b"fdAT", &[vec![0, 0, 0, 2], other_frame].concat());
    let two = chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]);
    let animated = file(&[header.chunk(), two, control(0), idat.clone(), control(1), frames, end()]);
    let text = chunk(b"tEXt", &[b"Comment\0".as_slice(), &[b'x'; 500]].concat());
    let broken_text = chunk(b"zTXt", b"Comment\0\0not deflated");
    let after = file(&[header.chunk(), idat.clone(), chunk(b"tIME", &[7, 229, 1, 1, 0, 0, 0]), end()]);
    let mut trailing = plain();
    trailing.extend(b"trailing garbage");
    let two_headers = file(&[header.chunk(), header.chunk(), idat.clone(), end()]);
    let unknown = with_chunks(&[chunk(b"ABCD", b"")]);
    vec![
        reads("many-idat.png", file(&[header.chunk(), split.concat(), end()]), [1, 2, 3], &count(6)),
        reads("animated.png", animated, [1, 2, 3], &count(6)),
        reads("text.png", with_chunks(&[text]), [1, 2, 3], &count(6)),
        reads("broken-text.png", with_chunks(&[broken_text]), [1, 2, 3], &count(6)),
        reads("chunk-behind-pixels.png", after, [1, 2, 3], &count(6)),
        reads("trailing-garbage.png", trailing, [1, 2, 3], &count(6)),
        reads("png-named.jpg", plain(), [1, 2, 3], &count(6)),
        reads("upper-case.PNG", plain(), [1, 2, 3], &count(6)),
        refused("two-headers.png", two_headers, "IHDR"),
        refused("unknown-critical-chunk.png", unknown, "ABCD"),
        refused("no-header.png", file(&[idat.clone(), end()]), "IHDR"),
        refused("no-pixels.png", file(&[header.chunk(), end()]), "IDAT"),
    ]
}

/// A whole file, then shorter and shorter parts of it.
fn cut() -> Vec<Odd> {
    let header = Header::new(16, 16, 8, GREY);
    let samples: Vec<u16> = (0..256_u16).map(|i| i * i % 251).collect();
    let whole = image(header, &[], &samples);
    let upto = |bytes: usize| whole[..bytes].to_vec();
    let without_end = upto(whole.len() - 12);
    vec![
        refused("cut-1.png", upto(1), "no PNG, JPEG"),
        refused("cut-8.png", upto(8), "cut short"),
        refused("cut-in-header.png", upto(20), "cut short"),
        refused("cut-behind-header.png", upto(33), "unexpected end"),
        refused("cut-in-pixels.png", upto(whole.len() / 2), "unexpected end"),
        refused("cut-before-checksum.png", upto(whole.len() - 18), "unexpected end"),
        refused("without-end.png", without_end, "unexpected end"),
    ]
}

/// Headers with false claims.
fn lying() -> Vec<Odd> {
    let changed = |at: usize, value: &[u8]| {
        let mut png = plain();
        png[at..at + value.len()].copy_from_slice(value);
        repair_checksums(&mut png);
        png
    };
    let size = |width: u32, height: u32| changed(16, &[width.to_be_bytes(), height.to_be_bytes()].concat());
    vec![
        refused("zero-width.png", size(0, 2), "dimensions"),
        refused("zero-height.png", size(3, 0), "dimensions"),
        refused("65500-square.png", size(65_500, 65_500), "limit"),
        refused("16384-square.png", size(16_384, 16_384), "cannot hold the 16384x16384 pixels"),
        refused("too-wide.png", size(16_385, 1), "limit"),
        refused("negative-width.png", size(u32::MAX, 1), "limit"),
        refused("taller-than-it-is.png", size(3, 3), "enough data"),
        refused("depth-3.png", changed(24, &[3]), "bit depth 3"),
        refused("colour-type-5.png", changed(25, &[5]), "color type 5"),
        refused("rgb-of-4-bits.png", changed(24, &[4, RGB]), "Rgb/Four"),
        refused("compression-1.png", changed(26, &[1]), "compression method 1"),
        refused("filter-method-1.png", changed(27, &[1]), "filter method 1"),
        refused("interlacing-2.png", changed(28, &[2]), "interlace method 2"),
    ]
}

fn damaged() -> Vec<Odd> {
    let header = Header::new(3, 2, 8, GREY);
    let wrong_at = |name: &[u8; 4]| {
        let mut png = plain();
        let at = png.windows(4).position(|window| window == name).unwrap();
        let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
        png[at + 4 + length] ^= 1;
        png
    };
    let with_data = |data: &[u8]| file(&[header.chunk(), chunk(b"IDAT", data), end()]);
    let mut wrong_filter = rows(header, &wide(&count(6)));
    wrong_filter[0] = 9;
    let short = &rows(header, &wide(&count(6)))[..4];
    let mut long_chunk = plain();
    long_chunk[33..37].fill(0xff);
    let mut text_mode = plain();
    text_mode.remove(4);
    assert_eq!(crc32(b"IEND"), 0xae42_6082);
    vec![
        refused("bad-header-checksum.png", wrong_at(b"IHDR"), "CRC"),
        refused("bad-pixel-checksum.png", wrong_at(b"IDAT"), "CRC"),
        Odd { name: "bad-end-checksum.png", bytes: wrong_at(b"IEND"), then: plain_pixels() },
        refused("not-deflated.png", with_data(b"not deflated at all"), "deflate"),
        refused("wrong-filter.png", with_data(&zlib(&wrong_filter)), "filter"),
        refused("too-few-rows.png", with_data(&zlib(short)), "enough data"),
        refused("long-chunk.png", long_chunk, "unexpected end"),
        refused("text-mode.png", text_mode, "no PNG, JPEG"),
    ]
}

fn plain_pixels() -> Then {
    Then::Reads { shape: [1, 2, 3], values: count(6), within: 0 }
}
