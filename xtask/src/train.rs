//! `cargo xtask train`: from labelled images to a model folder.

use crate::config::RunConfig;
use crate::drawing::Drawing;
use crate::exit::{Interrupted, usage};
use crate::hardware;
use crate::interrupt::Interrupt;
use crate::model_folder::{self, Model};
use crate::note::Form;
use crate::plan::{Models, Plan};
use crate::progress::{Progress, duration};
use crate::resume;
use crate::run_folder::{self, History, Metrics, RunFolder};
use crate::sample::{create_parent, write_atomically};
use crate::score::Score;
use crate::selection;
use crate::snapshots;
use crate::terminal::{command, err, out};
use crate::yardstick::{self, Yardstick};
use anyhow::{Context, Result};
use candle_core::{Device, Var};
use duet_data::Splits;
use duet_model::{LoadedModel, UNet};
use duet_optim::{POWER_LENGTHS, ema_decay, ema_reached};
use duet_train::{DataOrder, HeldOut, RealDisk, TrainError, Trainer, checkpoint, held_out_loss};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use toml::Value;

/// Previews show these seeds of every class.
const PREVIEW_SEEDS: &str = "0-3";
/// Steps are timed for so long, to say how long all of them take.
const TIMED: Duration = Duration::from_secs(2);
/// And so long where `--minutes` plans a long run by it.
const TIMED_AT_MOST: Duration = Duration::from_secs(15);
/// Images drawn at once.
const BATCH: usize = 64;
/// No preview has more rows than this.
const PREVIEW_CLASSES: usize = 10;

/// Flags of `train`. Defaults are the preset's.
#[derive(clap::Args)]
pub struct Args {
    /// Settings to start from: digits, digits-long for half an hour, or original, the recipe that the
    /// project began with
    #[arg(long, default_value = "digits")]
    preset: String,
    /// Settings that beat the preset's, a TOML file such as configs/digits.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Images: the embedded digits, or a folder with MNIST-style IDX files, CIFAR-10's binary
    /// batches, or one folder of PNG or JPEG images per class [default: digits]
    #[arg(long, value_name = "digits|DIR")]
    data: Option<String>,
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
    /// Seed of every random draw [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// Threads [default: all cores]; the result does not depend on it
    #[arg(long)]
    threads: Option<usize>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
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
    /// Check data, memory and disk, time two steps, print the plan and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// The flags that were given, as keys of the configuration.
    fn settings(&self) -> Result<Vec<(&'static str, Value)>> {
        // TOML has no larger integers.
        let limits = [self.max_megapixels, self.max_gigabytes];
        let large = [self.steps, self.seed, self.save_every, self.sample_every, self.eval_every];
        let large = large.into_iter().chain(limits);
        let large =
            large.chain([self.image_size, self.channels, self.batch, self.keep].map(|n| n.map(|n| n as u64)));
        if let Some(value) = large.flatten().find(|&value| i64::try_from(value).is_err()) {
            return Err(usage(format!("{value}: larger than any setting, which go up to {}", i64::MAX)));
        }
        let integer = |key, value: Option<u64>| value.map(|value| (key, Value::Integer(value as i64)));
        let size = |key, value: Option<usize>| integer(key, value.map(|value| value as u64));
        let settings = [
            self.data.clone().map(|data| ("data.source", Value::String(data))),
            size("data.image_size", self.image_size),
            size("data.channels", self.channels),
            integer("data.max_megapixels", self.max_megapixels),
            integer("data.max_gigabytes", self.max_gigabytes),
            integer("train.steps", self.steps),
            size("train.batch", self.batch),
            self.lr.map(|lr| ("train.learning_rate", Value::Float(lr))),
            integer("train.seed", self.seed),
            integer("save.save_every", self.save_every),
            size("save.keep", self.keep),
            integer("save.sample_every", self.sample_every),
            integer("save.eval_every", self.eval_every),
        ];
        Ok(settings.into_iter().flatten().collect())
    }

    /// The first flag that a resumed run cannot take: it would not end where it was going.
    fn refused_on_resume(&self) -> Option<&'static str> {
        let flags = [
            ("--config", self.config.is_some()),
            ("--image-size", self.image_size.is_some()),
            ("--channels", self.channels.is_some()),
            ("--out", self.out.is_some()),
            ("--steps", self.steps.is_some()),
            ("--epochs", self.epochs.is_some()),
            ("--minutes", self.minutes.is_some()),
            ("--batch", self.batch.is_some()),
            ("--lr", self.lr.is_some()),
            ("--seed", self.seed.is_some()),
            ("--dry-run", self.dry_run),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    hardware::set_threads(args.threads)?;
    let device = hardware::device(&args.device)?;
    let session = match &args.resume {
        Some(target) => Session::resume(&args, target, device)?,
        None => match Session::start(&args, device)? {
            Some(session) => session,
            None => return Ok(()),
        },
    };
    session.train(&interrupt)
}

/// A run with everything that its loop needs.
struct Session {
    config: RunConfig,
    /// As saved with the run; checkpoints carry its hash.
    config_text: String,
    data: Splits,
    trainer: Trainer,
    folder: RunFolder,
    device: Device,
}

impl Session {
    /// A new run; none after a dry run.
    fn start(args: &Args, device: Device) -> Result<Option<Self>> {
        let mut config = RunConfig::resolve(&args.preset, args.config.as_deref(), args.settings()?)?;
        config.validate()?;
        let data = config.load_data()?;
        err!("{}", data.describe());
        check_measurable(&config, &data)?;
        config.data.fingerprint = Some(data.train.fingerprint());
        config.data.held_out_fingerprint = Some(data.test.fingerprint());
        config.data.note_start();
        let unet = config.unet(&data)?;
        check_memory(&config, &data)?;
        if let Some(epochs) = args.epochs {
            let images = epochs * data.train.len() as f64;
            config.train.steps = length("--epochs", epochs, images / images_per_step(&config) as f64)?;
            config.validate()?;
        }
        let new = |config: &RunConfig| Trainer::new(&unet, &config.diffusion, &config.train, &device);
        let mut trainer = new(&config)?;
        if let Some(minutes) = args.minutes {
            // The longer the run, the more a wrong guess of the speed is worth avoiding.
            let timed = Duration::try_from_secs_f64(minutes * 1.5).unwrap_or_default();
            let timed = timed.clamp(TIMED, TIMED_AT_MOST);
            let (_, each) = time_steps(&mut new(&config)?, &data, timed)?;
            config.train.steps = length("--minutes", minutes, minutes * 60.0 / each.as_secs_f64())?;
            config.validate()?;
            trainer = new(&config)?;
        }
        if let Some(warning) = config.diffusion.warning()? {
            err!("warning: {warning}");
        }
        warn_of_label_dropout(&config);
        let text = toml::to_string(&config)?;
        err!("\n{text}");
        err!("{}\n", average(&config));
        let path = args.out.clone().unwrap_or_else(|| run_folder::next(&data.name));
        preflight(&config, &trainer, &path);
        if args.dry_run {
            dry_run(&config, trainer, &data, &path)?;
            return Ok(None);
        }
        let folder = RunFolder::create(&path, &text)?;
        Ok(Some(Self { config, config_text: text, data, trainer, folder, device }))
    }

    /// A run that goes on from its newest checkpoint, or from the one named.
    fn resume(args: &Args, target: &str, device: Device) -> Result<Self> {
        if let Some(flag) = args.refused_on_resume() {
            return Err(usage(format!(
                "{flag} cannot change when a run is resumed; start a new run with --out"
            )));
        }
        let run = find_run(target)?;
        // Before a checkpoint is looked for: whoever trains the run may remove it.
        let lock = run_folder::lock(&run)?;
        let checkpoints = run.join("checkpoints");
        checkpoint::restore(&RealDisk, &checkpoints)?;
        let history = History::read(&run)?;
        let found = find_checkpoint(target, &run, &history, args.restart)?;
        let path = run.join("config.toml");
        let (mut config, config_text) = RunConfig::load(&path)?;
        if let Some(found) = &found {
            resume::check_configuration(&path, &config_text, found)?;
            resume::keep_schedule(&mut config.diffusion, found)?;
        }
        config.validate().with_context(|| format!("{}", path.display()))?;
        if let Some(data) = &args.data {
            config.data.source.clone_from(data);
        }
        config.data.max_megapixels = args.max_megapixels.or(config.data.max_megapixels);
        config.data.max_gigabytes = args.max_gigabytes.or(config.data.max_gigabytes);
        let data = config.load_data_of_run(&path)?;
        check_images(&config, &data)?;
        let mut trainer = Trainer::new(&config.unet(&data)?, &config.diffusion, &config.train, &device)?;
        let step = match &found {
            Some(found) => checkpoint::load(&mut trainer, found, &device)?.step,
            None => 0,
        };
        config.save.save_every = args.save_every.unwrap_or(config.save.save_every);
        config.save.keep = args.keep.unwrap_or(config.save.keep);
        config.save.sample_every = args.sample_every.unwrap_or(config.save.sample_every);
        config.save.eval_every = args.eval_every.unwrap_or(config.save.eval_every);
        config.validate()?;
        check_measurable(&config, &data)?;
        let named = |path: &PathBuf| path.display().to_string();
        let aside = checkpoint::set_aside(&RealDisk, &checkpoints, step)?;
        if !aside.is_empty() {
            let names: Vec<String> = aside.iter().map(named).collect();
            err!("warning: what was saved after step {step} is set aside: {}", names.join(", "));
        }
        if history.last() < step {
            err!("warning: {}: steps up to {step} are missing in it", history.reason());
        }
        for (_, found) in snapshots::check(&run, step)? {
            if let Err(error) = found {
                err!("warning: {error:#}");
            }
        }
        let folder = RunFolder::reopen(&run, step, &history, lock)?;
        match found {
            Some(_) => err!("{} goes on after step {step} of {}", run.display(), config.train.steps),
            None => err!("{} was stopped before its first checkpoint: it begins again", run.display()),
        }
        Ok(Self { config, config_text, data, trainer, folder, device })
    }

    fn train(mut self, interrupt: &Interrupt) -> Result<()> {
        let total = self.config.train.steps;
        let first = self.trainer.steps();
        let started = Instant::now();
        self.folder.log(&format!("step {first} of {total}: {}", self.data.describe()))?;
        let mut progress = Progress::new(first, total, self.trainer.images_per_step(), "img/s");
        let mut order = DataOrder::new(self.config.train.seed, self.data.train.len() as u32);
        let mut held_out = None;
        let yardstick = self.yardstick()?;
        let mut smooth = None;
        while self.trainer.steps() < total {
            if let Some(signal) = interrupt.signal() {
                progress.finish();
                return self.stop(signal);
            }
            let report = self.trainer.step_on(&self.data.train, &mut order)?;
            let due = |every: u64| (every > 0 && report.step % every == 0) || report.step == total;
            let measured = if due(self.config.save.held_out_every) { self.held_out()? } else { None };
            held_out = measured.or(held_out);
            let measured_by = yardstick.as_ref().filter(|_| due(self.config.save.eval_every));
            let score = measured_by.and_then(|yardstick| self.score(yardstick, &progress));
            self.folder.record(&Metrics {
                step: report.step,
                loss: report.loss,
                grad_norm: report.grad_norm,
                learning_rate: report.learning_rate,
                held_out_loss: measured,
                score,
            })?;
            let previews = due(self.config.save.sample_every) || report.step == self.config.save.first_sample;
            let snapshots = self.config.train.ema_snapshots > 0 && due(self.config.train.ema_snapshots);
            if previews || snapshots {
                self.folder.check_ours()?;
            }
            if previews {
                let path = self.preview()?;
                progress.line(&format!("step {}: {}", report.step, path.display()));
            }
            // Before the checkpoint: a run that is killed between the two takes the step again.
            if snapshots {
                snapshots::keep(&self.trainer, self.folder.path())?;
            }
            if due(self.config.save.save_every) {
                self.save()?;
            }
            let average = smooth.map_or(report.loss, |old: f64| 0.95 * old + 0.05 * report.loss);
            smooth = Some(average);
            let held_out = held_out.map_or(String::new(), |loss| format!("  held-out {loss:.4}"));
            progress.show(report.step, &format!("loss {average:.4}{held_out}"));
        }
        progress.finish();
        // A run that was killed between its last save and what follows it is finished now.
        checkpoint::prune(&self.folder.checkpoints(), total, self.config.save.keep)?;
        let time = duration(started.elapsed());
        self.folder.log(&format!("step {total}: done after {time}, {:.1} img/s", progress.rate(total)))?;
        self.say_goodbye(&time)
    }

    /// The denoising loss on the held-out split; none where that is empty.
    fn held_out(&self) -> Result<Option<f64>> {
        let options = HeldOut { images: self.config.save.held_out_images, batch: self.config.train.batch };
        if options.images == 0 || self.data.test.is_empty() {
            return Ok(None);
        }
        let (unet, schedule) = (self.trainer.ema_unet(), self.trainer.schedule());
        Ok(Some(held_out_loss(
            unet,
            &self.data.test,
            &self.config.diffusion,
            schedule,
            options,
            &self.device,
        )?))
    }

    /// What drawn images are measured with, where the run is to measure them.
    fn yardstick(&self) -> Result<Option<Yardstick>> {
        match self.config.save.eval_every {
            0 => Ok(None),
            _ => Yardstick::of(self.data.clone(), Some(self.folder.path())).map(Some),
        }
    }

    /// Draws images of every class and measures them; the same seeds each time. What cannot be measured
    /// is said and ends nothing.
    fn score(&self, yardstick: &Yardstick, progress: &Progress) -> Option<Score> {
        let size = (self.config.save.eval_images, BATCH);
        let step = self.trainer.steps();
        let score = self.model().and_then(|model| {
            let models = Models { model, guide: None };
            Score::of(&Drawing::default(), &models, yardstick, size, &self.device)
        });
        match score {
            Ok(score) => {
                let (accuracy, frechet) = (100.0 * score.accuracy, score.frechet);
                progress.line(&format!("step {step}: {accuracy:.1} % right, Fréchet distance {frechet:.3}"));
                Some(score)
            }
            Err(error) => {
                progress.line(&format!("warning: step {step} is not measured: {error:#}"));
                None
            }
        }
    }

    /// Draws the same seeds of every class at every preview.
    fn preview(&mut self) -> Result<PathBuf> {
        let model = self.model()?;
        let mut drawing = Drawing::of_first_classes(&model.classes, PREVIEW_CLASSES, PREVIEW_SEEDS);
        let mut learnt = yardstick::present(&self.data);
        if learnt.len() < model.classes.len() {
            learnt.truncate(PREVIEW_CLASSES);
            drawing.class = selection::list(&learnt, &model.classes);
        }
        let models = Models { model, guide: None };
        let mut plan = Plan::new(&drawing, &models, BATCH, &self.device)?;
        let checkpoint = checkpoint::folder(Path::new("../checkpoints"), self.trainer.steps());
        plan.note = plan.note.seen_from_picture(&checkpoint.display().to_string());
        let images = plan.draw(|_| Ok(()))?.images;
        let path = self.folder.preview(self.trainer.steps());
        create_parent(&path)?;
        let png = plan.grid(&images)?.encode_png_with(&plan.texts(Form::Grid)?);
        drop(plan);
        write_atomically(&path, &png)?;
        self.folder.add_picture(&path);
        Ok(path)
    }

    /// The averaged network as it would be read from the checkpoint of this step.
    fn model(&self) -> Result<Model> {
        let folder = checkpoint::folder(&self.folder.checkpoints(), self.trainer.steps());
        let averages = self.trainer.ema_parameters().iter();
        let averages = averages.map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect();
        let (unet, parameters) =
            UNet::from_tensors(self.trainer.ema_unet().config(), averages, &self.device)?;
        let notes = checkpoint::notes(&self.trainer, self.data.train.classes());
        let scheduler = checkpoint::scheduler(&self.trainer, &self.config.sample.spacing)?;
        let loaded = LoadedModel { unet, parameters, folder: folder.clone(), notes };
        let (classes, null_label) = model_folder::labels(&loaded)?;
        Ok(Model { loaded, scheduler, classes, null_label, folder, sample: Some(self.config.sample.clone()) })
    }

    fn save(&mut self) -> Result<PathBuf> {
        self.folder.sync()?;
        let labels = checkpoint::Annotations {
            classes: self.data.train.classes(),
            config: &self.config_text,
            spacing: &self.config.sample.spacing,
        };
        let parent = self.folder.checkpoints();
        let saved = checkpoint::save(&self.trainer, labels, &parent)?;
        checkpoint::prune(&parent, self.trainer.steps(), self.config.save.keep)?;
        self.folder.log(&format!("step {}: saved {}", self.trainer.steps(), saved.display()))?;
        Ok(saved)
    }

    /// Saves after a signal and says how to go on.
    fn stop(mut self, signal: i32) -> Result<()> {
        if self.trainer.steps() > 0 {
            let saved = self.save()?;
            err!("stopped after step {}; saved {}", self.trainer.steps(), saved.display());
            let folder = self.folder.path().display().to_string();
            err!("go on with:\n  {}", command(["train", "--resume", &folder]));
        } else {
            err!("stopped before the first step; there is nothing to save");
        }
        Err(Interrupted(signal).into())
    }

    fn say_goodbye(&self, time: &str) -> Result<()> {
        let run = self.folder.path();
        let preview = self.folder.preview(self.trainer.steps());
        out!("trained {} steps in {time}", self.trainer.steps());
        if let Some(model) = run_folder::latest_checkpoint(run)? {
            out!("model:   {}", model.display());
        }
        out!("picture: {}", preview.display());
        let classes = self.data.train.classes();
        let class = yardstick::present(&self.data).into_iter().take(PREVIEW_CLASSES).next_back().unwrap_or(0);
        let class = selection::asked(class as usize, classes);
        let run = run.display().to_string();
        out!("try:\n  {}", command(["sample", "--run", &run, "--class", &class, "--out", "samples.png"]));
        Ok(())
    }
}

/// Refuses other images than those that a run began with.
fn check_images(config: &RunConfig, data: &Splits) -> Result<()> {
    let refuse = |which: &str| {
        Err(usage(format!(
            "{}: its {which}images are not those that the run began with: the run cannot go on with other \
             images; name the same ones with --data, or start a new run",
            config.data.source
        )))
    };
    if config.data.fingerprint != Some(data.train.fingerprint()) {
        return refuse("");
    }
    // Runs of older versions do not say.
    match &config.data.held_out_fingerprint {
        Some(held_out) if *held_out != data.test.fingerprint() => refuse("held-out "),
        _ => Ok(()),
    }
}

fn warn_of_label_dropout(config: &RunConfig) {
    if config.train.label_dropout == 1.0 {
        err!(
            "warning: label_dropout is 1: every label is hidden, so the classes are never learned and no image \
             follows its class; 0.1 is usual"
        );
    }
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

fn images_per_step(config: &RunConfig) -> usize {
    config.train.batch * config.train.accumulate
}

/// A number of steps from what a flag asks for.
fn length(flag: &str, asked: f64, steps: f64) -> Result<u64> {
    if !(asked.is_finite() && asked > 0.0) {
        return Err(usage(format!("{flag} {asked}: must be a positive number")));
    }
    Ok(steps.round().max(1.0) as u64)
}

/// Takes a few steps; the first one's time, and the mean of the others', of which there are two or as
/// many as fit into `timed`.
fn time_steps(trainer: &mut Trainer, data: &Splits, timed: Duration) -> Result<(Duration, Duration)> {
    let mut order = DataOrder::new(0, data.train.len() as u32);
    let started = Instant::now();
    trainer.step_on(&data.train, &mut order)?;
    let first = started.elapsed();
    let mut others = 0;
    while others < 2 || started.elapsed() - first < timed {
        trainer.step_on(&data.train, &mut order)?;
        others += 1;
    }
    Ok((first, (started.elapsed() - first) / others))
}

/// Bytes of one checkpoint: the averaged weights, the raw ones, two moments (one where Muon moves them)
/// and any averages whose length is chosen later, in f32.
fn checkpoint_bytes(trainer: &Trainer) -> u64 {
    let options = trainer.options();
    let kept = if options.ema_snapshots > 0 { POWER_LENGTHS.len() as u64 } else { 0 };
    let of = |(name, var): (&str, &Var)| {
        let moments = if options.optimizer.is_of_muon(name, var.rank()) { 1 } else { 2 };
        4 * (2 + moments + kept) * var.elem_count() as u64
    };
    trainer.parameters().iter().map(of).sum()
}

/// Bytes of all snapshots of averages.
fn snapshot_bytes(trainer: &Trainer) -> u64 {
    let options = trainer.options();
    let each = trainer.parameters().count() as u64 * 4 * POWER_LENGTHS.len() as u64;
    options.snapshots().saturating_mul(each)
}

/// Refuses to measure what there is nothing to compare with.
fn check_measurable(config: &RunConfig, data: &Splits) -> Result<()> {
    match config.save.eval_every {
        0 => Ok(()),
        every => yardstick::check(data, &format!("--eval-every {every}")),
    }
}

/// Refuses a batch whose images alone would not fit into memory.
fn check_memory(config: &RunConfig, data: &Splits) -> Result<()> {
    let shape = data.train.shape();
    let pixels = (shape.channels * shape.height * shape.width) as u64;
    // Images, noise, x_t, target, prediction and its gradient, in f32.
    let needed = 6 * 4 * pixels * config.train.batch as u64;
    match hardware::available_memory().filter(|&available| available < needed) {
        Some(available) => Err(usage(format!(
            "batch = {}: its images take {}, {} are available; use a smaller batch and accumulate",
            config.train.batch,
            hardware::megabytes(needed),
            hardware::megabytes(available)
        ))),
        None => Ok(()),
    }
}

/// Warns where the disk will not hold the checkpoints.
fn preflight(config: &RunConfig, trainer: &Trainer, path: &Path) {
    // One more than are kept: the old ones go once the new one is there.
    let needed = checkpoint_bytes(trainer) * (config.save.keep as u64 + 1) + snapshot_bytes(trainer);
    if let Some(free) = hardware::free_disk(path).filter(|&free| free < needed) {
        let (needed, free) = (hardware::megabytes(needed), hardware::megabytes(free));
        err!("warning: {}: the run needs {needed}, its disk has {free} free", path.display());
    }
}

fn dry_run(config: &RunConfig, mut trainer: Trainer, data: &Splits, path: &Path) -> Result<()> {
    let (_, each) = time_steps(&mut trainer, data, TIMED)?;
    let images = config.train.steps as f64 * images_per_step(config) as f64;
    let rate = images_per_step(config) as f64 / each.as_secs_f64();
    out!("network     {} parameters in {} tensors", trainer.parameters().count(), trainer.parameters().len());
    out!(
        "steps       {} of {} images, {:.1} epochs",
        config.train.steps,
        images_per_step(config),
        images / data.train.len() as f64
    );
    out!("speed       {rate:.0} img/s, {:.3} s a step", each.as_secs_f64());
    out!("time        about {} without previews", duration(each.mul_f64(config.train.steps as f64)));
    if let Some(memory) = hardware::peak_memory() {
        out!("memory      {} at most so far", hardware::megabytes(memory));
    }
    let kept = checkpoint_bytes(&trainer) * config.save.keep as u64;
    let free = hardware::free_disk(path)
        .map_or(String::new(), |free| format!(", {} free", hardware::megabytes(free)));
    out!(
        "disk        {} for {} checkpoints, {} for snapshots of averages{free}",
        hardware::megabytes(kept),
        config.save.keep,
        hardware::megabytes(snapshot_bytes(&trainer))
    );
    out!("would write {}", path.display());
    Ok(())
}

/// The run of `--resume latest|RUN|CHECKPOINT`.
fn find_run(target: &str) -> Result<PathBuf> {
    if target == "latest" {
        return Ok(run_folder::latest()?.0);
    }
    let path = Path::new(target);
    let above = path.parent().and_then(Path::parent);
    let run = [Some(path), above].into_iter().flatten().find(|run| run.join("config.toml").is_file());
    let wrong = || TrainError::Checkpoint {
        path: path.into(),
        reason: "neither a run's folder (with config.toml) nor a checkpoint in one".into(),
    };
    let run = run.ok_or_else(wrong).context("--resume")?;
    Ok(if run.as_os_str().is_empty() { ".".into() } else { run.into() })
}

/// The checkpoint to go on from, the newest that the metrics reach; none where the run begins again.
fn find_checkpoint(target: &str, run: &Path, history: &History, restart: bool) -> Result<Option<PathBuf>> {
    let path = Path::new(target);
    if target != "latest" && path != run {
        return Ok(Some(path.into()));
    }
    let parent = run.join("checkpoints");
    let (found, passed) = checkpoint::latest_until(&parent, history.last())?;
    for error in passed {
        match error {
            // It may be whole: going on from an older one would leave its steps behind.
            TrainError::Read { .. } => {
                let fix = "--resume: try again, or name an older checkpoint to go on from that one";
                return Err(error).context(fix);
            }
            error => err!("warning: {error}"),
        }
    }
    if found.is_some() {
        if history.fault.is_some() {
            err!("warning: {}", history.reason());
        }
        return Ok(found);
    }
    let all = checkpoint::list(&parent)?;
    let refuse = |path: &Path, reason: String| {
        Err(TrainError::Checkpoint { path: path.into(), reason }).context("--resume")
    };
    match checkpoint::latest(&parent)?.0 {
        Some(beyond) => refuse(
            run,
            format!(
                "{}, and no checkpoint is that old; put the file back, or go on without those lines: \
                 --resume {}",
                history.reason(),
                beyond.display()
            ),
        ),
        None if !all.is_empty() => {
            refuse(run, "none of its checkpoints is whole; start the run anew, with another --out".into())
        }
        None if !history.is_empty() && !restart => refuse(
            run,
            format!(
                "it has taken {} steps and has no checkpoint; put its checkpoints/ back, or, if it was \
                 stopped before the first one, begin it again with --restart",
                history.last()
            ),
        ),
        None => Ok(None),
    }
}
