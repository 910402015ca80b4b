//! One optimiser step at a time.

use crate::batch::Batch;
use crate::data_order::DataOrder;
use crate::error::TrainError;
use crate::freeze::frozen;
use crate::image_changes::ImageChanges;
use crate::objective::{BatchDraws, Noised, Objective, TrainingDraws};
use crate::optimizer::is_decayed;
use crate::options::{Diffusion, TrainOptions};
use crate::ranked_sum::RankedSum;
use candle_core::{Device, Tensor, Var};
use duet_data::Dataset;
use duet_model::{AUGMENT_EMBEDDING, Memory, Parameters, Ready, UNet, UNetConfig, ValueAndGradients};
use duet_optim::{
    AdamW, AdamWOptions, LearningRate, Muon, POWER_LENGTHS, clip_global_norm, ema_decay, power_decay,
    power_exponent,
};
use duet_ranks::Ranks;
use duet_schedule::NoiseSchedule;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The report of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: u64,
    /// The weighted loss, before the step.
    pub loss: f64,
    /// The gradient's global norm before clipping.
    pub grad_norm: f64,
    /// The learning rate.
    pub learning_rate: f64,
}

/// A network in training. [`Trainer::new`] makes a new one; [`checkpoint::load`](crate::checkpoint::load)
/// continues from a checkpoint.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) options: TrainOptions,
    pub(crate) diffusion: Diffusion,
    objective: Objective,
    draws: TrainingDraws,
    changes: ImageChanges,
    pub(crate) unet: UNet,
    pub(crate) parameters: Parameters,
    pub(crate) ema: (UNet, Parameters),
    /// The averages of [`POWER_LENGTHS`], if the options ask for snapshots.
    pub(crate) powers: Vec<BTreeMap<String, Var>>,
    /// Steps taken.
    pub(crate) steps: u64,
    pub(crate) adam: AdamW,
    /// The names of the parameters that stay as they are.
    frozen: BTreeSet<String>,
    /// Muon's momentum; empty if AdamW moves all parameters.
    pub(crate) muon: Muon,
    device: Device,
    /// Those that train together with this one.
    ranks: RankedSum,
}

impl Trainer {
    /// A trainer with a new network. If `config.num_class_embeds` is K + 1, labels are 0..K, and K is the
    /// null label.
    ///
    /// Errors: options or a configuration out of their ranges; a network that cannot denoise every
    /// timestep; a configuration with dropout, which this crate does not compute; a pattern of
    /// [`TrainOptions::freeze`] that names no parameter.
    pub fn new(
        config: &UNetConfig,
        diffusion: &Diffusion,
        options: &TrainOptions,
        device: &Device,
    ) -> Result<Self, TrainError> {
        options.validate()?;
        check_network(config, diffusion)?;
        let changes = ImageChanges { seed: options.seed, flip: options.flip, augment: options.augment };
        let (unet, parameters) =
            UNet::seeded_with_augment_labels(config, changes.labels(), options.seed, device)?;
        let null_label = config.num_class_embeds.map_or(0, |rows| rows as u32 - 1);
        let (objective, draws) = Objective::of_training(diffusion, options, null_label)?;
        // Drawing tells the network of no change, and the embedding of changes then adds nothing: it needs no average.
        let drawn = || parameters.iter().filter(|(name, _)| *name != AUGMENT_EMBEDDING);
        let copies = drawn().map(|(name, var)| Ok((name.to_string(), var.as_tensor().copy()?)));
        let ema = UNet::from_tensors(config, copies.collect::<candle_core::Result<_>>()?, device)?;
        let copies =
            || drawn().map(|(name, var)| Ok((name.to_string(), Var::from_tensor(&var.as_tensor().copy()?)?)));
        let kept = if options.ema_snapshots > 0 { POWER_LENGTHS.len() } else { 0 };
        let powers = (0..kept).map(|_| copies().collect()).collect::<candle_core::Result<_>>()?;
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
        let frozen = frozen(&options.freeze, &names)?;
        let (hidden, others): (Vec<_>, Vec<_>) = parameters
            .iter()
            .filter(|(name, _)| !frozen.contains(*name))
            .partition(|(name, var)| options.optimizer.is_of_muon(name, var.rank()));
        let adam = AdamWOptions { betas: options.betas, eps: 1e-8, weight_decay: options.weight_decay };
        Ok(Self {
            objective,
            draws,
            changes,
            frozen,
            steps: 0,
            adam: AdamW::new(others.into_iter(), adam)?,
            muon: Muon::new(hidden.into_iter(), options.weight_decay)?,
            options: options.clone(),
            diffusion: diffusion.clone(),
            unet,
            parameters,
            ema,
            powers,
            device: device.clone(),
            ranks: RankedSum::alone(),
        })
    }

    /// Begins from these values: the weights and all their averages. Parameters that are not named keep their seeded
    /// values.
    ///
    /// # Errors
    /// A trainer that has taken steps; a name that is none of the network's; another shape.
    pub fn begin_from(&mut self, values: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        if self.steps > 0 {
            let steps = self.steps;
            return Err(TrainError::Option(format!(
                "a training of {steps} steps cannot begin from other weights"
            )));
        }
        for (name, value) in values {
            let missing = || duet_model::ModelError::Weights(format!("{name} is not part of this network"));
            let var = self.parameters.get(name).ok_or_else(missing)?;
            if value.dims() != var.dims() {
                let (found, expected) = (value.dims(), var.dims());
                return Err(duet_model::ModelError::Weights(format!(
                    "{name} is {found:?}, expected {expected:?}"
                ))
                .into());
            }
            let value = value.to_dtype(var.dtype())?.to_device(&self.device)?;
            let averages = self.ema.1.get(name).into_iter();
            let averages = averages.chain(self.powers.iter().filter_map(|powers| powers.get(name)));
            for var in std::iter::once(var).chain(averages) {
                var.set(&value)?;
            }
        }
        Ok(())
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Chooses what its steps trade for memory, from the next one on. It changes no result.
    pub fn use_memory(&mut self, memory: Memory) {
        self.unet.use_memory(memory);
    }

    /// The number of images seen so far.
    pub fn images_seen(&self) -> u64 {
        self.steps() * self.images_per_step() as u64
    }

    /// The number of images in one step: batch × accumulate.
    pub fn images_per_step(&self) -> usize {
        self.options.batch * self.options.accumulate
    }

    /// The network in training.
    pub fn unet(&self) -> &UNet {
        &self.unet
    }

    /// Its parameters; where training augments images, with the embedding of the changes
    /// ([`UNet::seeded_with_augment_labels`]).
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The averaged parameters.
    pub fn ema_parameters(&self) -> &Parameters {
        &self.ema.1
    }

    /// The network with averaged weights. Sample from this one.
    pub fn ema_unet(&self) -> &UNet {
        &self.ema.0
    }

    /// The ᾱ table.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.objective.schedule
    }

    /// What the network learns.
    pub fn diffusion(&self) -> &Diffusion {
        &self.diffusion
    }

    /// The hyper-parameters.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Takes the next step on a data set, in the given order: [`DataOrder::of`] makes that of the options.
    ///
    /// # Errors
    /// As [`Trainer::step`], and [`TrainError::Option`] where the order is for another number of images.
    pub fn step_on(&mut self, dataset: &Dataset, order: &mut DataOrder) -> Result<StepReport, TrainError> {
        if order.images() != dataset.len() {
            let (images, of) = (dataset.len(), order.images());
            return Err(TrainError::Option(format!("a data set of {images} images in the order of {of}")));
        }
        let first = self.images_seen();
        let last = first + self.images_per_step() as u64;
        let indices: Vec<usize> = (first..last).map(|index| order.image(index)).collect();
        self.step_on_images(dataset, &indices)
    }

    /// Takes the next step on images of a data set, as many as a step has, by their indices. Where several ranks train
    /// ([`Trainer::use_ranks`]), each takes its share of them.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_on_images(&mut self, dataset: &Dataset, indices: &[usize]) -> Result<StepReport, TrainError> {
        if indices.len() != self.images_per_step() {
            let (found, expected) = (indices.len(), self.images_per_step());
            return Err(TrainError::Option(format!("{found} images for a step of {expected}")));
        }
        if let Some(index) = indices.iter().find(|&&index| index >= dataset.len()) {
            let images = dataset.len();
            return Err(TrainError::Option(format!("image {index} of a data set of {images} images")));
        }
        let images = self.own_images();
        let batch = Batch::from_dataset(dataset, &indices[images.clone()], &self.device)?;
        self.step_of(&batch, images)
    }

    /// Takes one step on `accumulate` batches of `batch` images each.
    ///
    /// The loss is the mean over all images of weight(t)·‖target - prediction‖²/(C·H·W). The weight is left
    /// out if timesteps are drawn in proportion to it.
    ///
    /// Errors: batches of another number or size; labels that do not fit; a loss, a gradient or a weight
    /// that is not finite. If the loss or a gradient is not finite, the step changes nothing.
    pub fn step(&mut self, batches: &[Batch]) -> Result<StepReport, TrainError> {
        if batches.len() != self.options.accumulate {
            let message = format!("{} batches for accumulate = {}", batches.len(), self.options.accumulate);
            return Err(TrainError::Option(message));
        }
        for batch in batches {
            let count = batch.images.dims4()?.0;
            if count != self.options.batch {
                let message = format!("a batch of {count} images for batch = {}", self.options.batch);
                return Err(TrainError::Option(message));
            }
            self.check_labels(batch)?;
        }
        let images: Vec<&Tensor> = batches.iter().map(|batch| &batch.images).collect();
        let images = Tensor::cat(&images, 0)?;
        let labels: Vec<u32> = batches.iter().flat_map(|batch| batch.labels.iter().copied()).collect();
        let own = self.own_images();
        let labels = labels.get(own.clone()).map(<[u32]>::to_vec).unwrap_or_default();
        let images = images.narrow(0, own.start, own.len())?;
        self.step_of(&Batch { images, labels }, own)
    }

    /// Takes one step, of whose images these are the own ones.
    fn step_of(&mut self, batch: &Batch, own: Range<usize>) -> Result<StepReport, TrainError> {
        let (first, count) = (self.images_seen(), self.images_per_step());
        let (loss, gradients) = self.loss_and_gradients(|range| {
            let (from, count) = (range.start - own.start, range.len());
            let labels = batch.labels.get(from..from + count).unwrap_or_default().to_vec();
            let part = Batch { images: batch.images.narrow(0, from, count)?, labels };
            self.noised(&part, first + range.start as u64)
        })?;
        self.move_by(loss, gradients, |draws| draws.timesteps(first, count))
    }

    /// Takes one step along gradients of a loss. Errors: as [`Trainer::step`], of the loss, the gradients and the
    /// weights; they name the timesteps that the loss is of.
    pub(crate) fn move_by(
        &mut self,
        loss: f64,
        mut gradients: BTreeMap<String, Tensor>,
        timesteps: impl FnOnce(&TrainingDraws) -> Vec<usize>,
    ) -> Result<StepReport, TrainError> {
        let step = self.steps();
        gradients.retain(|name, _| !self.frozen.contains(name));
        let grad_norm = clip_global_norm(&mut gradients, self.options.clip)?;
        let learning_rate = self.learning_rate().at(step);
        let diverged = |what, draws: &TrainingDraws| TrainError::Diverged {
            step: step + 1,
            what,
            loss,
            grad_norm,
            learning_rate,
            timesteps: timesteps(draws),
        };
        if !loss.is_finite() || !grad_norm.is_finite() {
            let what = if loss.is_finite() { "gradient" } else { "loss" };
            return Err(diverged(what, &self.draws));
        }
        let of_muon = |name: &str, var: &Var| self.options.optimizer.is_of_muon(name, var.rank());
        let others = self.parameters.iter();
        let others = others.filter(|(name, var)| !of_muon(name, var) && !self.frozen.contains(*name));
        self.steps += 1;
        self.adam.step(self.steps, others, &gradients, learning_rate, is_decayed)?;
        self.muon.step(self.parameters.iter(), &gradients, learning_rate)?;
        self.update_ema()?;
        if !self.is_finite()? {
            return Err(diverged("weight", &self.draws));
        }
        Ok(StepReport { step: step + 1, loss, grad_norm, learning_rate })
    }

    /// The step's loss, and its gradients by name: of the own images, and of those of all other ranks. `noised` makes
    /// ready a part of the step's images, by their places in the step.
    pub(crate) fn loss_and_gradients(
        &self,
        noised: impl Fn(Range<usize>) -> Result<Noised, TrainError>,
    ) -> Result<ValueAndGradients, TrainError> {
        let TrainOptions { batch, accumulate, .. } = self.options;
        let scale = 1.0 / accumulate as f64 / batch as f64;
        if !self.device.is_cpu() {
            return self.on_device(noised, scale);
        }
        let chunks = duet_model::chunks(batch, accumulate);
        let own = self.own_images();
        let own_chunks: Vec<_> = (chunks.iter().enumerate())
            .filter(|(_, chunk)| own.start <= chunk.start && chunk.end <= own.end)
            .map(|(number, chunk)| (number, chunk.start - own.start..chunk.end - own.start))
            .collect();
        // Without images of its own, this rank has nothing to add.
        let parts = (!own.is_empty()).then_some(|ready: &Ready| {
            noised(own)?.partial_gradients(&self.unet, (&own_chunks, chunks.len()), scale, ready)
        });
        self.ranks.total(&self.unet.groups(&self.parameters), chunks.len(), parts)
    }

    /// The same with candle's gradients, one batch after the other.
    fn on_device(
        &self,
        noised: impl Fn(Range<usize>) -> Result<Noised, TrainError>,
        scale: f64,
    ) -> Result<ValueAndGradients, TrainError> {
        let mut sum = ValueAndGradients::default();
        for first in (0..self.images_per_step()).step_by(self.options.batch) {
            let part = noised(first..first + self.options.batch)?;
            let (loss, gradients) = part.loss_and_gradients(&self.unet, &self.parameters, scale)?;
            sum.0 += loss;
            for (name, gradient) in gradients {
                let added = match sum.1.remove(&name) {
                    Some(sum) => (sum + gradient)?,
                    None => gradient,
                };
                sum.1.insert(name, added);
            }
        }
        Ok(sum)
    }

    /// Which of a step's images this rank takes.
    fn own_images(&self) -> Range<usize> {
        self.ranks.own_images(&duet_model::chunks(self.options.batch, self.options.accumulate))
    }

    /// Trains together with other ranks from the next step on: trainers of the same network and options, in the same state,
    /// each of which takes every step. `threads` is the number of threads of each rank, and so its share of the work.
    /// Every trainer ends each step with the same bytes, and these are those of one trainer alone.
    ///
    /// # Errors
    /// Another device than the CPU, and another number of threads than of ranks.
    pub fn use_ranks(&mut self, ranks: Ranks, threads: Vec<usize>) -> Result<(), TrainError> {
        if ranks.size() > 1 && !self.device.is_cpu() {
            return Err(TrainError::Option("several ranks train on CPUs alone".into()));
        }
        if threads.len() != ranks.size() || threads.contains(&0) {
            let (ranks, threads) = (ranks.size(), format!("{threads:?}"));
            return Err(TrainError::Option(format!("{ranks} ranks, and threads {threads}")));
        }
        self.ranks = RankedSum::new(ranks, threads);
        Ok(())
    }

    /// Whether every weight, average and moment is a number.
    fn is_finite(&self) -> candle_core::Result<bool> {
        let moments = self.adam.first.values().chain(self.adam.second.values());
        let moments = moments.chain(self.muon.momentum.values());
        let weights = self.parameters.iter().chain(self.ema.1.iter()).map(|(_, var)| var);
        let powers = self.powers.iter().flat_map(BTreeMap::values);
        let tensors: Vec<_> = weights.chain(moments).chain(powers).collect();
        let finite = |var: &&Var| duet_kernels::optimise::is_finite(var);
        tensors.par_iter().map(finite).reduce(|| Ok(true), |a, b| Ok(a? && b?))
    }

    /// Refuses a state with values that are not finite.
    pub(crate) fn check_finite(&self) -> Result<(), TrainError> {
        match self.is_finite()? {
            true => Ok(()),
            false => Err(TrainError::Option(format!(
                "after step {} a weight, an average or a moment is not finite: it is not saved",
                self.steps()
            ))),
        }
    }

    /// The learning rate over the run.
    pub fn learning_rate(&self) -> LearningRate {
        let options = &self.options;
        let warmup = (options.warmup * options.steps as f64).round() as u64;
        LearningRate {
            peak: options.learning_rate,
            warmup,
            steps: options.steps,
            last: options.final_learning_rate,
        }
    }

    /// Applies the draws to images. The first is the `first`-th seen.
    fn noised(&self, batch: &Batch, first: u64) -> Result<Noised, TrainError> {
        self.check_labels(batch)?;
        let labels = self.unet.config().num_class_embeds.map(|_| batch.labels.clone());
        let (images, augment_labels) = self.changes.apply(first, &batch.images)?;
        let draws = BatchDraws { augment_labels, ..self.draws.batch(first, &images, labels) };
        self.objective.noised(&images, draws)
    }

    /// Refuses labels that the network has no class for.
    fn check_labels(&self, batch: &Batch) -> Result<(), TrainError> {
        let Some(rows) = self.unet.config().num_class_embeds else { return Ok(()) };
        let count = batch.images.dims4()?.0;
        if batch.labels.len() != count {
            return Err(TrainError::Option(format!("{} labels for {count} images", batch.labels.len())));
        }
        match batch.labels.iter().find(|&&label| label as usize + 1 >= rows) {
            Some(label) => {
                Err(TrainError::Option(format!("label {label}: the network has {} classes", rows - 1)))
            }
            None => Ok(()),
        }
    }

    fn update_ema(&mut self) -> Result<(), TrainError> {
        let step = self.steps();
        let decay = ema_decay(self.options.ema_decay, step);
        let of_ema = self.ema.1.iter();
        let of_ema = of_ema.filter_map(|(name, average)| Some((average, self.parameters.get(name)?, decay)));
        let mut triples: Vec<_> = of_ema.collect();
        for (powers, length) in self.powers.iter().zip(POWER_LENGTHS) {
            let decay = power_decay(power_exponent(length)?, step);
            let vars = self.parameters.iter();
            triples.extend(vars.filter_map(|(name, var)| Some((powers.get(name)?, var, decay))));
        }
        let average =
            |(average, var, decay): (&Var, &Var, f64)| duet_kernels::optimise::average(average, var, decay);
        Ok(triples.into_par_iter().try_for_each(average)?)
    }

    /// The averages from which [`duet_optim::power_factors`] can make one of any length after the training,
    /// by name and length. Empty without `ema_snapshots`.
    pub fn power_averages(&self) -> BTreeMap<String, Tensor> {
        let named = |(powers, length): (&BTreeMap<String, Var>, f64)| {
            let named =
                move |(name, var): (&String, &Var)| (format!("{length}.{name}"), var.as_tensor().clone());
            powers.iter().map(named).collect::<Vec<_>>()
        };
        self.powers.iter().zip(POWER_LENGTHS).flat_map(named).collect()
    }
}

/// Refuses networks that cannot be trained here; the error names the key of the configuration.
fn check_network(config: &UNetConfig, diffusion: &Diffusion) -> Result<(), TrainError> {
    let refuse = |message: String| Err(TrainError::Option(message));
    if config.dropout > 0.0 {
        let value = config.dropout;
        return refuse(format!("dropout = {value}: the network is trained without dropout, so it must be 0"));
    }
    if config.out_channels != config.in_channels {
        let (inputs, outputs) = (config.in_channels, config.out_channels);
        return refuse(format!("out_channels = {outputs}: a denoiser has as many as in_channels, {inputs}"));
    }
    match (config.time_embedding_type.as_str(), config.num_train_timesteps) {
        ("fourier", _) => refuse(
            "time_embedding_type = \"fourier\": it takes the logarithm of t, and training visits t = 0; use \"positional\"".into(),
        ),
        ("learned", Some(rows)) if rows < diffusion.timesteps => refuse(format!(
            "num_train_timesteps = {rows}: time_embedding_type \"learned\" needs a row for each of the {} timesteps",
            diffusion.timesteps
        )),
        _ => Ok(()),
    }
}
