//! Group normalisation on the tape.

pub(crate) mod normalise;

use crate::buffer::Buffer;
use crate::elementwise::activation::Activation;
use crate::elementwise::passes;
use crate::tape::{Images, Pending, Step, Tape};
use normalise::{Normalisation, ScaleAndShift};
use std::sync::Arc;

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
        let mut y = Buffer::scratch(x.values.len());
        let mut moments = vec![(0.0, 0.0); batch * norm.groups];
        let affine = weights.scale_and_shift(modulation);
        normalise::forward(norm, affine, &x.values, &mut y, &mut moments);
        let moments = Arc::new(moments);
        let again = self.records.then(|| {
            let (x, weights, moments) = (x.clone(), weights.clone(), moments.clone());
            let modulation = modulation.cloned();
            let again = move || {
                let mut y = Buffer::scratch(x.len());
                let affine = weights.scale_and_shift(modulation.as_ref());
                normalise::apply(norm, affine, &x.values, &moments, &mut y);
                y
            };
            Arc::new(again) as Arc<dyn Fn() -> Buffer + Send + Sync>
        });
        let step = self.records.then(|| {
            let (x, weights, modulation) = (x.clone(), weights.clone(), modulation.cloned());
            let step = move |grad: Buffer, pending: &mut Pending| {
                let waiting = pending.take(&x);
                let x_is_new = waiting.is_none();
                let mut grad_x = waiting.unwrap_or_else(|| Buffer::scratch(grad.len()));
                let mut grad_modulation = modulation
                    .as_ref()
                    .map(|m| pending.take(m).unwrap_or_else(|| Buffer::zeros(m.values.len())));
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
                normalise::backward(norm, affine, &x.values, &grad, &moments, gradients);
                for (name, grad) in [("weight", grad_weight), ("bias", grad_bias)] {
                    let slot = pending.parameters.slot(format!("{}.{name}", weights.name), channels);
                    passes::add(slot, &grad);
                }
                pending.give(&x, grad_x);
                if let (Some(modulation), Some(grad)) = (modulation, grad_modulation) {
                    pending.give(&modulation, grad);
                }
            };
            Box::new(step) as Step
        });
        Images { again, ..self.push(x.shape, y, true, step) }
    }
}
