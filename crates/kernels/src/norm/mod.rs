//! Group normalisation on the tape.

pub(crate) mod normalise;

use crate::buffer::Buffer;
use crate::elementwise::activation::Activation;
use crate::elementwise::passes;
use crate::profile::{self, Work};
use crate::tape::{Deferred, Images, Pending, Step, Tape, Values, WayBack};
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
                let mut back = normal.way_back(pending);
                back.part(0..batch, &grad);
                back.finish(pending);
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

    fn way_back<'a>(&'a self, pending: &mut Pending) -> Box<dyn WayBack + 'a> {
        let channels = self.norm.channels;
        let waiting = pending.take(&self.x);
        let modulation = |m: &Images| pending.take(m).unwrap_or_else(|| Buffer::zeros(m.len()));
        Box::new(NormalBack {
            normal: self,
            x_is_new: waiting.is_none(),
            x: waiting.unwrap_or_else(|| Buffer::scratch(self.x.len())),
            modulation: self.modulation.as_ref().map(modulation),
            weight: Buffer::zeros(channels),
            bias: Buffer::zeros(channels),
        })
    }
}

/// The way back through a normalisation, with its gradients so far.
struct NormalBack<'a> {
    normal: &'a Normal,
    x: Buffer,
    x_is_new: bool,
    modulation: Option<Buffer>,
    weight: Buffer,
    bias: Buffer,
}

impl WayBack for NormalBack<'_> {
    fn part(&mut self, images: Range<usize>, grad: &[f32]) {
        let Normal { norm, weights, x, modulation, .. } = self.normal;
        profile::layer(&weights.name, true);
        let _span = profile::span(Work::Norm).over(6 * grad.len());
        let part = images.start * norm.channels * norm.pixels..images.end * norm.channels * norm.pixels;
        let moments: Vec<_> =
            images.clone().flat_map(|image| self.normal.moments_of(image)).copied().collect();
        let affine = weights.scale_and_shift(modulation.as_ref());
        let gradients = normalise::NormGradients {
            x: &mut self.x[part.clone()],
            x_is_new: self.x_is_new,
            weight: &mut self.weight,
            bias: &mut self.bias,
            modulation: self.modulation.as_deref_mut(),
        };
        normalise::backward(*norm, affine, images.start, &x.values[part], grad, &moments, gradients);
    }

    fn finish(self: Box<Self>, pending: &mut Pending) {
        let Normal { weights, x, modulation, .. } = self.normal;
        for (name, grad) in [("weight", self.weight), ("bias", self.bias)] {
            let slot = pending.parameters.slot(format!("{}.{name}", weights.name), grad.len());
            passes::add(slot, &grad);
        }
        pending.give(x, self.x);
        if let (Some(modulation), Some(grad)) = (modulation, self.modulation) {
            pending.give(modulation, grad);
        }
    }
}
