//! The classifier's network: its layers, and how they run on the kernels' tape.

use crate::classifier_error::ClassifierError;
use candle_core::{Result, Tensor};
use duet_data::Shape;
use duet_kernels::tape::{Gradients, Images, Tape};
use duet_kernels::{Activation, Padding};
use duet_kernels::{ConvWeights, NormWeights, Sum};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of features of an image.
pub(crate) const FEATURES: usize = 128;

/// The channels of the first convolution and of the stages after it. Each stage halves the sides. Further
/// stages are like the last.
const WIDTHS: [usize; 3] = [16, 32, 64];
/// The number of residual blocks in a stage.
const BLOCKS: usize = 2;
/// Stages are added until both sides are at most this.
const LAST_SIDE: usize = 8;
const GROUPS: usize = 8;
const EPS: f64 = 1e-5;
/// The possible sides of an image.
const SIDES: std::ops::RangeInclusive<usize> = 8..=4096;

/// The image shape and the number of classes. They fix the names and shapes of all parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub shape: Shape,
    pub classes: usize,
}

/// A layer with parameters.
enum Layer {
    /// Inputs, outputs, side of the kernel.
    Conv(usize, usize, usize),
    /// Channels.
    Norm(usize),
    /// Inputs, outputs.
    Linear(usize, usize),
}

impl Layout {
    /// Checks the shape and the classes. Errors: sides outside 8 to 4096; fewer than two classes.
    pub fn new(shape: Shape, classes: usize) -> std::result::Result<Self, ClassifierError> {
        let wrong = |what| Err(ClassifierError::Data(what));
        if !SIDES.contains(&shape.height) || !SIDES.contains(&shape.width) || shape.channels == 0 {
            return wrong(format!(
                "images are {shape}, a classifier takes sides from {} to {}",
                SIDES.start(),
                SIDES.end()
            ));
        }
        if classes < 2 {
            return wrong(format!("{classes} classes: there is nothing to tell apart, it takes two or more"));
        }
        Ok(Self { shape, classes })
    }

    /// Names and shapes of all parameters, in the order of the layers.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let parameters = self.layers().into_iter().flat_map(|(name, layer)| {
            let (weight, outputs) = match layer {
                Layer::Conv(inputs, outputs, side) => (vec![outputs, inputs, side, side], outputs),
                Layer::Norm(channels) => (vec![channels], channels),
                Layer::Linear(inputs, outputs) => (vec![outputs, inputs], outputs),
            };
            [(format!("{name}.weight"), weight), (format!("{name}.bias"), vec![outputs])]
        });
        parameters.collect()
    }

    /// Channels of the first convolution and of every stage.
    fn widths(&self) -> Vec<usize> {
        let mut widths = WIDTHS.to_vec();
        let mut side = self.shape.height.max(self.shape.width).div_ceil(4);
        while side > LAST_SIDE {
            widths.push(WIDTHS[WIDTHS.len() - 1]);
            side = side.div_ceil(2);
        }
        widths
    }

    fn layers(&self) -> Vec<(String, Layer)> {
        let widths = self.widths();
        let mut layers = vec![("conv_in".into(), Layer::Conv(self.shape.channels, widths[0], 3))];
        for (i, pair) in widths.windows(2).enumerate() {
            layers.push((format!("stages.{i}.norm"), Layer::Norm(pair[0])));
            layers.push((format!("stages.{i}.down"), Layer::Conv(pair[0], pair[1], 3)));
            for j in 0..BLOCKS {
                for k in 1..=2 {
                    layers.push((format!("stages.{i}.blocks.{j}.norm{k}"), Layer::Norm(pair[1])));
                    layers.push((format!("stages.{i}.blocks.{j}.conv{k}"), Layer::Conv(pair[1], pair[1], 3)));
                }
            }
        }
        let last = widths[widths.len() - 1];
        layers.push(("norm_out".into(), Layer::Norm(last)));
        layers.push(("features".into(), Layer::Linear(last, FEATURES)));
        layers.push(("head".into(), Layer::Linear(FEATURES, self.classes)));
        layers
    }
}

/// The parameters in the forms that the kernels compute with.
///
/// A residual network with normalisation before each convolution (He et al. 2016, "Identity
/// mappings"), by groups (Wu & He 2018), so that an image's result does not depend on its batch.
/// The features are the mean over the pixels of the last stage's 128 channels.
pub(crate) struct ClassifierNetwork {
    stages: usize,
    convolutions: BTreeMap<String, Arc<ConvWeights>>,
    norms: BTreeMap<String, Arc<NormWeights>>,
}

impl ClassifierNetwork {
    /// Takes the parameters. Those of convolutions are read at their first use, and must not change before. Without
    /// `gradients`, only the forward pass is possible.
    pub fn new<'a>(
        layout: &Layout,
        parameter: impl Fn(&str) -> Option<&'a Tensor>,
        gradients: bool,
    ) -> Result<Self> {
        let find = |name: String| match parameter(&name) {
            Some(tensor) => Ok(tensor),
            None => candle_core::bail!("{name} is missing"),
        };
        let mut network =
            Self { stages: layout.widths().len() - 1, convolutions: BTreeMap::new(), norms: BTreeMap::new() };
        for (name, layer) in layout.layers() {
            let (weight, bias) = (find(format!("{name}.weight"))?, find(format!("{name}.bias"))?);
            if let Layer::Norm(_) = layer {
                let (weight, bias) = (weight.to_vec1::<f32>()?, bias.to_vec1::<f32>()?);
                let norm = NormWeights::new(&name, &weight, &bias, GROUPS, EPS);
                network.norms.insert(name, Arc::new(norm));
            } else {
                let weights = ConvWeights::from_tensors(&name, weight, bias, gradients)?;
                network.convolutions.insert(name, Arc::new(weights));
            }
        }
        Ok(network)
    }

    /// The features (n, 128) of images (n, H, W, C).
    pub fn features(&self, x: &Images) -> Vec<f32> {
        self.trunk(&mut Tape::forward_only(), x).values().to_vec()
    }

    /// The scores (n, classes) of features (n, 128), before the softmax.
    pub fn logits(&self, features: &[f32]) -> Vec<f32> {
        let features = Images::new([features.len() / FEATURES, 1, 1, FEATURES], features);
        self.head(&mut Tape::forward_only(), &features).values().to_vec()
    }

    /// A loss of images (n, H, W, C), and its gradients by the parameters' names. `objective` gets the
    /// scores (n, classes), and returns the loss and its gradient with respect to them.
    pub fn loss_and_gradients(
        &self,
        x: &Images,
        objective: impl FnOnce(&[f32]) -> (f64, Vec<f32>),
    ) -> (f64, Gradients) {
        let mut tape = Tape::recording();
        let features = self.trunk(&mut tape, x);
        let logits = self.head(&mut tape, &features);
        let (loss, gradient) = objective(logits.values());
        (loss, tape.backward(&logits, &gradient))
    }

    /// (n, H, W, C) → (n, 1, 1, 128).
    fn trunk(&self, tape: &mut Tape, x: &Images) -> Images {
        let mut h = self.conv(tape, x, "conv_in", 1, Sum::NOTHING);
        for i in 0..self.stages {
            h = self.norm(tape, &h, &format!("stages.{i}.norm"));
            h = self.conv(tape, &h, &format!("stages.{i}.down"), 2, Sum::NOTHING);
            for j in 0..BLOCKS {
                let block = format!("stages.{i}.blocks.{j}");
                let y = self.norm(tape, &h, &format!("{block}.norm1"));
                let y = self.conv(tape, &y, &format!("{block}.conv1"), 1, Sum::NOTHING);
                let y = self.norm(tape, &y, &format!("{block}.norm2"));
                let skip = Sum { residual: Some(&h), ..Sum::NOTHING };
                h = self.conv(tape, &y, &format!("{block}.conv2"), 1, skip);
            }
        }
        let h = self.norm(tape, &h, "norm_out");
        let h = tape.linear(&h, &self.convolutions["features"], Sum::NOTHING);
        let h = tape.activation(&h, Activation::Silu);
        tape.mean(&h)
    }

    fn head(&self, tape: &mut Tape, features: &Images) -> Images {
        tape.linear(features, &self.convolutions["head"], Sum::NOTHING)
    }

    fn conv(&self, tape: &mut Tape, x: &Images, name: &str, stride: usize, sum: Sum) -> Images {
        tape.conv(x, &self.convolutions[name], stride, Padding::all(1), sum)
    }

    fn norm(&self, tape: &mut Tape, x: &Images, name: &str) -> Images {
        tape.norm(x, &self.norms[name], Activation::Silu, None)
    }
}

/// Values (n, C, H, W) as a tape's images (n, H, W, C).
pub(crate) fn channels_last(values: &[f32], shape: Shape) -> Images {
    let Shape { channels, height, width } = shape;
    let pixels = height * width;
    let images = values.len() / shape.len();
    if channels == 1 {
        return Images::new([images, height, width, 1], values);
    }
    let mut last = Vec::with_capacity(values.len());
    for image in values.chunks_exact(shape.len()) {
        for pixel in 0..pixels {
            last.extend((0..channels).map(|channel| image[channel * pixels + pixel]));
        }
    }
    Images::new([images, height, width, channels], &last)
}
