//! The lessons of a run that is a student, one step after the other.

use crate::config::RunConfig;
use crate::distill::teacher::{BATCH, Teacher};
use crate::error::{Result, Within, setting};
use crate::job::drawing::{Part, parts};
use crate::job::hands::Whole;
use crate::job::lead::Job;
use crate::job::order::Order;
use crate::model::Model;
use crate::model_files::{ALL_BITS, ModelFiles};
use crate::run_folder::LESSONS;
use crate::snapshots;
use candle_core::{Device, Tensor, Var};
use duet_model::UNet;
use duet_train::{Distiller, StepReport, Trainer, Trajectories};
use std::collections::BTreeMap;
use std::path::Path;

/// The teacher, and what it has shown last.
pub struct Course {
    teacher: Teacher,
    distiller: Distiller,
    led: u64,
    config: RunConfig,
    /// Whether the other ranks have the teacher.
    is_shared: bool,
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
        let (teacher, steps) = Teacher::of((config, distill), model, device)?;
        let distiller = Distiller::new(steps, distill.refresh, config.train.seed);
        Ok(Some(Self { teacher, distiller, led: distill.led, config: config.clone(), is_shared: false }))
    }

    /// Takes the trainer's next step, with the other ranks where there are any. Where a new set of trajectories begins, it is
    /// drawn first. `run` is the run's folder, where the weights are kept that a set is drawn with.
    ///
    /// # Errors
    /// As [`Trainer::step_towards`]; where the weights cannot be kept, or those that a set was drawn with are damaged.
    pub fn step(&mut self, trainer: &mut Trainer, run: &Path, job: Option<&Job>) -> Result<StepReport> {
        if let Some((number, begin)) = self.distiller.wants(trainer) {
            let student = match begin < self.led {
                true => None,
                false => Some(student(trainer, begin, &run.join(LESSONS))?),
            };
            let trajectories = self.draw(number, student.as_ref(), job)?;
            self.distiller.give(number, trajectories)?;
        }
        let lesson = self.distiller.lesson(trainer)?;
        if let Some(job) = job {
            job.announce_lesson(&lesson)?;
        }
        Ok(trainer.step_towards(&lesson)?)
    }

    /// A set of trajectories, drawn with the other ranks where there are any.
    fn draw(
        &mut self,
        number: u64,
        student: Option<&(UNet, BTreeMap<String, Tensor>)>,
        job: Option<&Job>,
    ) -> Result<Trajectories> {
        let set = self.teacher.set(number, student.map(|(unet, _)| unet))?;
        let drawn = match job.filter(|job| job.size() > 1) {
            None => set.draw(0..set.len(), &mut |_| Ok(()))?,
            Some(job) => {
                let parts = parts(set.len(), job.size(), BATCH).into_iter().map(Part::Images).collect();
                let whole = Whole { steps: set.steps(), shape: set.shape() };
                if !self.is_shared {
                    let (files, weights) = ModelFiles::of(self.teacher.model(), ALL_BITS)?;
                    let (config, model) = (self.config.to_toml()?, serde_json::to_value(files)?);
                    job.announce(&Order::Teacher { config, model }, &weights)?;
                    self.is_shared = true;
                }
                // From here on the others wait for parts: nothing but the drawing itself may fail.
                job.announce_trajectories(number, student.map(|(_, weights)| weights))?;
                job.hand_out(
                    whole,
                    parts,
                    &mut |part, on_step| set.draw_part(part, on_step),
                    &mut |_| Ok(()),
                )?
            }
        };
        set.trajectories(&drawn)
    }
}

/// The averaged network after the step `begin`, with its weights by name: now, or as it was kept.
fn student(trainer: &Trainer, begin: u64, folder: &Path) -> Result<(UNet, BTreeMap<String, Tensor>)> {
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
    let (unet, _) = UNet::from_tensors(config, weights.clone(), trainer.ema_unet().device())?;
    Ok((unet, weights))
}
