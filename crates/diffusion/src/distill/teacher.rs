//! A teacher: where it goes from a student's states.

use crate::config::DDIM;
use crate::distill::config::DistillConfig;
use crate::draw::counted;
use crate::drawing::Drawing;
use crate::error::{Result, option, setting};
use crate::model::Model;
use crate::settings;
use candle_core::{Device, Tensor};
use duet_model::{Purpose, Snapshot};
use duet_random::Draws;
use duet_sample::{Guidance, Labels, Sampler, Trajectory};
use duet_schedule::{Prediction, Solver, Spacing, Steps};
use duet_train::Trajectories;
use std::cell::Cell;

/// Images at once.
const BATCH: usize = 64;

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
    /// A teacher for these steps of a student that predicts so.
    ///
    /// # Errors
    /// Where the teacher's steps are no multiple of the student's, its sampler adds noise or asks twice, and where nothing
    /// says how large its images are.
    pub fn new(
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
    pub fn trajectories(&self, number: u64, student: Option<&Snapshot>) -> Result<Trajectories> {
        let teacher = self.model.loaded.unet.snapshot(Purpose::Prediction)?;
        let (count, evaluations) = (self.trajectories, Cell::new(0));
        let first = number * count as u64;
        let seed = |i: u64| Draws::new(self.seed, "trajectory to learn from", i).below(u64::MAX);
        let seeds: Vec<u64> = (first..first + count as u64).map(seed).collect();
        let classes = self.model.classes.len().max(1) as u64;
        let has_classes = self.model.loaded.unet.config().num_class_embeds.is_some();
        let labels = (first..first + count as u64).map(|i| (i % classes) as u32).collect::<Vec<u32>>();
        let (mut from, mut to) = (vec![Vec::new(); self.hops.len()], vec![Vec::new(); self.hops.len()]);
        for first in (0..count).step_by(BATCH) {
            let range = first..(first + BATCH).min(count);
            let labels = has_classes.then(|| Labels::new(&labels[range.clone()]));
            let begin = |sampler: &Sampler| {
                Trajectory::new(
                    sampler.clone(),
                    &seeds[range.clone()],
                    self.shape,
                    labels.clone(),
                    &self.device,
                )
            };
            let mut own = begin(&self.own)?;
            let mut x = own.x().clone();
            for (i, hop) in self.hops.iter().enumerate() {
                let mut taught = begin(hop)?.with_noise(x.clone())?;
                while !taught.is_done() {
                    taught.step(&self.guidance, counted(&teacher, &evaluations))?;
                }
                from[i].push(x);
                to[i].push(taught.x().clone());
                x = match student {
                    None => taught.x().clone(),
                    Some(student) => {
                        own.step(&Guidance::new(1.0, None), counted(student, &evaluations))?;
                        own.x().clone()
                    }
                };
            }
        }
        let whole = |parts: Vec<Vec<Tensor>>| -> candle_core::Result<Vec<Tensor>> {
            parts.iter().map(|parts| Tensor::cat(parts, 0)).collect()
        };
        Ok(Trajectories { labels: has_classes.then_some(labels), from: whole(from)?, to: whole(to)? })
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
