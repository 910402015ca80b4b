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

/// How a classifier's network is built. Two judges of different networks do not share their blind spots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Residual blocks of 3×3 convolutions, with normalisation by groups and SiLU before each; the features are
    /// means over the pixels (He et al. 2016, "Identity mappings").
    Residual,
    /// A chain of 5×5 convolutions without shortcuts, each followed by layer normalisation and ReLU; the features
    /// know where in the image something is (LeCun et al. 1998, with today's normalisation).
    Plain,
}

/// The channels of the first convolution and of the stages after it. Each stage halves the sides. Further
/// stages are like the last.
const WIDTHS: [usize; 3] = [16, 32, 64];
/// Channels and stride of the plain network's first convolutions. Further ones are like the last.
const PLAIN: [(usize, usize); 4] = [(24, 2), (24, 1), (48, 2), (48, 2)];
/// The plain network's convolutions go on until both sides are at most this.
const PLAIN_LAST_SIDE: usize = 4;
/// What the names of the plain network's first parameters begin with.
pub(crate) const PLAIN_NAME: &str = "plain.";
/// The number of residual blocks in a stage.
const BLOCKS: usize = 2;
/// Stages are added until both sides are at most this.
const LAST_SIDE: usize = 8;
const GROUPS: usize = 8;
const EPS: f64 = 1e-5;
/// The possible sides of an image.
const SIDES: std::ops::RangeInclusive<usize> = 8..=4096;

/// The network, the image shape and the number of classes. They fix the names and shapes of all parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub architecture: Architecture,
    pub shape: Shape,
    pub classes: usize,
}

/// A layer with parameters.
enum Layer {
    /// Inputs, outputs, height and width of the kernel.
    Conv(usize, usize, (usize, usize)),
    /// Channels.
    Norm(usize),
    /// Inputs, outputs.
    Linear(usize, usize),
}

impl Layout {
    /// Checks the shape and the classes. Errors: sides outside 8 to 4096; fewer than two classes.
    pub fn new(
        architecture: Architecture,
        shape: Shape,
        classes: usize,
    ) -> std::result::Result<Self, ClassifierError> {
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
        Ok(Self { architecture, shape, classes })
    }

    /// Names and shapes of all parameters, in the order of the layers.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let parameters = self.layers().into_iter().flat_map(|(name, layer)| {
            let (weight, outputs) = match layer {
                Layer::Conv(inputs, outputs, (height, width)) => {
                    (vec![outputs, inputs, height, width], outputs)
                }
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

    /// Channels and stride of each of the plain network's convolutions, and the sides after them.
    fn chain(&self) -> (Vec<(usize, usize)>, (usize, usize)) {
        let mut chain = Vec::new();
        let mut sides = (self.shape.height, self.shape.width);
        while chain.len() < 2 || sides.0.max(sides.1) > PLAIN_LAST_SIDE {
            let (outputs, stride) = PLAIN[chain.len().min(PLAIN.len() - 1)];
            sides = (sides.0.div_ceil(stride), sides.1.div_ceil(stride));
            chain.push((outputs, stride));
        }
        (chain, sides)
    }

    fn layers(&self) -> Vec<(String, Layer)> {
        match self.architecture {
            Architecture::Residual => self.residual_layers(),
            Architecture::Plain => self.plain_layers(),
        }
    }

    fn plain_layers(&self) -> Vec<(String, Layer)> {
        let (chain, sides) = self.chain();
        let mut inputs = self.shape.channels;
        let mut layers = Vec::new();
        for (i, (outputs, _)) in chain.into_iter().enumerate() {
            layers.push((format!("{PLAIN_NAME}{i}.conv"), Layer::Conv(inputs, outputs, (5, 5))));
            layers.push((format!("{PLAIN_NAME}{i}.norm"), Layer::Norm(outputs)));
            inputs = outputs;
        }
        layers.push(("features".into(), Layer::Conv(inputs, FEATURES, sides)));
        layers.push(("head".into(), Layer::Linear(FEATURES, self.classes)));
        layers
    }

    fn residual_layers(&self) -> Vec<(String, Layer)> {
        let widths = self.widths();
        let mut layers = vec![("conv_in".into(), Layer::Conv(self.shape.channels, widths[0], (3, 3)))];
        for (i, pair) in widths.windows(2).enumerate() {
            layers.push((format!("stages.{i}.norm"), Layer::Norm(pair[0])));
            layers.push((format!("stages.{i}.down"), Layer::Conv(pair[0], pair[1], (3, 3))));
            for j in 0..BLOCKS {
                for k in 1..=2 {
                    layers.push((format!("stages.{i}.blocks.{j}.norm{k}"), Layer::Norm(pair[1])));
                    layers.push((
                        format!("stages.{i}.blocks.{j}.conv{k}"),
                        Layer::Conv(pair[1], pair[1], (3, 3)),
                    ));
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
/// Both architectures normalise by groups (Wu & He 2018), so that an image's result does not depend on its batch.
pub(crate) struct ClassifierNetwork {
    layout: Layout,
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
        let mut network = Self { layout: *layout, convolutions: BTreeMap::new(), norms: BTreeMap::new() };
        let groups = match layout.architecture {
            Architecture::Residual => GROUPS,
            Architecture::Plain => 1,
        };
        for (name, layer) in layout.layers() {
            let (weight, bias) = (find(format!("{name}.weight"))?, find(format!("{name}.bias"))?);
            if let Layer::Norm(_) = layer {
                let (weight, bias) = (weight.to_vec1::<f32>()?, bias.to_vec1::<f32>()?);
                let norm = NormWeights::new(&name, &weight, &bias, groups, EPS);
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
        match self.layout.architecture {
            Architecture::Residual => self.residual(tape, x),
            Architecture::Plain => self.plain(tape, x),
        }
    }

    fn plain(&self, tape: &mut Tape, x: &Images) -> Images {
        let mut h = x.clone();
        for (i, (_, stride)) in self.layout.chain().0.into_iter().enumerate() {
            let name = format!("{PLAIN_NAME}{i}");
            let conv = &self.convolutions[&format!("{name}.conv")];
            h = tape.conv(&h, conv, stride, Padding::all(2), Sum::NOTHING);
            h = tape.norm(&h, &self.norms[&format!("{name}.norm")], Activation::Relu, None);
        }
        let h = tape.conv(&h, &self.convolutions["features"], 1, Padding::all(0), Sum::NOTHING);
        tape.activation(&h, Activation::Silu)
    }

    fn residual(&self, tape: &mut Tape, x: &Images) -> Images {
        let mut h = self.conv(tape, x, "conv_in", 1, Sum::NOTHING);
        for i in 0..self.layout.widths().len() - 1 {
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
