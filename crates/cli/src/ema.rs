//! `ema`: another average of a run's weights, after the training.

use crate::drawing::DrawingArgs;
use crate::exit::usage;
use crate::hardware::Machine;
use crate::models;
use crate::progress::Progress;
use crate::terminal::{command, out};
use anyhow::Result;
use duet_diffusion::averages::{Averages, Measure};
use duet_diffusion::files::refuse_existing;
use duet_diffusion::find;
use duet_diffusion::metrics::Score;
use duet_diffusion::yardstick::Yardstick;
use std::path::{Path, PathBuf};

/// The lengths that are tried where none are named.
const LENGTHS: &str = "0.02,0.03,0.05,0.075,0.1,0.15,0.2";

/// Flags of `ema`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    drawing: DrawingArgs,
    /// Relative length σ_rel of the average, above 0 and below 0.288, the mean of all steps
    #[arg(
        long,
        help_heading = "Averages",
        value_name = "LENGTH",
        conflicts_with = "sweep",
        required_unless_present = "sweep"
    )]
    length: Option<f64>,
    /// Measures averages of these lengths [default: 0.02 to 0.2]
    #[arg(long, help_heading = "Averages", value_name = "LENGTHS", value_delimiter = ',', num_args = 0..=1, default_missing_value = LENGTHS)]
    sweep: Option<Vec<f64>>,
    /// Images that each of them is measured with
    #[arg(long, help_heading = "Averages", value_name = "N", default_value_t = 1000)]
    score: usize,
    /// The step after which the averages are taken, one with a snapshot [default: the checkpoint's, or
    /// the last]
    #[arg(long, help_heading = "Averages")]
    step: Option<u64>,
    /// Where the model folder with the averaged weights goes, which must not exist yet; with --sweep,
    /// the best one's
    #[arg(long, help_heading = "Output", value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let device = args.machine.start()?;
    let drawing = args.drawing.drawing()?;
    let run = find::run_of(&drawing.run)?.ok_or_else(|| {
        usage(format!("--run {}: a run's folder is needed, which has the snapshots", drawing.run))
    })?;
    if let Some(out) = &args.out {
        refuse_existing(out)?;
    }
    let model = models::open(&drawing.run, &device)?;
    let lengths = args.length.map_or_else(|| args.sweep.clone().unwrap_or_default(), |length| vec![length]);
    let averages = Averages::new(&run, args.step, &lengths, &model)?;
    let best = match args.sweep {
        Some(_) => {
            let yardstick = Yardstick::new(Some(&run), "sweep")?;
            let (count, batch) = (args.score, args.machine.batch);
            let measure = Measure { drawing: &drawing, yardstick: &yardstick, count, batch, device: &device };
            sweep(&averages, &measure, &model.folder)?
        }
        None => 0,
    };
    let length = averages.lengths()[best];
    match args.out {
        Some(out) => {
            averages.write(best, &out, &device)?;
            out!("{}: the average of length {length} after step {}", out.display(), averages.step);
        }
        None => {
            let (run, length, step) =
                (run.display().to_string(), length.to_string(), averages.step.to_string());
            let words = ["ema", "--run", &run, "--length", &length, "--step", &step, "--out", "DIR"];
            out!("write it as a model folder with:\n  {}", command(words));
        }
    }
    Ok(())
}

/// Prints a table; the index of the length whose images are closest to the held-out ones.
fn sweep(averages: &Averages, measure: &Measure, own_folder: &Path) -> Result<usize> {
    let lengths = averages.lengths();
    let mut progress = Progress::new(0, 1 + lengths.len() as u64, 1, "models/s");
    let (own, scores) = averages.scores(measure, |done| progress.show(done as u64, ""))?;
    progress.finish();
    out!("length  accuracy  Fréchet  precision  recall");
    let row = |name: String, score: &Score| {
        let Score { accuracy, frechet, precision, recall, .. } = score;
        let accuracy = 100.0 * accuracy;
        out!("{name:<6}  {accuracy:>6.2} %  {frechet:>7.4}  {precision:>9.3}  {recall:>6.3}");
    };
    row("ema".into(), &own);
    for (length, score) in lengths.iter().zip(&scores) {
        row(length.to_string(), score);
    }
    let best =
        (0..scores.len()).min_by(|&a, &b| scores[a].frechet.total_cmp(&scores[b].frechet)).unwrap_or(0);
    out!("closest: {}; \"ema\" is the average in {}", lengths[best], own_folder.display());
    Ok(best)
}
