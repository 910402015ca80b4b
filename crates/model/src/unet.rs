//! The network: diffusers' `UNet2DModel`.

use crate::block::{Down, Middle, Up};
use crate::layers::{Conv, Norm};
use crate::time_embedding::TimeEmbedding;
use crate::{ModelError, UNetConfig};
use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use duet_kernels::Activation;

/// A time-embedded residual U-Net (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal & Nichol 2021).
#[derive(Debug, Clone)]
pub struct UNet {
    config: UNetConfig,
    time_embedding: TimeEmbedding,
    class_embedding: Option<Tensor>,
    conv_in: Conv,
    down: Vec<Down>,
    middle: Option<Middle>,
    up: Vec<Up>,
    conv_norm_out: Norm,
    conv_out: Conv,
}

impl UNet {
    /// Builds the network over any candle `VarBuilder`, which is asked for diffusers' names.
    ///
    /// [`UNet::seeded`] and [`UNet::from_tensors`] also give the parameters back.
    pub fn new(config: &UNetConfig, vb: VarBuilder) -> Result<Self> {
        config.validate().map_err(candle_core::Error::wrap)?;
        let first = config.block_out_channels[0];
        let levels = 0..config.levels();
        let table = |rows: usize| {
            let init = Init::Randn { mean: 0.0, stdev: 1.0 };
            vb.get_with_hints((rows, config.time_width()), "class_embedding.weight", init)
        };
        let middle = |_: &String| Middle::new(config, vb.pp("mid_block"));
        Ok(Self {
            time_embedding: TimeEmbedding::new(config, vb.pp("time_embedding"))?,
            class_embedding: config.num_class_embeds.map(table).transpose()?,
            conv_in: Conv::same(config.in_channels, first, vb.pp("conv_in"))?,
            down: levels
                .clone()
                .map(|i| Down::new(config, i, vb.pp("down_blocks").pp(i)))
                .collect::<Result<_>>()?,
            middle: config.mid_block_type.as_ref().map(middle).transpose()?,
            up: levels.map(|n| Up::new(config, n, vb.pp("up_blocks").pp(n))).collect::<Result<_>>()?,
            conv_norm_out: Norm::new(first, config.norm_num_groups, config.norm_eps, vb.pp("conv_norm_out"))?,
            conv_out: Conv::same(first, config.out_channels, vb.pp("conv_out"))?,
            config: config.clone(),
        })
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The network's prediction.
    ///
    /// `x` (B, C, H, W) in f32 with sides that are multiples of 2^(levels-1); `t` (B) timesteps of
    /// any number type; `labels` (B) u32, rows of the class embedding: needed if there is one, and
    /// refused if there is none. Returns (B, out_channels, H, W).
    pub fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        labels: Option<&Tensor>,
    ) -> std::result::Result<Tensor, ModelError> {
        self.check(x, t, labels)?;
        let x = if self.config.center_input_sample { ((x * 2.0)? - 1.0)? } else { x.clone() };
        let mut embedding = self.time_embedding.forward(t)?;
        if let (Some(table), Some(labels)) = (&self.class_embedding, labels) {
            embedding = (embedding + table.index_select(labels, 0)?)?;
        }
        let embedding = embedding.silu()?;
        let mut h = self.conv_in.forward(&x)?;
        let mut skips = vec![h.clone()];
        for down in &self.down {
            h = down.forward(h, &embedding, &mut skips)?;
        }
        if let Some(middle) = &self.middle {
            h = middle.forward(&h, &embedding)?;
        }
        for up in &self.up {
            h = up.forward(h, &embedding, &mut skips)?;
        }
        Ok(self.conv_out.forward(&self.conv_norm_out.forward(&h, Activation::Silu)?)?)
    }

    fn check(&self, x: &Tensor, t: &Tensor, labels: Option<&Tensor>) -> std::result::Result<(), ModelError> {
        let (batch, channels, height, width) = x.dims4()?;
        if channels != self.config.in_channels {
            return Err(ModelError::Input(format!(
                "x has {channels} channels, the network {}",
                self.config.in_channels
            )));
        }
        self.config.check_sides(height, width)?;
        if t.dims() != [batch] {
            return Err(ModelError::Input(format!(
                "t is {:?}, expected [{batch}], one for each image",
                t.dims()
            )));
        }
        match (self.config.num_class_embeds, labels) {
            (Some(_), None) => Err(ModelError::Input("this network is conditional: it needs labels".into())),
            (None, Some(_)) => {
                Err(ModelError::Input("this network is unconditional: it takes no labels".into()))
            }
            (Some(rows), Some(labels)) => {
                if labels.dims() != [batch] || labels.dtype() != DType::U32 {
                    let (dims, dtype) = (labels.dims(), labels.dtype());
                    return Err(ModelError::Input(format!(
                        "labels are {dims:?} {dtype:?}, expected [{batch}] U32"
                    )));
                }
                match labels.to_vec1::<u32>()?.into_iter().find(|&label| label as usize >= rows) {
                    Some(label) => Err(ModelError::Input(format!(
                        "label {label}: the network has {rows} (0-{})",
                        rows - 1
                    ))),
                    None => Ok(()),
                }
            }
            (None, None) => Ok(()),
        }
    }
}
