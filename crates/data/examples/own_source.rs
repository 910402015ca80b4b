//! Your own data set: a function makes images, and training can use them.
//!
//! `cargo run --release -p duet-data --example own_source` describes the data set. With the name of a PNG
//! file after it, it draws the first images to that file.

use duet_data::{Captions, DataError, Dataset, Picture, Shape, Splits};

const SHAPE: Shape = Shape { channels: 1, height: 16, width: 16 };
const CLASSES: [&str; 3] = ["disc", "square", "cross"];

/// The images from number `first` on. Each is a function of its number alone.
fn shapes(first: usize, count: usize) -> Result<Dataset, DataError> {
    let classes = CLASSES.map(String::from).to_vec();
    Dataset::from_fn(SHAPE, classes, count, |i, image| {
        let (label, variant) = ((first + i) % CLASSES.len(), (first + i) / CLASSES.len());
        let radius = 3.0 + (variant % 5) as f32;
        let (centre_y, centre_x) =
            (7.5 + (variant / 5 % 3) as f32 - 1.0, 7.5 + (variant / 15 % 3) as f32 - 1.0);
        for (at, value) in image.iter_mut().enumerate() {
            let y = (at / SHAPE.width) as f32 - centre_y;
            let x = (at % SHAPE.width) as f32 - centre_x;
            // Signed distances from the edge, which become one pixel of grey there.
            let outside = match CLASSES[label] {
                "disc" => x.hypot(y) - radius,
                "square" => x.abs().max(y.abs()) - radius,
                _ => x.abs().min(y.abs()).max(x.abs().max(y.abs()) - radius) - 1.0,
            };
            *value = (-2.0 * outside).clamp(-1.0, 1.0);
        }
        label as u32
    })
}

fn main() -> Result<(), DataError> {
    let splits = Splits::new("shapes", shapes(0, 300)?, shapes(300, 60)?)?;
    println!("{}", splits.describe());
    splits.warnings().iter().for_each(|warning| println!("{warning}"));
    println!("{:?} images of {:?}", splits.train.class_counts(), splits.train.classes());
    println!("fingerprint {}", splits.train.fingerprint());

    let Some(path) = std::env::args().nth(1) else { return Ok(()) };
    let picture = |i: usize| {
        let mut image = vec![0.0; SHAPE.len()];
        splits.train.image(i, &mut image);
        Picture::from_unit(SHAPE.channels, SHAPE.height, SHAPE.width, &image)
    };
    let pictures: Vec<Picture> = (0..15).map(picture).collect();
    let captions = Captions {
        title: splits.describe(),
        columns: CLASSES.map(String::from).to_vec(),
        ..Captions::default()
    };
    Picture::captioned_grid(&pictures, CLASSES.len(), 4, &captions)?.write_png(path)
}
