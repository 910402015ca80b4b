//! A cache of Hugging Face's tools with a data set in it, so that candle-datasets' own `load` runs
//! without a network: its parquet files, its image decoder, its order of pixels.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use duet_hub::PublicSet;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{image, interleaved, labels};

/// How many different images there are in a set here; they are repeated.
pub const DIFFERENT: usize = 9;

/// Puts `train` and `test` images of the set into the cache.
pub fn fill(cache: &Path, set: PublicSet, train: usize, test: usize) {
    let pngs: Vec<Vec<u8>> = (0..DIFFERENT).map(|i| png(set, i)).collect();
    let cycle = |n: usize| (0..n).map(|i| pngs[i % DIFFERENT].clone()).collect::<Vec<_>>();
    write_parquet(&parquet_path(cache, set, "train"), set, cycle(train), &labels(train));
    write_parquet(&parquet_path(cache, set, "test"), set, cycle(test), &labels(test));
}

/// Puts `content` in the place of an image file into a set that is otherwise sound.
pub fn fill_with(cache: &Path, set: PublicSet, content: &[u8]) {
    for part in ["train", "test"] {
        write_parquet(&parquet_path(cache, set, part), set, vec![content.to_vec()], &labels(1));
    }
}

/// Where candle-datasets looks for a part, whose folder is made.
pub fn parquet_path(cache: &Path, set: PublicSet, part: &str) -> std::path::PathBuf {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let (repository, folder) = match set {
        PublicSet::Mnist => ("datasets--ylecun--mnist", "mnist"),
        PublicSet::FashionMnist => ("datasets--zalando-datasets--fashion_mnist", "fashion_mnist"),
        PublicSet::Cifar10 => ("datasets--cifar10", "plain_text"),
    };
    let repository = cache.join(repository);
    let reference = repository.join("refs/refs/convert/parquet");
    fs::create_dir_all(reference.parent().unwrap()).unwrap();
    fs::write(reference, COMMIT).unwrap();
    let dir = repository.join("snapshots").join(COMMIT).join(folder).join(part);
    fs::create_dir_all(&dir).unwrap();
    dir.join("0000.parquet")
}

fn png(set: PublicSet, i: usize) -> Vec<u8> {
    let (channels, rows, columns) = set.shape();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns as u32, rows as u32);
    encoder.set_color(if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&interleaved(set, &image(set, i))).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The columns of the sets' parquet files on huggingface.co.
fn write_parquet(path: &Path, set: PublicSet, images: Vec<Vec<u8>>, labels: &[u8]) {
    let name = if set == PublicSet::Cifar10 { "img" } else { "image" };
    let schema = format!(
        "message schema {{
            optional group {name} {{ optional binary bytes; optional binary path (STRING); }}
            optional int64 label;
        }}"
    );
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut rows = writer.next_row_group().unwrap();
    let n = images.len();

    let images: Vec<ByteArray> = images.into_iter().map(ByteArray::from).collect();
    let mut column = rows.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&images, Some(&vec![2; n]), None).unwrap();
    column.close().unwrap();

    // No image has a path.
    let mut column = rows.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; n]), None).unwrap();
    column.close().unwrap();

    let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
    let mut column = rows.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; n]), None).unwrap();
    column.close().unwrap();

    rows.close().unwrap();
    writer.close().unwrap();
}
