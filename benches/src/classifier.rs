//! A small digit classifier on the kernels: four convolutions and a linear layer.

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use duet_data::Dataset;
use duet_kernels::{Activation, Conv2d, GroupNorm, Padding, conv2d, group_norm, linear};
use duet_random::Draws;
use duet_train::{AdamW, AdamWOptions, LearningRate, clip_global_norm, is_decayed};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Number of digits.
pub const CLASSES: usize = 10;
/// Height and width of a digit.
pub const SIDE: usize = 28;

/// (inputs, outputs, stride) of the 3×3 convolutions; each is followed by group norm and SiLU.
const STAGES: [(usize, usize, usize); 4] = [(1, 16, 1), (16, 32, 2), (32, 64, 2), (64, 64, 2)];
/// Values an image after the last stage: 64 channels of 4×4.
const FEATURES: usize = 64 * 4 * 4;
const GROUPS: usize = 8;

/// Passes over the training set.
pub const EPOCHS: u64 = 15;
const BATCH: usize = 100;
const PEAK_LEARNING_RATE: f64 = 3e-3;
const ADAMW: AdamWOptions = AdamWOptions { betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.05 };
/// Each time an image is seen, it is turned, scaled and moved by at most this much: radians, a
/// share of its size, pixels.
const TURN: f64 = 0.2;
const SCALE: f64 = 0.1;
const SHIFT: f64 = 2.0;

/// The classifier's parameters by name.
#[derive(Debug, Clone)]
pub struct Classifier(BTreeMap<String, Var>);

impl Classifier {
    /// Trains on images (n, 1, 28, 28) of ten classes. The result is a function of data and seed.
    ///
    /// `on_epoch` is told the epoch, counted from 1, and its mean loss.
    pub fn train(data: &Dataset, seed: u64, mut on_epoch: impl FnMut(u64, f64)) -> Result<Self> {
        let shape = data.shape();
        if (shape.channels, shape.height, shape.width) != (1, SIDE, SIDE) || data.classes().len() != CLASSES {
            bail!("the classifier is for ten classes of 1x{SIDE}x{SIDE} images, not for {shape}");
        }
        let steps = EPOCHS * (data.len() / BATCH) as u64;
        let rate = LearningRate { peak: PEAK_LEARNING_RATE, warmup: steps / 10, steps, last: 0.0 };
        let classifier = Self::seeded(seed)?;
        let mut adam = AdamW::new(classifier.parameters(), ADAMW)?;
        for epoch in 0..EPOCHS {
            let order = Draws::new(seed, "order", epoch).permutation(data.len() as u32);
            let mut loss_sum = 0.0;
            for batch in order.chunks_exact(BATCH) {
                let (images, labels) = augmented(data, batch, seed, adam.steps)?;
                let loss = candle_nn::loss::cross_entropy(&classifier.logits(&images)?, &labels)?;
                let mut gradients = classifier.gradients(&loss)?;
                let norm = clip_global_norm(&mut gradients, 1.0)?;
                let value = loss.to_scalar::<f32>()?;
                if !norm.is_finite() || !value.is_finite() {
                    bail!("step {}: loss {value}, gradient norm {norm}", adam.steps + 1);
                }
                adam.step(classifier.parameters(), &gradients, rate.at(adam.steps), is_decayed)?;
                loss_sum += f64::from(value);
            }
            on_epoch(epoch + 1, loss_sum / (data.len() / BATCH) as f64);
        }
        Ok(classifier)
    }

    /// The class of each image, `images` (n, 1, 28, 28) f32 in [-1, 1].
    pub fn classify(&self, images: &Tensor) -> Result<Vec<u32>> {
        const AT_ONCE: usize = 250;
        let (n, ..) = images.dims4()?;
        let mut classes = Vec::with_capacity(n);
        for first in (0..n).step_by(AT_ONCE) {
            let logits = self.logits(&images.narrow(0, first, AT_ONCE.min(n - first))?)?;
            classes.extend(logits.argmax(1)?.to_vec1::<u32>()?);
        }
        Ok(classes)
    }

    /// Reads the parameters from a safetensors file; a tensor too few, too many or of another
    /// shape is an error that names it.
    pub fn load(path: &Path) -> Result<Self> {
        let mut tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let mut parameters = BTreeMap::new();
        for (name, shape) in shapes() {
            match tensors.remove(&name) {
                Some(tensor) if tensor.dims() == shape && tensor.dtype() == DType::F32 => {
                    parameters.insert(name, Var::from_tensor(&tensor)?);
                }
                Some(tensor) => {
                    bail!("{name} is {:?} {:?}, expected {shape:?}", tensor.dims(), tensor.dtype())
                }
                None => bail!("{name} is missing"),
            }
        }
        match tensors.keys().next() {
            Some(name) => bail!("{name} is not part of this classifier"),
            None => Ok(Self(parameters)),
        }
    }

    /// Writes the parameters to a safetensors file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let named = self.parameters().map(|(name, var)| (name.to_string(), var.as_tensor().clone()));
        candle_core::safetensors::save(&named.collect::<HashMap<_, _>>(), path)
    }

    /// Weights uniform in ±1/√fan_in, norms one, biases zero.
    fn seeded(seed: u64) -> Result<Self> {
        let fresh = |(name, shape): (String, Vec<usize>)| {
            let mut draws = Draws::new(seed, &format!("parameter {name}"), 0);
            let bound = 1.0 / (shape[1..].iter().product::<usize>() as f64).sqrt();
            let values = (0..shape.iter().product()).map(|_| match shape.len() {
                1 if name.ends_with("norm.weight") => 1.0,
                1 => 0.0,
                _ => (bound * (2.0 * draws.uniform() - 1.0)) as f32,
            });
            let values = values.collect();
            Ok((name, Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)?))
        };
        Ok(Self(shapes().into_iter().map(fresh).collect::<Result<_>>()?))
    }

    fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.0.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// (n, 1, 28, 28) → (n, 10).
    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        let (n, 1, SIDE, SIDE) = images.dims4()? else {
            bail!("images are {:?}, expected (n, 1, {SIDE}, {SIDE})", images.dims())
        };
        let at = |name: &str| self.0[name].as_tensor();
        let norm = GroupNorm { groups: GROUPS, eps: 1e-5, activation: Activation::Silu };
        let mut h = images.clone();
        for (i, (_, _, stride)) in STAGES.into_iter().enumerate() {
            let options = Conv2d { stride, padding: Padding::all(1) };
            let (weight, bias) = (at(&format!("{i}.conv.weight")), at(&format!("{i}.conv.bias")));
            h = conv2d(&h, weight, bias, options)?;
            h = group_norm(&h, at(&format!("{i}.norm.weight")), at(&format!("{i}.norm.bias")), norm)?;
        }
        linear(&h.reshape((n, FEATURES))?, at("head.weight"), at("head.bias"))
    }

    /// The gradients by name. A parameter without one would stay untrained, so it is an error.
    fn gradients(&self, loss: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        let store = loss.backward()?;
        let gradient = |(name, var): (&str, &Var)| match store.get(var) {
            Some(gradient) => Ok((name.to_string(), gradient.clone())),
            None => bail!("{name} has no gradient"),
        };
        self.parameters().map(gradient).collect()
    }
}

/// Names and shapes of all parameters.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes =
        vec![("head.weight".into(), vec![CLASSES, FEATURES]), ("head.bias".into(), vec![CLASSES])];
    for (i, (inputs, outputs, _)) in STAGES.into_iter().enumerate() {
        shapes.push((format!("{i}.conv.weight"), vec![outputs, inputs, 3, 3]));
        for name in ["conv.bias", "norm.weight", "norm.bias"] {
            shapes.push((format!("{i}.{name}"), vec![outputs]));
        }
    }
    shapes
}

/// A batch of images (n, 1, 28, 28), each turned, scaled and moved by its own draws, and its
/// labels (n).
fn augmented(data: &Dataset, indices: &[u32], seed: u64, step: u64) -> Result<(Tensor, Tensor)> {
    const PIXELS: usize = SIDE * SIDE;
    let mut image = [0f32; PIXELS];
    let mut values = vec![0f32; indices.len() * PIXELS];
    for (k, (&i, out)) in indices.iter().zip(values.chunks_mut(PIXELS)).enumerate() {
        data.image(i as usize, &mut image);
        let mut draws = Draws::new(seed, "augmentation", step * BATCH as u64 + k as u64);
        let mut within = |limit: f64| limit * (2.0 * draws.uniform() - 1.0);
        let (turn, scale) = (within(TURN), 1.0 + within(SCALE));
        let (down, right) = (within(SHIFT), within(SHIFT));
        let (sin, cos) = (scale * turn.sin(), scale * turn.cos());
        let middle = (SIDE - 1) as f64 / 2.0;
        for (p, out) in out.iter_mut().enumerate() {
            let (y, x) = ((p / SIDE) as f64 - middle, (p % SIDE) as f64 - middle);
            let (y, x) = (cos * y + sin * x + middle - down, cos * x - sin * y + middle - right);
            *out = between_pixels(&image, y, x);
        }
    }
    let labels: Vec<u32> = indices.iter().map(|&i| data.label(i as usize)).collect();
    let images = Tensor::from_vec(values, (indices.len(), 1, SIDE, SIDE), &Device::Cpu)?;
    Ok((images, Tensor::new(labels, &Device::Cpu)?))
}

/// The image's value at row y and column x, bilinear; the background, -1, outside.
fn between_pixels(image: &[f32], y: f64, x: f64) -> f32 {
    let at = |y: f64, x: f64| {
        let inside = |v: f64| (0.0..SIDE as f64).contains(&v);
        if inside(y) && inside(x) { image[y as usize * SIDE + x as usize] } else { -1.0 }
    };
    let (top, left) = (y.floor(), x.floor());
    let (v, u) = ((y - top) as f32, (x - left) as f32);
    let upper = (1.0 - u) * at(top, left) + u * at(top, left + 1.0);
    let lower = (1.0 - u) * at(top + 1.0, left) + u * at(top + 1.0, left + 1.0);
    (1.0 - v) * upper + v * lower
}
