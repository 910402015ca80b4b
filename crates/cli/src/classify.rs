//! `classify`: the diffusion model as a classifier (Li et al. 2023).

use crate::exit::usage;
use crate::terminal::out;
use crate::{hardware, models};
use anyhow::Result;
use candle_core::Device;
use duet_diffusion::data::LabelKind;
use duet_diffusion::yardstick::{self, Yardstick};
use duet_diffusion::{classify, find};
use duet_eval::Confusion;
use std::path::PathBuf;
use std::time::Instant;

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
    #[arg(long, value_name = "digits|DIR|FILE")]
    data: Option<String>,
    /// The label of these that is the class, where images have two [default: the run's, or fine]
    #[arg(long, value_name = "fine|coarse", requires = "data")]
    label: Option<LabelKind>,
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
    let model = models::open(&args.run, &Device::Cpu)?;
    if let Some(path) = &args.image {
        let class = classify::picture(&model, path)?;
        out!("{}: {}", path.display(), model.classes[class as usize]);
        return Ok(());
    }
    let run = find::run_of(&args.run)?;
    let splits = Yardstick::config(run.as_deref(), args.data.as_deref(), args.label)?.load_data()?;
    classify::check(&model, splits.test.classes().len())?;
    if splits.test.is_empty() {
        return Err(usage(format!(
            "classify: held-out images are classified, of which {} has none; see --data and --image",
            splits.name
        )));
    }
    let held_out = splits.test.take_per_class(yardstick::each(args.n, splits.test.classes().len()));
    let (images, labels) = yardstick::tensors(&held_out)?;
    let started = Instant::now();
    let found = classify::classified(&model, &images)?;
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
