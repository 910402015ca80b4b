//! No bytes make a parser panic, hang, or allocate what they merely claim.
//!
//! Tests read 100,000 seeded mutations of small valid files of each format, from memory, under an
//! allocator that counts. It counts for the whole process, so the tests of this file run one after
//! the other.

#[path = "data/common/mod.rs"]
mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use common::mutate::{Field, Random, mutate};
use common::{directory, gzip, idx_images, idx_labels, jpeg_bytes, open, png_bytes, put};
use duet_data::{FolderOptions, LabelKind, Picture, Raster, from_bytes};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MUTATIONS: u64 = 100_000;

const MIB: usize = 1 << 20;

/// Far more than any of these takes on a busy machine, and far less than a hang.
const PATIENCE: Duration = Duration::from_secs(5);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Every test begins by taking this.
fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// What `work` gives, the most bytes that it held at once, and its time.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize, Duration) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let start = Instant::now();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before), start.elapsed())
}

/// A valid file and the places of the integers in its header.
type Sample = (Vec<u8>, Vec<Field>);

struct Limits {
    mutations: u64,
    /// Most bytes that one may take.
    bytes: usize,
    /// What makes most mutations get past a checksum.
    repair: fn(&mut [u8]),
}

/// For IDX and CIFAR files and lists of names, of some KiB.
const SMALL: Limits = Limits { mutations: MUTATIONS, bytes: MIB, repair: |_| () };

/// For images of about 1 KiB.
const IMAGE: Limits = Limits { bytes: 16 * MIB, repair: png_bytes::repair_checksums, ..SMALL };

/// Asserts that `parse` survives every mutation of the samples, accepting some and refusing some.
fn survives(what: &str, samples: &[Sample], limits: &Limits, parse: impl Fn(&[u8]) -> bool) {
    for (i, (sample, _)) in samples.iter().enumerate() {
        assert!(parse(sample), "{what}: sample {i} is refused as it is");
    }
    let (mut accepted, mut most, mut slowest) = (0, 0, Duration::ZERO);
    let start = Instant::now();
    for seed in 0..limits.mutations {
        let mut random = Random(seed);
        let (sample, fields) = &samples[random.below(samples.len())];
        let mut bytes = mutate(&mut random, sample, fields);
        if random.below(4) > 0 {
            (limits.repair)(&mut bytes);
        }
        let (result, peak, time) = measured(|| catch_unwind(AssertUnwindSafe(|| parse(&bytes))));
        let accept = result.unwrap_or_else(|_| panic!("{what}: seed {seed} panics on {bytes:02x?}"));
        assert!(peak <= limits.bytes, "{what}: seed {seed} takes {peak} bytes for {bytes:02x?}");
        assert!(time <= PATIENCE, "{what}: seed {seed} takes {time:?} for {bytes:02x?}");
        accepted += u64::from(accept);
        most = most.max(peak);
        slowest = slowest.max(time);
    }
    let total = start.elapsed();
    println!("{what}: {accepted} accepted, {most} bytes at most, slowest {slowest:?}, all {total:?}");
    assert!(accepted > 0 && accepted < limits.mutations, "{what}: {accepted} accepted");
}

fn digit_names() -> Vec<String> {
    ('0'..='9').map(String::from).collect()
}

/// Images and labels in one, as the mutator changes one file: a length, the images, the labels.
fn joined(images: &[u8], labels: &[u8]) -> Vec<u8> {
    [&[images.len() as u8], images, labels].concat()
}

fn parse_idx(bytes: &[u8]) -> bool {
    let (&split, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (images, labels) = rest.split_at(usize::from(split).min(rest.len()));
    from_bytes::idx(images, labels, digit_names()).is_ok()
}

#[test]
fn idx_files_are_survived() {
    let _alone = alone();
    let images = idx_images(2, 2, 3, &[7; 12]);
    let sample = joined(&images, &idx_labels(&[7, 9]));
    let labels = 1 + images.len();
    let fields = vec![(0, 1), (5, 4), (9, 4), (13, 4), (labels + 4, 4)];
    survives("IDX", &[(sample, fields)], &SMALL, parse_idx);
}

#[test]
fn gzipped_idx_files_are_survived() {
    let _alone = alone();
    let images = gzip(&idx_images(2, 2, 3, &[7; 12]));
    let sample = joined(&images, &gzip(&idx_labels(&[7, 9])));
    let labels = 1 + images.len();
    let fields = vec![(0, 1), (4, 1), (11, 4), (images.len() - 7, 4), (labels + 3, 1), (labels + 10, 4)];
    survives("gzipped IDX", &[(sample, fields)], &SMALL, parse_idx);
}

/// The damage is inside the gzip stream, whose checksum is right.
#[test]
fn gzip_of_damaged_idx_files_is_survived() {
    let _alone = alone();
    let images = idx_images(2, 2, 3, &[7; 12]);
    let sample = joined(&images, &idx_labels(&[7, 9]));
    let fields = vec![(5, 4), (9, 4), (13, 4), (images.len() + 5, 4)];
    // To compress takes longer than all else.
    let limits = Limits { mutations: MUTATIONS / 5, ..SMALL };
    survives("gzip of IDX", &[(sample, fields)], &limits, |bytes| {
        let (&split, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let (images, labels) = rest.split_at(usize::from(split).min(rest.len()));
        from_bytes::idx(&gzip(images), &gzip(labels), digit_names()).is_ok()
    });
}

#[test]
fn tables_are_survived() {
    let _alone = alone();
    let read = |name: &str| {
        let path = format!("{}/tests/data/tables/{name}", env!("CARGO_MANIFEST_DIR"));
        (std::fs::read(path).unwrap(), Vec::new())
    };
    let samples = [read("train.csv"), read("named.csv")];
    survives("CSV", &samples, &SMALL, |bytes| from_bytes::table(bytes, 1 << 20).is_ok());
}

#[test]
fn archives_of_arrays_are_survived() {
    let _alone = alone();
    let read = |name: &str| {
        std::fs::read(format!("{}/tests/data/numpy/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    // Lengths in the local headers and in the directory at the end, and the header of the first array.
    let sample = |bytes: Vec<u8>| {
        let end = bytes.len() - 22;
        let fields = vec![
            (18, 4),
            (22, 4),
            (26, 2),
            (28, 2),
            (end + 8, 2),
            (end + 10, 2),
            (end + 12, 4),
            (end + 16, 4),
        ];
        (bytes, fields)
    };
    let samples = [sample(read("medmnist.npz")), sample(read("keras.npz")), sample(read("unit.npz"))];
    survives("npz", &samples, &Limits { mutations: MUTATIONS / 2, bytes: 4 * MIB, ..SMALL }, |bytes| {
        from_bytes::npz(bytes, 1 << 20).is_ok()
    });
}

fn archive_bytes(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/archives/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn parse_archive(bytes: &[u8]) -> bool {
    match from_bytes::archive(bytes, &FolderOptions::default()) {
        Ok(_) => true,
        Err(e) => {
            assert!(!e.to_string().contains("panicked"), "{e}");
            false
        }
    }
}

/// Archives are read by two threads, and each image anew.
const ARCHIVE: Limits = Limits { mutations: MUTATIONS / 10, ..IMAGE };

#[test]
fn zip_archives_are_survived() {
    let _alone = alone();
    // The integers of every header: flags, way of packing, checksum, sizes, lengths of names, places.
    let sample = |name: &str| {
        let bytes = archive_bytes(name);
        let at = |magic: &[u8]| -> Vec<usize> {
            (0..bytes.len() - 4).filter(|&at| &bytes[at..at + 4] == magic).collect()
        };
        let fields_at = |places: Vec<usize>, fields: &[Field]| -> Vec<Field> {
            let of = |place: usize| fields.iter().map(move |&(at, length)| (place + at, length));
            places.into_iter().flat_map(of).collect()
        };
        let local = [(6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)];
        let central = [(8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4)];
        let end = [(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)];
        let fields = [
            fields_at(at(b"PK\x03\x04"), &local),
            fields_at(at(b"PK\x01\x02"), &central),
            fields_at(at(b"PK\x05\x06"), &end),
        ];
        (bytes, fields.concat())
    };
    let samples = ["splits.zip", "flat.zip", "zip64.zip", "edm.zip"].map(sample);
    survives("zip", &samples, &Limits { repair: |_| (), ..ARCHIVE }, parse_archive);
}

/// Gives each header of a tar archive the checksum of what it has become. Zeros at the end stay zeros.
fn repair_tar(bytes: &mut [u8]) {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| (last + 1).next_multiple_of(512));
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + 512).filter(|_| at < end) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = String::from_utf8_lossy(&block[124..135]).into_owned();
        let size = usize::from_str_radix(&size, 8).unwrap_or(0).min(bytes.len());
        at += 512 + size.next_multiple_of(512);
    }
}

/// As far as the last member and one block of zeros.
fn without_padding(mut tar: Vec<u8>) -> Vec<u8> {
    let end = tar.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(512);
    tar.truncate(end + 512);
    tar
}

/// Size, kind and magic of the first headers.
fn tar_sample(name: &str) -> Sample {
    let tar = without_padding(archive_bytes(name));
    let fields =
        (0..tar.len() / 512).flat_map(|i| [(512 * i + 124, 4), (512 * i + 156, 1), (512 * i + 257, 2)]);
    let fields = fields.collect();
    (tar, fields)
}

#[test]
fn tar_archives_are_survived() {
    let _alone = alone();
    let samples =
        ["shards/toy-test-000000.tar", "long-gnu.tar", "long-pax.tar", "special.tar"].map(tar_sample);
    survives("tar", &samples, &Limits { repair: repair_tar, ..ARCHIVE }, parse_archive);
}

#[test]
fn gzipped_tar_archives_are_survived() {
    let _alone = alone();
    let samples = [(archive_bytes("shard.tar.gz"), vec![(0, 4), (4, 4)])];
    survives("gzipped tar", &samples, &Limits { repair: |_| (), ..ARCHIVE }, parse_archive);
    // The damage is inside the gzip stream, whose checksum is right.
    let samples = [tar_sample("shards/toy-test-000000.tar")];
    let limits = Limits { mutations: MUTATIONS / 50, repair: repair_tar, ..ARCHIVE };
    survives("gzip of tar", &samples, &limits, |bytes| parse_archive(&gzip(bytes)));
}

#[test]
fn cifar_files_are_survived() {
    let _alone = alone();
    let mut sample = vec![128; 3073];
    sample[0] = 9;
    survives("CIFAR-10", &[(sample, vec![(0, 1)])], &SMALL, |bytes| from_bytes::cifar10(bytes).is_ok());
}

/// The images are far shorter, so that most damage is to instructions.
fn shortened(pickle: Vec<u8>) -> Vec<u8> {
    let row = |red: u8| [red; 1000];
    let at = pickle.windows(1000).position(|part| part[1..] == row(10)[1..]).unwrap();
    [&pickle[..at], &pickle[at + 900..]].concat()
}

#[test]
fn pickles_of_cifar_are_survived() {
    let _alone = alone();
    let read = |name: &str| {
        std::fs::read(format!("{}/tests/data/cifar/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let parse = |bytes: &[u8]| {
        let fine = from_bytes::cifar100_pickle(bytes, LabelKind::Fine).is_ok();
        fine | from_bytes::cifar10_pickle(bytes).is_ok()
    };
    let names = ["published/cifar-100-python/test", "published/cifar-10-batches-py/data_batch_2"];
    let names = names.into_iter().chain(["again2/test", "again4/test", "arrays5/test"]);
    let samples: Vec<Sample> = names.map(|name| (read(name), Vec::new())).collect();
    survives("CIFAR's pickles", &samples, &SMALL, parse);
    // Lengths of arrays are checked at the end, so the damage is behind them or in front.
    for name in ["published/cifar-100-python/train", "again5/train"] {
        let short = shortened(read(name));
        for seed in 0..MUTATIONS / 10 {
            let bytes = mutate(&mut Random(seed), &short, &[]);
            let (_, peak, time) = measured(|| parse(&bytes));
            assert!(peak <= MIB && time <= PATIENCE, "{name}: seed {seed} takes {peak} bytes and {time:?}");
        }
    }
}

#[test]
fn lists_of_class_names_are_survived() {
    let _alone = alone();
    let samples = ["cat\ndog\n", "\u{feff}T-shirt/top\r\nTrouser\r\n", "größe\n日本\n\u{1f408}"];
    let samples = samples.map(|list| (list.as_bytes().to_vec(), Vec::new()));
    survives("class names", &samples, &SMALL, |bytes| from_bytes::class_names(bytes).is_ok());
}

/// The picture keeps its promise too: as many pixels as its sides say.
fn parse_image(bytes: &[u8]) -> bool {
    match Picture::decode(bytes) {
        Ok(picture) => {
            assert_eq!(picture.pixels.len(), picture.channels * picture.height * picture.width);
            true
        }
        Err(e) => {
            assert!(!e.to_string().contains("panicked"), "{e}");
            false
        }
    }
}

/// Of every kind that differs inside the decoder: depth, palette, key colour, alpha, interlacing,
/// animation, and the compressed chunks besides the pixels.
fn png_samples() -> Vec<Vec<u8>> {
    use png_bytes::{GREY, Header, PALETTE, RGB, RGBA, chunk, image, zlib};
    let count = |n: u16| (0..n).collect::<Vec<u16>>();
    let palette = chunk(b"PLTE", &[255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]);
    let clear = chunk(b"tRNS", &[0, 255, 40]);
    let bits: Vec<u16> = (0..64).map(|i| i / 3 % 2).collect();
    let quarters: Vec<u16> = (0..30).map(|i| i % 4).collect();
    let profile = chunk(b"iCCP", &[b"p\0\0".as_slice(), &zlib(&[5; 200])].concat());
    let text = chunk(b"zTXt", &[b"k\0\0".as_slice(), &zlib(&[b'a'; 200])].concat());
    let exif = chunk(b"eXIf", &jpeg_bytes::exif(6));
    let frame = [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 10, 0, 0];
    let animated = [chunk(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]), chunk(b"fcTL", &frame)].concat();
    vec![
        image(Header::new(12, 10, 8, GREY), &[], &count(120)),
        image(Header::new(5, 4, 8, RGB).interlaced(), &[], &count(60)),
        image(Header::new(3, 3, 8, RGBA), &[exif], &count(36)),
        image(Header::new(3, 2, 16, RGB), &[chunk(b"tRNS", &[0, 0, 0, 1, 0, 2])], &count(18)),
        image(Header::new(8, 8, 1, GREY).interlaced(), &[], &bits),
        image(Header::new(6, 5, 2, PALETTE), &[palette.clone(), clear], &quarters),
        image(Header::new(6, 5, 4, PALETTE).interlaced(), &[palette], &quarters),
        image(Header::new(3, 2, 8, GREY), &[profile, text], &count(6)),
        image(Header::new(3, 2, 8, GREY), &[animated], &count(6)),
    ]
}

#[test]
fn png_files_are_survived() {
    let _alone = alone();
    // The first chunk's length, width, height, depth, colour type, interlacing, next length.
    let fields = vec![(8, 4), (16, 4), (20, 4), (24, 1), (25, 1), (28, 1), (33, 4)];
    let samples: Vec<_> = png_samples().into_iter().map(|png| (png, fields.clone())).collect();
    survives("PNG", &samples, &IMAGE, parse_image);
}

/// Grey, colour, subsampled, progressive, four components, restart markers, turned by EXIF, and
/// what an encoder writes.
fn jpeg_samples() -> Vec<Vec<u8>> {
    use jpeg_bytes::{adobe, colour, exif_segment, grey};
    let subsampled = colour(16, 24, &[(2, 2, &[9; 8]), (1, 1, &[128; 2]), (1, 1, &[90; 2])]);
    let mut progressive = subsampled.clone();
    progressive.frame = 0xc2;
    let mut four = colour(8, 8, &[(1, 1, &[9]), (1, 1, &[50]), (1, 1, &[90]), (1, 1, &[200])]);
    four.segments = vec![adobe(2)];
    let mut restarted = grey(32, 8, &[1, 60, 120, 250]);
    restarted.restart = 1;
    restarted.segments = vec![exif_segment(6)];
    let photo = image::RgbImage::from_fn(12, 10, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, 50]));
    let mut encoded = std::io::Cursor::new(Vec::new());
    photo.write_to(&mut encoded, image::ImageFormat::Jpeg).unwrap();
    let encoders = encoded.into_inner();
    [subsampled, progressive, four, restarted].iter().map(|jpeg| jpeg.bytes()).chain([encoders]).collect()
}

/// The integers of a JPEG's segments: each length, and all of the frame header.
fn jpeg_fields(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut at = 2;
    while at + 4 <= bytes.len() && bytes[at] == 0xff && bytes[at + 1] != 0xd9 {
        fields.push((at + 2, 2));
        if matches!(bytes[at + 1], 0xc0..=0xc2) {
            let components = usize::from(bytes[at + 9]);
            fields.extend([(at + 4, 1), (at + 5, 2), (at + 7, 2), (at + 9, 1)]);
            fields.extend((0..3 * components).map(|i| (at + 10 + i, 1)));
        }
        if bytes[at + 1] == 0xda {
            break;
        }
        at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    fields
}

#[test]
fn jpeg_files_are_survived() {
    let _alone = alone();
    let samples: Vec<_> = jpeg_samples()
        .into_iter()
        .map(|jpeg| {
            let fields = jpeg_fields(&jpeg);
            (jpeg, fields)
        })
        .collect();
    survives("JPEG", &samples, &IMAGE, parse_image);
}

/// Files of these names that Pillow and tifffile wrote, and their integers.
fn written(names: &[&str], fields: &[Field]) -> Vec<Sample> {
    let read = |name: &&str| {
        let path = format!("{}/tests/data/pictures/{name}", env!("CARGO_MANIFEST_DIR"));
        (std::fs::read(path).unwrap(), fields.to_vec())
    };
    names.iter().map(read).collect()
}

/// Of these formats a few bytes can be as many pixels as are allowed: here one megapixel.
const MEGAPIXEL: Limits = Limits { bytes: 24 * MIB, repair: |_| (), ..SMALL };

fn parse_megapixel(bytes: &[u8]) -> bool {
    match Raster::decode(bytes, 1_000_000) {
        Ok(_) => true,
        Err(e) => {
            assert!(!e.to_string().contains("panicked"), "{e}");
            false
        }
    }
}

#[test]
fn bmp_files_are_survived() {
    let _alone = alone();
    // The place of the pixels, the header's length, width, height, bits, packing, colours.
    let fields = [(10, 4), (14, 4), (18, 4), (22, 4), (28, 2), (30, 4), (46, 4)];
    let samples = written(&["rgb.bmp", "bits.bmp", "palette.bmp", "rgba.bmp"], &fields);
    survives("BMP", &samples, &MEGAPIXEL, parse_megapixel);
}

#[test]
fn gif_files_are_survived() {
    let _alone = alone();
    // The screen's width and height, and its flags.
    let samples = written(
        &["palette.gif", "clear.gif", "interlaced.gif", "animated.gif"],
        &[(6, 2), (8, 2), (6, 4), (10, 1), (11, 2)],
    );
    survives("GIF", &samples, &MEGAPIXEL, parse_megapixel);
}

#[test]
fn webp_files_are_survived() {
    let _alone = alone();
    // The lengths of the file and of its first chunk, and the sides behind it.
    let samples = written(
        &[
            "lossless.webp",
            "lossless-alpha.webp",
            "lossy.webp",
            "lossy-alpha.webp",
            "animated.webp",
            "turned.webp",
        ],
        &[(4, 4), (16, 4), (20, 4), (24, 4), (28, 4), (34, 4)],
    );
    survives("WebP", &samples, &MEGAPIXEL, parse_megapixel);
}

#[test]
fn tiff_files_are_survived() {
    let _alone = alone();
    let names = [
        "rgb.tiff",
        "grey.tif",
        "bits.tiff",
        "rgba.tiff",
        "cmyk.tiff",
        "lzw.tiff",
        "deflate.tiff",
        "packbits.tiff",
        "lossy.tiff",
        "pages.tiff",
        "turned.tiff",
        "grey-16-tiles.tiff",
        "rgb-16-planes.tiff",
        "rgb-16-deflate.tiff",
        "rgb-16-big-endian.tiff",
        "grey-16-big.tiff",
    ];
    // The place of the first directory; then the number, type, count and value of the first tags where it begins at 8.
    let mut fields = vec![(4, 4), (8, 2)];
    fields.extend(
        (0..12).flat_map(|i| [(10 + 12 * i, 2), (12 + 12 * i, 2), (14 + 12 * i, 4), (18 + 12 * i, 4)]),
    );
    survives("TIFF", &written(&names, &fields), &MEGAPIXEL, parse_megapixel);
}

/// The way from a path looks at headers first, and at sizes before pixels.
#[test]
fn image_folders_are_survived() {
    let _alone = alone();
    let dir = directory();
    let open_one = |bytes: &[u8]| {
        put(dir.path(), "class/image.png", bytes);
        match open(dir.path()) {
            Ok(_) => true,
            Err(e) => {
                assert!(!e.to_string().contains("panicked"), "{e}");
                false
            }
        }
    };
    let limits = Limits { mutations: MUTATIONS / 20, ..IMAGE };
    let samples = png_samples().into_iter().chain(jpeg_samples());
    let samples: Vec<Sample> = samples.map(|image| (image, vec![(16, 4), (20, 4)])).collect();
    survives("image folder", &samples, &limits, open_one);
}

/// Asserts that `parse` refuses, within 1 MiB and a second.
#[track_caller]
fn refused_cheaply<T>(what: &str, parse: impl FnOnce() -> Result<T, duet_data::DataError>) -> String {
    let (result, peak, time) = measured(parse);
    assert!(peak <= MIB, "{what} takes {peak} bytes");
    assert!(time <= Duration::from_secs(1), "{what} takes {time:?}");
    match result {
        Ok(_) => panic!("{what} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_header_that_claims_two_to_the_96_bytes_costs_nothing() {
    let _alone = alone();
    let claim = idx_images(u32::MAX, u32::MAX, u32::MAX, &[]);
    let mut labels = idx_labels(&[]);
    labels[4..8].fill(0xff);
    let one_label = idx_labels(&[3]);
    let one_image = idx_images(1, u32::MAX, u32::MAX, &[0; 100]);
    let allowed = idx_images(1, 65_535, 65_535, &[0; 100]);
    for (images, labels) in
        [(&claim, &labels), (&claim, &one_label), (&one_image, &one_label), (&allowed, &one_label)]
    {
        let refusal = refused_cheaply("IDX", || from_bytes::idx(images, labels, digit_names()));
        assert!(refusal.contains("claims"), "{refusal}");
        let (images, labels) = (gzip(images), gzip(labels));
        let refusal = refused_cheaply("gzip", || from_bytes::idx(&images, &labels, digit_names()));
        assert!(refusal.contains("claims"), "{refusal}");
    }
}

#[test]
fn labels_within_the_limit_that_are_not_there_cost_nothing() {
    let _alone = alone();
    let mut labels = idx_labels(&[1, 2, 3]);
    labels[4..8].copy_from_slice(&99_999_999_u32.to_be_bytes());
    let images = idx_images(99_999_999, 1, 1, &[]);
    refused_cheaply("labels", || from_bytes::idx(&images, &labels, digit_names()));
}

#[cfg(feature = "parquet")]
mod parquet {
    use super::*;

    fn read(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/parquet/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn parse(bytes: &[u8]) -> bool {
        match from_bytes::parquet(bytes, &FolderOptions { max_bytes: 1 << 20, ..FolderOptions::default() }) {
            Ok(splits) => !splits.train.is_empty(),
            Err(error) => {
                let message = error.to_string();
                assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
                false
            }
        }
    }

    /// In front of pages, and in the description at the end, whose length is in the last 8 bytes.
    fn sample(name: &str) -> Sample {
        let bytes = read(name);
        let end = bytes.len();
        let description = u32::from_le_bytes(bytes[end - 8..end - 4].try_into().unwrap()) as usize;
        let start = end - 8 - description;
        let headers = (4..40).chain(start..start + 60).map(|at| (at, 1));
        (bytes, headers.chain([(end - 8, 4)]).collect())
    }

    #[test]
    fn parquet_files_are_survived() {
        let _alone = alone();
        let quiet = std::panic::take_hook();
        // The reader's own panics are caught and become errors.
        std::panic::set_hook(Box::new(|_| ()));
        let names = [
            "none",
            "snappy",
            "gzip",
            "zstd",
            "zstd-v2",
            "delta",
            "groups",
            "pandas-words",
            "duckdb",
            "polars",
        ];
        let samples = names.map(|name| sample(&format!("packed/{name}.parquet")));
        let limits = Limits { mutations: MUTATIONS / 5, ..IMAGE };
        let limits = Limits { repair: |_| (), ..limits };
        survives("parquet", &samples, &limits, parse);
        std::panic::set_hook(quiet);
    }
}

/// Lengths, indices and shapes that a pickle claims, values used again and again, and depth.
#[test]
fn what_a_pickle_claims_or_nests_costs_no_more_than_its_bytes() {
    let _alone = alone();
    let refused = |what: &str, pickle: &[u8]| {
        refused_cheaply(what, || from_bytes::cifar100_pickle(pickle, LabelKind::Fine))
    };
    for length in [u64::MAX, u64::MAX / 2, 1 << 40, 100] {
        for instruction in [0x8e, 0x96, 0x8d] {
            let claim = [&[0x80, 4, instruction], &length.to_le_bytes()[..], b"x."].concat();
            assert!(refused("a long value", &claim).contains("it is cut"));
        }
    }
    assert!(refused("a long text", b"\x80\x02X\xff\xff\xff\xffx.").contains("it is cut"));
    assert!(refused("a negative string", b"\x80\x02T\xff\xff\xff\xffx.").contains("it is cut"));
    assert!(
        refused("a memo", b"\x80\x02Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.").contains("before it is there")
    );
    // Lists in lists, tuples in tuples, a list in itself.
    let deep = |with: &[u8], closed: &[u8]| {
        [b"\x80\x02", &with.repeat(4000)[..], &closed.repeat(3999), b"."].concat()
    };
    refused("lists in lists", &deep(b"]", b"a"));
    refused("tuples in tuples", &deep(b"N", b"\x86"));
    refused("a list in itself", b"\x80\x02]q\x00h\x00a.");
    refused("marks", &deep(b"(", b"t"));
    refused("a dictionary as its own key", b"\x80\x02}q\x00h\x00h\x00s.");
}

/// A pickle of few bytes may do much with a large value: use it as a name, or turn it into bytes, often.
#[test]
fn a_large_value_that_is_used_often_is_not_looked_at_as_often() {
    let _alone = alone();
    let large = vec![b'u'; MIB / 2];
    let text = [b"\x80\x02X", &(large.len() as u32).to_le_bytes()[..], &large, b"q\x000"].concat();
    let text = &text[..text.len() - 1];
    for repeated in [
        &b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"[..],
        b"cnumpy\ndtype\nh\x00\x85R",
        b"h\x00h\x00\x93",
        b"}h\x00Ns",
    ] {
        let pickle = [text, &repeated.repeat(20_000)[..], b"."].concat();
        let (result, peak, time) = measured(|| from_bytes::cifar10_pickle(&pickle));
        assert!(result.is_err() && peak <= 8 * MIB && time <= PATIENCE, "{peak} bytes, {time:?}");
    }
    // Keys that are the same large bytes.
    let keys = [text, b"}(", &b"h\x00N".repeat(100_000)[..], b"u."].concat();
    let (result, peak, time) = measured(|| from_bytes::cifar10_pickle(&keys));
    assert!(result.is_err() && peak <= 32 * MIB && time <= PATIENCE, "{peak} bytes, {time:?}");
}

/// Instructions have a limit, and so has what they take.
#[test]
fn a_pickle_of_very_many_instructions_is_refused() {
    let _alone = alone();
    for instruction in [&b"N"[..], b"]", b"N\x85", b"(", b"]\x94", b"Nq\x00h\x00"] {
        let pickle = [b"\x80\x04", &instruction.repeat(3 << 20)[..], b"."].concat();
        let (result, peak, time) = measured(|| from_bytes::cifar10_pickle(&pickle));
        let message = result.unwrap_err().to_string();
        assert!(message.contains("instructions"), "{message}");
        assert!(peak <= 256 * MIB && time <= PATIENCE, "{peak} bytes, {time:?}");
        println!("{instruction:02x?}: {peak} bytes, {time:?}");
    }
}

#[test]
fn gzip_is_not_unpacked_beyond_the_claim() {
    let _alone = alone();
    let bomb = gzip(&idx_images(1, 2, 2, &vec![0; 64 * MIB]));
    assert!(bomb.len() < MIB / 8);
    let labels = idx_labels(&[3]);
    let refusal = refused_cheaply("gzip", || from_bytes::idx(&bomb, &labels, digit_names()));
    assert!(refusal.contains("more follow"), "{refusal}");
}

#[test]
fn a_png_header_of_pixels_that_cannot_follow_costs_nothing() {
    let _alone = alone();
    use png_bytes::{GREY, Header, PALETTE, RGBA, chunk, file, zlib};
    for (depth, colour) in [(1, GREY), (8, GREY), (1, PALETTE), (8, RGBA), (16, RGBA)] {
        for interlaced in [false, true] {
            let header = Header { interlaced, ..Header::new(16_384, 8_192, depth, colour) };
            let palette = chunk(b"PLTE", &[0; 6]);
            let clear = chunk(b"tRNS", &[0]);
            let between = if colour == PALETTE { [palette, clear].concat() } else { Vec::new() };
            let pixels = chunk(b"IDAT", &zlib(&[0; 5000]));
            let png = file(&[header.chunk(), between, pixels, chunk(b"IEND", b"")]);
            refused_cheaply("PNG", || Picture::decode(&png));
        }
    }
}

#[test]
fn a_jpeg_header_of_pixels_that_cannot_follow_costs_nothing() {
    let _alone = alone();
    for frame in [0xc0, 0xc2] {
        let mut jpeg = jpeg_bytes::grey(8, 8, &[9]);
        jpeg.frame = frame;
        let mut bytes = jpeg.bytes();
        let at = bytes.windows(2).position(|pair| pair == [0xff, frame]).unwrap();
        for [height, width] in [[16_000_u16, 16_000], [1, 16_384], [65_500, 65_500], [0, 8], [8, 0]] {
            bytes[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
            bytes[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
            refused_cheaply("JPEG", || Picture::decode(&bytes));
        }
    }
}

/// A mutation found this: the decoder indexed behind the end of such a palette.
#[test]
fn a_palette_that_ends_inside_a_colour_is_refused() {
    let _alone = alone();
    use png_bytes::{Header, PALETTE, chunk, image};
    for length in [1, 2, 4, 11, 44, 767] {
        let palette = chunk(b"PLTE", &vec![9; length]);
        for depth in [1, 2, 4, 8] {
            let png = image(Header::new(2, 1, depth, PALETTE), std::slice::from_ref(&palette), &[0, 1]);
            let refusal = refused_cheaply("PNG", || Picture::decode(&png));
            assert!(refusal.contains("three a colour"), "{refusal}");
        }
    }
}

/// A mutation found this: after a segment of a wrong length, the decoder still finds the frame.
#[test]
fn a_jpeg_frame_behind_garbage_claims_no_more_than_others() {
    let _alone = alone();
    let mut jpeg = jpeg_bytes::grey(8, 8, &[9]);
    jpeg.segments = vec![vec![8; 40]];
    for frame in [0xc0, 0xc2] {
        jpeg.frame = frame;
        let mut bytes = jpeg.bytes();
        let at = bytes.windows(2).position(|pair| pair == [0xff, frame]).unwrap();
        bytes[at + 5..at + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
        refused_cheaply("JPEG", || Picture::decode(&bytes));
    }
}

#[test]
fn a_folder_of_images_that_claim_too_much_costs_little() {
    let _alone = alone();
    use png_bytes::{GREY, Header, chunk, file, zlib};
    let header = Header::new(16_384, 16_384, 8, GREY).chunk();
    let png = file(&[header, chunk(b"IDAT", &zlib(&[0; 100])), chunk(b"IEND", b"")]);
    let dir = directory();
    for i in 0..50 {
        put(dir.path(), &format!("class/{i}.png"), &png);
    }
    let refusal = refused_cheaply("folder", || open(dir.path()));
    assert!(refusal.contains("50 image files"), "{refusal}");
}

/// 10 GB of zeros as deflate packs them, in 10 MB: the same part again and again.
fn ten_gigabytes(start: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(start).unwrap();
    encoder.flush().unwrap();
    let begin = encoder.get_ref().len();
    encoder.write_all(&vec![0; 64 * MIB]).unwrap();
    encoder.flush().unwrap();
    let packed = encoder.get_ref().clone();
    let mut stream = packed[..begin].to_vec();
    (0..160).for_each(|_| stream.extend(&packed[begin..]));
    // An empty last block.
    stream.extend([3, 0]);
    assert!(stream.len() < 11 * MIB);
    stream
}

/// A zip archive of one deflated member that is said to have `claim` bytes.
fn zip_of(stream: &[u8], claim: u32) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("a/1.png", stored).unwrap();
    archive.write_all(stream).unwrap();
    let mut bytes = archive.finish().unwrap().into_inner();
    let central = bytes.windows(4).rposition(|at| at == b"PK\x01\x02").unwrap();
    for (method, size) in [(8, 22), (central + 10, central + 24)] {
        bytes[method..method + 2].copy_from_slice(&[8, 0]);
        bytes[size..size + 4].copy_from_slice(&claim.to_le_bytes());
    }
    bytes
}

/// The header of a member of a tar archive.
fn tar_header(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A gzip file of this stream, without the checksum that would follow it.
fn gzip_of(stream: Vec<u8>) -> Vec<u8> {
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], &stream[..]].concat()
}

#[test]
fn ten_gigabytes_in_a_small_archive_are_refused_quickly_and_with_little_memory() {
    let _alone = alone();
    let dir = directory();
    let ten = 10_u64 << 30;
    let tar = |name: &str, kind, size| gzip_of(ten_gigabytes(&tar_header(name, kind, size)));
    let regular = tar::EntryType::Regular;
    for (what, name, bytes, says) in [
        (
            "a zip that says more than may be read",
            "x.zip",
            zip_of(&ten_gigabytes(&[]), 0xffff_fffe),
            "--max-gigabytes",
        ),
        ("a zip that says few bytes", "x.zip", zip_of(&ten_gigabytes(&[]), 1000), "larger than"),
        ("a small zip that says many", "x.zip", zip_of(&[3, 0], 400_000_000), "unpack to"),
        ("an image in a tar", "x.tar.gz", tar("a/1.png", regular, ten), "--max-gigabytes"),
        ("something else in a tar", "x.tar.gz", tar("a/1.mp4", regular, ten), "unpack to"),
        ("a long name in a tar", "x.tar.gz", tar("a", tar::EntryType::GNULongName, ten), "a header of"),
        ("an extension in a tar", "x.tar.gz", tar("a", tar::EntryType::XHeader, ten), "a header of"),
        ("what follows the end", "x.tar.gz", gzip_of(ten_gigabytes(&[])), "unpack to"),
        ("a tar that is cut", "x.tar", tar_header("a/1.png", regular, ten), "cut"),
        (
            "a tar that is cut in a name",
            "x.tar",
            tar_header("a", tar::EntryType::GNULongName, ten),
            "a header of",
        ),
    ] {
        let path = put(dir.path(), name, &bytes);
        drop(bytes);
        let (result, peak, time) = measured(|| open(&path));
        let message = result.expect_err(what).to_string();
        println!("{what}: {peak} bytes, {time:?}: {message}");
        assert!(message.contains(says), "{what}: {message}");
        assert!(peak <= MIB, "{what} takes {peak} bytes");
        assert!(time <= Duration::from_secs(2), "{what} takes {time:?}");
    }
}
