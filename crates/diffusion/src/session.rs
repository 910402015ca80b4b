//! A training that its caller steps: everything that a run writes, and what each step brought.

use crate::budget::{self, images_per_step};
use crate::choice::ClassList;
use crate::config::RunConfig;
use crate::distill::course::Course;
use crate::drawing::{Drawing, first_seeds};
use crate::error::{CannotResume, Error, Result, Split, Within, setting};
use crate::eval_file::CopiedShares;
use crate::events::Event;
use crate::files::write_atomically;
use crate::find;
use crate::job::lead::{self, Job};
use crate::metrics::{self, METRICS, Metrics, Score, StepHistory};
use crate::model::Model;
use crate::note::Form;
use crate::plan::Plan;
use crate::rise::Rise;
use crate::run_folder::{self, CHECKPOINTS, CONFIG, RunFolder, SNAPSHOTS};
use crate::transfer::{Beginning, TRANSFER, Transfer};
use crate::words::duration;
use crate::yardstick::{self, Yardstick};
use crate::{resume, score, snapshots, stop, stop_file};
use candle_core::Device;
use duet_data::Splits;
use duet_model::{LoadedModel, Memory, UNet};
use duet_train::{
    DataOrder, Flip, HeldOut, RealDisk, StepReport, TrainError, Trainer, checkpoint, held_out_loss,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Previews show so many seeds of every class.
const PREVIEW_SEEDS: usize = 4;
/// No preview has more rows than this.
pub const PREVIEW_CLASSES: usize = 10;
/// The source of the embedded images.
const DIGITS: &str = "digits";
/// Images drawn at once.
const BATCH: usize = 64;
/// Steps are timed for so long, to say how long all of them take.
const TIMED: Duration = Duration::from_secs(2);
/// And so long where a time plans a long run by it.
const TIMED_AT_MOST: Duration = Duration::from_secs(15);

/// A run that is checked and has not begun: nothing is written yet.
pub struct NewRun {
    config: RunConfig,
    data: Splits,
    trainer: Trainer,
    /// The weights that it begins from, where these are another model's.
    beginning: Option<Beginning>,
    /// What it is taught, where it is a student.
    course: Option<Course>,
    device: Device,
    memory: Memory,
    /// Bytes that the process had in memory before the network was made.
    before: u64,
    /// The ranks that train together.
    job: Option<Job>,
}

impl NewRun {
    /// Checks configuration, data and memory, and makes the network.
    ///
    /// # Errors
    /// Where a setting is out of its range, does not go together with the data, or does not fit into memory.
    pub fn new(config: RunConfig, data: Splits, device: Device) -> Result<Self> {
        Self::with_memory(config, data, device, Memory::Normal)
    }

    /// The same with a choice of what training trades for memory. It changes no result.
    ///
    /// # Errors
    /// As [`NewRun::new`].
    pub fn with_memory(mut config: RunConfig, data: Splits, device: Device, memory: Memory) -> Result<Self> {
        config.validate()?;
        if data.train.is_empty() {
            return Err(setting(format!("{}: there are no training images", data.name)));
        }
        check_measurable(&config, &data)?;
        config.data.fingerprint = Some(data.train.fingerprint());
        config.data.held_out_fingerprint = Some(data.test.fingerprint());
        name_images(&mut config, &data)?;
        config.data.note_start();
        let unet = config.unet(&data)?;
        let before = duet_model::resident_memory();
        if device.is_cpu() {
            budget::check_memory(&config, &unet, &data, memory)?;
        }
        let mut trainer = Trainer::new(&unet, &config.diffusion, &config.train, &device)?;
        trainer.use_memory(memory);
        let beginning = begin(&mut config, &mut trainer, &data, &device)?;
        // Whether the teacher can teach is known before anything is written.
        let course = Course::of(&config, &device)?;
        Ok(Self { config, data, trainer, beginning, course, device, memory, before, job: None })
    }

    /// The same on all ranks of a job: each takes a part of every step, and the run's bytes are those of one process.
    ///
    /// # Errors
    /// A rank without these images, or that is lost; another device than the CPU.
    pub fn with_job(mut self, job: Job) -> Result<Self> {
        self.job = Some(job);
        self.share()?;
        Ok(self)
    }

    /// Lets the job's other ranks begin as this one does.
    fn share(&mut self) -> Result<()> {
        match &self.job {
            Some(job) => job.share(&mut self.trainer, &self.config, &self.data, self.memory),
            None => Ok(()),
        }
    }

    /// The same for another number of steps.
    fn with_steps(mut self, steps: u64) -> Result<Self> {
        self.config.train.steps = steps;
        self.config.validate()?;
        let unet = self.config.unet(&self.data)?;
        self.trainer = Trainer::new(&unet, &self.config.diffusion, &self.config.train, &self.device)?;
        self.trainer.use_memory(self.memory);
        if let Some(beginning) = &self.beginning {
            beginning.set(&mut self.trainer)?;
        }
        self.share()?;
        Ok(self)
    }

    /// As many steps as make so many passes over the training images.
    ///
    /// # Errors
    /// Where that is no positive number.
    pub fn with_epochs(self, epochs: f64) -> Result<Self> {
        let images = epochs * self.data.train.len() as f64;
        let steps = budget::length("epochs", epochs, images / images_per_step(&self.config) as f64)?;
        self.with_steps(steps)
    }

    /// As many steps as fit into the time, by timing a few.
    ///
    /// # Errors
    /// Where that is no positive number.
    pub fn with_minutes(mut self, minutes: f64) -> Result<Self> {
        // The longer the run, the more a wrong guess of the speed is worth avoiding.
        let timed = Duration::try_from_secs_f64(minutes * 1.5).unwrap_or_default();
        let timed = timed.clamp(TIMED, TIMED_AT_MOST);
        let each = budget::time_steps(&mut self.trainer, &self.data, self.job.as_ref(), timed)?;
        let steps = budget::length("minutes", minutes, minutes * 60.0 / each.as_secs_f64())?;
        self.with_steps(steps)
    }

    /// What will be saved with the run.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Its data.
    pub fn data(&self) -> &Splits {
        &self.data
    }

    /// What it takes over from the model that it begins from; none of a new network.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.beginning.as_ref().map(|beginning| &beginning.transfer)
    }

    /// Its network, which has taken no step.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Bytes of one checkpoint.
    pub fn checkpoint_bytes(&self) -> u64 {
        budget::checkpoint_bytes(&self.trainer)
    }

    /// Bytes of all snapshots of averages.
    pub fn snapshot_bytes(&self) -> u64 {
        budget::snapshot_bytes(&self.trainer)
    }

    /// What is worth a warning before so long a run begins.
    ///
    /// # Errors
    /// Where prediction and noise schedule cannot go together.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let mut warnings: Vec<String> =
            self.config.diffusion.warning()?.into_iter().map(|w| w.to_string()).collect();
        // A student may predict something else than its teacher, of which it learns that too.
        let beginning = self.beginning.iter().filter(|_| self.config.distill.is_none());
        warnings.extend(beginning.flat_map(|beginning| beginning.warnings.clone()));
        if self.config.train.label_dropout == 1.0 {
            warnings.push(
                "label_dropout is 1: every label is hidden, so the classes are never learned and no image \
                 follows its class; 0.1 is usual"
                    .into(),
            );
        }
        if self.config.train.flip != Flip::Off && self.config.data.source == DIGITS {
            warnings.push(format!(
                "flip is {}: a mirrored digit is another shape or none, and such shapes are drawn too; flips are for \
                 images that mean the same when they are mirrored",
                self.config.train.flip
            ));
        }
        warnings.extend(self.job.as_ref().and_then(|job| idle_ranks(&self.config, job.size())));
        Ok(warnings)
    }

    /// Chooses what training trades for memory from here on. It changes no result.
    pub fn use_memory(&mut self, memory: Memory) {
        self.memory = memory;
        self.trainer.use_memory(memory);
    }

    /// The most memory that this process will have had after training so, in bytes.
    ///
    /// # Errors
    /// Where the network cannot be.
    pub fn memory(&self, memory: Memory) -> Result<u64> {
        let unet = self.config.unet(&self.data)?;
        let with = (self.config.train.batch, rayon::current_num_threads(), memory);
        Ok(self.before + budget::training_memory(&self.config, &unet, &self.data, with)?)
    }

    /// The mean time of a step here, by taking a few.
    ///
    /// # Errors
    /// Where the training diverges at once.
    pub fn time_steps(&mut self) -> Result<Duration> {
        budget::time_steps(&mut self.trainer, &self.data, self.job.as_ref(), TIMED)
    }

    /// Makes the run's folder.
    ///
    /// # Errors
    /// Where there is something already, or nothing can be written.
    pub fn begin(self, folder: &Path) -> Result<Session> {
        let text = self.config.to_toml()?;
        let folder = RunFolder::create(folder, &text)?;
        Session::of(self, text, folder)
    }
}

/// Gives a new network the weights that the configuration names, and notes which they are.
fn begin(
    config: &mut RunConfig,
    trainer: &mut Trainer,
    data: &Splits,
    device: &Device,
) -> Result<Option<Beginning>> {
    let Some(from) = &mut config.from else { return Ok(None) };
    let beginning = Beginning::new(from, trainer, data, device)?;
    from.model.clone_from(&beginning.transfer.model);
    from.hash = Some(beginning.transfer.hash.clone());
    beginning.set(trainer)?;
    Ok(Some(beginning))
}

/// An error of the model that a run's configuration names, which no option does.
fn of_file(config: &Path, error: Error) -> Error {
    match error {
        Error::InOption { name: "from", source } => Error::In {
            what: format!("{}: [from], the model that the run began from", config.display()),
            source,
        },
        error => error,
    }
}

/// What may change where a run goes on; all else is as it began.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// Begins a run again that has taken steps and has no checkpoint.
    pub restart: bool,
    /// Where the same images are now.
    pub data: Option<String>,
    /// Most pixels of one image file, in millions.
    pub max_megapixels: Option<u64>,
    /// Most bytes of all images, in billions.
    pub max_gigabytes: Option<u64>,
    /// Steps between checkpoints.
    pub save_every: Option<u64>,
    /// Checkpoints to keep.
    pub keep: Option<usize>,
    /// Steps between previews.
    pub sample_every: Option<u64>,
    /// Steps between measurements of drawn images.
    pub eval_every: Option<u64>,
}

/// What one step brought; all of it is in the run's folder too.
#[derive(Debug)]
pub struct Stepped {
    /// Loss, gradient and learning rate.
    pub report: StepReport,
    /// The averaged weights' loss on held-out images, where it was due.
    pub held_out_loss: Option<f64>,
    /// What drawn images are like, where it was due; an error ends nothing.
    pub score: Option<Result<Score>>,
    /// How much of them is training images again, where it was due.
    pub memorisation: Option<CopiedShares>,
    /// What a person should know now: once, that copies have risen.
    pub warning: Option<String>,
    /// The picture, where one was due.
    pub preview: Option<PathBuf>,
    /// The checkpoint, where one was due.
    pub checkpoint: Option<PathBuf>,
}

/// A run with everything that its loop needs. While it lives, no other process trains the run.
pub struct Session {
    config: RunConfig,
    /// As saved with the run; checkpoints carry its hash.
    config_text: String,
    data: Splits,
    trainer: Trainer,
    folder: RunFolder,
    device: Device,
    order: DataOrder,
    /// What a student is taught instead of images.
    course: Option<Course>,
    /// What drawn images are measured with, where the run is to measure them.
    yardstick: Option<Yardstick>,
    /// What the measurements say of copies.
    rise: Rise,
    /// Steps taken before.
    first: u64,
    started: Instant,
    memory: Memory,
    job: Option<Job>,
}

impl Session {
    /// A new run in this folder, of images that may come from anywhere; `data.source` only notes where, and where it
    /// is the preset's own "digits" and the images are others, their name.
    ///
    /// # Errors
    /// As [`NewRun::new`] and [`NewRun::begin`].
    pub fn start(config: RunConfig, data: Splits, folder: &Path, device: Device) -> Result<Self> {
        NewRun::new(config, data, device)?.begin(folder)
    }

    /// Of a run that is ready to be stepped, in its open folder.
    fn of(run: NewRun, config_text: String, mut folder: RunFolder) -> Result<Self> {
        let NewRun { config, data, trainer, beginning, course, device, memory, job, .. } = run;
        if let Some(Beginning { transfer, .. }) = &beginning {
            let text = serde_json::to_string_pretty(transfer)? + "\n";
            write_atomically(&folder.path().join(TRANSFER), text.as_bytes())?;
            transfer.describe().lines().try_for_each(|line| folder.log(line))?;
        }
        let (first, started) = (trainer.steps(), Instant::now());
        let (of, described) = (config.train.steps, data.describe());
        folder.log(&format!("step {first} of {of}: {described}"))?;
        folder.tell(&Event::Started { step: first, of, data: described })?;
        let order = DataOrder::of(&config.train, &data.train);
        let yardstick = match config.save.eval_every {
            0 => None,
            _ => Some(Yardstick::of(data.clone(), Some(folder.path()))?),
        };
        let rise = Rise::of(metrics::p_values(&metrics::read(&folder.path().join(METRICS))?));
        Ok(Self {
            config,
            config_text,
            data,
            trainer,
            folder,
            device,
            order,
            course,
            yardstick,
            rise,
            first,
            started,
            memory,
            job,
        })
    }

    /// Goes on with the run that a name stands for: the newest, or a run's folder, from its newest whole
    /// checkpoint; or with a run from the checkpoint that is named.
    ///
    /// # Errors
    /// Where it is no run, it cannot go on ([`Error::CannotResume`], in [`Error::InOption`]), its
    /// configuration or images are others ([`Error::OtherImages`]), or another process trains it
    /// ([`Error::Busy`]).
    pub fn resume(name: impl AsRef<Path>, changes: &Resume, device: Device) -> Result<Self> {
        Self::resume_on(name.as_ref(), changes, device, RunConfig::load_data_of_run)
    }

    /// The same for images that the caller has: those that the run began with.
    ///
    /// # Errors
    /// As [`Session::resume`].
    pub fn resume_with(
        name: impl AsRef<Path>,
        images: Splits,
        changes: &Resume,
        device: Device,
    ) -> Result<Self> {
        Self::resume_on(name.as_ref(), changes, device, |_, _| Ok(images))
    }

    fn resume_on(
        name: &Path,
        changes: &Resume,
        device: Device,
        images: impl FnOnce(&RunConfig, &Path) -> Result<Splits>,
    ) -> Result<Self> {
        let run = find_run(name)?;
        let name = &find::named(name)?;
        // Before a checkpoint is looked for: whoever trains the run may remove it.
        let lock = run_folder::lock(&run)?;
        // At once: a request that comes while images and network are read is one to this training.
        stop_file::remove_old(&run)?;
        checkpoint::restore(&RealDisk, &run.join(CHECKPOINTS))?;
        let history = StepHistory::read(&run)?;
        let found = find_checkpoint(name, &run, &history, changes.restart)?;
        let path = run.join(CONFIG);
        let (mut config, config_text) = RunConfig::load(&path)?;
        if let Some(found) = &found {
            resume::check_configuration(&path, &config_text, found)?;
            resume::keep_schedule(&mut config.diffusion, found)?;
        }
        config.validate().within(path.display().to_string())?;
        if let Some(data) = &changes.data {
            config.data.source.clone_from(data);
        }
        config.data.max_megapixels = changes.max_megapixels.or(config.data.max_megapixels);
        config.data.max_gigabytes = changes.max_gigabytes.or(config.data.max_gigabytes);
        let data = images(&config, &path)?;
        check_images(&config, &data)?;
        let mut trainer = Trainer::new(&config.unet(&data)?, &config.diffusion, &config.train, &device)?;
        let (step, beginning) = match &found {
            Some(found) => (checkpoint::load(&mut trainer, found, &device)?.step, None),
            // The weights that it began from are nowhere but where they were.
            None => (
                0,
                begin(&mut config, &mut trainer, &data, &device).map_err(|error| of_file(&path, error))?,
            ),
        };
        config.save.save_every = changes.save_every.unwrap_or(config.save.save_every);
        config.save.keep = changes.keep.unwrap_or(config.save.keep);
        config.save.sample_every = changes.sample_every.unwrap_or(config.save.sample_every);
        config.save.eval_every = changes.eval_every.unwrap_or(config.save.eval_every);
        config.validate()?;
        check_measurable(&config, &data)?;
        set_aside_and_warn(&run, step, &history)?;
        let folder = RunFolder::reopen(&run, &config_text, step, &history, lock)?;
        match found {
            Some(_) => log::info!("{} goes on after step {step} of {}", run.display(), config.train.steps),
            None => log::info!("{} was stopped before its first checkpoint: it begins again", run.display()),
        }
        let (memory, before) = (Memory::Normal, duet_model::resident_memory());
        let course = Course::of(&config, &device)?;
        let run = NewRun { config, data, trainer, beginning, course, device, memory, before, job: None };
        Self::of(run, config_text, folder)
    }

    /// Takes one step, and all that is due after it: losses, previews, averages, checkpoint. After the last
    /// step it goes on training.
    ///
    /// # Errors
    /// Where the training diverges, or where the run's folder cannot be written or is no more this
    /// process's.
    pub fn step(&mut self) -> Result<Stepped> {
        let total = self.config.train.steps;
        let began = Instant::now();
        let report = match &mut self.course {
            Some(course) => course.step(&mut self.trainer, self.folder.path(), self.job.as_ref())?,
            None => lead::step(self.job.as_ref(), &mut self.trainer, &self.data, &mut self.order)?,
        };
        let images_per_second =
            self.trainer.images_per_step() as f64 / began.elapsed().as_secs_f64().max(1e-9);
        let step = report.step;
        let due = |every: u64| (every > 0 && step % every == 0) || step == total;
        let held_out_loss = if due(self.config.save.held_out_every) { self.held_out()? } else { None };
        let yardstick = self.yardstick.as_ref().filter(|_| due(self.config.save.eval_every));
        let (score, memorisation) = match yardstick.map(|yardstick| self.measure(yardstick)) {
            None => (None, None),
            Some(Ok((score, memorisation))) => (Some(Ok(score)), Some(memorisation)),
            Some(Err(error)) => (Some(Err(error)), None),
        };
        let metrics = Metrics {
            step,
            loss: report.loss,
            grad_norm: report.grad_norm,
            learning_rate: report.learning_rate,
            held_out_loss,
            score: score.as_ref().and_then(|score| score.as_ref().ok().cloned()),
            memorisation: memorisation.clone(),
        };
        self.folder.record(&metrics, images_per_second)?;
        let warning = match &memorisation {
            Some(memorisation) => self.note_copies(step, memorisation)?,
            None => None,
        };
        let previews = due(self.config.save.sample_every) || step == self.config.save.first_sample;
        let snapshots = self.config.train.ema_snapshots > 0 && due(self.config.train.ema_snapshots);
        if previews || snapshots {
            self.folder.check_ours()?;
        }
        let preview = if previews { Some(self.preview()?) } else { None };
        // Before the checkpoint: a run that is killed between the two takes the step again.
        if snapshots {
            snapshots::keep(&self.trainer, self.folder.path())?;
        }
        let saved = if due(self.config.save.save_every) { Some(self.save()?) } else { None };
        Ok(Stepped { report, held_out_loss, score, memorisation, warning, preview, checkpoint: saved })
    }

    /// Chooses what training trades for memory from here on. It changes no result.
    pub fn use_memory(&mut self, memory: Memory) {
        self.memory = memory;
        self.trainer.use_memory(memory);
    }

    /// Goes on with all ranks of a job, as [`NewRun::with_job`] begins with them.
    ///
    /// # Errors
    /// As [`NewRun::with_job`].
    pub fn use_job(&mut self, job: Job) -> Result<()> {
        job.share(&mut self.trainer, &self.config, &self.data, self.memory)?;
        self.job = Some(job);
        Ok(())
    }

    /// Whether somebody has asked for the end of this training by [`crate::ask_to_stop`]. The request is taken away; one
    /// that cannot be removed counts too, and is warned about.
    pub fn take_stop(&self) -> bool {
        stop::take(self.folder.path())
    }

    /// Whether the last step is taken.
    pub fn is_done(&self) -> bool {
        self.trainer.steps() >= self.config.train.steps
    }

    /// Ends a run whose last step is taken: what is to be removed is, and its time is noted. The run's folder.
    ///
    /// # Errors
    /// Where the run's folder cannot be written.
    pub fn finish(mut self) -> Result<PathBuf> {
        let step = self.trainer.steps();
        // There is nothing left to stop.
        self.take_stop();
        // A run that was killed between its last save and what follows it is finished now.
        checkpoint::prune_but(&self.folder.checkpoints(), step, self.config.save.keep, self.rise.before)?;
        let time = self.started.elapsed();
        let images = (step - self.first) as f64 * self.trainer.images_per_step() as f64;
        let images_per_second = images / time.as_secs_f64().max(1e-9);
        self.folder
            .log(&format!("step {step}: done after {}, {images_per_second:.1} img/s", duration(time)))?;
        self.folder.tell(&Event::Done { step, seconds: time.as_secs_f64(), images_per_second })?;
        Ok(self.folder.path().into())
    }

    /// The configuration, as the run goes on with it.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The data.
    pub fn data(&self) -> &Splits {
        &self.data
    }

    /// Network, averages and optimiser.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the preview of a step goes.
    pub fn preview_path(&self, step: u64) -> PathBuf {
        self.folder.preview(step)
    }

    /// The denoising loss on the held-out split; none where that is empty.
    fn held_out(&self) -> Result<Option<f64>> {
        let options = HeldOut { images: self.config.save.held_out_images, batch: self.config.train.batch };
        if options.images == 0 || self.data.test.is_empty() {
            return Ok(None);
        }
        let (unet, schedule) = (self.trainer.ema_unet(), self.trainer.schedule());
        let diffusion = &self.config.diffusion;
        Ok(Some(held_out_loss(unet, &self.data.test, diffusion, schedule, options, &self.device)?))
    }

    /// Draws images of every class and measures them; the same seeds each time.
    fn measure(&self, yardstick: &Yardstick) -> Result<(Score, CopiedShares)> {
        let size = (self.config.save.eval_images, BATCH);
        score::score_and_copies(&Drawing::default(), &self.model()?, yardstick, size, &self.device)
    }

    /// Looks whether copies have risen, and says so once.
    fn note_copies(&mut self, step: u64, found: &CopiedShares) -> Result<Option<String>> {
        let (Some(share), Some(real), Some(p)) =
            (found.memorised_share, found.held_out_memorised_share, found.memorised_p)
        else {
            return Ok(None);
        };
        if !self.rise.note(step, p) {
            return Ok(None);
        }
        let best = self.rise.before;
        let before = match best {
            Some(best) => format!(
                "up to step {best} nothing showed of it, and {} is the checkpoint from before",
                self.folder.path().join(find::BEST).display()
            ),
            None => "it was so at the first measurement: measure more often (--eval-every)".into(),
        };
        let warning = format!(
            "{:.1} % of the drawn images copy a training image, where {:.1} % of the held-out images seem to (p = \
             {p:.1e}): {before}",
            100.0 * share,
            100.0 * real
        );
        self.folder.log(&format!("step {step}: {warning}"))?;
        self.folder.tell(&Event::CopiesRose {
            step,
            memorised_share: share,
            held_out_memorised_share: real,
            p,
            best,
        })?;
        Ok(Some(warning))
    }

    /// Draws the same seeds of every class at every preview.
    fn preview(&mut self) -> Result<PathBuf> {
        let model = self.model()?;
        let mut learnt = yardstick::present(&self.data);
        learnt.truncate(PREVIEW_CLASSES);
        let class = ClassList::of(&learnt, &model.classes);
        let drawing = Drawing { class, seeds: first_seeds(PREVIEW_SEEDS), ..Drawing::default() };
        let mut plan = Plan::new(&drawing, &model, BATCH, &self.device)?;
        let checkpoint = checkpoint::folder(Path::new("../checkpoints"), self.trainer.steps());
        plan.note = plan.note.seen_from_picture(&checkpoint.display().to_string());
        let images = plan.draw_images(|_| Ok(()))?.images;
        let png = plan.grid(&images)?.encode_png_with(&plan.texts(Form::Grid)?);
        drop(plan);
        self.folder.add_preview(self.trainer.steps(), png)
    }

    /// The averaged network as it would be read from the checkpoint of this step.
    ///
    /// # Errors
    /// Where candle has one.
    pub fn model(&self) -> Result<Model> {
        let folder = checkpoint::folder(&self.folder.checkpoints(), self.trainer.steps());
        let averages = self.trainer.ema_parameters().iter();
        let averages = averages.map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect();
        let (unet, parameters) =
            UNet::from_tensors(self.trainer.ema_unet().config(), averages, &self.device)?;
        let notes = checkpoint::notes(&self.trainer, self.data.train.classes());
        let scheduler = checkpoint::scheduler(&self.trainer, &self.config.sample.spacing)?;
        let loaded = LoadedModel { unet, parameters, folder: folder.clone(), notes };
        let model = Model::assembled(loaded, scheduler, Some(self.config.sample.clone()), folder)?;
        Ok(Model { job: self.job.clone(), ..model })
    }

    /// Saves a checkpoint now, and removes the oldest.
    ///
    /// # Errors
    /// Where the run's folder cannot be written or is no more this process's.
    pub fn save(&mut self) -> Result<PathBuf> {
        self.folder.sync()?;
        let annotations = checkpoint::Annotations {
            classes: self.data.train.classes(),
            config: &self.config_text,
            spacing: &self.config.sample.spacing,
        };
        let parent = self.folder.checkpoints();
        let saved = checkpoint::save(&self.trainer, annotations, &parent)?;
        let step = self.trainer.steps();
        checkpoint::prune_but(&parent, step, self.config.save.keep, self.rise.before)?;
        let checkpoint = saved.display().to_string();
        self.folder.log(&format!("step {step}: saved {checkpoint}"))?;
        self.folder.tell(&Event::Saved { step, checkpoint })?;
        Ok(saved)
    }
}

/// Ranks beyond the number of a step's chunks have nothing to do.
fn idle_ranks(config: &RunConfig, ranks: usize) -> Option<String> {
    let images = duet_model::chunks(1 << 20, 1)[0].len();
    let chunks = duet_model::chunks(config.train.batch, config.train.accumulate).len();
    (ranks > chunks).then(|| {
        format!(
            "{ranks} ranks, and a step has work for {chunks}: {} ranks have nothing to do while it trains; a batch of {} would \
             use all",
            ranks - chunks,
            ranks * images
        )
    })
}

/// A preset's own images are noted only where they are what is trained on: other images that the caller has would
/// be measured against them later.
fn name_images(config: &mut RunConfig, data: &Splits) -> Result<()> {
    let own = || Ok::<_, Error>(duet_data::digits()?.train.fingerprint());
    if config.data.source == DIGITS && data.train.fingerprint() != own()? {
        config.data.source.clone_from(&data.name);
    }
    Ok(())
}

/// Refuses other images than those that a run began with.
fn check_images(config: &RunConfig, data: &Splits) -> Result<()> {
    let refuse = |split| Err(Error::OtherImages { images: config.data.source.clone(), split });
    if config.data.fingerprint != Some(data.train.fingerprint()) {
        return refuse(Split::Training);
    }
    // Runs of older versions do not say.
    match &config.data.held_out_fingerprint {
        Some(held_out) if *held_out != data.test.fingerprint() => refuse(Split::HeldOut),
        _ => Ok(()),
    }
}

/// Refuses to measure what there is nothing to compare with.
fn check_measurable(config: &RunConfig, data: &Splits) -> Result<()> {
    match config.save.eval_every {
        0 => Ok(()),
        every => yardstick::check(data, "eval-every", &format!(" {every}")),
    }
}

/// The run of `latest`, of a run's folder or of a checkpoint in one.
fn find_run(name: &Path) -> Result<PathBuf> {
    let wrong = || TrainError::Checkpoint {
        path: name.into(),
        reason: "neither a run's folder (with config.toml) nor a checkpoint in one".into(),
    };
    let run = match name == Path::new(find::LATEST) {
        true => find::latest()?.0,
        false => find::run_of(name)?.ok_or_else(wrong).in_option("resume")?,
    };
    Ok(if run.as_os_str().is_empty() { ".".into() } else { run })
}

/// Sets aside what was saved after `step`, and warns of what is missing or damaged up to there.
fn set_aside_and_warn(run: &Path, step: u64, history: &StepHistory) -> Result<()> {
    let aside = checkpoint::set_aside(&RealDisk, &run.join(CHECKPOINTS), step)?;
    if !aside.is_empty() {
        let names: Vec<String> = aside.iter().map(|path| path.display().to_string()).collect();
        log::warn!("what was saved after step {step} is set aside: {}", names.join(", "));
    }
    if history.last() < step {
        log::warn!("{}: steps up to {step} are missing in it", history.reason());
    }
    for (_, found) in snapshots::check(&run.join(SNAPSHOTS), step)? {
        if let Err(error) = found {
            log::warn!("{}", error.chain());
        }
    }
    Ok(())
}

/// The checkpoint to go on from, the newest that the metrics reach; none where the run begins again.
fn find_checkpoint(name: &Path, run: &Path, history: &StepHistory, restart: bool) -> Result<Option<PathBuf>> {
    if name != Path::new(find::LATEST) && name != run {
        return Ok(Some(name.into()));
    }
    let parent = run.join(CHECKPOINTS);
    let (found, passed) = checkpoint::latest_until(&parent, history.last())?;
    for error in passed {
        match error {
            // It may be whole: going on from an older one would leave its steps behind.
            TrainError::Read { .. } => {
                let fix = "try again, or name an older checkpoint to go on from that one";
                return Err(error).within(fix).in_option("resume");
            }
            error => log::warn!("{error}"),
        }
    }
    if found.is_some() {
        if history.fault.is_some() {
            log::warn!("{}", history.reason());
        }
        return Ok(found);
    }
    let all = checkpoint::list(&parent)?;
    let refuse = |why| Err(Error::CannotResume { run: run.into(), why }).in_option("resume");
    match checkpoint::latest(&parent)?.0 {
        Some(checkpoint) => refuse(CannotResume::MetricsEnd { reason: history.reason(), checkpoint }),
        None if !all.is_empty() => refuse(CannotResume::NoneWhole),
        None if !history.is_empty() && !restart => {
            refuse(CannotResume::NoCheckpoint { steps: history.last() })
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::ask_to_stop;

    #[test]
    fn a_request_that_comes_while_images_are_read_stops_the_training() {
        let dir = tempfile::tempdir().unwrap();
        let (file, run) = (dir.path().join("tiny.toml"), dir.path().join("run"));
        let tiny = "[model]\nblock_out_channels = [8, 16]\nattention_levels = []\nnorm_num_groups = 4\n\
                    [train]\nsteps = 9\nbatch = 2\n[save]\nheld_out_images = 2\n";
        std::fs::write(&file, tiny).unwrap();
        let config = RunConfig::resolve("digits", Some(&file), vec![]).unwrap();
        let data = config.load_data().unwrap();
        drop(Session::start(config, data.clone(), &run, Device::Cpu).unwrap());
        std::fs::write(run.join("STOP"), "").unwrap();
        let images = |_: &RunConfig, _: &Path| {
            assert!(!run.join("STOP").exists(), "what is stale is removed before");
            ask_to_stop(&run)?;
            Ok(data)
        };
        let session = Session::resume_on(&run, &Resume::default(), Device::Cpu, images).unwrap();
        assert!(session.take_stop());
    }
}
