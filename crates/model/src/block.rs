//! The down and up blocks of each resolution, and the block in the middle.

use crate::attention::Attention;
use crate::config::UNetConfig;
use crate::graph::{Addends, Graph};
use crate::layers::Conv;
use crate::residual::{Residual, Resize};
use candle_core::Result;
use candle_nn::VarBuilder;
use duet_kernels::{Conv2d, Padding};

/// A residual block, followed by attention if the block type has it.
#[derive(Debug, Clone)]
struct BlockLayer {
    residual: Residual,
    attention: Option<Attention>,
}

impl BlockLayer {
    fn new(
        config: &UNetConfig,
        widths: (usize, usize),
        attends: bool,
        vb: &VarBuilder,
        j: usize,
    ) -> Result<Self> {
        let groups = Some(config.norm_num_groups);
        let attention = || Attention::new(config, widths.1, groups, 1.0, vb.pp("attentions").pp(j));
        Ok(Self {
            residual: Residual::new(config, widths, Resize::Keep, 1.0, vb.pp("resnets").pp(j))?,
            attention: attends.then(attention).transpose()?,
        })
    }

    fn forward<G: Graph>(
        &self,
        graph: &mut G,
        x: &G::X,
        shared: Option<G::X>,
        embedding: &G::X,
    ) -> Result<G::X> {
        let h = self.residual.forward_of(graph, x, shared.as_ref(), embedding)?;
        match &self.attention {
            Some(attention) => attention.forward(graph, &h),
            None => Ok(h),
        }
    }
}

/// What changes the resolution after a block's layers.
#[derive(Debug, Clone)]
enum Resampler {
    Conv(Conv),
    Residual(Box<Residual>),
}

/// `DownBlock2D`, `AttnDownBlock2D` and `ResnetDownsampleBlock2D`: layers, then a convolution of
/// stride 2 or a residual block that halves.
#[derive(Debug, Clone)]
pub(crate) struct Down {
    layers: Vec<BlockLayer>,
    downsampler: Option<Resampler>,
}

impl Down {
    pub fn new(config: &UNetConfig, i: usize, vb: VarBuilder) -> Result<Self> {
        let widths = &config.block_out_channels;
        let (inputs, outputs) = (widths[i.saturating_sub(1)], widths[i]);
        let kind = config.down_block(i);
        let layer = |j| {
            BlockLayer::new(config, (if j == 0 { inputs } else { outputs }, outputs), kind.attends, &vb, j)
        };
        let padding = match config.downsample_padding {
            0 => Padding { bottom: 1, right: 1, ..Padding::default() },
            n => Padding::all(n),
        };
        let options = Conv2d { stride: 2, padding };
        let downsampler = || -> Result<Resampler> {
            let (vb, widths) = (vb.pp("downsamplers.0"), (outputs, outputs));
            Ok(match kind.residual_sampler {
                true => Resampler::Residual(Box::new(Residual::new(config, widths, Resize::Halve, 1.0, vb)?)),
                false => Resampler::Conv(Conv::new(outputs, outputs, 3, options, vb.pp("conv"))?),
            })
        };
        Ok(Self {
            layers: (0..config.layers_per_block).map(layer).collect::<Result<_>>()?,
            downsampler: (i + 1 < config.levels()).then(downsampler).transpose()?,
        })
    }

    /// Returns the last feature map, and pushes every feature map to `skips`. Where x consists of copies, it comes with the
    /// images without copies.
    pub fn forward<G: Graph>(
        &self,
        graph: &mut G,
        (x, mut shared): (G::X, Option<G::X>),
        embedding: &G::X,
        skips: &mut Vec<G::X>,
    ) -> Result<G::X> {
        let mut h = x;
        for layer in &self.layers {
            h = layer.forward(graph, &h, shared.take(), embedding)?;
            skips.push(h.clone());
        }
        if let Some(downsampler) = &self.downsampler {
            h = match downsampler {
                Resampler::Conv(conv) => graph.conv(&h, conv, Addends::nothing())?,
                Resampler::Residual(residual) => residual.forward(graph, &h, embedding)?,
            };
            skips.push(h.clone());
        }
        Ok(h)
    }
}

/// `UNetMidBlock2D`: a residual block, attention where configured, a residual block.
#[derive(Debug, Clone)]
pub(crate) struct Middle {
    first: Residual,
    attention: Option<Attention>,
    last: Residual,
}

impl Middle {
    pub fn new(config: &UNetConfig, vb: VarBuilder) -> Result<Self> {
        let channels = config.block_out_channels[config.levels() - 1];
        let scale = config.mid_block_scale_factor;
        // diffusers leaves this norm out if time modulates the residual blocks' norms.
        let default = (!config.modulates()).then_some(config.norm_num_groups);
        let groups = config.attn_norm_num_groups.or(default);
        let widths = (channels, channels);
        let residual = |j| Residual::new(config, widths, Resize::Keep, scale, vb.pp("resnets").pp(j));
        let attention = || Attention::new(config, channels, groups, scale, vb.pp("attentions.0"));
        Ok(Self {
            first: residual(0)?,
            attention: config.add_attention.then(attention).transpose()?,
            last: residual(1)?,
        })
    }

    pub fn forward<G: Graph>(&self, graph: &mut G, x: &G::X, embedding: &G::X) -> Result<G::X> {
        let mut h = self.first.forward(graph, x, embedding)?;
        if let Some(attention) = &self.attention {
            h = attention.forward(graph, &h)?;
        }
        self.last.forward(graph, &h, embedding)
    }
}

/// `UpBlock2D`, `AttnUpBlock2D` and `ResnetUpsampleBlock2D`: layers that take skips, then doubling and a
/// convolution, or a residual block that doubles.
#[derive(Debug, Clone)]
pub(crate) struct Up {
    layers: Vec<BlockLayer>,
    upsampler: Option<Resampler>,
}

impl Up {
    /// The `n`-th up block, counted from the lowest resolution.
    pub fn new(config: &UNetConfig, n: usize, vb: VarBuilder) -> Result<Self> {
        let i = config.levels() - 1 - n;
        let outputs = config.block_out_channels[i];
        let kind = config.up_block(n);
        let layer = |j| {
            let (input, skip) = config.up_widths(i, j);
            BlockLayer::new(config, (input + skip, outputs), kind.attends, &vb, j)
        };
        let upsampler = || -> Result<Resampler> {
            let (vb, widths) = (vb.pp("upsamplers.0"), (outputs, outputs));
            Ok(match kind.residual_sampler {
                true => {
                    Resampler::Residual(Box::new(Residual::new(config, widths, Resize::Double, 1.0, vb)?))
                }
                false => Resampler::Conv(Conv::same(outputs, outputs, vb.pp("conv"))?),
            })
        };
        Ok(Self {
            layers: (0..=config.layers_per_block).map(layer).collect::<Result<_>>()?,
            upsampler: (i > 0).then(upsampler).transpose()?,
        })
    }

    /// Takes its skips from the end of `skips`.
    pub fn forward<G: Graph>(
        &self,
        graph: &mut G,
        x: G::X,
        embedding: &G::X,
        skips: &mut Vec<G::X>,
    ) -> Result<G::X> {
        let mut h = x;
        for layer in &self.layers {
            let Some(skip) = skips.pop() else { candle_core::bail!("more layers on the way up than skips") };
            let joined = graph.concat(&h, &skip)?;
            h = layer.forward(graph, &joined, None, embedding)?;
        }
        match &self.upsampler {
            Some(Resampler::Conv(conv)) => graph.conv_of_doubled(&h, conv),
            Some(Resampler::Residual(residual)) => residual.forward(graph, &h, embedding),
            None => Ok(h),
        }
    }
}
