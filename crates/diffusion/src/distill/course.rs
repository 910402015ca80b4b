//! The lessons of a run that is a student, one step after the other.

use crate::config::RunConfig;
use crate::distill::teacher::Teacher;
use crate::error::{Result, Within, setting};
use crate::job::lead::Job;
use crate::model::Model;
use crate::run_folder::LESSONS;
use crate::snapshots;
use candle_core::{Device, Var};
use duet_model::{Purpose, UNet};
use duet_schedule::Steps;
use duet_train::{Distiller, StepReport, Trainer};
use std::path::Path;

/// The teacher, and what it has shown last.
pub struct Course {
    teacher: Teacher,
    distiller: Distiller,
    led: u64,
}

impl Course {
    /// The course of a run that is a student; none of one that learns from images.
    ///
    /// # Errors
    /// Where the teacher cannot be opened, or is not the one that the run began with.
    pub fn of(config: &RunConfig, device: &Device) -> Result<Option<Self>> {
        let (Some(distill), Some(from)) = (&config.distill, &config.from) else { return Ok(None) };
        let model = Model::open(&from.model, device).within("[from], the teacher")?;
        let hash = model.hash()?;
        if let Some(noted) = from.hash.as_ref().filter(|noted| **noted != hash) {
            return Err(setting(format!(
                "{}: not the teacher that the run began with: its hash is {hash}, not {noted}; put that model back",
                from.model
            )));
        }
        let schedule = config.diffusion.noise_schedule()?;
        let timesteps = config.sample.spacing.timesteps(config.sample.steps, &schedule)?;
        let steps = Steps::new(&schedule, &timesteps)?;
        let (seed, student) = (config.train.seed, (&steps, config.diffusion.prediction));
        let teacher = Teacher::new(model, distill, student, seed, device)?;
        let distiller = Distiller::new(steps, distill.refresh, seed);
        Ok(Some(Self { teacher, distiller, led: distill.led }))
    }

    /// Takes the trainer's next step, with the other ranks where there are any. Where a new set of trajectories begins, it is
    /// drawn first, by this process. `run` is the run's folder, where the weights are kept that a set is drawn with.
    ///
    /// # Errors
    /// As [`Trainer::step_towards`]; where the weights cannot be kept, or those that a set was drawn with are damaged.
    pub fn step(&mut self, trainer: &mut Trainer, run: &Path, job: Option<&Job>) -> Result<StepReport> {
        if let Some((number, begin)) = self.distiller.wants(trainer) {
            let trajectories = match begin < self.led {
                true => self.teacher.trajectories(number, None)?,
                false => {
                    let (unet, _) = student(trainer, begin, &run.join(LESSONS))?;
                    self.teacher.trajectories(number, Some(&unet.snapshot(Purpose::Prediction)?))?
                }
            };
            self.distiller.give(number, trajectories)?;
        }
        let lesson = self.distiller.lesson(trainer)?;
        if let Some(job) = job {
            job.announce_lesson(&lesson)?;
        }
        Ok(trainer.step_towards(&lesson)?)
    }
}

/// The averaged network after the step `begin`: now, or as it was kept.
fn student(trainer: &Trainer, begin: u64, folder: &Path) -> Result<(UNet, duet_model::Parameters)> {
    let config = trainer.ema_unet().config();
    let weights = match trainer.steps() == begin {
        true => {
            let named = |(name, var): (&str, &Var)| (name.to_string(), var.as_tensor().clone());
            let weights = trainer.ema_parameters().iter().map(named).collect();
            snapshots::keep_in(folder, begin, &duet_model::weights_to_bytes(&weights)?)?;
            weights
        }
        false => duet_model::read_tensors(&snapshots::whole_in(folder, begin)?, trainer.ema_unet().device())?,
    };
    Ok(UNet::from_tensors(config, weights, trainer.ema_unet().device())?)
}
