//! The bytes of candle's tensors come back exactly, or an error says why not.

use crate::support::{dataset, image, images, interleaved, label_tensor, labels, tensor};
use candle_core::{DType, Device, Tensor};
use candle_datasets::vision::Dataset;
use duet_data::{FolderOptions, Splits};
use duet_hub::{HubError, ImageSet, PixelOrder, PublicSet, convert};

const ALL: [PublicSet; 3] = [PublicSet::Mnist, PublicSet::FashionMnist, PublicSet::Cifar10];

fn by_row(set: PublicSet, dataset: &Dataset) -> Result<ImageSet, HubError> {
    convert(set, PixelOrder::ByRow, dataset)
}

fn written_and_read(images: &ImageSet) -> Splits {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("set");
    images.write(&dir).unwrap();
    duet_data::open(&dir, &FolderOptions::default()).unwrap()
}

fn message(result: Result<ImageSet, HubError>) -> String {
    match result {
        Err(error @ HubError::Data { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_byte_survives_the_way_over_f32() {
    let mut dataset = dataset(PublicSet::Mnist, 1, 1);
    let bytes: Vec<u8> = (0..784u32).map(|i| (i % 256) as u8).collect();
    dataset.train_images = tensor(bytes.clone(), &[1, 784]);
    let converted = by_row(PublicSet::Mnist, &dataset).unwrap();
    assert_eq!(converted.train().pixels, bytes);
}

#[test]
fn each_set_is_read_back_from_its_files_as_it_was() {
    for set in ALL {
        // More than one portion of the conversion, and no multiple of CIFAR-10's five files.
        let (train, test) = (1503, 7);
        let converted = by_row(set, &dataset(set, train, test)).unwrap();
        let splits = written_and_read(&converted);
        for (part, n) in [(&splits.train, train), (&splits.test, test)] {
            let shape = part.shape();
            assert_eq!((shape.channels, shape.height, shape.width), set.shape());
            assert_eq!(part.classes(), set.classes());
            let read: Vec<u8> = part.labels().iter().map(|&label| label as u8).collect();
            assert_eq!(read, labels(n), "{set}");
            for i in 0..n {
                assert_eq!(part.pixels(i), image(set, i), "{set}, image {i}");
            }
        }
    }
}

#[test]
fn idx_files_are_laid_out_byte_by_byte_as_published() {
    let converted = by_row(PublicSet::FashionMnist, &dataset(PublicSet::FashionMnist, 3, 2)).unwrap();
    let files = converted.files().unwrap();
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    assert_eq!(names, PublicSet::FashionMnist.file_names());

    let unpacked = |i: usize| {
        let mut bytes = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(files[i].bytes.as_slice());
        std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
        bytes
    };
    let images_head = [0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 28, 0, 0, 0, 28];
    assert_eq!(unpacked(0), [images_head.as_slice(), &images(PublicSet::FashionMnist, 3)].concat());
    assert_eq!(unpacked(1), [0, 0, 8, 1, 0, 0, 0, 3, 3, 4, 5]);
    assert_eq!(unpacked(3), [0, 0, 8, 1, 0, 0, 0, 2, 3, 4]);
    let classes = b"T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\nSneaker\nBag\nAnkle boot\n";
    assert_eq!(files[4].bytes, classes);
}

#[test]
fn cifar_batches_are_laid_out_byte_by_byte_as_published() {
    let set = PublicSet::Cifar10;
    let files = by_row(set, &dataset(set, 11, 2)).unwrap().files().unwrap();
    let names: Vec<&str> = files.iter().map(|file| file.name).collect();
    assert_eq!(names, set.file_names());
    let sizes: Vec<usize> = files[..6].iter().map(|file| file.bytes.len() / 3073).collect();
    assert_eq!(sizes, [2, 2, 2, 2, 3, 2]);

    let record = |i: usize| [vec![labels(11)[i]], image(set, i)].concat();
    let train: Vec<u8> = files[..5].iter().flat_map(|file| file.bytes.clone()).collect();
    assert_eq!(train, (0..11).flat_map(record).collect::<Vec<u8>>());
    assert_eq!(files[5].bytes, (0..2).flat_map(record).collect::<Vec<u8>>());
    let classes = b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n";
    assert_eq!(files[6].bytes, classes);
}

/// The steps of candle-datasets' private `cifar::load_parquet` after decoding, to the letter. That
/// they are its steps is what `tests/program.rs` shows, through the real ones.
#[test]
fn images_by_column_are_turned_upright() {
    let set = PublicSet::Cifar10;
    let parquet = |n: usize| {
        let decoded: Vec<u8> = (0..n).flat_map(|i| interleaved(set, &image(set, i))).collect();
        let decoded = Tensor::from_vec(decoded, (n, 32, 32, 3), &Device::Cpu).unwrap();
        let images = decoded.to_dtype(DType::F32).unwrap().permute((0, 3, 2, 1)).unwrap();
        (images / 255.0).unwrap()
    };
    let mut dataset = dataset(set, 6, 2);
    dataset.train_images = parquet(6);
    dataset.test_images = parquet(2);
    let mirrored = convert(set, PixelOrder::ByRow, &dataset).unwrap();
    assert_ne!(mirrored.train().pixels, images(set, 6));
    let upright = convert(set, PixelOrder::of_download(set), &dataset).unwrap();
    assert_eq!(upright.train().pixels, images(set, 6));
    assert_eq!(upright.test().pixels, images(set, 2));
}

#[test]
fn a_label_without_a_class_is_refused() {
    let mut bad = dataset(PublicSet::Mnist, 4, 2);
    bad.test_labels = label_tensor(vec![9, 10]);
    let message = message(by_row(PublicSet::Mnist, &bad));
    assert_eq!(message, "MNIST is not as it was published: label 10 of test image 1 is not one of 0 to 9");
}

#[test]
fn a_pixel_that_is_no_byte_is_refused() {
    for (value, told) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
        (-1.0 / 255.0, "-0.003921569"),
        (256.0 / 255.0, "1.0039216"),
        (0.5, "0.5"),
    ] {
        let mut bad = dataset(PublicSet::Mnist, 4, 2);
        let mut values = vec![0f32; 4 * 784];
        values[2 * 784 + 5] = value;
        bad.train_images = Tensor::from_vec(values, (4, 784), &Device::Cpu).unwrap();
        let message = message(by_row(PublicSet::Mnist, &bad));
        assert!(
            message.ends_with(&format!("training image 2 has a pixel of {told}, which is no byte over 255")),
            "{message}"
        );
    }
}

#[test]
fn other_shapes_types_and_numbers_are_refused() {
    let set = PublicSet::Cifar10;
    let good = || dataset(set, 6, 2);
    let bad_image = |train_images: Tensor| message(by_row(set, &Dataset { train_images, ..good() }));
    let bad_label = |train_labels: Tensor| message(by_row(set, &Dataset { train_labels, ..good() }));

    let flat = tensor(vec![0; 6 * 784], &[6, 784]);
    assert!(bad_image(flat).contains("[6, 784], not f32 of shape [6, 3, 32, 32] or [6, 3072]"));
    let last = tensor(images(set, 6), &[6, 32, 32, 3]);
    assert!(bad_image(last).contains("[6, 32, 32, 3], not f32"));
    let fewer = tensor(images(set, 5), &[5, 3, 32, 32]);
    assert!(bad_image(fewer).contains("for 6 labels"));
    let doubles = good().train_images.to_dtype(DType::F64).unwrap();
    assert!(bad_image(doubles).contains("F64 of shape [6, 3, 32, 32], not f32"));

    let wide = good().train_labels.to_dtype(DType::I64).unwrap();
    assert!(bad_label(wide).contains("I64 of shape [6], not u8"));
    let square = label_tensor(labels(6)).reshape((3, 2)).unwrap();
    assert!(bad_label(square).contains("U8 of shape [3, 2], not u8 of shape [n]"));

    assert!(
        message(by_row(set, &Dataset { labels: 100, ..good() })).contains("100 classes where there are 10")
    );
    assert!(message(by_row(set, &dataset(set, 4, 2))).contains("4 training images where at least 5"));
    assert!(
        message(by_row(set, &Dataset { test_labels: label_tensor(vec![]), ..good() }))
            .contains("0 test images where at least 1")
    );
}

#[test]
fn only_the_published_numbers_of_images_pass_the_check() {
    let few = by_row(PublicSet::Mnist, &dataset(PublicSet::Mnist, 6, 2)).unwrap();
    let message = few.check_counts().unwrap_err().to_string();
    assert!(message.ends_with("6 training and 2 test images where there are 60000 and 10000"), "{message}");
}
