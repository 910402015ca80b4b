//! The network: diffusers' `UNet2DModel`.

use crate::block::{Down, Middle, Up};
use crate::config::UNetConfig;
use crate::error::ModelError;
use crate::graph::{Addends, CandleGraph, Given, Graph};
use crate::layers::{Conv, Linear, Norm};
use crate::memory::Memory;
use crate::time_embedding::TimeEmbedding;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use duet_kernels::Activation;
use std::ops::Range;

/// The name of the parameter of a network's augment labels.
pub const AUGMENT_EMBEDDING: &str = "augment_embedding.weight";

/// A time-embedded residual U-Net (Ronneberger et al. 2015; Ho et al. 2020; Dhariwal & Nichol 2021).
#[derive(Debug, Clone)]
pub struct UNet {
    config: UNetConfig,
    time_embedding: TimeEmbedding,
    /// The parameter's name and values.
    class_embedding: Option<(String, Tensor)>,
    /// For training alone: see [`UNet::seeded_with_augment_labels`].
    augment_embedding: Option<Linear>,
    conv_in: Conv,
    down: Vec<Down>,
    middle: Option<Middle>,
    up: Vec<Up>,
    conv_norm_out: Norm,
    conv_out: Conv,
    /// What training trades for memory.
    pub(crate) memory: Memory,
}

impl UNet {
    /// Builds the network over any candle `VarBuilder`, and asks it for parameters by diffusers' names.
    ///
    /// [`UNet::seeded`] and [`UNet::from_tensors`] also return the parameters. Errors: as
    /// [`UNetConfig::validate`]; those of the builder.
    pub fn new(config: &UNetConfig, vb: VarBuilder) -> Result<Self> {
        config.validate().map_err(candle_core::Error::wrap)?;
        let first = config.block_out_channels[0];
        let levels = 0..config.levels();
        let table = |rows: usize| {
            let init = Init::Randn { mean: 0.0, stdev: 1.0 };
            let name = "class_embedding.weight";
            Ok::<_, candle_core::Error>((
                vb.pp("class_embedding").prefix() + ".weight",
                vb.get_with_hints((rows, config.time_width()), name, init)?,
            ))
        };
        let middle = |_: &String| Middle::new(config, vb.pp("mid_block"));
        Ok(Self {
            time_embedding: TimeEmbedding::new(config, &vb)?,
            class_embedding: config.num_class_embeds.map(table).transpose()?,
            augment_embedding: None,
            conv_in: Conv::same(config.in_channels, first, vb.pp("conv_in"))?,
            down: levels
                .clone()
                .map(|i| Down::new(config, i, vb.pp("down_blocks").pp(i)))
                .collect::<Result<_>>()?,
            middle: config.mid_block_type.as_ref().map(middle).transpose()?,
            up: levels.map(|n| Up::new(config, n, vb.pp("up_blocks").pp(n))).collect::<Result<_>>()?,
            conv_norm_out: Norm::new(first, config.norm_num_groups, config.norm_eps, vb.pp("conv_norm_out"))?,
            conv_out: Conv::same(first, config.out_channels, vb.pp("conv_out"))?,
            memory: Memory::Normal,
            config: config.clone(),
        })
    }

    /// The same network, which is also told `count` numbers of each image; none of them for 0.
    pub(crate) fn with_augment_labels(self, count: usize, vb: VarBuilder) -> Result<Self> {
        if count == 0 {
            return Ok(self);
        }
        let layer = Linear::without_bias(count, self.config.time_width(), vb.pp("augment_embedding"))?;
        Ok(Self { augment_embedding: Some(layer), ..self })
    }

    /// Chooses what training trades for memory. It changes no result.
    pub fn use_memory(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        self.conv_in.affine.weight.device()
    }

    /// The network's prediction as a candle graph, so that candle can compute gradients.
    ///
    /// `x` (B, C, H, W) is f32, and its sides are multiples of 2^(levels-1). `t` (B) holds timesteps of any
    /// number type: positive for the `time_embedding_type` fourier, a row of the table for learned.
    /// `labels` (B) u32 are rows of the class embedding. A network with a class embedding needs them; any
    /// other refuses them. Returns (B, out_channels, H, W). On the CPU,
    /// [`Snapshot::predict`](crate::Snapshot::predict) is faster without gradients, and
    /// [`UNet::value_and_gradients`] with gradients.
    ///
    /// Errors: inputs of another shape, type or range.
    pub fn forward(
        &self,
        x: &Tensor,
        t: &Tensor,
        labels: Option<&Tensor>,
    ) -> std::result::Result<Tensor, ModelError> {
        self.forward_of(&NetworkInputs { x, t, labels, augment_labels: None })
    }

    /// The same, where the network may also be told what was done to each image. Errors: as [`UNet::forward`];
    /// augment labels for a network that takes none, or another number of them.
    pub fn forward_of(&self, inputs: &NetworkInputs) -> std::result::Result<Tensor, ModelError> {
        let inputs = self.inputs(inputs)?;
        Ok(self.run(&mut CandleGraph(self.device()), inputs.given(|x| Ok(x.clone()))?)?)
    }

    /// Checks the inputs.
    pub(crate) fn inputs(&self, inputs: &NetworkInputs) -> std::result::Result<Inputs, ModelError> {
        let &NetworkInputs { x, t, labels, augment_labels } = inputs;
        self.check(x, t, labels)?;
        self.check_augment_labels(x.dims()[0], augment_labels)?;
        let x = if self.config.center_input_sample { ((x * 2.0)? - 1.0)? } else { x.clone() };
        let t = t.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        t.iter().try_for_each(|&t| self.time_embedding.check(t)).map_err(ModelError::Input)?;
        let labels = labels.map(|labels| labels.to_vec1()).transpose()?;
        Ok(Inputs { x, copies: 1, t, labels, augment_labels: augment_labels.cloned() })
    }

    /// The network over a graph's operations.
    pub(crate) fn run<G: Graph>(&self, graph: &mut G, given: Given<G>) -> Result<G::X> {
        let Given { x, copies, t, labels, augment_labels } = given;
        let mut embedding = self.time_embedding.forward(graph, t)?;
        if let (Some((name, table)), Some(labels)) = (&self.class_embedding, labels) {
            embedding = graph.add_rows(&embedding, name, table, labels)?;
        }
        if let (Some(layer), Some(told)) = (&self.augment_embedding, augment_labels) {
            let sum = Addends { residual: Some(&embedding), ..Addends::nothing() };
            embedding = graph.linear(&told, layer, sum)?;
        }
        let embedding = graph.activation(&embedding, self.config.activation())?;
        // What comes before the first time term is the same for all copies of an image.
        let first = graph.conv(&x, &self.conv_in, Addends::nothing())?;
        let mut h = if copies > 1 { graph.repeated(&first, copies)? } else { first.clone() };
        let mut shared = (copies > 1).then_some(first);
        let mut skips = vec![h.clone()];
        for down in &self.down {
            h = down.forward(graph, (h, shared.take()), &embedding, &mut skips)?;
        }
        if let Some(middle) = &self.middle {
            h = middle.forward(graph, &h, &embedding)?;
        }
        for up in &self.up {
            graph.mark();
            h = up.forward(graph, h, &embedding, &mut skips)?;
        }
        let h = graph.norm(&h, &self.conv_norm_out, Activation::Silu, None)?;
        let y = graph.conv(&h, &self.conv_out, Addends::nothing())?;
        if !self.time_embedding.divides_by_time() {
            return Ok(y);
        }
        graph.divide_by_times(&y, t)
    }

    /// The number of blocks on the way up.
    pub(crate) fn blocks_up(&self) -> usize {
        self.up.len()
    }

    /// The tables whose rows are added to embeddings, by name.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let classes = self.class_embedding.as_ref().map(|(name, table)| (name.as_str(), table));
        classes.into_iter().chain(self.time_embedding.table())
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
        if batch == 0 {
            return Err(ModelError::Input("x has no images".into()));
        }
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

    fn check_augment_labels(
        &self,
        batch: usize,
        told: Option<&Tensor>,
    ) -> std::result::Result<(), ModelError> {
        let Some(told) = told else { return Ok(()) };
        let refuse = |message: String| Err(ModelError::Input(message));
        let Some(layer) = &self.augment_embedding else {
            return refuse("this network takes no augment labels".into());
        };
        let expected = [batch, layer.0.weight.dims()[1]];
        if told.dims() != expected || told.dtype() != DType::F32 {
            let (dims, dtype) = (told.dims(), told.dtype());
            return refuse(format!("augment labels are {dims:?} {dtype:?}, expected {expected:?} F32"));
        }
        Ok(())
    }
}

/// What a network gets of a batch of B images.
#[derive(Debug, Clone, Copy)]
pub struct NetworkInputs<'a> {
    /// x_t (B, C, H, W), f32.
    pub x: &'a Tensor,
    /// Timesteps (B), of any number type.
    pub t: &'a Tensor,
    /// Rows of the class embedding (B), u32; none for a network without classes.
    pub labels: Option<&'a Tensor>,
    /// What was done to each image, (B, N) f32, for a network of [`UNet::seeded_with_augment_labels`] with N of
    /// them. None means zeros: that nothing was done.
    pub augment_labels: Option<&'a Tensor>,
}

/// Checked inputs of the network.
pub(crate) struct Inputs {
    /// (B / copies, C, H, W)
    pub x: Tensor,
    /// How often the batch has each image, all of them one after the other each time.
    pub copies: usize,
    /// Timesteps (B)
    pub t: Vec<f32>,
    pub labels: Option<Vec<u32>>,
    /// (B, N)
    pub augment_labels: Option<Tensor>,
}

impl Inputs {
    /// Number of images, with all copies.
    pub fn len(&self) -> usize {
        self.t.len()
    }

    /// The same with each image once, where the batch consists of copies, at most `most` of each. The two passes of guidance
    /// are such a batch.
    pub fn once(self, most: usize) -> Result<Self> {
        if self.augment_labels.is_some() {
            return Ok(self);
        }
        let values: Vec<f32> = self.x.flatten_all()?.to_vec1()?;
        let (batch, image) = (self.len(), values.len() / self.len().max(1));
        let repeats = |copies: &usize| {
            let period = batch / copies * image;
            batch % copies == 0
                && values.iter().zip(&values[period..]).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        let copies = (2..=most.min(batch)).rev().find(repeats).unwrap_or(1);
        Ok(Self { x: self.x.narrow(0, 0, batch / copies)?, copies, ..self })
    }

    /// Parts of at most `count` images with all their copies.
    pub fn chunks_of_copies(&self, count: usize) -> Result<Vec<Self>> {
        let images = self.x.dim(0)?;
        let part = |first: usize| {
            let range = first..images.min(first + count);
            let copies = (0..self.copies).map(|copy| copy * images);
            let rows: Vec<usize> = copies.flat_map(|from| range.clone().map(move |i| from + i)).collect();
            Ok(Self {
                x: self.x.narrow(0, first, range.len())?,
                copies: self.copies,
                t: rows.iter().map(|&row| self.t[row]).collect(),
                labels: self.labels.as_ref().map(|labels| rows.iter().map(|&row| labels[row]).collect()),
                augment_labels: None,
            })
        };
        (0..images).step_by(count).map(part).collect()
    }

    /// The inputs of a graph that takes timesteps and labels as numbers; `form` makes its `X` of a tensor.
    pub fn given<G: Graph<Times = [f32], Labels = [u32]>>(
        &self,
        form: impl Fn(&Tensor) -> Result<G::X>,
    ) -> Result<Given<'_, G>> {
        Ok(Given {
            x: form(&self.x)?,
            copies: self.copies,
            t: &self.t,
            labels: self.labels.as_deref(),
            augment_labels: self.augment_labels.as_ref().map(form).transpose()?,
        })
    }

    /// Parts of at most `count` images of a batch without copies, with their ranges.
    pub fn chunks(&self, count: usize) -> Result<Vec<(Range<usize>, Self)>> {
        let part = |first: usize| {
            let range = first..self.len().min(first + count);
            Ok((range.clone(), self.part(range)?))
        };
        (0..self.len()).step_by(count).map(part).collect()
    }

    /// Some images of a batch without copies.
    pub fn part(&self, range: Range<usize>) -> Result<Self> {
        let told = |told: &Tensor| told.narrow(0, range.start, range.len());
        Ok(Self {
            x: told(&self.x)?,
            copies: 1,
            t: self.t[range.clone()].to_vec(),
            labels: self.labels.as_ref().map(|labels| labels[range.clone()].to_vec()),
            augment_labels: self.augment_labels.as_ref().map(told).transpose()?,
        })
    }
}
