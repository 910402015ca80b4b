//! Reverse-mode differentiation for one chunk of images on one thread.
//!
//! A [`Tape`] runs operations on channels-last images at once and notes how to go back;
//! [`Tape::backward`] does, giving memory free as it goes. Everything happens on the calling
//! thread: a program differentiates several chunks of a batch side by side, each with a tape of
//! its own over shared weights ([`ConvWeights`], [`NormWeights`]), and adds the [`Gradients`] in the
//! order of the chunks. Compared with a graph of candle tensors, gradients are added in place,
//! nothing is copied to be transposed, and a batch's activations never exist all at once.

use crate::Activation;
use crate::attend::Attention;
use crate::buffer::Buffer;
use crate::chunks::weights_first;
use crate::elementwise;
use crate::kernel::Kernel;
use crate::normalise::{self, Affine, Norm};
use crate::sizes::{Epilogue, Padding, Sizes};
use crate::storage::with_values;
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Channels-last images (batch, height, width, channels) on a tape.
#[derive(Clone)]
pub struct Images {
    values: Arc<Buffer>,
    shape: [usize; 4],
    node: usize,
    /// Whether anything trainable led to it.
    tracked: bool,
    /// Computes the values again, where that is cheaper than keeping them for the way back.
    again: Option<Arc<dyn Fn() -> Buffer + Send + Sync>>,
}

impl Images {
    /// Images (batch, height, width, channels) that no gradient flows into.
    pub fn new(shape: [usize; 4], values: &[f32]) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "values of another shape");
        Self { values: Arc::new(Buffer::copy(values)), shape, node: 0, tracked: false, again: None }
    }

    /// (batch, height, width, channels).
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// The values, channels last.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Its place on the tape alone, for a way back that needs no values.
    fn hollow(&self) -> Self {
        Self { values: Arc::new(Buffer::scratch(0)), again: None, ..self.clone() }
    }

    /// What the way back keeps of it: its values, or how to compute them again.
    fn kept(&self) -> Self {
        match self.again {
            Some(_) => Self { again: self.again.clone(), ..self.hollow() },
            None => self.clone(),
        }
    }

    /// The values on the way back.
    fn recalled(&self) -> Arc<Buffer> {
        match &self.again {
            Some(again) => Arc::new(again()),
            None => self.values.clone(),
        }
    }
}

/// Weights of a convolution or of a linear layer (a kernel of one pixel), under the name that
/// their gradients get: `name.weight`, `name.bias`.
pub struct ConvWeights {
    name: String,
    kernel: Kernel,
}

impl ConvWeights {
    /// Copies weights (O, C, kh, kw) and bias (O). Without `gradients` it only runs forward.
    pub fn new(
        name: impl Into<String>,
        weight: &[f32],
        bias: &[f32],
        channels: usize,
        kernel: (usize, usize),
        gradients: bool,
    ) -> Self {
        Self { name: name.into(), kernel: Kernel::new(weight, bias, channels, kernel, gradients) }
    }

    /// Copies candle tensors in f32 on the CPU: weights (O, C, kh, kw), or (O, C) of a linear layer,
    /// and bias (O). Errors name shapes that do not fit.
    pub fn from_tensors(
        name: impl Into<String>,
        weight: &Tensor,
        bias: &Tensor,
        gradients: bool,
    ) -> candle_core::Result<Self> {
        let name = name.into();
        let (outputs, channels, kernel) = match *weight.dims() {
            [outputs, channels, height, width] => (outputs, channels, (height, width)),
            [outputs, channels] => (outputs, channels, (1, 1)),
            ref dims => candle_core::bail!("{name} has weights of shape {dims:?}"),
        };
        if bias.dims() != [outputs] {
            candle_core::bail!("{name} has weights {:?} and bias {:?}", weight.dims(), bias.dims());
        }
        with_values(weight, |weight| {
            with_values(bias, |bias| Ok(Self::new(name, weight, bias, channels, kernel, gradients)))
        })
    }
}

/// Scale and shift of a group normalisation, under the name that their gradients get.
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
}

/// What is added to a convolution's result before it is stored: (y + time + residual) · scale.
#[derive(Clone, Copy)]
pub struct Sum<'a> {
    /// (B, 1, 1, O): one value an image and channel.
    pub time: Option<&'a Images>,
    /// As large as the result.
    pub residual: Option<&'a Images>,
    /// Factor of the sum.
    pub scale: f32,
}

impl Sum<'_> {
    /// The result alone.
    pub const NOTHING: Sum<'static> = Sum { time: None, residual: None, scale: 1.0 };
}

/// Gradients of parameters by name.
#[derive(Default)]
pub struct Gradients(BTreeMap<String, Slot>);

struct Slot {
    values: Buffer,
    /// (kh·kw, C, O) of a convolution's weights, whose gradient is kept in this order.
    taps_first: Option<(usize, usize, usize)>,
}

impl Gradients {
    /// The gradient of one parameter, in the order of the parameter's values.
    pub fn get(&self, name: &str) -> Option<Vec<f32>> {
        let Slot { values, taps_first } = self.0.get(name)?;
        Some(match *taps_first {
            Some((taps, channels, outputs)) => weights_first(values, taps, channels, outputs),
            None => values.to_vec(),
        })
    }

    /// The parameters' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds those of another chunk.
    pub fn add(&mut self, other: Gradients) {
        for (name, slot) in other.0 {
            match self.0.get_mut(&name) {
                Some(sum) => elementwise::add(&mut sum.values, &slot.values),
                None => drop(self.0.insert(name, slot)),
            }
        }
    }

    fn slot(&mut self, name: String, len: usize) -> &mut Buffer {
        let new = || Slot { values: Buffer::zeros(len), taps_first: None };
        &mut self.0.entry(name).or_insert_with(new).values
    }

    fn taps_first(&mut self, name: String, (taps, channels, outputs): (usize, usize, usize)) -> &mut Buffer {
        let values = || Buffer::zeros(taps * channels * outputs);
        let new = || Slot { values: values(), taps_first: Some((taps, channels, outputs)) };
        &mut self.0.entry(name).or_insert_with(new).values
    }
}

/// The gradients that are on their way.
struct Pending {
    nodes: Vec<Option<Buffer>>,
    parameters: Gradients,
}

impl Pending {
    /// What a node's gradient is so far, to be given back with more added to it.
    fn take(&mut self, x: &Images) -> Option<Buffer> {
        if x.tracked { self.nodes[x.node].take() } else { None }
    }

    /// The gradient of a node to add to.
    fn of(&mut self, x: &Images) -> &mut Buffer {
        self.nodes[x.node].get_or_insert_with(|| Buffer::zeros(x.len()))
    }

    /// Adds `grad` to the gradient of a node, without a copy if it is the first; drops it where
    /// nothing asks for it.
    fn give(&mut self, x: &Images, grad: Buffer) {
        if !x.tracked {
            return;
        }
        match &mut self.nodes[x.node] {
            Some(sum) => elementwise::add(sum, &grad),
            none => *none = Some(grad),
        }
    }
}

/// From the gradient of a node to those of what it was made of.
type Step = Box<dyn FnOnce(Buffer, &mut Pending)>;

/// Operations on one chunk of images, and the way back through them.
pub struct Tape {
    records: bool,
    steps: Vec<Option<Step>>,
    multiply_adds: u64,
}

impl Tape {
    /// A tape that remembers the way back.
    pub fn recording() -> Self {
        Self { records: true, steps: Vec::new(), multiply_adds: 0 }
    }

    /// A tape that only runs forward and keeps nothing.
    pub fn forward_only() -> Self {
        Self { records: false, steps: Vec::new(), multiply_adds: 0 }
    }

    /// Multiply-adds of all convolutions, linear layers and attentions so far; a convolution counts
    /// as the direct sum, however it was computed.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// Images whose gradient is asked for: it will be among the parameters', under `name`.
    pub fn variable(&mut self, name: &str, x: &Images) -> Images {
        let (name, node) = (name.to_string(), self.steps.len());
        if self.records {
            let step = move |grad: Buffer, pending: &mut Pending| {
                elementwise::add(pending.parameters.slot(name, grad.len()), &grad);
            };
            self.steps.push(Some(Box::new(step)));
        }
        Images { node, tracked: self.records, ..x.clone() }
    }

    fn push(&mut self, shape: [usize; 4], values: Buffer, tracked: bool, step: Option<Step>) -> Images {
        assert_eq!(values.len(), shape.iter().product::<usize>());
        let node = self.steps.len();
        if self.records {
            self.steps.push(step);
        }
        Images { values: Arc::new(values), shape, node, tracked: tracked && self.records, again: None }
    }

    /// The gradients of all parameters, of ⟨`grad`, `of`⟩: `grad` is as large as `of`.
    pub fn backward(mut self, of: &Images, grad: &[f32]) -> Gradients {
        assert!(self.records, "the tape only runs forward");
        assert_eq!(grad.len(), of.values.len(), "a gradient of another shape");
        let nodes = std::iter::repeat_with(|| None).take(self.steps.len()).collect();
        let mut pending = Pending { nodes, parameters: Gradients::default() };
        pending.nodes[of.node] = Some(Buffer::copy(grad));
        while let Some(step) = self.steps.pop() {
            let grad = pending.nodes.pop().flatten();
            if let (Some(step), Some(grad)) = (step, grad) {
                step(grad, &mut pending);
            }
        }
        pending.parameters
    }

    /// Convolution, (B, H, W, C) → (B, H', W', O), plus `sum`.
    pub fn conv(
        &mut self,
        x: &Images,
        weights: &Arc<ConvWeights>,
        stride: usize,
        padding: Padding,
        sum: Sum,
    ) -> Images {
        let sizes = sizes(x, &weights.kernel, stride, padding, 1);
        self.convolve(x, weights, sizes, sum)
    }

    /// Nearest-neighbour doubling of height and width, then a convolution of stride 1.
    pub fn conv_of_doubled(
        &mut self,
        x: &Images,
        weights: &Arc<ConvWeights>,
        padding: Padding,
        sum: Sum,
    ) -> Images {
        let sizes = sizes(x, &weights.kernel, 1, padding, 2);
        if Kernel::sees_doubled(&sizes) {
            return self.convolve(x, weights, Sizes { doubled: true, ..sizes }, sum);
        }
        let doubled = self.double(x);
        self.convolve(&doubled, weights, sizes, sum)
    }

    fn convolve(&mut self, x: &Images, weights: &Arc<ConvWeights>, mut sizes: Sizes, sum: Sum) -> Images {
        let (batch, channels, kernel) = (x.shape[0], sizes.channels, &weights.kernel);
        assert_eq!(x.shape[3], kernel.channels, "channels of x and weights of {}", weights.name);
        let (out_height, out_width) = sizes.out();
        let shape = [batch, out_height, out_width, kernel.outputs];
        // Pixels that do not see each other are one long image.
        let mut parts = batch;
        if sizes.is_pointwise() && sum.time.is_none() {
            (sizes.height, sizes.width, parts) = (batch * sizes.height * sizes.width, 1, 1);
        }
        let mut bias = Buffer::copy(&kernel.bias);
        if let Some(time) = sum.time {
            assert_eq!(time.shape, [batch, 1, 1, kernel.outputs], "the time term of {}", weights.name);
            bias = Buffer::copy(&time.values);
            bias.chunks_exact_mut(kernel.outputs).for_each(|row| elementwise::add(row, &kernel.bias));
        }
        let residual = sum.residual.map(|residual| residual.values());
        self.multiply_adds += (shape.iter().product::<usize>() * channels * sizes.taps()) as u64;
        let mut y = Buffer::scratch(shape.iter().product());
        kernel.forward(
            &sizes,
            parts,
            &x.values,
            Epilogue { bias: &bias, residual, scale: sum.scale },
            &mut y,
        );
        let step = self.records.then(|| {
            let (x, weights, scale) = (x.kept(), weights.clone(), sum.scale);
            let (time, residual) = (sum.time.map(Images::hollow), sum.residual.map(Images::hollow));
            let pixels = out_height * out_width;
            let step = move |mut grad: Buffer, pending: &mut Pending| {
                let kernel = &weights.kernel;
                if scale != 1.0 {
                    elementwise::scale(&mut grad, scale);
                }
                let mut sums = Buffer::scratch(batch * kernel.outputs);
                elementwise::sum_pixels(&grad, kernel.outputs, pixels, &mut sums);
                let grad_bias = pending.parameters.slot(format!("{}.bias", weights.name), kernel.outputs);
                sums.chunks_exact(kernel.outputs).for_each(|row| elementwise::add(grad_bias, row));
                if let Some(time) = time {
                    pending.give(&time, sums);
                }
                // Taken out, so that it and the weights' can be borrowed at once.
                let shape = (sizes.taps(), kernel.channels, kernel.outputs);
                let mut grad_x =
                    x.tracked.then(|| pending.take(&x).unwrap_or_else(|| Buffer::zeros(x.len())));
                let grad_weight = pending.parameters.taps_first(format!("{}.weight", weights.name), shape);
                kernel.backward(
                    &sizes,
                    parts,
                    &x.recalled(),
                    &grad,
                    grad_x.as_deref_mut(),
                    Some(grad_weight),
                );
                if let Some(grad_x) = grad_x {
                    pending.give(&x, grad_x);
                }
                if let Some(residual) = residual {
                    pending.give(&residual, grad);
                }
            };
            Box::new(step) as Step
        });
        self.push(shape, y, true, step)
    }

    /// Linear layer on the channels, (B, H, W, C) → (B, H, W, O), plus `sum` (without time).
    pub fn linear(&mut self, x: &Images, weights: &Arc<ConvWeights>, sum: Sum) -> Images {
        self.conv(x, weights, 1, Padding::default(), sum)
    }

    /// Group normalisation with an activation after it, and between them z·(1 + scale) + shift by
    /// `modulation` (B, 1, 1, 2·C) if given, the scales first.
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
        let norm = Norm { channels, groups: weights.groups, pixels: height * width, eps: weights.eps, silu };
        let mut y = Buffer::scratch(x.values.len());
        let mut moments = vec![(0.0, 0.0); batch * norm.groups];
        let affine = Affine {
            weight: &weights.weight,
            bias: &weights.bias,
            modulation: modulation.map(|modulation| modulation.values()),
        };
        normalise::forward(norm, affine, &x.values, &mut y, &mut moments);
        let moments = Arc::new(moments);
        let again = self.records.then(|| {
            let (x, weights, moments) = (x.clone(), weights.clone(), moments.clone());
            let modulation = modulation.cloned();
            let again = move || {
                let mut y = Buffer::scratch(x.len());
                let affine = Affine {
                    weight: &weights.weight,
                    bias: &weights.bias,
                    modulation: modulation.as_ref().map(|modulation| modulation.values()),
                };
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
                let affine = Affine {
                    weight: &weights.weight,
                    bias: &weights.bias,
                    modulation: modulation.as_ref().map(|modulation| modulation.values()),
                };
                let gradients = normalise::Gradients {
                    x: &mut grad_x,
                    x_is_new,
                    weight: &mut grad_weight,
                    bias: &mut grad_bias,
                    modulation: grad_modulation.as_deref_mut(),
                };
                normalise::backward(norm, affine, &x.values, &grad, &moments, gradients);
                for (name, grad) in [("weight", grad_weight), ("bias", grad_bias)] {
                    let slot = pending.parameters.slot(format!("{}.{name}", weights.name), channels);
                    elementwise::add(slot, &grad);
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

    /// An activation of every value.
    pub fn activation(&mut self, x: &Images, activation: Activation) -> Images {
        let mut y = Buffer::scratch(x.values.len());
        elementwise::activate(activation, &x.values, &mut y);
        let step = x.tracked.then(|| {
            let x = x.clone();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let mut through = Buffer::scratch(grad.len());
                elementwise::activation_gradient(activation, &x.values, &grad, &mut through);
                pending.give(&x, through);
            };
            Box::new(step) as Step
        });
        self.push(x.shape, y, x.tracked, step)
    }

    /// Each image times its factor.
    pub fn scale_images(&mut self, x: &Images, factors: &[f32]) -> Images {
        assert_eq!(factors.len(), x.shape[0], "one factor for each image");
        let image = (x.len() / factors.len().max(1)).max(1);
        let scale = move |values: &mut Buffer, factors: &[f32]| {
            values
                .chunks_exact_mut(image)
                .zip(factors)
                .for_each(|(v, &factor)| elementwise::scale(v, factor));
        };
        let mut y = Buffer::copy(&x.values);
        scale(&mut y, factors);
        let step = x.tracked.then(|| {
            let (x, factors) = (x.hollow(), factors.to_vec());
            let step = move |mut grad: Buffer, pending: &mut Pending| {
                scale(&mut grad, &factors);
                pending.give(&x, grad);
            };
            Box::new(step) as Step
        });
        self.push(x.shape, y, x.tracked, step)
    }

    /// a + b, of one shape.
    pub fn add(&mut self, a: &Images, b: &Images) -> Images {
        assert_eq!(a.shape, b.shape, "summands of two shapes");
        let mut y = Buffer::copy(&a.values);
        elementwise::add(&mut y, &b.values);
        let tracked = a.tracked || b.tracked;
        let step = tracked.then(|| {
            let (a, b) = (a.hollow(), b.hollow());
            let step = move |grad: Buffer, pending: &mut Pending| {
                if a.tracked {
                    pending.give(&a, Buffer::copy(&grad));
                }
                pending.give(&b, grad);
            };
            Box::new(step) as Step
        });
        self.push(a.shape, y, tracked, step)
    }

    /// The channels of a, then those of b.
    pub fn concat(&mut self, a: &Images, b: &Images) -> Images {
        let ([batch, height, width, first], [.., second]) = (a.shape, b.shape);
        assert_eq!(a.shape[..3], b.shape[..3], "images of two sizes");
        let mut y = Buffer::scratch(a.values.len() + b.values.len());
        for (y, (a, b)) in y
            .chunks_exact_mut(first + second)
            .zip(a.values.chunks_exact(first).zip(b.values.chunks_exact(second)))
        {
            y[..first].copy_from_slice(a);
            y[first..].copy_from_slice(b);
        }
        let tracked = a.tracked || b.tracked;
        let step = tracked.then(|| {
            let (a, b) = (a.hollow(), b.hollow());
            let step = move |grad: Buffer, pending: &mut Pending| {
                for (x, range) in [(&a, 0..first), (&b, first..first + second)] {
                    if x.tracked {
                        let mut part = Buffer::scratch(x.len());
                        let pixels =
                            part.chunks_exact_mut(range.len()).zip(grad.chunks_exact(first + second));
                        pixels.for_each(|(part, grad)| part.copy_from_slice(&grad[range.clone()]));
                        pending.give(x, part);
                    }
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, height, width, first + second], y, tracked, step)
    }

    /// Nearest-neighbour doubling of height and width.
    pub fn double(&mut self, x: &Images) -> Images {
        let [batch, height, width, channels] = x.shape;
        let mut y = Buffer::scratch(4 * x.values.len());
        let row = width * channels;
        for (y, x) in y.chunks_exact_mut((4 * row).max(1)).zip(x.values.chunks_exact(row.max(1))) {
            let (first, second) = y.split_at_mut(2 * row);
            for (y, x) in first.chunks_exact_mut(2 * channels).zip(x.chunks_exact(channels)) {
                y[..channels].copy_from_slice(x);
                y[channels..].copy_from_slice(x);
            }
            second.copy_from_slice(first);
        }
        let step = x.tracked.then(|| {
            let x = x.hollow();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let sum = pending.of(&x);
                for (sum, grad) in sum.chunks_exact_mut(row.max(1)).zip(grad.chunks_exact((4 * row).max(1))) {
                    let (first, second) = grad.split_at(2 * row);
                    let pairs = first.chunks_exact(2 * channels).zip(second.chunks_exact(2 * channels));
                    for (sum, (a, b)) in sum.chunks_exact_mut(channels).zip(pairs) {
                        for (c, sum) in sum.iter_mut().enumerate() {
                            *sum += (a[c] + a[channels + c]) + (b[c] + b[channels + c]);
                        }
                    }
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, 2 * height, 2 * width, channels], y, x.tracked, step)
    }

    /// The mean of each 2×2 pixels; both sides are even.
    pub fn halve(&mut self, x: &Images) -> Images {
        let [batch, height, width, channels] = x.shape;
        assert!(height.is_multiple_of(2) && width.is_multiple_of(2), "odd sides {height}×{width}");
        let (row, out_row) = ((width * channels).max(1), (width / 2 * channels).max(1));
        let mut y = Buffer::scratch(x.values.len() / 4);
        for (y, rows) in y.chunks_exact_mut(out_row).zip(x.values.chunks_exact(2 * row)) {
            let (first, second) = rows.split_at(row);
            let pairs = first.chunks_exact(2 * channels).zip(second.chunks_exact(2 * channels));
            for (y, (a, b)) in y.chunks_exact_mut(channels).zip(pairs) {
                for (c, y) in y.iter_mut().enumerate() {
                    *y = ((a[c] + a[channels + c]) + (b[c] + b[channels + c])) * 0.25;
                }
            }
        }
        let step = x.tracked.then(|| {
            let x = x.hollow();
            let step = move |grad: Buffer, pending: &mut Pending| {
                let sum = pending.of(&x);
                for (rows, grad) in sum.chunks_exact_mut(2 * row).zip(grad.chunks_exact(out_row)) {
                    for row in rows.chunks_exact_mut(row) {
                        for (pair, grad) in
                            row.chunks_exact_mut(2 * channels).zip(grad.chunks_exact(channels))
                        {
                            for (c, &grad) in grad.iter().enumerate() {
                                pair[c] += 0.25 * grad;
                                pair[channels + c] += 0.25 * grad;
                            }
                        }
                    }
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, height / 2, width / 2, channels], y, x.tracked, step)
    }

    /// The mean over each image's pixels, (B, H, W, C) → (B, 1, 1, C).
    pub fn mean(&mut self, x: &Images) -> Images {
        let [batch, height, width, channels] = x.shape;
        let pixels = height * width;
        let share = 1.0 / pixels as f32;
        let mut y = Buffer::scratch(batch * channels);
        elementwise::sum_pixels(&x.values, channels, pixels, &mut y);
        elementwise::scale(&mut y, share);
        let step = x.tracked.then(|| {
            let x = x.hollow();
            let step = move |mut grad: Buffer, pending: &mut Pending| {
                elementwise::scale(&mut grad, share);
                let sum = pending.of(&x);
                let images = sum.chunks_exact_mut((pixels * channels).max(1));
                for (sum, grad) in images.zip(grad.chunks_exact(channels.max(1))) {
                    sum.chunks_exact_mut(channels).for_each(|sum| elementwise::add(sum, grad));
                }
            };
            Box::new(step) as Step
        });
        self.push([batch, 1, 1, channels], y, x.tracked, step)
    }

    /// softmax(q kᵀ / √(C / heads)) v over the pixels of each image; all (B, H, W, C).
    pub fn attention(&mut self, [q, k, v]: [&Images; 3], heads: usize) -> Images {
        let [_, height, width, channels] = q.shape;
        assert!(q.shape == k.shape && k.shape == v.shape && heads > 0 && channels.is_multiple_of(heads));
        let attention = Attention { tokens: height * width, heads, width: channels / heads };
        self.multiply_adds += (2 * q.values.len() * height * width) as u64;
        let mut y = Buffer::scratch(q.values.len());
        attention.forward(&q.values, &k.values, &v.values, &mut y);
        let tracked = q.tracked || k.tracked || v.tracked;
        let step = tracked.then(|| {
            let inputs = [q.clone(), k.clone(), v.clone()];
            let step = move |grad: Buffer, pending: &mut Pending| {
                let [q, k, v] = &inputs;
                let mut grads = [(); 3].map(|()| Buffer::scratch(grad.len()));
                let [grad_q, grad_k, grad_v] = &mut grads;
                attention.backward([&q.values, &k.values, &v.values], &grad, [grad_q, grad_k, grad_v]);
                inputs.iter().zip(grads).for_each(|(x, grad)| pending.give(x, grad));
            };
            Box::new(step) as Step
        });
        self.push(q.shape, y, tracked, step)
    }

    /// x (B, 1, 1, C) plus the rows of a table (rows, C) that `labels` (B) name.
    pub fn add_rows(&mut self, x: &Images, name: &str, table: &[f32], labels: &[u32]) -> Images {
        let [batch, height, width, channels] = x.shape;
        assert!(height * width == 1 && labels.len() == batch, "one row for each image");
        let mut y = Buffer::copy(&x.values);
        for (y, &label) in y.chunks_exact_mut(channels).zip(labels) {
            elementwise::add(y, &table[label as usize * channels..][..channels]);
        }
        let step = self.records.then(|| {
            let (x, name, len, labels) = (x.hollow(), name.to_string(), table.len(), labels.to_vec());
            let step = move |grad: Buffer, pending: &mut Pending| {
                let table = pending.parameters.slot(name, len);
                for (grad, &label) in grad.chunks_exact(channels).zip(&labels) {
                    elementwise::add(&mut table[label as usize * channels..][..channels], grad);
                }
                pending.give(&x, grad);
            };
            Box::new(step) as Step
        });
        self.push(x.shape, y, true, step)
    }
}

/// The sizes of a convolution of images, seen `times` as high and wide.
fn sizes(x: &Images, kernel: &Kernel, stride: usize, padding: Padding, times: usize) -> Sizes {
    let [_, height, width, channels] = x.shape;
    let (height, width) = (times * height, times * width);
    let (outputs, kernel) = (kernel.outputs, kernel.size);
    Sizes { channels, height, width, outputs, kernel, stride, padding, doubled: false }
}
