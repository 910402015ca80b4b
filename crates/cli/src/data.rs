//! `data`: what training would see of a data set.

use crate::exit::usage;
use crate::terminal::{err, out};
use anyhow::Result;
use duet_diffusion::data::{Captions, Dataset, Picture, Splits};
use duet_diffusion::files::create_parent;
use duet_diffusion::{DataConfig, RunConfig};
use std::path::PathBuf;

/// Images of each class on the sheet, and classes on it.
const SHOWN: usize = 12;
const MOST_CLASSES: usize = 50;

/// Flags of `data`.
#[derive(clap::Args)]
pub struct Args {
    /// The embedded digits, or a folder or file as `train --data` takes it
    #[arg(value_name = "digits|DIR|FILE", default_value = "digits")]
    source: String,
    /// Resize the images to this many pixels a side [default: as they are]
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
    /// 1 for grey, 3 for colour [default: as they are]
    #[arg(long, value_name = "1|3")]
    channels: Option<usize>,
    /// Most pixels of one image file, in millions [default: 64]
    #[arg(long, value_name = "N")]
    max_megapixels: Option<u64>,
    /// Most memory that all images may take, in gigabytes [default: 4]
    #[arg(long, value_name = "N")]
    max_gigabytes: Option<u64>,
    /// Draw the first training images of each class here, a row a class
    #[arg(long, value_name = "x.png")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    if let Some(out) = args.out.as_ref().filter(|out| out.extension().is_none_or(|end| end != "png")) {
        return Err(usage(format!("--out {}: use x.png", out.display())));
    }
    let mut config = RunConfig::preset("digits")?;
    config.data = DataConfig {
        source: args.source,
        image_size: args.image_size,
        channels: args.channels,
        max_megapixels: args.max_megapixels,
        max_gigabytes: args.max_gigabytes,
        ..config.data
    };
    let data = config.load_data()?;
    print(&data);
    if let Some(path) = &args.out {
        create_parent(path)?;
        sheet(&data)?.write_png(path)?;
        out!("{}", path.display());
    }
    Ok(())
}

fn print(data: &Splits) {
    out!("{}", data.describe());
    let names = data.train.classes();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(5, 40);
    out!("{:width$}  training  test", "class");
    let counts = data.train.class_counts().into_iter().zip(data.test.class_counts());
    for (name, (train, test)) in names.iter().zip(counts) {
        out!("{name:width$}  {train:8}  {test:4}");
    }
    out!("fingerprint  {}", data.train.fingerprint());
    if data.test.is_empty() {
        err!("warning: no image is held out, so neither the held-out loss nor `eval` has any");
    }
}

/// The first training images of the first classes.
fn sheet(data: &Splits) -> Result<Picture> {
    let train: &Dataset = &data.train;
    let shape = train.shape();
    let (mut pictures, mut rows) = (Vec::new(), Vec::new());
    let mut values = vec![0f32; shape.len()];
    for (class, name) in train.classes().iter().enumerate().take(MOST_CLASSES) {
        let of_class = (0..train.len()).filter(|&i| train.labels()[i] as usize == class).take(SHOWN);
        let mut row = Vec::new();
        for i in of_class {
            train.image(i, &mut values);
            row.push(Picture::from_unit(shape.channels, shape.height, shape.width, &values));
        }
        if let Some(first) = row.first() {
            // A class with fewer has white places.
            let white = Picture { pixels: vec![255; first.pixels.len()], ..first.clone() };
            row.resize(SHOWN, white);
            pictures.extend(row);
            rows.push(name.clone());
        }
    }
    let captions = Captions { title: data.describe(), rows, columns: Vec::new() };
    Ok(Picture::captioned_grid(&pictures, SHOWN, 2, &captions)?)
}
