//! `cargo xtask classify`: the diffusion model as a classifier (Li et al. 2023).

use crate::drawing::Drawing;
use crate::exit::usage;
use crate::images::seam;
use crate::model_folder::{self, Model};
use crate::terminal::out;
use crate::yardstick::{self, Yardstick};
use crate::{hardware, run_folder, selection};
use anyhow::Result;
use candle_core::Device;
use duet_data::Picture;
use duet_eval::{Classified, Confusion, Denoiser, Labelled, classify_by_denoising};
use duet_model::Purpose;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pairs of timestep and noise in each stage, after which the worse half of the classes is out.
const STAGES: [usize; 4] = [8, 16, 32, 64];
/// Rows that the network is given at once.
const BATCH: usize = 128;

/// Flags of `classify`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, a checkpoint, or any model folder
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Held-out images, the same number of each class
    #[arg(long, default_value_t = 200)]
    n: usize,
    /// Where these are from [default: the run's data]
    #[arg(long, value_name = "digits|DIR")]
    data: Option<String>,
    /// Says what this picture shows instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["n", "data"])]
    image: Option<PathBuf>,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    hardware::set_threads(args.threads)?;
    let model = model_folder::load(&args.run, &Device::Cpu)?;
    if let Some(path) = &args.image {
        return one(&model, path);
    }
    let config = Yardstick::config(run_folder::of(&args.run)?.as_deref(), args.data.as_deref())?;
    let splits = config.load_data()?;
    check(&model, splits.test.classes().len())?;
    if splits.test.is_empty() {
        return Err(usage(format!(
            "classify: held-out images are classified, of which {} has none; see --data and --image",
            splits.name
        )));
    }
    let held_out = splits.test.take_per_class(each(args.n, splits.test.classes().len()));
    let (images, labels) = yardstick::tensors(&held_out)?;
    let started = Instant::now();
    let found = classified(&model, &images)?;
    let confusion = Confusion::new(&labels, &found.classes, model.classes.len() as u32)?;
    out!(
        "{:.1} % of {} held-out images are taken for their class, with {:.0} network evaluations an image, {:.1} s in all",
        100.0 * confusion.accuracy(),
        labels.len(),
        found.evaluations,
        started.elapsed().as_secs_f64()
    );
    for class in 0..model.classes.len() as u32 {
        if let Some(accuracy) = confusion.accuracy_of(class) {
            out!("  {}: {:.1} %", model.classes[class as usize], 100.0 * accuracy);
        }
    }
    Ok(())
}

/// How many images of each class make `n`.
pub fn each(n: usize, classes: usize) -> usize {
    n.div_ceil(classes.max(1)).max(1)
}

fn one(model: &Model, path: &Path) -> Result<()> {
    check(model, model.classes.len())?;
    let config = model.loaded.unet.config();
    let Some((height, width)) = config.sample_size.map(|size| size.sides()).filter(|(h, w)| h == w) else {
        return Err(usage("--image: the model's images are no square pictures"));
    };
    let picture = Picture::read(path)?.fitted(config.in_channels, height)?;
    let shape = (1, config.in_channels, height, width);
    let image = candle_core::Tensor::from_vec(picture.to_unit(), shape, &Device::Cpu)?;
    let found = classified(model, &image)?;
    out!("{}: {}", path.display(), model.classes[found.classes[0] as usize]);
    Ok(())
}

fn check(model: &Model, classes: usize) -> Result<()> {
    match model.classes.len() {
        0 => Err(usage(format!("{}: has no classes to tell apart", model.folder.display()))),
        known if known != classes => {
            Err(usage(format!("the data have {classes} classes, and the model knows {known}")))
        }
        _ => Ok(()),
    }
}

/// The classes of images (n, C, H, W), as the model sees them.
pub fn classified(model: &Model, images: &candle_core::Tensor) -> Result<Classified> {
    let snapshot = model.loaded.unet.snapshot(Purpose::Prediction)?;
    let schedule = model.scheduler.noise_schedule()?;
    let mut predict = seam(&snapshot);
    let prediction = model.scheduler.prediction()?;
    let mut denoiser = Denoiser { schedule: &schedule, prediction, predict: &mut predict, batch: BATCH };
    let data = Labelled { images, labels: None };
    Ok(classify_by_denoising(&mut denoiser, data, model.classes.len() as u32, &STAGES, 0)?)
}

/// The settings of `eval` and `sweep` that say how many images of each of these classes are drawn.
pub fn of_classes(drawing: &Drawing, labels: &[u32], names: &[String], each: usize) -> Drawing {
    let class = selection::list(labels, names);
    Drawing { class, seeds: format!("0-{}", each.max(1) - 1), ..drawing.clone() }
}
