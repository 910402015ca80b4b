//! The objective of training, in the order of its equations: the draws, x_t, the target, the weight, the
//! loss and its gradient.
//!
//! L = E weight(t) · ‖target - prediction(x_t, t, label)‖² / (C·H·W) over images, t and ε (Ho et al. 2020,
//! equation 14, for any prediction and weighting). Training and the held-out loss share this objective;
//! only the draws differ.

use crate::error::TrainError;
use crate::loss_weighting::loss_weights;
use crate::options::{Diffusion, TrainOptions};
use crate::timestep_sampling::{TimestepSampling, WeightedTimesteps};
use candle_core::Tensor;
use duet_model::{
    ModelError, NetworkInputs, Parameters, PartialGradients, Snapshot, UNet, ValueAndGradients,
};
use duet_random::Draws;
use duet_ranks::TreeSum;
use duet_schedule::{NoiseSchedule, Prediction};
use std::ops::Range;

/// The draws for the `index`-th image seen in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageDraws {
    /// Uniform in 0..T-1.
    pub timestep: usize,
    /// Uniform in [0, 1). It picks a timestep with a probability proportional to the timestep's weight.
    pub share: f64,
    /// Whether the null label replaces the image's own.
    pub drops_label: bool,
}

impl ImageDraws {
    /// The draws under `seed` for T = `timesteps` and a dropout probability in 0 to 1.
    pub fn new(seed: u64, index: u64, timesteps: usize, label_dropout: f64) -> Self {
        Self {
            timestep: Draws::new(seed, "timestep", index).below(timesteps as u64) as usize,
            share: Draws::new(seed, "weighted timestep", index).uniform(),
            drops_label: Draws::new(seed, "label dropout", index).uniform() < label_dropout,
        }
    }

    /// ε of the `index`-th image seen, standard normal.
    pub fn noise(seed: u64, index: u64, out: &mut [f32]) {
        Draws::new(seed, "noise", index).fill_normal(out);
    }
}

/// The draws for a batch of n images.
pub(crate) struct BatchDraws {
    /// t of each image.
    pub timesteps: Vec<usize>,
    /// ε, (n, C, H, W).
    pub noise: Vec<f32>,
    /// The label of each image that the network gets; none for an unconditional network.
    pub labels: Option<Vec<u32>>,
    /// What the network is told of changes of the images, (n, N); none where it is told nothing.
    pub augment_labels: Option<Tensor>,
}

/// How training draws.
#[derive(Debug)]
pub(crate) struct TrainingDraws {
    seed: u64,
    /// T.
    timesteps: usize,
    /// The weights of the timesteps, if they are not drawn uniformly.
    weighted: Option<WeightedTimesteps>,
    label_dropout: f64,
    null_label: u32,
}

impl TrainingDraws {
    fn draw(&self, index: u64) -> ImageDraws {
        ImageDraws::new(self.seed, index, self.timesteps, self.label_dropout)
    }

    /// t ~ U{0..T-1}, or with a probability proportional to weight(t).
    fn timestep(&self, draw: &ImageDraws) -> usize {
        match &self.weighted {
            Some(weighted) => weighted.at(draw.share),
            None => draw.timestep,
        }
    }

    /// t of each of `count` images, of which the first is the `first`-th seen.
    pub fn timesteps(&self, first: u64, count: usize) -> Vec<usize> {
        (first..first + count as u64).map(|index| self.timestep(&self.draw(index))).collect()
    }

    /// The draws for a batch (n, C, H, W) of n ≥ 1 images. Its first image is the `first`-th seen.
    pub fn batch(&self, first: u64, images: &Tensor, labels: Option<Vec<u32>>) -> BatchDraws {
        let count = images.dims()[0];
        let values = images.elem_count() / count;
        let draws: Vec<ImageDraws> = (0..count as u64).map(|i| self.draw(first + i)).collect();
        // ε ~ N(0, I)
        let mut noise = vec![0f32; images.elem_count()];
        for i in 0..count {
            ImageDraws::noise(self.seed, first + i as u64, &mut noise[i * values..][..values]);
        }
        // label = ∅ with the probability of the dropout (Ho & Salimans 2022, algorithm 1).
        let shown =
            |(label, draw): (u32, &ImageDraws)| if draw.drops_label { self.null_label } else { label };
        let labels = labels.map(|labels| labels.into_iter().zip(&draws).map(shown).collect());
        let timesteps = draws.iter().map(|draw| self.timestep(draw)).collect();
        BatchDraws { timesteps, noise, labels, augment_labels: None }
    }
}

/// What the network learns, and how much each timestep counts.
#[derive(Debug)]
pub(crate) struct Objective {
    pub schedule: NoiseSchedule,
    prediction: Prediction,
    /// weight(t) for each t.
    weights: Vec<f64>,
}

impl Objective {
    /// The objective of a training, and its draws. If timesteps are drawn in proportion to their weights,
    /// all of them count the same.
    pub fn of_training(
        diffusion: &Diffusion,
        options: &TrainOptions,
        null_label: u32,
    ) -> Result<(Self, TrainingDraws), TrainError> {
        let (schedule, prediction) = (diffusion.noise_schedule()?, diffusion.prediction);
        let weights = loss_weights(options.loss_weighting, prediction, &schedule);
        let (weights, weighted) = match options.timestep_sampling {
            TimestepSampling::Uniform => (weights, None),
            TimestepSampling::Weighted => (vec![1.0; weights.len()], Some(WeightedTimesteps::new(&weights))),
        };
        let draws = TrainingDraws {
            seed: options.seed,
            timesteps: schedule.len(),
            weighted,
            label_dropout: options.label_dropout,
            null_label,
        };
        Ok((Self { schedule, prediction, weights }, draws))
    }

    /// The objective in which all timesteps count the same.
    pub fn unweighted(schedule: &NoiseSchedule, prediction: Prediction) -> Self {
        Self { schedule: schedule.clone(), prediction, weights: vec![1.0; schedule.len()] }
    }

    /// Applies the draws to a batch (n, C, H, W) f32. The result is on the device of the images.
    pub fn noised(&self, images: &Tensor, draws: BatchDraws) -> Result<Noised, TrainError> {
        let (device, shape) = (images.device(), images.shape());
        let BatchDraws { timesteps, noise, labels, augment_labels } = draws;
        let count = timesteps.len();
        let x_0 = images.flatten_all()?.to_vec1::<f32>()?;
        let (mut x_t, mut target) = (vec![0f32; x_0.len()], vec![0f32; x_0.len()]);
        let values = x_0.len() / count;
        for (i, &t) in timesteps.iter().enumerate() {
            let image = i * values..(i + 1) * values;
            let (x_0, noise) = (&x_0[image.clone()], &noise[image.clone()]);
            // x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε
            self.schedule.x_t(t, x_0, noise, &mut x_t[image.clone()]);
            // target = ε, v = √ᾱ_t ε - √(1-ᾱ_t) x_0, or x_0
            self.prediction.target((&self.schedule, t), x_0, noise, &mut target[image]);
        }
        // weight(t)
        let weights: Vec<f32> = timesteps.iter().map(|&t| self.weights[t] as f32).collect();
        let t: Vec<u32> = timesteps.iter().map(|&t| t as u32).collect();
        Ok(Noised {
            x_t: Tensor::from_vec(x_t, shape, device)?,
            t: Tensor::from_vec(t, count, device)?,
            labels: labels.map(|labels| Tensor::from_vec(labels, count, device)).transpose()?,
            augment_labels,
            target: Tensor::from_vec(target, shape, device)?,
            weights: Tensor::from_vec(weights, count, device)?,
            timesteps,
        })
    }
}

/// A batch at its timesteps: the network's inputs, the targets and the weights.
pub(crate) struct Noised {
    pub timesteps: Vec<usize>,
    x_t: Tensor,
    t: Tensor,
    labels: Option<Tensor>,
    augment_labels: Option<Tensor>,
    target: Tensor,
    weights: Tensor,
}

impl Noised {
    /// x_t (n, C, H, W) at these timesteps, with the prediction that each image is to have there and its weight.
    pub fn towards(
        (x_t, timesteps): (&Tensor, &[usize]),
        labels: Option<&[u32]>,
        (target, weights): (Tensor, &[f32]),
    ) -> candle_core::Result<Self> {
        let device = x_t.device();
        let t: Vec<u32> = timesteps.iter().map(|&t| t as u32).collect();
        Ok(Self {
            timesteps: timesteps.to_vec(),
            x_t: x_t.clone(),
            t: Tensor::new(t, device)?,
            labels: labels.map(|labels| Tensor::new(labels, device)).transpose()?,
            augment_labels: None,
            target,
            weights: Tensor::new(weights, device)?,
        })
    }

    /// The mean over images of weight(t) · mean over values of (target - prediction)².
    pub fn loss(&self, snapshot: &Snapshot) -> Result<f64, TrainError> {
        let prediction = snapshot.predict(&self.x_t, &self.t, self.labels.as_ref())?;
        let images = self.timesteps.len();
        Ok(self.part(0..images, &prediction, 1.0 / images as f64)?.0)
    }

    /// The sum over these images of weight(t) · mean over values of (target - prediction)², times `scale`, and the gradients
    /// of this, by the parameters' names.
    pub fn loss_and_gradients(
        &self,
        unet: &UNet,
        parameters: &Parameters,
        scale: f64,
    ) -> Result<ValueAndGradients, TrainError> {
        let part = |range, prediction: &Tensor| self.part(range, prediction, scale);
        Ok(unet.value_and_gradients(parameters, &self.inputs(), part)?)
    }

    /// The same for chunks of a step that are among these images, with their numbers among all chunks: parts of the
    /// step's sums, one for each of the [groups](UNet::groups).
    pub fn partial_gradients(
        &self,
        unet: &UNet,
        chunks: (&[(usize, Range<usize>)], usize),
        scale: f64,
        ready: impl Fn(usize, TreeSum<PartialGradients>) -> Result<(), ModelError> + Sync,
    ) -> Result<(), TrainError> {
        let part = |range, prediction: &Tensor| self.part(range, prediction, scale);
        Ok(unet.partial_gradients(&self.inputs(), chunks, part, ready)?)
    }

    fn inputs(&self) -> NetworkInputs<'_> {
        NetworkInputs {
            x: &self.x_t,
            t: &self.t,
            labels: self.labels.as_ref(),
            augment_labels: self.augment_labels.as_ref(),
        }
    }

    /// The part of the loss that a range of the images adds, where each image counts `scale`, and its gradient with respect to
    /// the range's predictions.
    fn part(
        &self,
        range: Range<usize>,
        prediction: &Tensor,
        scale: f64,
    ) -> candle_core::Result<(f64, Tensor)> {
        let images = range.len();
        let weights = self.weights.narrow(0, range.start, images)?;
        let error = (prediction - self.target.narrow(0, range.start, images)?)?;
        let values = error.elem_count() / images;
        // loss = scale Σ_i weight(t_i) · ‖prediction_i - target_i‖² / (C·H·W)
        let losses = (error.sqr()?.flatten_from(1)?.mean(1)? * &weights)?.to_vec1::<f32>()?;
        let loss = losses.into_iter().map(f64::from).sum::<f64>() * scale;
        // ∂loss/∂prediction_i = scale · 2 weight(t_i) / (C·H·W) · (prediction_i - target_i)
        let slope = (weights.reshape((images, 1, 1, 1))? * (2.0 * scale / values as f64))?;
        Ok((loss, error.broadcast_mul(&slope)?))
    }
}
