//! `cargo xtask ema`: another average of a run's weights, after the training.

use crate::drawing::Drawing;
use crate::exit::usage;
use crate::export::{refuse_existing, write_folder};
use crate::hardware;
use crate::model_folder::{self, Model};
use crate::plan::Models;
use crate::progress::Progress;
use crate::run_folder;
use crate::score::Score;
use crate::snapshots;
use crate::terminal::{command, err, out};
use crate::yardstick::Yardstick;
use anyhow::Result;
use candle_core::{Device, Tensor};
use duet_model::{LoadedModel, UNet};
use duet_optim::{POWER_LENGTHS, PowerAverage, power_factors};
use duet_train::TrainError;
use duet_train::checkpoint::{CONFIG_COPY, model_files};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The lengths that are tried where none are named.
const LENGTHS: &str = "0.02,0.03,0.05,0.075,0.1,0.15,0.2";
/// Of more snapshots, this many are enough, and their system of equations is quickly solved.
const MOST: usize = 200;
/// More of the wanted weighting than this left out is worth a warning.
const FAR: f64 = 0.1;

/// Flags of `ema`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    drawing: Drawing,
    /// Relative length σ_rel of the average, above 0 and below 0.288, the mean of all steps
    #[arg(long, value_name = "LENGTH", conflicts_with = "sweep", required_unless_present = "sweep")]
    length: Option<f64>,
    /// Measures averages of these lengths [default: 0.02 to 0.2]
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', num_args = 0..=1, default_missing_value = LENGTHS)]
    sweep: Option<Vec<f64>>,
    /// Images that each of them is measured with
    #[arg(long, value_name = "N", default_value_t = 1000)]
    score: usize,
    /// The step after which the averages are taken, one with a snapshot [default: the checkpoint's, or
    /// the last]
    #[arg(long)]
    step: Option<u64>,
    /// Where the model folder with the averaged weights goes, which must not exist yet; with --sweep,
    /// the best one's
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Images in one pass through the network; they do not depend on it
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    hardware::set_threads(args.threads)?;
    let device = hardware::device(&args.device)?;
    let run = run_folder::of(&args.drawing.run)?.ok_or_else(|| {
        usage(format!("--run {}: a run's folder is needed, which has the snapshots", args.drawing.run))
    })?;
    if let Some(out) = &args.out {
        refuse_existing(out)?;
    }
    let model = model_folder::load(&args.drawing.run, &device)?;
    let snapshots = Snapshots::of(&run, args.step, &model)?;
    let lengths = args.length.map_or_else(|| args.sweep.clone().unwrap_or_default(), |length| vec![length]);
    let averages = snapshots.averages(&lengths, &model)?;
    let best = match args.sweep {
        Some(_) => sweep(&args, &run, &model, (&lengths, &averages), &device)?,
        None => 0,
    };
    let Some(out) = args.out else {
        let (run, length) = (run.display().to_string(), lengths[best].to_string());
        let step = snapshots.last.to_string();
        let words = ["ema", "--run", &run, "--length", &length, "--step", &step, "--out", "DIR"];
        out!("write it as a model folder with:\n  {}", command(words));
        return Ok(());
    };
    let model = with_weights(&model, averages[best].clone(), &device)?;
    let (config, notes) = (model.loaded.unet.config(), &model.loaded.notes);
    let mut files = model_files(config, &model.loaded.parameters, notes, &model.scheduler)?;
    if let Ok(copy) = std::fs::read(model.folder.join(CONFIG_COPY)) {
        files.insert(CONFIG_COPY.into(), copy);
    }
    write_folder(&out, files)?;
    out!("{}: the average of length {} after step {}", out.display(), lengths[best], snapshots.last);
    Ok(())
}

/// Prints a table; the index of the length whose images are closest to the held-out ones.
fn sweep(
    args: &Args,
    run: &Path,
    model: &Model,
    (lengths, averages): (&[f64], &[BTreeMap<String, Tensor>]),
    device: &Device,
) -> Result<usize> {
    let yardstick = Yardstick::new(Some(run), "--sweep")?;
    let mut progress = Progress::new(0, 1 + lengths.len() as u64, 1, "models/s");
    let score = |model: Model| {
        let guide = args.drawing.guide_with.as_deref();
        let guide = guide.map(|name| model_folder::load_guide(name, &model, device)).transpose()?;
        let models = Models { model, guide };
        Score::of(&args.drawing, &models, &yardstick, (args.score, args.batch), device)
    };
    let mut scores = Vec::new();
    let own = score(with_weights(model, tensors(model), device)?)?;
    for (i, average) in averages.iter().enumerate() {
        progress.show(1 + i as u64, "");
        scores.push(score(with_weights(model, average.clone(), device)?)?);
    }
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
    let own = model.folder.display();
    out!("closest: {}; \"ema\" is the average in {own}", lengths[best]);
    Ok(best)
}

fn tensors(model: &Model) -> BTreeMap<String, Tensor> {
    let parameters = model.loaded.parameters.iter();
    parameters.map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect()
}

/// The same model with other weights.
fn with_weights(model: &Model, weights: BTreeMap<String, Tensor>, device: &Device) -> Result<Model> {
    let (unet, parameters) = UNet::from_tensors(model.loaded.unet.config(), weights, device)?;
    let (folder, notes) = (model.loaded.folder.clone(), model.loaded.notes.clone());
    Ok(Model {
        loaded: LoadedModel { unet, parameters, folder, notes },
        scheduler: model.scheduler.clone(),
        classes: model.classes.clone(),
        sample: model.sample.clone(),
        folder: model.folder.clone(),
        ..*model
    })
}

/// The snapshots of a run up to a step.
struct Snapshots {
    files: Vec<(u64, PathBuf)>,
    last: u64,
}

impl Snapshots {
    /// Up to `step`, or that of the model's checkpoint if there is a snapshot of it, or the newest.
    fn of(run: &Path, step: Option<u64>, model: &Model) -> Result<Self> {
        let mut files = snapshots::list(run);
        let Some(&(newest, _)) = files.last() else {
            return Err(usage(format!(
                "{}: the run kept no snapshots of its weights; train with ema_snapshots = N in [train]",
                run.display()
            )));
        };
        let step_of = |name: &OsStr| name.to_str()?.strip_prefix("step-")?.parse::<u64>().ok();
        let of_checkpoint = model.folder.file_name().and_then(step_of);
        let of_checkpoint = of_checkpoint.filter(|step| files.iter().any(|(other, _)| other == step));
        let last = step.or(of_checkpoint).unwrap_or(newest);
        if !files.iter().any(|(step, _)| *step == last) {
            let known: Vec<String> = files.iter().map(|(step, _)| step.to_string()).collect();
            return Err(usage(format!("--step {last}: there are snapshots after {}", known.join(", "))));
        }
        files.retain(|(step, _)| *step <= last);
        // One that is missing is named too.
        for (_, found) in snapshots::check(run, last)? {
            found?;
        }
        // Counted from the last, which always stays.
        let (count, every) = (files.len(), files.len().div_ceil(MOST));
        let kept = files.into_iter().enumerate().filter(|(i, _)| (count - 1 - i) % every == 0);
        let files = kept.map(|(_, file)| file).collect();
        Ok(Self { files, last })
    }

    /// The weights of each length, from one pass through the files.
    fn averages(&self, lengths: &[f64], model: &Model) -> Result<Vec<BTreeMap<String, Tensor>>> {
        let steps = self.files.iter().map(|(step, _)| *step);
        let kept: Vec<PowerAverage> =
            steps.flat_map(|step| POWER_LENGTHS.map(|length| PowerAverage { step, length })).collect();
        let mut factors = Vec::new();
        for &length in lengths {
            let (found, left) = power_factors(&kept, PowerAverage { step: self.last, length })?;
            if left > FAR {
                let left = 100.0 * left;
                err!(
                    "warning: length {length}: {left:.0} % of its weighting cannot be made of the snapshots"
                );
            }
            factors.push(found);
        }
        let mut sums = vec![BTreeMap::new(); lengths.len()];
        for (i, (_, path)) in self.files.iter().enumerate() {
            let refuse = |reason: String| TrainError::Checkpoint { path: path.clone(), reason };
            let tensors = duet_model::read_tensors(path, model.loaded.unet.device())?;
            for (j, length) in POWER_LENGTHS.iter().enumerate() {
                for (name, _) in model.loaded.parameters.iter() {
                    let key = format!("{length}.{name}");
                    let values = tensors.get(&key).ok_or_else(|| refuse(format!("{key} is missing")))?;
                    for (sums, factors) in sums.iter_mut().zip(&factors) {
                        add(sums, name, values, factors[i * POWER_LENGTHS.len() + j])
                            .map_err(|error| refuse(error.to_string()))?;
                    }
                }
            }
        }
        Ok(sums)
    }
}

fn add(
    sums: &mut BTreeMap<String, Tensor>,
    name: &str,
    values: &Tensor,
    factor: f64,
) -> candle_core::Result<()> {
    let part = (values * factor)?;
    let sum = match sums.remove(name) {
        Some(sum) => (sum + part)?,
        None => part,
    };
    sums.insert(name.into(), sum);
    Ok(())
}
