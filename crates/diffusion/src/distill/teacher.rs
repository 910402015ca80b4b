//! A teacher: where it goes from a student's states.

use crate::config::{DDIM, RunConfig};
use crate::distill::config::DistillConfig;
use crate::draw::{Drawn, counted};
use crate::drawing::Drawing;
use crate::error::{Result, option, setting};
use crate::job::drawing::Part;
use crate::job::hands::OnStep;
use crate::job::lead::no_message;
use crate::model::Model;
use crate::settings;
use candle_core::{Device, Tensor};
use duet_model::{Purpose, Snapshot, UNet};
use duet_random::Draws;
use duet_sample::{Guidance, Labels, Sampler, Trajectory};
use duet_schedule::{Prediction, Solver, Spacing, Steps};
use duet_train::Trajectories;
use std::cell::Cell;
use std::ops::Range;

/// Images at once.
pub const BATCH: usize = 64;

/// A model that shows a student where its steps are to lead.
pub struct Teacher {
    model: Model,
    guidance: Guidance,
    /// The teacher's steps within each step of the student.
    hops: Vec<Sampler>,
    /// The student's own steps.
    own: Sampler,
    trajectories: usize,
    seed: u64,
    /// (C, H, W)
    shape: (usize, usize, usize),
    device: Device,
}

impl Teacher {
    /// The teacher of a student's run, and the student's steps.
    ///
    /// # Errors
    /// Where the teacher's steps are no multiple of the student's, its sampler adds noise or asks twice, and where nothing
    /// says how large its images are.
    pub fn of(
        (run, config): (&RunConfig, &DistillConfig),
        model: Model,
        device: &Device,
    ) -> Result<(Self, Steps)> {
        let schedule = run.diffusion.noise_schedule()?;
        let timesteps = run.sample.spacing.timesteps(run.sample.steps, &schedule)?;
        let steps = Steps::new(&schedule, &timesteps)?;
        let student = (&steps, run.diffusion.prediction);
        Ok((Self::new(model, config, student, run.train.seed, device)?, steps))
    }

    /// A teacher for these steps of a student that predicts so.
    fn new(
        model: Model,
        config: &DistillConfig,
        (steps, prediction): (&Steps, Prediction),
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let drawing = settings::resolved(&drawing_of(config), &model)?;
        let guidance = settings::guidance(&drawing, &model)?;
        let all = settings::sampler(&drawing, &model)?;
        let clip = all.reading().clip;
        let hops = hops(config, all.steps(), steps, model.scheduler.prediction()?)?;
        let hops = hops.into_iter().map(|hop| hop.with_clip(clip)).collect::<Result<_, _>>()?;
        let own = Sampler::new(steps.clone(), prediction, DDIM)?.with_clip(model.scheduler.clip())?;
        let unet = model.loaded.unet.config();
        let Some(size) = unet.sample_size else {
            let folder = model.folder.display();
            return Err(setting(format!("{folder}: sample_size is null, so the image size is unknown")));
        };
        let (height, width) = size.sides();
        let (shape, trajectories) = ((unet.in_channels, height, width), config.trajectories);
        Ok(Self { guidance, hops, own, trajectories, seed, shape, device: device.clone(), model })
    }

    /// The set of trajectories of this number: the teacher's own, or those of a student, from each of whose states the
    /// teacher goes on for one step of the student. Noise and classes depend on the seed and the number alone.
    ///
    /// # Errors
    /// Those of the networks.
    pub fn set<'a>(&'a self, number: u64, student: Option<&'a UNet>) -> Result<TeacherSet<'a>> {
        let first = number * self.trajectories as u64;
        let seed = |i: u64| Draws::new(self.seed, "trajectory to learn from", i).below(u64::MAX);
        let numbers = first..first + self.trajectories as u64;
        let classes = self.model.classes.len().max(1) as u64;
        let has_classes = self.model.loaded.unet.config().num_class_embeds.is_some();
        Ok(TeacherSet {
            teacher: self,
            labels: has_classes.then(|| numbers.clone().map(|i| (i % classes) as u32).collect()),
            seeds: numbers.map(seed).collect(),
            network: self.model.loaded.unet.snapshot(Purpose::Prediction)?,
            student: student.map(|student| student.snapshot(Purpose::Prediction)).transpose()?,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }
}

/// Trajectories that are to be drawn.
pub struct TeacherSet<'a> {
    teacher: &'a Teacher,
    labels: Option<Vec<u32>>,
    seeds: Vec<u64>,
    network: Snapshot<'a>,
    student: Option<Snapshot<'a>>,
}

impl TeacherSet<'_> {
    /// How many trajectories.
    pub fn len(&self) -> usize {
        self.seeds.len()
    }

    /// Steps of the networks for a trajectory.
    pub fn steps(&self) -> usize {
        let of_teacher = self.teacher.hops.iter().map(|hop| hop.steps().len()).sum::<usize>();
        of_teacher + self.student.as_ref().map_or(0, |_| self.teacher.hops.len())
    }

    /// (2·N·C, H, W): what is drawn of a trajectory with N steps of the student.
    pub fn shape(&self) -> (usize, usize, usize) {
        let (channels, height, width) = self.teacher.shape;
        (2 * self.teacher.hops.len() * channels, height, width)
    }

    /// Draws some of the trajectories: behind each other the states that the student's steps begin with and those where the
    /// teacher goes from there. `on_step` hears after each step how many images have taken it.
    ///
    /// # Errors
    /// Those of the networks and of `on_step`.
    pub fn draw(&self, range: Range<usize>, on_step: &mut OnStep) -> Result<Drawn> {
        let evaluations = Cell::new(0);
        let batches = range.clone().step_by(BATCH).map(|first| first..range.end.min(first + BATCH));
        let images = batches.map(|batch| self.batch(batch, &evaluations, on_step));
        let images = Tensor::cat(&images.collect::<Result<Vec<_>>>()?, 0)?;
        Ok(Drawn { images, evaluations: evaluations.get() })
    }

    /// Draws what one rank has of it.
    pub fn draw_part(&self, part: &Part, on_step: &mut OnStep) -> Result<Drawn> {
        match part {
            Part::Images(range) if range.end <= self.len() => self.draw(range.clone(), on_step),
            part => Err(no_message(0)(format!("no part of {} trajectories: {part:?}", self.len())).into()),
        }
    }

    fn batch(&self, range: Range<usize>, evaluations: &Cell<usize>, on_step: &mut OnStep) -> Result<Tensor> {
        let Teacher { hops, guidance, .. } = self.teacher;
        let labels = self.labels.as_ref().map(|labels| Labels::new(&labels[range.clone()]));
        let begin = |sampler: &Sampler| {
            let seeds = &self.seeds[range.clone()];
            let Teacher { shape, device, .. } = self.teacher;
            Trajectory::new(sampler.clone(), seeds, *shape, labels.clone(), device)
        };
        let mut own = begin(&self.teacher.own)?;
        let mut x = own.x().clone();
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for hop in hops {
            let mut taught = begin(hop)?.with_noise(x.clone())?;
            while !taught.is_done() {
                taught.step(guidance, counted(&self.network, evaluations))?;
                on_step(range.len())?;
            }
            from.push(x);
            to.push(taught.x().clone());
            x = match &self.student {
                None => taught.x().clone(),
                Some(student) => {
                    own.step(&Guidance::new(1.0, None), counted(student, evaluations))?;
                    on_step(range.len())?;
                    own.x().clone()
                }
            };
        }
        Ok(Tensor::cat(&[from, to].concat(), 1)?.to_device(&Device::Cpu)?)
    }

    /// The trajectories of all that was drawn.
    ///
    /// # Errors
    /// Those of candle.
    pub fn trajectories(self, drawn: &Drawn) -> Result<Trajectories> {
        let (steps, channels) = (self.teacher.hops.len(), self.teacher.shape.0);
        let state = |i: usize| {
            drawn.images.narrow(1, i * channels, channels)?.contiguous()?.to_device(&self.teacher.device)
        };
        let states = |range: Range<usize>| range.map(state).collect::<candle_core::Result<_>>();
        Ok(Trajectories { from: states(0..steps)?, to: states(steps..2 * steps)?, labels: self.labels })
    }
}

/// The teacher's sampler within each step of the student.
fn hops(config: &DistillConfig, all: &Steps, own: &Steps, prediction: Prediction) -> Result<Vec<Sampler>> {
    let (count, steps) = (all.len(), own.len());
    if !count.is_multiple_of(steps) {
        let problem = format!(" {count}: must be a multiple of the student's {steps} steps");
        return Err(option("teacher-steps", problem));
    }
    let each = count / steps;
    let hop = |i: usize| -> Result<Sampler> {
        let (first, last) = (i * each, (i + 1) * each);
        let timesteps = all.timesteps()[first..last].to_vec();
        if timesteps[0] != own.timesteps()[i] {
            let (visited, wanted) = (all.timesteps(), own.timesteps());
            return Err(setting(format!(
                "the teacher visits the timesteps {visited:?}, and the student begins its steps at {wanted:?}"
            )));
        }
        let steps = Steps::from_levels(timesteps, all.alpha_bars()[first..=last].to_vec())?;
        Ok(Sampler::new(steps, prediction, config.sampler)?)
    };
    let hops: Vec<Sampler> = (0..steps).map(hop).collect::<Result<_>>()?;
    let adds_noise = |hop: &Sampler| (0..hop.steps().len()).any(|i| hop.update(i).noise != 0.0);
    if hops.iter().any(adds_noise) || matches!(config.sampler, Solver::Heun(_)) {
        let problem = "a student learns from a sampler without noise that asks once a step: ddim, euler, dpmpp-2m or unipc";
        return Err(option("sampler", format!(" {}: {problem}", config.sampler)));
    }
    Ok(hops)
}

/// A drawing with every setting of the teacher's.
fn drawing_of(config: &DistillConfig) -> Drawing {
    Drawing {
        guidance: vec![config.guidance],
        steps: Some(config.steps),
        spacing: Some(Spacing::Trailing),
        sampler: Some(config.sampler),
        eta: Some(0.0),
        clip: config.clip,
        interval: Some(config.interval),
        rule: Some(config.rule.clone()),
        history: Some(config.history),
        guidance_schedule: Some(Default::default()),
        ..Drawing::default()
    }
}
