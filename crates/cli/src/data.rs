//! `data`: what training would see of a data set.

use crate::exit::usage;
use crate::images::Images;
use crate::terminal::{err, out};
use anyhow::Result;
use duet_diffusion::data::{Picture, Splits};
use duet_diffusion::files::create_parent;
use duet_diffusion::{DataConfig, RunConfig, class_sheet};
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
    #[command(flatten)]
    images: Images,
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
        image_size: args.images.image_size,
        channels: args.images.channels,
        label: args.images.label,
        max_megapixels: args.images.max_megapixels,
        max_gigabytes: args.images.max_gigabytes,
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
    let (train, shape) = (&data.train, data.train.shape());
    let picture = |i: usize| {
        let mut values = vec![0f32; shape.len()];
        train.image(i, &mut values);
        Picture::from_unit(shape.channels, shape.height, shape.width, &values)
    };
    let of_class = |class: usize| {
        let of_class = (0..train.len()).filter(|&i| train.label(i) as usize == class);
        of_class.take(SHOWN).map(picture).collect()
    };
    let names = &train.classes()[..train.classes().len().min(MOST_CLASSES)];
    Ok(class_sheet(data.describe(), names, SHOWN, of_class)?)
}
