//! A student that is asked for, as the configuration of its run.

use crate::config::{DDIM, RunConfig, SampleConfig};
use crate::distill::config::DistillConfig;
use crate::error::{Result, option, setting};
use crate::find;
use crate::from::{FromConfig, FromWeights};
use duet_sample::{GuidanceInterval, History, WeightSchedule};
use duet_schedule::{Clip, Prediction, Solver, Spacing};
use duet_train::checkpoint::CONFIG_COPY;
use duet_train::{Flip, TrainOptions};

/// The teacher's evaluations for each of the student's, where nobody asks for others.
const EACH: usize = 2;
/// The least number of evaluations of a teacher.
const LEAST: usize = 8;
/// The student takes so many times fewer steps of the optimiser than the teacher.
const SHORTER: u64 = 5;
/// Sets of trajectories.
const SETS: u64 = 6;
/// Images of each.
const TRAJECTORIES: usize = 512;

/// A student that is asked for. What is none follows from the teacher's run.
///
/// ```no_run
/// use duet_diffusion::{Device, Distill, Session};
/// let config = Distill::of("runs/00001-digits", 4).config()?;
/// let images = config.load_data()?;
/// let mut session = Session::start(config, images, "runs/student".as_ref(), Device::Cpu)?;
/// while !session.is_done() {
///     session.step()?;
/// }
/// session.finish()?;
/// # Ok::<(), duet_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Distill {
    /// The teacher: a run or a checkpoint.
    pub run: String,
    /// The network's evaluations for each image that the student draws.
    pub steps: usize,
    /// The teacher's w; none for its run's.
    pub guidance: Option<f64>,
    /// Where the teacher is guided; none for as its run is.
    pub interval: Option<GuidanceInterval>,
    /// How far the teacher extrapolates each step from the one before; none for not at all.
    pub history: Option<History>,
    /// The teacher's sampler; none for DDIM.
    pub sampler: Option<Solver>,
    /// The teacher's evaluations for an image; none for twice the student's, 8 or more.
    pub teacher_steps: Option<usize>,
    /// What the student predicts.
    pub prediction: Prediction,
    /// Steps of the optimiser; none for a fifth of the teacher's.
    pub train_steps: Option<u64>,
    /// Peak learning rate; none for the teacher's.
    pub learning_rate: Option<f64>,
    /// Images of each set of trajectories; none for 512.
    pub trajectories: Option<usize>,
    /// Seed of every random draw; none for the teacher's.
    pub seed: Option<u64>,
    /// Where the teacher's images are now; none for where they were.
    pub data: Option<String>,
}

impl Distill {
    /// A student of this teacher that draws in so many steps.
    pub fn of(run: impl Into<String>, steps: usize) -> Self {
        Self {
            run: run.into(),
            steps,
            guidance: None,
            interval: None,
            history: None,
            sampler: None,
            teacher_steps: None,
            prediction: Prediction::V,
            train_steps: None,
            learning_rate: None,
            trajectories: None,
            seed: None,
            data: None,
        }
    }

    /// The configuration of the student's run: the teacher's network, images and noise schedule, for
    /// [`Session::start`](crate::Session::start) and [`NewRun::new`](crate::NewRun::new).
    ///
    /// # Errors
    /// Where the teacher is no run's, and where a setting is out of its range.
    pub fn config(&self) -> Result<RunConfig> {
        self.check()?;
        let folder = find::model_folder(&self.run)?;
        let copy = folder.join(CONFIG_COPY);
        if !copy.is_file() {
            let problem =
                "a teacher is a run or a checkpoint, whose settings the student takes over; here is no";
            return Err(option("run", format!(" {}: {problem} {CONFIG_COPY}", self.run)));
        }
        let (teacher, _) = RunConfig::load(&copy)?;
        let model = folder.to_str().ok_or_else(|| {
            setting(format!("{}: a teacher needs a path of UTF-8, which is noted", folder.display()))
        })?;
        let train = TrainOptions {
            seed: self.seed.unwrap_or(teacher.train.seed),
            steps: self.train_steps.unwrap_or(teacher.train.steps.div_ceil(SHORTER)),
            learning_rate: self.learning_rate.unwrap_or(teacher.train.learning_rate),
            // What belongs to images means nothing here.
            label_dropout: 0.0,
            ema_snapshots: 0,
            balance: false,
            flip: Flip::Off,
            augment: 0.0,
            freeze: Vec::new(),
            ..teacher.train.clone()
        };
        let mut config = RunConfig {
            distill: Some(self.distilled(&teacher, &train)?),
            from: Some(FromConfig { model: model.into(), weights: FromWeights::Averaged, hash: None }),
            sample: sample(self.steps),
            train,
            ..teacher
        };
        config.diffusion.prediction = self.prediction;
        config.save.held_out_images = 0;
        config.save.eval_every = 0;
        if let Some(data) = &self.data {
            config.data.source.clone_from(data);
        }
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let refuse =
            |name, value: &dyn std::fmt::Display| Err(option(name, format!(" {value}: must be 1 or more")));
        match self {
            Self { steps: 0, .. } => refuse("steps", &0),
            Self { trajectories: Some(0), .. } => refuse("trajectories", &0),
            Self { teacher_steps: Some(0), .. } => refuse("teacher-steps", &0),
            Self { guidance: Some(w), .. } if !w.is_finite() => {
                Err(option("guidance", format!(" {w}: must be a number")))
            }
            _ => Ok(()),
        }
    }

    /// What the teacher shows.
    fn distilled(&self, teacher: &RunConfig, train: &TrainOptions) -> Result<DistillConfig> {
        let sample = &teacher.sample;
        let constant = sample.guidance_schedule.clone().unwrap_or_default() == WeightSchedule::Constant;
        if !constant && self.guidance.is_none() {
            return Err(option(
                "guidance",
                ": the run's weight grows over its steps, and a student learns one weight; say which",
            ));
        }
        // A student that is the teacher has its own steps, without guidance.
        let of_student = teacher.distill.as_ref().map(|_| sample.steps);
        let usual = || of_student.unwrap_or(LEAST.div_ceil(self.steps).max(EACH) * self.steps);
        let refresh = train.steps.div_ceil(SETS).max(1);
        Ok(DistillConfig {
            steps: self.teacher_steps.unwrap_or_else(usual),
            guidance: self.guidance.unwrap_or(sample.guidance),
            sampler: self.sampler.unwrap_or(DDIM),
            interval: self.interval.or(sample.interval).unwrap_or_default(),
            rule: sample.rule.clone().unwrap_or_default(),
            history: self.history.unwrap_or_default(),
            clip: sample.clip,
            trajectories: self.trajectories.unwrap_or(TRAJECTORIES),
            refresh,
            // A student begins as another one who draws in few steps, or learns that first.
            led: match of_student {
                Some(_) => 0,
                None => refresh * SETS.div_ceil(3),
            },
        })
    }
}

/// How a student draws: DDIM, as a plain loop of diffusers does.
fn sample(steps: usize) -> SampleConfig {
    SampleConfig {
        guidance: 1.0,
        steps,
        spacing: Spacing::Trailing,
        sampler: Some(DDIM),
        eta: None,
        clip: Some(Clip::Static { limit: 1.0 }),
        interval: None,
        rule: None,
        history: None,
        guidance_schedule: None,
    }
}
