//! A rank that does what rank 0 asks of it.

use crate::config::RunConfig;
use crate::distill::teacher::Teacher;
use crate::error::{Error, Result, Within};
use crate::job::drawing::Snapshots;
use crate::job::hands::draw_handed;
use crate::job::introduction::Introduction;
use crate::job::lead::no_message;
use crate::job::order::{self, Answer, Order, TrainOrder};
use crate::model::Model;
use crate::model_files::ModelFiles;
use crate::plan::Plan;
use candle_core::{Device, Tensor};
use duet_data::Splits;
use duet_model::{Memory, UNet};
use duet_ranks::{Channel, Ranks};
use duet_train::{Lesson, Trainer};
use serde_json::Value;

/// Does what rank 0 asks, until it says that the work is done: the code to end with.
///
/// # Errors
/// A rank that is lost or has failed; images that this rank cannot read or that are others than rank 0's. The caller tells
/// the others of the latter with [`Ranks::fail`].
pub fn follow(ranks: &Ranks, introduction: &Introduction) -> Result<u8> {
    ranks.gather(serde_json::to_vec(introduction)?)?;
    let mut follower = Follower::default();
    loop {
        let bytes = ranks.broadcast(Channel::Order, None)?;
        let (order, payload) = order::read(&bytes).map_err(no_message(0))?;
        match order {
            Order::End { code } => return Ok(code),
            Order::Train(order) => follower.train(ranks, &order, payload)?,
            Order::Step { images } => follower.step(&images)?,
            Order::Lesson { shape, timesteps, labels } => {
                follower.lesson(payload, &shape, timesteps, labels)?;
            }
            Order::Teacher { config, model } => follower.teach(&config, model, payload)?,
            Order::Trajectories { number } => follower.trajectories(ranks, number, payload)?,
            Order::Open { model, weights, guide } => {
                let (weights, of_guide) = payload.split_at_checked(weights).unwrap_or((payload, &[]));
                follower.model = Some(open((model, weights), guide.map(|guide| (guide, of_guide)))?);
            }
            Order::Draw { drawing, batch } => {
                let missing = || no_message(0)("a drawing without a model");
                let model = follower.model.as_ref().ok_or_else(missing)?;
                let plan = Plan::new(&drawing, model, batch, &Device::Cpu)?;
                let snapshots = Snapshots::of(&plan)?;
                draw_handed(ranks, &mut |part, on_step| snapshots.draw(&plan, part, on_step))?;
            }
        }
    }
}

/// What a following rank has in memory.
#[derive(Default)]
struct Follower {
    data: Option<(String, Splits)>,
    trainer: Option<Trainer>,
    model: Option<Model>,
    teacher: Option<Teacher>,
}

impl Follower {
    fn train(&mut self, ranks: &Ranks, order: &TrainOrder, state: &[u8]) -> Result<()> {
        let config = RunConfig::of_text(&order.config).within("the configuration from rank 0")?;
        let data = self.images(&config, order)?;
        let mut trainer = Trainer::new(&config.unet(data)?, &config.diffusion, &config.train, &Device::Cpu)?;
        trainer.use_memory(if order.low_memory { Memory::Low } else { Memory::Normal });
        trainer.set_state(state)?;
        trainer.use_ranks(ranks.clone(), order.threads.clone())?;
        self.trainer = Some(trainer);
        ranks.send(0, Channel::Answer, order::to_bytes(&Answer::Ready, &[])?);
        Ok(())
    }

    /// The images that this rank reads itself, which must be those of rank 0.
    fn images(&mut self, config: &RunConfig, order: &TrainOrder) -> Result<&Splits> {
        let known = self.data.take().filter(|(training, _)| *training == order.training);
        let data = match known {
            Some((_, data)) => data,
            None => config.load_data()?,
        };
        let found = [&data.train, &data.test].map(|split| split.fingerprint());
        if found != [order.training.clone(), order.held_out.clone()] {
            let source = &config.data.source;
            return Err(Error::Differ(format!(
                "{source}: the images on this rank are others than those of rank 0; fingerprints {} against {}",
                found.join(" and "),
                [order.training.as_str(), &order.held_out].join(" and ")
            )));
        }
        Ok(&self.data.insert((order.training.clone(), data)).1)
    }

    fn lesson(
        &mut self,
        payload: &[u8],
        shape: &[usize],
        timesteps: Vec<usize>,
        labels: Option<Vec<u32>>,
    ) -> Result<()> {
        let Some(trainer) = &mut self.trainer else {
            return Err(no_message(0)("a lesson without a trainer").into());
        };
        let mut x = order::values_of(payload).map_err(no_message(0))?;
        let x0 = x.split_off(x.len() / 2);
        let (x, x0) = (Tensor::from_vec(x, shape, &Device::Cpu)?, Tensor::from_vec(x0, shape, &Device::Cpu)?);
        trainer.step_towards(&Lesson { x, timesteps, labels, x0 })?;
        Ok(())
    }

    fn teach(&mut self, config: &str, model: Value, weights: &[u8]) -> Result<()> {
        let config = RunConfig::of_text(config).within("the configuration from rank 0")?;
        let Some(distill) = &config.distill else {
            return Err(no_message(0)("a teacher for a run that learns from images").into());
        };
        let model = opened(model, weights)?;
        self.teacher = Some(Teacher::of((&config, distill), model, &Device::Cpu)?.0);
        Ok(())
    }

    /// Draws what rank 0 hands out of a set of trajectories.
    fn trajectories(&self, ranks: &Ranks, number: u64, student: &[u8]) -> Result<()> {
        let (Some(teacher), Some(trainer)) = (&self.teacher, &self.trainer) else {
            return Err(no_message(0)("trajectories without a teacher").into());
        };
        let student = match student {
            [] => None,
            weights => {
                let weights = duet_model::tensors_from_bytes(weights, &Device::Cpu)?;
                Some(UNet::from_tensors(trainer.ema_unet().config(), weights, &Device::Cpu)?)
            }
        };
        let set = teacher.set(number, student.as_ref().map(|(unet, _)| unet))?;
        draw_handed(ranks, &mut |part, on_step| set.draw_part(part, on_step))
    }

    fn step(&mut self, images: &[u64]) -> Result<()> {
        let (Some(trainer), Some((_, data))) = (&mut self.trainer, &self.data) else {
            return Err(no_message(0)("a step without a trainer").into());
        };
        let images: Vec<usize> = images.iter().map(|&image| image as usize).collect();
        trainer.step_on_images(&data.train, &images)?;
        Ok(())
    }
}

fn open((model, weights): (Value, &[u8]), guide: Option<(Value, &[u8])>) -> Result<Model> {
    let mut model = opened(model, weights)?;
    if let Some((guide, weights)) = guide {
        model.guide = Some(Box::new(opened(guide, weights)?));
    }
    Ok(model)
}

fn opened(files: Value, weights: &[u8]) -> Result<Model> {
    serde_json::from_value::<ModelFiles>(files)?.open(weights, &Device::Cpu)
}
