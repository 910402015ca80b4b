//! The residual block, diffusers' `ResnetBlock2D`.

use crate::config::UNetConfig;
use crate::graph::{Addends, Graph};
use crate::layers::{Conv, Linear, Norm, POINTWISE};
use candle_core::Result;
use candle_nn::VarBuilder;
use duet_kernels::Activation;

/// How a residual block changes the size of its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resize {
    Keep,
    Halve,
    Double,
}

/// norm → activation → resize → conv → + time → norm → activation → conv, plus the resized input
/// through a shortcut.
///
/// With `scale_shift`, the time term is not added before the second norm; it scales and shifts the norm's
/// result (Dhariwal & Nichol 2021, "adaptive group normalisation").
#[derive(Debug, Clone)]
pub(crate) struct Residual {
    norm1: Norm,
    conv1: Conv,
    time_emb_proj: Linear,
    norm2: Norm,
    conv2: Conv,
    conv_shortcut: Option<Conv>,
    resize: Resize,
    activation: Activation,
    modulates: bool,
    output_scale: f64,
}

impl Residual {
    pub fn new(
        config: &UNetConfig,
        (inputs, outputs): (usize, usize),
        resize: Resize,
        output_scale: f64,
        vb: VarBuilder,
    ) -> Result<Self> {
        let norm = |channels, name| Norm::new(channels, config.norm_num_groups, config.norm_eps, vb.pp(name));
        let shortcut = || Conv::new(inputs, outputs, 1, POINTWISE, vb.pp("conv_shortcut"));
        let modulates = config.modulates();
        let time = if modulates { 2 * outputs } else { outputs };
        Ok(Self {
            norm1: norm(inputs, "norm1")?,
            conv1: Conv::same(inputs, outputs, vb.pp("conv1"))?,
            time_emb_proj: Linear::new(config.time_width(), time, vb.pp("time_emb_proj"))?,
            norm2: norm(outputs, "norm2")?,
            conv2: Conv::same(outputs, outputs, vb.pp("conv2"))?,
            conv_shortcut: (inputs != outputs).then(shortcut).transpose()?,
            resize,
            activation: config.activation(),
            modulates,
            output_scale,
        })
    }

    /// x (B, C, H, W) and the activated embedding (B, E) → (B, O, H', W').
    pub fn forward<G: Graph>(&self, graph: &mut G, x: &G::X, activated_embedding: &G::X) -> Result<G::X> {
        self.forward_of(graph, x, None, activated_embedding)
    }

    /// The same of x that consists of copies of `shared`, whose first norm and convolution are computed once.
    pub fn forward_of<G: Graph>(
        &self,
        graph: &mut G,
        x: &G::X,
        shared: Option<&G::X>,
        activated_embedding: &G::X,
    ) -> Result<G::X> {
        // Without a time term in the first convolution, its result would have no copies.
        let before = shared.filter(|_| !self.modulates && self.resize == Resize::Keep).unwrap_or(x);
        let h = graph.norm(before, &self.norm1, self.activation, None)?;
        let time = graph.linear(activated_embedding, &self.time_emb_proj, Addends::nothing())?;
        let sum = Addends { time: (!self.modulates).then_some(&time), ..Addends::nothing() };
        let (x, h) = match self.resize {
            Resize::Keep => (x.clone(), graph.conv(&h, &self.conv1, sum)?),
            Resize::Halve => {
                let h = graph.halve(&h)?;
                (graph.halve(x)?, graph.conv(&h, &self.conv1, sum)?)
            }
            Resize::Double => {
                let h = graph.double(&h)?;
                (graph.double(x)?, graph.conv(&h, &self.conv1, sum)?)
            }
        };
        let modulation = self.modulates.then_some(&time);
        let h = graph.norm(&h, &self.norm2, self.activation, modulation)?;
        let shortcut = match &self.conv_shortcut {
            Some(shortcut) => graph.conv(&x, shortcut, Addends::nothing())?,
            None => x,
        };
        let sum = Addends { time: None, residual: Some(&shortcut), scale: 1.0 / self.output_scale };
        graph.conv(&h, &self.conv2, sum)
    }
}
