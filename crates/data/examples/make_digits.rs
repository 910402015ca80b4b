//! Makes the sheets of digits/ again from MNIST's files, with their CHECKSUMS (BLAKE3 of the
//! files) and FINGERPRINTS (of the images and labels in them).
//!
//! `cargo run --release -p duet-data --example make_digits -- MNIST_DIR`

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use duet_data::{Dataset, FolderOptions};

const COLUMNS: usize = 25;

fn main() -> Result<(), Box<dyn Error>> {
    let mnist = env::args_os()
        .nth(1)
        .ok_or("usage: make_digits MNIST_DIR (the directory of MNIST's four IDX files)")?;
    let mnist = duet_data::open(Path::new(&mnist), &FolderOptions::default())?;
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("digits");
    let (mut checksums, mut fingerprints) = (String::new(), String::new());
    let mut total = 0;
    for (split, dataset, per_class) in [("train", &mnist.train, 1000), ("test", &mnist.test, 200)] {
        let chosen = dataset.take_per_class(per_class);
        for class in 0..10 {
            let png = sheet(&chosen, class, per_class)?;
            let name = format!("{split}-{class}.png");
            fs::write(digits.join(&name), &png)?;
            writeln!(checksums, "{}  {name}", blake3::hash(&png).to_hex())?;
            total += png.len();
        }
        let fingerprint = interleave(&chosen)?.fingerprint();
        writeln!(fingerprints, "{fingerprint}  {split}")?;
    }
    fs::write(digits.join("CHECKSUMS"), &checksums)?;
    fs::write(digits.join("FINGERPRINTS"), &fingerprints)?;
    print!("{checksums}{fingerprints}");
    println!("{total} bytes of sheets in {}", digits.display());
    Ok(())
}

/// The images of one class, `COLUMNS` a row, as an 8-bit grey PNG.
fn sheet(dataset: &Dataset, class: u32, count: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let shape = dataset.shape();
    let tiles: Vec<&[u8]> = of_class(dataset, class);
    if (shape.channels, shape.height, shape.width) != (1, 28, 28) || tiles.len() != count {
        return Err(format!("{} images of class {class}, shape {shape}", tiles.len()).into());
    }
    let mut pixels = Vec::with_capacity(count * shape.len());
    for row in tiles.chunks(COLUMNS) {
        for y in 0..shape.height {
            for tile in row {
                pixels.extend_from_slice(&tile[y * shape.width..][..shape.width]);
            }
        }
    }
    let (width, height) = (COLUMNS * shape.width, count / COLUMNS * shape.height);
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    // Strokes on a flat ground: every other filter only adds noise to them.
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.add_itxt_chunk(
        "Source".into(),
        format!(
            "The first {count} images of class {class} in MNIST's file (Yann LeCun, Corinna \
             Cortes, Christopher J. C. Burges), CC BY-SA 3.0"
        ),
    )?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(png)
}

/// The order in which `duet_data::digits()` gives the images: classes alternate.
fn interleave(dataset: &Dataset) -> Result<Dataset, Box<dyn Error>> {
    let classes: Vec<Vec<&[u8]>> = (0..10).map(|class| of_class(dataset, class)).collect();
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for i in 0..classes[0].len() {
        for (class, tiles) in classes.iter().enumerate() {
            pixels.extend_from_slice(tiles[i]);
            labels.push(class as u32);
        }
    }
    let names = dataset.classes().to_vec();
    Ok(Dataset::new(dataset.shape(), pixels, labels, names)?)
}

fn of_class(dataset: &Dataset, class: u32) -> Vec<&[u8]> {
    (0..dataset.len())
        .filter(|&i| dataset.label(i) == class)
        .filter_map(|i| dataset.pixels(i).bytes())
        .collect()
}
