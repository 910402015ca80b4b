//! Training of a classifier.

use crate::augment::Augmentation;
use crate::classifier::Classifier;
use crate::classifier::softmax;
use crate::classifier_error::ClassifierError;
use crate::network::{Architecture, ClassifierNetwork, Layout, channels_last};
use candle_core::{Device, Tensor, Var};
use duet_data::Dataset;
use duet_kernels::optimise;
use duet_kernels::tape::Gradients;
use duet_optim::{AdamW, AdamWOptions, LearningRate, clip_global_norm, ema_decay};
use duet_random::Draws;
use half::f16;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The number of images whose gradients are summed on one thread. It is fixed, because the order of the
/// sums depends on it.
const CHUNK: usize = 5;
/// The limit of the gradient's global norm.
const CLIP: f64 = 1.0;
const BETAS: [f64; 2] = [0.9, 0.99];
/// The share of the steps in which the learning rate rises.
const WARMUP: f64 = 0.1;

/// The settings of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingOptions {
    /// The network.
    pub architecture: Architecture,
    /// The number of passes over the images.
    pub epochs: u64,
    /// The number of images in a step, or all images if there are fewer. The rest of a pass, less than a
    /// batch, is not seen in that pass.
    pub batch: usize,
    /// The highest learning rate. The rate rises to it, then falls to 0 along a cosine.
    pub learning_rate: f64,
    /// Decoupled weight decay of all weights except norms and biases.
    pub weight_decay: f64,
    /// The share of an image's label that is spread over all classes equally (Szegedy et al. 2016), in [0,
    /// 1).
    pub label_smoothing: f64,
    /// The decay of the moving average of the weights. A training returns this average.
    pub ema_decay: f64,
    /// The random changes of an image each time it is seen.
    pub augmentation: Augmentation,
    /// The seed. Every random draw is a function of it.
    pub seed: u64,
}

impl TrainingOptions {
    /// The settings of the training of [`Classifier::digits`].
    pub fn digits() -> Self {
        Self {
            architecture: Architecture::Residual,
            epochs: 50,
            batch: 50,
            learning_rate: 3e-3,
            weight_decay: 0.05,
            label_smoothing: 0.05,
            ema_decay: 0.998,
            augmentation: Augmentation::Digits,
            seed: 0,
        }
    }

    /// The settings of the training of [`Classifier::second_digits`]: another network and another seed.
    pub fn second_digits() -> Self {
        Self { architecture: Architecture::Plain, epochs: 6, seed: 1, ..Self::digits() }
    }

    fn check(&self) -> Result<(), ClassifierError> {
        let Self { epochs, batch, learning_rate, weight_decay, label_smoothing, ema_decay, .. } = *self;
        let rules = [
            (epochs > 0, format!("epochs = {epochs}: at least 1")),
            (batch > 0, format!("batch = {batch}: at least 1")),
            (
                learning_rate.is_finite() && learning_rate > 0.0,
                format!("learning_rate = {learning_rate}: above 0"),
            ),
            (
                weight_decay.is_finite() && weight_decay >= 0.0,
                format!("weight_decay = {weight_decay}: 0 or more"),
            ),
            (
                (0.0..1.0).contains(&label_smoothing),
                format!("label_smoothing = {label_smoothing}: from 0 to below 1"),
            ),
            ((0.0..1.0).contains(&ema_decay), format!("ema_decay = {ema_decay}: from 0 to below 1")),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(ClassifierError::Option(message)),
            None => Ok(()),
        }
    }
}

impl Classifier {
    /// Trains a classifier on labelled images with sides of 8 or more and two classes or more.
    ///
    /// The training uses cross-entropy, AdamW (Loshchilov & Hutter 2019) and a moving average of the
    /// weights, which is rounded to half precision at the end. `on_epoch` gets the epoch, counted from 1,
    /// and its mean loss. The result is a function of data and options, bit for bit, and does not depend on
    /// the number of threads.
    ///
    /// Errors: an option out of its range; data that cannot be classified; a loss, gradient or weight that
    /// is not finite.
    pub fn train(
        data: &Dataset,
        options: &TrainingOptions,
        mut on_epoch: impl FnMut(u64, f64),
    ) -> Result<Self, ClassifierError> {
        options.check()?;
        if data.is_empty() {
            return Err(ClassifierError::Data("there is no image to train on".into()));
        }
        let batch = options.batch.min(data.len());
        let batches = data.len() / batch;
        let mut training = Training::new(data, options, batches as u64 * options.epochs)?;
        for epoch in 0..options.epochs {
            let order = Draws::new(options.seed, "order", epoch).permutation(data.len() as u32);
            let mut loss_sum = 0.0;
            for indices in order.chunks_exact(batch) {
                loss_sum += training.step(indices)?;
            }
            on_epoch(epoch + 1, loss_sum / batches as f64);
        }
        training.finish()
    }

    /// A key for everything that fixes the weights of a training: the images with their labels and class
    /// names, and the options. It has 64 hexadecimal digits.
    pub fn training_key(data: &Dataset, options: &TrainingOptions) -> String {
        let text = format!("1 {} {options:?}", data.fingerprint());
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }
}

/// A training between two steps.
struct Training<'a> {
    data: &'a Dataset,
    options: &'a TrainingOptions,
    layout: Layout,
    rate: LearningRate,
    parameters: BTreeMap<String, Var>,
    average: BTreeMap<String, Var>,
    steps: u64,
    adam: AdamW,
    images_seen: u64,
}

impl<'a> Training<'a> {
    fn new(data: &'a Dataset, options: &'a TrainingOptions, steps: u64) -> Result<Self, ClassifierError> {
        let layout = Layout::new(options.architecture, data.shape(), data.classes().len())?;
        let warmup = (WARMUP * steps as f64).round() as u64;
        let rate = LearningRate { peak: options.learning_rate, warmup, steps, last: 0.0 };
        let (parameters, average) = (seeded(&layout, options.seed)?, seeded(&layout, options.seed)?);
        let adamw = AdamWOptions { betas: BETAS, eps: 1e-8, weight_decay: options.weight_decay };
        let adam = AdamW::new(named(&parameters), adamw)?;
        Ok(Self { data, options, layout, rate, parameters, average, steps: 0, adam, images_seen: 0 })
    }

    /// Takes one step on these images, and returns the loss before the step.
    fn step(&mut self, indices: &[u32]) -> Result<f64, ClassifierError> {
        let diverged = |step, what| Err(ClassifierError::Diverged { step, what });
        let (loss, mut gradients) = self.loss_and_gradients(indices)?;
        let norm = clip_global_norm(&mut gradients, CLIP)?;
        if !loss.is_finite() || !norm.is_finite() {
            return diverged(self.steps + 1, if loss.is_finite() { "gradient" } else { "loss" });
        }
        let rate = self.rate.at(self.steps);
        self.steps += 1;
        self.adam.step(self.steps, named(&self.parameters), &gradients, rate, |_, rank| rank > 1)?;
        let decay = ema_decay(self.options.ema_decay, self.steps);
        for (average, var) in self.average.values().zip(self.parameters.values()) {
            optimise::average(average, var, decay)?;
        }
        self.images_seen += indices.len() as u64;
        Ok(loss)
    }

    /// The mean loss of these images, and its gradients with respect to all parameters.
    fn loss_and_gradients(
        &self,
        indices: &[u32],
    ) -> Result<(f64, BTreeMap<String, Tensor>), ClassifierError> {
        let parameter = |name: &str| self.parameters.get(name).map(Var::as_tensor);
        let network = ClassifierNetwork::new(&self.layout, parameter, true)?;
        let chunks: Vec<(f64, Gradients)> = indices
            .par_chunks(CHUNK)
            .enumerate()
            .map(|(i, chunk)| {
                let images = self.augmented(chunk, self.images_seen + (i * CHUNK) as u64);
                let labels: Vec<u32> = chunk.iter().map(|&i| self.data.label(i as usize)).collect();
                let images = channels_last(&images, self.layout.shape);
                network.loss_and_gradients(&images, |logits| {
                    cross_entropy(logits, &labels, self.options.label_smoothing, indices.len())
                })
            })
            .collect();
        let (mut loss, mut sum) = (0.0, Gradients::default());
        for (chunk_loss, gradients) in chunks {
            loss += chunk_loss;
            sum.add(gradients);
        }
        let gradient = |(name, var): (&String, &Var)| match sum.get(name) {
            Some(values) => Ok((name.clone(), Tensor::from_vec(values, var.shape(), &Device::Cpu)?)),
            None => candle_core::bail!("{name} has no gradient, so it would stay untrained"),
        };
        let gradients = self.parameters.iter().map(gradient).collect::<candle_core::Result<_>>()?;
        Ok((loss, gradients))
    }

    /// The images (n, C, H, W), each changed by its own draws. `first` images were seen before these.
    fn augmented(&self, indices: &[u32], first: u64) -> Vec<f32> {
        let shape = self.layout.shape;
        let mut image = vec![0.0; shape.len()];
        let mut values = vec![0.0; indices.len() * shape.len()];
        for (k, (&i, out)) in indices.iter().zip(values.chunks_exact_mut(shape.len())).enumerate() {
            self.data.image(i as usize, &mut image);
            let mut draws = Draws::new(self.options.seed, "augmentation", first + k as u64);
            self.options.augmentation.apply(&image, shape, &mut draws, out);
        }
        values
    }

    /// Makes the classifier from the average, rounded to half precision.
    fn finish(self) -> Result<Classifier, ClassifierError> {
        let mut rounded = BTreeMap::new();
        for (name, var) in &self.average {
            let values: Vec<f32> = var.flatten_all()?.to_vec1()?;
            let values: Vec<f32> = values.into_iter().map(|value| f16::from_f32(value).to_f32()).collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(ClassifierError::Diverged { step: self.steps, what: "weight" });
            }
            rounded.insert(name.clone(), Tensor::from_vec(values, var.shape(), &Device::Cpu)?);
        }
        Classifier::new(self.layout, rounded)
    }
}

fn named(parameters: &BTreeMap<String, Var>) -> impl Iterator<Item = (&str, &Var)> {
    parameters.iter().map(|(name, var)| (name.as_str(), var))
}

/// The first values: weights uniform in ±1/√fan_in, norms one, biases zero.
fn seeded(layout: &Layout, seed: u64) -> Result<BTreeMap<String, Var>, ClassifierError> {
    let fresh = |(name, shape): (String, Vec<usize>)| {
        let mut draws = Draws::new(seed, &format!("parameter {name}"), 0);
        let bound = 1.0 / (shape[1..].iter().product::<usize>() as f64).sqrt();
        let value = |_| match shape.len() {
            1 if name.ends_with(".weight") => 1.0,
            1 => 0.0,
            _ => (bound * (2.0 * draws.uniform() - 1.0)) as f32,
        };
        let values = (0..shape.iter().product()).map(value).collect();
        Ok((name, Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)?))
    };
    layout.parameters().into_iter().map(fresh).collect()
}

/// -Σ target · ln softmax(scores) of each image over `images`, and its gradient with respect to the
/// scores (n, classes); target = (1 - smoothing) · label + smoothing / classes.
fn cross_entropy(logits: &[f32], labels: &[u32], smoothing: f64, images: usize) -> (f64, Vec<f32>) {
    let classes = logits.len() / labels.len();
    let share = 1.0 / images as f64;
    let mut loss = 0.0;
    let mut gradient = logits.to_vec();
    for ((scores, row), &label) in
        logits.chunks_exact(classes).zip(gradient.chunks_exact_mut(classes)).zip(labels)
    {
        softmax(row);
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = scores.iter().map(|&score| f64::from(score - largest).exp()).sum();
        for (i, (probability, &score)) in row.iter_mut().zip(scores).enumerate() {
            let whole = if i == label as usize { 1.0 - smoothing } else { 0.0 };
            let target = whole + smoothing / classes as f64;
            loss -= share * target * (f64::from(score - largest) - sum.ln());
            *probability = (share * (f64::from(*probability) - target)) as f32;
        }
    }
    (loss, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_data::Shape;

    #[test]
    fn every_parameter_has_a_finite_gradient_after_the_first_step() {
        for options in [TrainingOptions::digits(), TrainingOptions::second_digits()] {
            every_parameter_learns(&options);
        }
    }

    fn every_parameter_learns(options: &TrainingOptions) {
        let digits = duet_data::digits().unwrap().train.take_per_class(1);
        let mut training = Training::new(&digits, options, 10).unwrap();
        let indices: Vec<u32> = (0..10).collect();
        training.step(&indices).unwrap();
        let (loss, gradients) = training.loss_and_gradients(&indices).unwrap();
        assert!(loss.is_finite());
        assert_eq!(gradients.len(), training.layout.parameters().len());
        for (name, shape) in training.layout.parameters() {
            assert_eq!(gradients[&name].dims(), shape, "{name}");
            let squares = optimise::sum_of_squares(&gradients[&name]).unwrap();
            assert!(squares.is_finite() && squares > 0.0, "{name}: {squares}");
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let shape = Shape { channels: 3, height: 9, width: 20 };
        let mut draws = Draws::new(3, "pixels", 0);
        let pixels = (0..7 * shape.len()).map(|_| draws.below(256) as u8).collect();
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let data = Dataset::new(shape, pixels, vec![0, 1, 2, 0, 1, 2, 2], names).unwrap();
        let residual =
            ["conv_in.weight", "stages.0.down.weight", "norm_out.bias", "features.weight", "head.bias"];
        let plain =
            ["plain.0.conv.weight", "plain.1.norm.bias", "plain.2.conv.bias", "features.weight", "head.bias"];
        slopes_are_gradients(&data, TrainingOptions::digits(), residual);
        slopes_are_gradients(&data, TrainingOptions::second_digits(), plain);
    }

    fn slopes_are_gradients(data: &Dataset, options: TrainingOptions, names: [&str; 5]) {
        let options = TrainingOptions { augmentation: Augmentation::None, ..options };
        let training = Training::new(data, &options, 10).unwrap();
        let indices: Vec<u32> = (0..7).collect();
        let (_, gradients) = training.loss_and_gradients(&indices).unwrap();
        for name in names {
            // Along the gradient's own direction the slope is its norm.
            let (var, gradient) = (&training.parameters[name], &gradients[name]);
            let norm = optimise::sum_of_squares(gradient).unwrap().sqrt();
            let middle = var.as_tensor().copy().unwrap();
            let loss_at = |step: f64| {
                var.set(&(&middle + (gradient * (step / norm)).unwrap()).unwrap()).unwrap();
                training.loss_and_gradients(&indices).unwrap().0
            };
            let slope = (loss_at(1e-2) - loss_at(-1e-2)) / 2e-2;
            var.set(&middle).unwrap();
            assert!((slope - norm).abs() < 0.02 * norm + 1e-4, "{name}: {slope} for {norm}");
        }
    }

    #[test]
    fn cross_entropy_is_that_of_its_formula() {
        let logits = [1.0f32, -2.0, 0.5, 0.0, 3.0, -1.0];
        let (loss, gradient) = cross_entropy(&logits, &[2, 1], 0.3, 2);
        let mut expected = 0.0;
        for (row, label) in [(0, 2), (1, 1)] {
            let scores = logits[3 * row..][..3].iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let sum: f64 = scores.iter().map(|v| v.exp()).sum();
            for (i, score) in scores.iter().enumerate() {
                let target = if i == label { 0.8 } else { 0.1 };
                expected -= target * (score.exp() / sum).ln() / 2.0;
                let slope = (score.exp() / sum - target) / 2.0;
                assert!((f64::from(gradient[3 * row + i]) - slope).abs() < 1e-7);
            }
        }
        assert!((loss - expected).abs() < 1e-9, "{loss} for {expected}");
    }
}
