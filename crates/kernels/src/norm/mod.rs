//! Group normalisation on the tape.

pub(crate) mod normalise;

use crate::buffer::Buffer;
use crate::elementwise::activation::Activation;
use crate::elementwise::passes;
use crate::profile::{self, Work};
use crate::tape::{Deferred, Images, Pending, Step, Tape, Values};
use normalise::{Normalisation, ScaleAndShift};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Scale and shift of a group normalisation. Their gradients get the names `name.weight` and `name.bias`.
pub struct NormWeights {
    name: String,
    weight: Vec<f32>,
    bias: Vec<f32>,
    groups: usize,
    eps: f64,
}

impl NormWeights {
    /// Copies weight (C) and bias (C); `groups` divides C.
    pub fn new(name: impl Into<String>, weight: &[f32], bias: &[f32], groups: usize, eps: f64) -> Self {
        assert!(groups > 0 && weight.len().is_multiple_of(groups) && weight.len() == bias.len());
        Self { name: name.into(), weight: weight.to_vec(), bias: bias.to_vec(), groups, eps }
    }

    /// The scale and shift after the normalisation, with `modulation` (B, 1, 1, 2·C) if given.
    fn scale_and_shift<'a>(&'a self, modulation: Option<&'a Images>) -> ScaleAndShift<'a> {
        ScaleAndShift { weight: &self.weight, bias: &self.bias, modulation: modulation.map(Images::values) }
    }
}

impl Tape {
    /// Group normalisation, then an activation. If `modulation` (B, 1, 1, 2·C) is given, z·(1 + scale) +
    /// shift comes between them; its first C values are the scales.
    pub fn norm(
        &mut self,
        x: &Images,
        weights: &Arc<NormWeights>,
        activation: Activation,
        modulation: Option<&Images>,
    ) -> Images {
        match activation {
            Activation::None => self.normalise(x, weights, false, modulation),
            Activation::Silu => self.normalise(x, weights, true, modulation),
            other => {
                let normal = self.normalise(x, weights, false, modulation);
                self.activation(&normal, other)
            }
        }
    }

    fn normalise(
        &mut self,
        x: &Images,
        weights: &Arc<NormWeights>,
        silu: bool,
        modulation: Option<&Images>,
    ) -> Images {
        let [batch, height, width, channels] = x.shape;
        assert_eq!(channels, weights.weight.len(), "channels of x and weights of {}", weights.name);
        let norm = Normalisation {
            channels,
            groups: weights.groups,
            pixels: height * width,
            eps: weights.eps,
            silu,
        };
        let moments: Moments = (0..batch).map(|_| OnceLock::new()).collect();
        let normal =
            Normal { norm, weights: weights.clone(), x: x.clone(), modulation: modulation.cloned(), moments };
        let step = self.records.then(|| {
            let normal = normal.clone();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let Normal { x, weights, modulation, .. } = &normal;
                let waiting = pending.take(x);
                let x_is_new = waiting.is_none();
                let mut grad_x = waiting.unwrap_or_else(|| Buffer::scratch(grad.len()));
                let mut grad_modulation =
                    modulation.as_ref().map(|m| pending.take(m).unwrap_or_else(|| Buffer::zeros(m.len())));
                let mut grad_weight = Buffer::zeros(channels);
                let mut grad_bias = Buffer::zeros(channels);
                let affine = weights.scale_and_shift(modulation.as_ref());
                let gradients = normalise::NormGradients {
                    x: &mut grad_x,
                    x_is_new,
                    weight: &mut grad_weight,
                    bias: &mut grad_bias,
                    modulation: grad_modulation.as_deref_mut(),
                };
                profile::layer(&weights.name, true);
                let span = profile::span(Work::Norm).over(6 * grad.len());
                let moments: Vec<_> =
                    (0..batch).flat_map(|image| normal.moments_of(image)).copied().collect();
                normalise::backward(norm, affine, &x.values, &grad, &moments, gradients);
                drop(span);
                for (name, grad) in [("weight", grad_weight), ("bias", grad_bias)] {
                    let slot = pending.parameters.slot(format!("{}.{name}", weights.name), channels);
                    passes::add(slot, &grad);
                }
                pending.give(x, grad_x);
                if let (Some(modulation), Some(grad)) = (modulation, grad_modulation) {
                    pending.give(modulation, grad);
                }
            };
            Box::new(step) as Step
        });
        self.push(x.shape, Values::deferred(Arc::new(normal), batch), true, step)
    }
}

/// The moments of each image's groups, once they are known.
type Moments = Arc<[OnceLock<Vec<(f32, f32)>>]>;

/// Images in normal form, which are computed for a few at a time, right before they are used. Written to memory, they
/// would have left the caches by then.
#[derive(Clone)]
struct Normal {
    norm: Normalisation,
    weights: Arc<NormWeights>,
    x: Images,
    modulation: Option<Images>,
    moments: Moments,
}

impl Normal {
    /// The moments of an image's groups. They are computed once.
    fn moments_of(&self, image: usize) -> &[(f32, f32)] {
        let len = self.norm.channels * self.norm.pixels;
        self.moments[image]
            .get_or_init(|| normalise::moments(self.norm, &self.x.values[image * len..][..len]))
    }
}

impl Deferred for Normal {
    fn part(&self, images: Range<usize>) -> Buffer {
        let (image, first) = (self.norm.channels * self.norm.pixels, images.start);
        let x = &self.x.values[first * image..images.end * image];
        let mut y = Buffer::scratch(x.len());
        let _span = profile::span(Work::Norm).over(3 * y.len());
        let affine = self.weights.scale_and_shift(self.modulation.as_ref());
        for (i, (x, y)) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(image.max(1))).enumerate() {
            normalise::apply(self.norm, affine, first + i, x, self.moments_of(first + i), y);
        }
        y
    }
}
