//! The rank that the others follow.

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::job::introduction::Introduction;
use crate::job::order::{self, Answer, Order, TrainOrder};
use candle_core::Tensor;
use duet_data::Splits;
use duet_model::Memory;
use duet_ranks::{Channel, RankError, Ranks};
use duet_train::{DataOrder, Lesson, StepReport, Trainer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A job as its leader, rank 0, sees it. Copies stand for the same job.
#[derive(Debug, Clone)]
pub struct Job(pub(crate) Arc<Lead>);

#[derive(Debug)]
pub(crate) struct Lead {
    ranks: Ranks,
    introductions: Vec<Introduction>,
    /// The hash of the model that the others have.
    pub(crate) model: Mutex<Option<String>>,
}

impl Job {
    /// Meets the other ranks as their leader, and checks that all are the same program, started in the same way, with the
    /// same results. The others call [`follow`](crate::job::follow).
    ///
    /// # Errors
    /// [`Error::Differ`] with the ranks and what differs; a rank that is lost or has failed.
    pub fn lead(ranks: Ranks, introduction: &Introduction) -> Result<Self> {
        let gathered = ranks.gather(serde_json::to_vec(introduction)?)?.unwrap_or_default();
        let read =
            |(rank, bytes): (usize, &Vec<u8>)| Ok(serde_json::from_slice(bytes).map_err(no_message(rank))?);
        let introductions: Vec<Introduction> =
            gathered.iter().enumerate().map(read).collect::<Result<_>>()?;
        let lead = Lead { ranks, introductions, model: Mutex::default() };
        match Introduction::difference(&lead.introductions) {
            None => Ok(Self(Arc::new(lead))),
            Some(difference) => Err(Error::Differ(difference)),
        }
    }

    /// The number of ranks.
    pub fn size(&self) -> usize {
        self.0.ranks.size()
    }

    /// What is known of each rank.
    pub fn introductions(&self) -> &[Introduction] {
        &self.0.introductions
    }

    /// A rank with the name of its host, as messages have it.
    pub fn name(&self, rank: usize) -> String {
        match self.0.introductions.get(rank) {
            Some(introduction) => format!("rank {rank} on {}", introduction.host),
            None => format!("rank {rank}"),
        }
    }

    /// The connection.
    pub fn ranks(&self) -> &Ranks {
        &self.0.ranks
    }

    /// Tells the others that the work is done, with the code that their processes are to end with.
    ///
    /// # Errors
    /// Where the order cannot be written.
    pub fn end(&self, code: u8) -> Result<()> {
        self.announce(&Order::End { code }, &[])
    }

    /// Gives the others a trainer like this one, with the same images and in the same state, and lets this one train
    /// together with them from its next step on.
    ///
    /// # Errors
    /// A rank without these images ([`Error::Rank`]); another device than the CPU.
    pub(crate) fn share(
        &self,
        trainer: &mut Trainer,
        config: &RunConfig,
        data: &Splits,
        memory: Memory,
    ) -> Result<()> {
        let order = TrainOrder {
            config: config.to_toml()?,
            training: data.train.fingerprint(),
            held_out: data.test.fingerprint(),
            low_memory: memory == Memory::Low,
            threads: self.0.introductions.iter().map(|introduction| introduction.threads).collect(),
        };
        let threads = order.threads.clone();
        self.announce(&Order::Train(order), &trainer.state()?)?;
        for rank in 1..self.size() {
            let bytes = self.0.ranks.receive(rank, Channel::Answer)?;
            match Answer::read(&bytes).map_err(no_message(rank))?.0 {
                Answer::Ready => {}
                _ => return Err(no_message(rank)("no word that it is ready").into()),
            }
        }
        Ok(trainer.use_ranks(self.0.ranks.clone(), threads)?)
    }

    /// Lets the others take a step on these images.
    fn announce_step(&self, images: &[usize]) -> Result<()> {
        let images = images.iter().map(|&image| image as u64).collect();
        self.announce(&Order::Step { images }, &[])
    }

    /// Lets the others take a step towards what a teacher says.
    pub(crate) fn announce_lesson(&self, lesson: &Lesson) -> Result<()> {
        let values = |tensor: &Tensor| Ok::<_, Error>(order::bytes_of(&tensor.flatten_all()?.to_vec1()?));
        let order = Order::Lesson {
            shape: lesson.x.dims().to_vec(),
            timesteps: lesson.timesteps.clone(),
            labels: lesson.labels.clone(),
        };
        self.announce(&order, &[values(&lesson.x)?, values(&lesson.x0)?].concat())
    }

    /// Lets the others draw parts of a teacher's set, from the states of this student, if there is one.
    pub(crate) fn announce_trajectories(
        &self,
        number: u64,
        student: Option<&BTreeMap<String, Tensor>>,
    ) -> Result<()> {
        let weights = student.map(duet_model::weights_to_bytes).transpose()?.unwrap_or_default();
        self.announce(&Order::Trajectories { number }, &weights)
    }

    pub(crate) fn announce(&self, order: &Order, payload: &[u8]) -> Result<()> {
        self.0.ranks.broadcast(Channel::Order, Some(order::to_bytes(order, payload)?))?;
        Ok(())
    }
}

/// Takes a trainer's next step, with the other ranks where there are any.
pub(crate) fn step(
    job: Option<&Job>,
    trainer: &mut Trainer,
    data: &Splits,
    order: &mut DataOrder,
) -> Result<StepReport> {
    let Some(job) = job else { return Ok(trainer.step_on(&data.train, order)?) };
    let first = trainer.images_seen();
    let images = (first..first + trainer.images_per_step() as u64).map(|index| order.image(index));
    let images: Vec<usize> = images.collect();
    job.announce_step(&images)?;
    Ok(trainer.step_on_images(&data.train, &images)?)
}

/// An error of a message that is none.
pub(crate) fn no_message<E: ToString>(rank: usize) -> impl FnOnce(E) -> RankError {
    move |reason| RankError::Message { rank, reason: reason.to_string() }
}
