//! `train`: from labelled images to a model folder.

use crate::exit::{self, Interrupted, usage};
use crate::hardware::Compute;
use crate::images::Images;
use crate::interrupt::{Interrupt, SIGINT};
use crate::job;
use crate::progress::Progress;
use crate::terminal::{command, err, out};
use anyhow::Result;
use candle_core::Device;
use clap::ValueEnum;
use duet_diffusion::data::Splits;
use duet_diffusion::words::{duration, megabytes};
use duet_diffusion::{
    FromWeights, NewRun, PRESETS, PREVIEW_CLASSES, Preset, Resume, RunConfig, Session, Stepped, assignment,
    budget, find, yardstick,
};
use duet_model::Memory;
use duet_optim::{ema_decay, ema_reached};
use duet_train::{Flip, LossWeighting, Optimizer};
use std::path::{Path, PathBuf};
use std::time::Instant;
use toml::Value;

/// Flags of `train`. Defaults are the preset's.
#[derive(clap::Args)]
pub struct Args {
    /// Settings to start from: digits, digits-long for half an hour, original, the recipe that the project
    /// began with, or colour [default: digits for grey images of up to 32 pixels a side and beside a
    /// configuration file, colour for others]
    #[arg(long)]
    preset: Option<String>,
    /// Settings that beat the preset's, a TOML file such as configs/digits.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any setting by its key, such as train.learning_rate=1e-3 or diffusion.schedule=cosine; beats the preset's and
    /// the file's. For several settings, give the flag several times. A key that only one table has needs no table
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Images: the embedded digits, a folder with MNIST-style IDX files, CIFAR-10 or CIFAR-100, NumPy's arrays,
    /// webdataset's shards, parquet files or one folder of images (PNG, JPEG, WebP, GIF, BMP, TIFF) per class, or a
    /// .npz, .csv, .parquet, .zip, .tar or .tar.gz file [default: digits]
    #[arg(long, value_name = "digits|DIR|FILE")]
    data: Option<String>,
    #[command(flatten)]
    images: Images,
    /// The run's folder [default: the next numbered one under runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Optimiser steps [default: 6000]
    #[arg(long, group = "length")]
    steps: Option<u64>,
    /// Passes over the training images
    #[arg(long, group = "length")]
    epochs: Option<f64>,
    /// Time to train, turned into steps by timing a few
    #[arg(long, group = "length")]
    minutes: Option<f64>,
    /// Images a step [default: 16]
    #[arg(long)]
    batch: Option<usize>,
    /// Peak learning rate [default: 0.003]
    #[arg(long)]
    lr: Option<f64>,
    /// muon for the hidden matrices, with adamw for the others, or adamw for all parameters [default: muon]
    #[arg(long, value_name = "muon|adamw")]
    optimizer: Option<Optimizer>,
    /// How much each timestep counts: uniform, late, late:LAMBDA, noise, log_normal, log_normal:MEAN:DEVIATION, min_snr
    /// or p2 [default: log_normal]
    #[arg(long, value_name = "RULE")]
    loss_weighting: Option<LossWeighting>,
    /// Probability that an image's label is hidden from the network, 0 to 1; without it there is no guidance
    /// [default: 0.1]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    label_dropout: Option<f64>,
    /// Draw every class as often as the others, however many images each has
    #[arg(long)]
    balance: bool,
    /// Mirror images at random: left and right (horizontal), or also top and bottom (both), or not at all (off).
    /// Mirrored images are drawn too, so this is not for letters and digits [default: off]
    #[arg(long, value_name = "horizontal|both")]
    flip: Option<Flip>,
    /// For few images: mirror, scale, turn, stretch and move them at random, each with this probability, such as
    /// 0.12, and tell the network what was done, so that what it draws is not changed; 0 is off [default: 0]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    augment: Option<f64>,
    /// Begin from a model: a run, a checkpoint, or any folder of diffusers that `sample` takes. The run has its network,
    /// noise schedule and settings of drawing. Classes are matched by name
    #[arg(long, value_name = "MODEL")]
    from: Option<String>,
    /// Which of a checkpoint's weights to begin from: averaged, which draw, or raw, from which training goes on
    /// [default: averaged]
    #[arg(long, value_name = "averaged|raw")]
    from_weights: Option<FromWeights>,
    /// Parameters that stay as they are: names, what names begin with up to a dot, or either with * for any
    /// characters and ? for one, such as down_blocks or "*.norm1.*"; several with commas
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    freeze: Vec<String>,
    /// Seed of every random draw [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Go on with the newest run, or with this one or its checkpoint
    #[arg(long, value_name = "latest|DIR")]
    resume: Option<String>,
    /// With --resume: begin a run again that has taken steps and has no checkpoint
    #[arg(long, requires = "resume")]
    restart: bool,
    /// Steps between checkpoints, 0 for one at the end [default: 1000]
    #[arg(long, value_name = "STEPS")]
    save_every: Option<u64>,
    /// Checkpoints to keep, the newest [default: 3]
    #[arg(long)]
    keep: Option<usize>,
    /// Steps between preview pictures, 0 for one at the end [default: 1000]
    #[arg(long, value_name = "STEPS")]
    sample_every: Option<u64>,
    /// Steps between measurements of drawn images, 0 for none: class accuracy, Fréchet distance and
    /// more, see `eval` [default: 0]
    #[arg(long, value_name = "STEPS")]
    eval_every: Option<u64>,
    /// What training trades for memory. It changes no result
    #[arg(long, value_enum, default_value_t = MemoryUse::Normal, help_heading = "This machine")]
    memory: MemoryUse,
    /// Check data, memory and disk, time two steps, print the plan and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// What training trades for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MemoryUse {
    /// Keep the weights in the forms that convolutions compute with
    Normal,
    /// Make these forms anew for each use: a step takes longer
    Low,
}

impl From<MemoryUse> for Memory {
    fn from(memory: MemoryUse) -> Self {
        match memory {
            MemoryUse::Normal => Self::Normal,
            MemoryUse::Low => Self::Low,
        }
    }
}

impl Args {
    /// The flags that were given, as keys of the configuration, each of them once.
    fn settings(&self) -> Result<Vec<(String, Value)>> {
        let flags = self.named()?.into_iter();
        let mut settings: Vec<_> = flags.map(|(key, value)| (key.to_string(), value)).collect();
        let planned = self.epochs.is_some() || self.minutes.is_some();
        for text in &self.set {
            let (key, value) = assignment(text)?;
            if settings.iter().any(|(known, _)| *known == key) || planned && key == "train.steps" {
                return Err(usage(format!("--set {text}: {key} is given twice; give it once")));
            }
            settings.push((key, value));
        }
        Ok(settings)
    }

    /// Those that have a flag of their own.
    fn named(&self) -> Result<Vec<(&'static str, Value)>> {
        // TOML has no larger integers.
        let limits = [self.images.max_megapixels, self.images.max_gigabytes];
        let large = [self.steps, self.seed, self.save_every, self.sample_every, self.eval_every];
        let large = large.into_iter().chain(limits);
        let large = large.chain([self.images.channels, self.batch, self.keep].map(|n| n.map(|n| n as u64)));
        if let Some(value) = large.flatten().find(|&value| i64::try_from(value).is_err()) {
            return Err(usage(format!("{value}: larger than any setting, which go up to {}", i64::MAX)));
        }
        let integer = |key, value: Option<u64>| value.map(|value| (key, Value::Integer(value as i64)));
        let size = |key, value: Option<usize>| integer(key, value.map(|value| value as u64));
        let image_size = self.images.image_size.map(Value::try_from).transpose()?;
        let settings = [
            self.data.clone().map(|data| ("data.source", Value::String(data))),
            image_size.map(|size| ("data.image_size", size)),
            size("data.channels", self.images.channels),
            self.images.label.map(|label| ("data.label", Value::String(label.to_string()))),
            integer("data.max_megapixels", self.images.max_megapixels),
            integer("data.max_gigabytes", self.images.max_gigabytes),
            integer("train.steps", self.steps),
            size("train.batch", self.batch),
            self.lr.map(|lr| ("train.learning_rate", Value::Float(lr))),
            self.optimizer.map(|optimizer| ("train.optimizer", Value::String(optimizer.to_string()))),
            self.loss_weighting.map(|rule| ("train.loss_weighting", Value::String(rule.to_string()))),
            self.label_dropout.map(|dropout| ("train.label_dropout", Value::Float(dropout))),
            self.balance.then_some(("train.balance", Value::Boolean(true))),
            self.flip.map(|flip| ("train.flip", Value::String(flip.to_string()))),
            self.augment.map(|augment| ("train.augment", Value::Float(augment))),
            self.freeze().map(|freeze| ("train.freeze", freeze)),
            self.from.clone().map(|from| ("from.model", Value::String(from))),
            self.from_weights.map(|weights| ("from.weights", Value::String(weights.to_string()))),
            integer("train.seed", self.seed),
            integer("save.save_every", self.save_every),
            size("save.keep", self.keep),
            integer("save.sample_every", self.sample_every),
            integer("save.eval_every", self.eval_every),
        ];
        Ok(settings.into_iter().flatten().collect())
    }

    fn freeze(&self) -> Option<Value> {
        let patterns = self.freeze.iter().cloned().map(Value::String).collect();
        (!self.freeze.is_empty()).then_some(Value::Array(patterns))
    }

    /// The first flag that a resumed run cannot take: it would not end where it was going.
    fn refused_on_resume(&self) -> Option<&'static str> {
        let flags = [
            ("--config", self.config.is_some()),
            ("--set", !self.set.is_empty()),
            ("--image-size", self.images.image_size.is_some()),
            ("--channels", self.images.channels.is_some()),
            ("--label", self.images.label.is_some()),
            ("--out", self.out.is_some()),
            ("--steps", self.steps.is_some()),
            ("--epochs", self.epochs.is_some()),
            ("--minutes", self.minutes.is_some()),
            ("--batch", self.batch.is_some()),
            ("--lr", self.lr.is_some()),
            ("--optimizer", self.optimizer.is_some()),
            ("--loss-weighting", self.loss_weighting.is_some()),
            ("--label-dropout", self.label_dropout.is_some()),
            ("--balance", self.balance),
            ("--flip", self.flip.is_some()),
            ("--augment", self.augment.is_some()),
            ("--from", self.from.is_some()),
            ("--freeze", !self.freeze.is_empty()),
            ("--seed", self.seed.is_some()),
            ("--dry-run", self.dry_run),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let device = args.compute.start()?;
    let session = match &args.resume {
        Some(target) => resumed(&args, target, device)?,
        None => match started(&args, device)? {
            Some(session) => session,
            None => return Ok(()),
        },
    };
    train(session, &interrupt)
}

/// The settings of a new run and its images: of the preset that is asked for, or else of the one that fits the
/// images.
fn configured(args: &Args) -> Result<(RunConfig, Splits)> {
    let settings = args.settings()?;
    let resolved = |preset: &Preset| {
        let flags = settings.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let config = RunConfig::resolve(preset.name, args.config.as_deref(), flags)?;
        config.validate()?;
        anyhow::Ok(config)
    };
    let asked = Preset::named(args.preset.as_deref().unwrap_or("digits"))?;
    let is_open = args.preset.is_none() && args.config.is_none();
    let mut config = match resolved(asked) {
        // What does not go with this preset may go with the one that fits the images.
        Err(error) if is_open => PRESETS.iter().find_map(|preset| resolved(preset).ok()).ok_or(error)?,
        config => config?,
    };
    let data = config.load_data()?;
    err!("{}", data.describe());
    if let Some(counts) = data.describe_classes() {
        err!("{counts}");
    }
    let fitting = Preset::fitting(&data);
    let mut preset = asked;
    if is_open {
        config = resolved(fitting)?;
        match &config.from {
            None => err!("preset {}, made for {}: {}", fitting.name, fitting.made_for(), fitting.reached),
            Some(_) => err!("settings of training: preset {}, made for {}", fitting.name, fitting.made_for()),
        }
        preset = fitting;
    } else if !asked.fits(&data) && config.from.is_none() {
        let (asked, made_for, fitting) = (asked.name, asked.made_for(), fitting.name);
        err!("warning: preset {asked} is made for {made_for}; for these images there is --preset {fitting}");
    }
    let weighting = config.train.loss_weighting;
    preset.shift_schedule(&mut config, &data);
    // One that is asked for is taken as it is.
    if settings.iter().any(|(key, _)| key == "train.loss_weighting") {
        config.train.loss_weighting = weighting;
    }
    Ok((config, data))
}

/// A new run; none after a dry run.
fn started(args: &Args, device: Device) -> Result<Option<Session>> {
    let (config, data) = configured(args)?;
    let name = data.name.clone();
    let mut run = NewRun::with_memory(config, data, device, args.memory.into())?;
    if let Some(job) = job::current() {
        run = run.with_job(job)?;
    }
    if let Some(epochs) = args.epochs {
        run = run.with_epochs(epochs)?;
    }
    if let Some(minutes) = args.minutes {
        run = run.with_minutes(minutes)?;
    }
    if let Some(transfer) = run.transfer() {
        err!("{}", transfer.describe());
    }
    for warning in run.warnings()? {
        err!("warning: {warning}");
    }
    err!("\n{}", run.config().to_toml()?);
    err!("{}\n", average(run.config()));
    let path = args.out.clone().unwrap_or_else(|| find::next(&name));
    // One more than are kept: the old ones go once the new one is there.
    let needed = run.checkpoint_bytes() * (run.config().save.keep as u64 + 1) + run.snapshot_bytes();
    if let Some(free) = budget::free_disk(&path).filter(|&free| free < needed) {
        let (needed, free) = (megabytes(needed), megabytes(free));
        err!("warning: {}: the run needs {needed}, its disk has {free} free", path.display());
    }
    if args.dry_run {
        dry_run(run, &path, args.memory.into())?;
        return Ok(None);
    }
    Ok(Some(run.begin(&path)?))
}

/// A run that goes on from its newest checkpoint, or from the one named.
fn resumed(args: &Args, target: &str, device: Device) -> Result<Session> {
    if let Some(flag) = args.refused_on_resume() {
        return Err(usage(format!("{flag} cannot change when a run is resumed; start a new run with --out")));
    }
    let changes = Resume {
        restart: args.restart,
        data: args.data.clone(),
        max_megapixels: args.images.max_megapixels,
        max_gigabytes: args.images.max_gigabytes,
        save_every: args.save_every,
        keep: args.keep,
        sample_every: args.sample_every,
        eval_every: args.eval_every,
    };
    let mut session = Session::resume(target, &changes, device)?;
    session.use_memory(args.memory.into());
    if let Some(job) = job::current() {
        session.use_job(job)?;
    }
    Ok(session)
}

pub(crate) fn train(mut session: Session, interrupt: &Interrupt) -> Result<()> {
    let (first, total) = (session.trainer().steps(), session.config().train.steps);
    let started = Instant::now();
    let mut progress = Progress::new(first, total, session.trainer().images_per_step(), "img/s");
    let (mut held_out, mut smooth) = (None, None);
    while !session.is_done() {
        if let Some(signal) = interrupt.signal() {
            progress.finish();
            return stop(session, signal);
        }
        if session.take_stop() {
            progress.finish();
            err!("asked to stop by a file STOP in the run's folder");
            return stop(session, SIGINT);
        }
        let Stepped { report, held_out_loss, score, memorisation, warning, preview, .. } = session.step()?;
        let step = report.step;
        held_out = held_out_loss.or(held_out);
        match score {
            None => {}
            Some(Ok(score)) => {
                let (accuracy, frechet) = (100.0 * score.accuracy, score.frechet);
                let copied = memorisation.and_then(|found| found.memorised_share);
                let copied =
                    copied.map_or(String::new(), |share| format!(", {:.1} % memorised", 100.0 * share));
                progress.line(&format!(
                    "step {step}: {accuracy:.1} % right, Fréchet distance {frechet:.3}{copied}"
                ));
            }
            Some(Err(error)) => {
                let why = exit::text(&error.into());
                progress.line(&format!("warning: step {step} is not measured: {why}"));
            }
        }
        if let Some(warning) = warning {
            progress.line(&format!("warning: step {step}: {warning}"));
        }
        if let Some(path) = preview {
            progress.line(&format!("step {step}: {}", path.display()));
        }
        let average = smooth.map_or(report.loss, |old: f64| 0.95 * old + 0.05 * report.loss);
        smooth = Some(average);
        let held_out = held_out.map_or(String::new(), |loss| format!("  held-out {loss:.4}"));
        progress.show(step, &format!("loss {average:.4}{held_out}"));
    }
    progress.finish();
    let time = duration(started.elapsed());
    let present = yardstick::present(session.data());
    let class = present.into_iter().take(PREVIEW_CLASSES).next_back().unwrap_or(0);
    let class = duet_diffusion::class_asked(class as usize, session.data().train.classes());
    let (steps, picture) = (session.trainer().steps(), session.preview_path(total));
    let run = session.finish()?;
    out!("trained {steps} steps in {time}");
    if let Some(model) = find::latest_checkpoint(&run)? {
        out!("model:   {}", model.display());
    }
    out!("picture: {}", picture.display());
    let run = run.display().to_string();
    out!("try:\n  {}", command(["sample", "--run", &run, "--class", &class, "--out", "samples.png"]));
    Ok(())
}

/// Saves after a signal or a request and says how to go on.
fn stop(mut session: Session, signal: i32) -> Result<()> {
    let steps = session.trainer().steps();
    if steps > 0 {
        let saved = session.save()?;
        err!("stopped after step {steps}; saved {}", saved.display());
        let folder = session.folder().display().to_string();
        err!("go on with:\n  {}", command(["train", "--resume", &folder]));
    } else {
        err!("stopped before the first step; there is nothing to save");
    }
    Err(Interrupted(signal).into())
}

/// What the average of the weights is at the end, where the warm-up of its decay counts.
fn average(config: &RunConfig) -> String {
    let (asked, steps) = (config.train.ema_decay, config.train.steps);
    let (last, reached) = (ema_decay(asked, steps), ema_reached(asked));
    match steps < reached {
        true => format!(
            "The weights' average keeps {last:.4} a step at the end, about the last {} steps: its warm-up \
             reaches ema_decay, {asked}, only at step {reached}",
            steps.div_ceil(10)
        ),
        false => format!("The weights' average keeps {last} a step from step {reached} on"),
    }
}

fn dry_run(mut run: NewRun, path: &Path, memory: Memory) -> Result<()> {
    let config = run.config().clone();
    let (parameters, images) = (run.trainer().parameters(), run.data().train.len());
    let (numbers, tensors) = (parameters.count(), parameters.len());
    let kept = run.checkpoint_bytes() * config.save.keep as u64;
    let snapshots = run.snapshot_bytes();
    let each = run.time_steps()?;
    let peak = crate::hardware::peak_memory().map_or("an unknown amount".into(), megabytes);
    let per_step = budget::images_per_step(&config);
    let epochs = config.train.steps as f64 * per_step as f64 / images as f64;
    out!("network     {numbers} parameters in {tensors} tensors");
    out!("steps       {} of {per_step} images, {epochs:.1} epochs", config.train.steps);
    out!("speed       {:.0} img/s, {:.3} s a step", per_step as f64 / each.as_secs_f64(), each.as_secs_f64());
    out!("time        about {} without previews", duration(each.mul_f64(config.train.steps as f64)));
    out!("memory      about {} at most; {} so far", megabytes(run.memory(memory)?), peak);
    if memory == Memory::Low {
        run.use_memory(Memory::Normal);
        let share = run.time_steps()?.as_secs_f64() / each.as_secs_f64();
        let normal = megabytes(run.memory(Memory::Normal)?);
        out!("            without --memory low about {normal}, and a step takes {share:.2} times as long");
    }
    let free = budget::free_disk(path).map_or(String::new(), |free| format!(", {} free", megabytes(free)));
    out!(
        "disk        {} for {} checkpoints, {} for snapshots of averages{free}",
        megabytes(kept),
        config.save.keep,
        megabytes(snapshots)
    );
    out!("would write {}", path.display());
    Ok(())
}
