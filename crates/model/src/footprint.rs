//! What training takes of memory, counted from shapes before anything is allocated.

use crate::chunks::{at_once, chunk};
use crate::config::UNetConfig;
use crate::error::ModelError;
use crate::graph::{Addends, Given, Graph};
use crate::layers::{Conv, Linear, Norm};
use crate::memory::Memory;
use crate::parameters::without_parameters;
use crate::unet::UNet;
use crate::waves::Waves;
use candle_core::{Result, Tensor};
use duet_kernels::{Activation, Conv2d, forms_of};
use std::cell::Cell;
use std::rc::Rc;

/// What the training of a network takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// One copy of the parameters.
    pub parameters: u64,
    /// The weights in the forms that the kernels compute with, and those of the layer with the most.
    pub forms: (u64, u64),
    /// What one thread keeps for the way back, and the gradients on it.
    pub feature_maps: u64,
    /// The images of a chunk that are in the network at once.
    pub images_at_once: usize,
}

/// What everything else takes that a step needs.
const OTHER: u64 = 4 << 20;

impl Footprint {
    /// The most memory that training on batches of `batch` images takes with so many threads, besides the images and what
    /// the process had before. `copies` are those of the parameters which a trainer has from step to step: weights,
    /// averages and moments.
    ///
    /// What the allocator and the store of free buffers add are factors that were fitted to measured peaks
    /// (docs/design/kernels.md says how well).
    pub fn peak(&self, copies: u64, batch: usize, threads: usize, memory: Memory) -> u64 {
        let chunks = batch.div_ceil(chunk(batch)) as u64;
        let working = chunks.min(threads as u64).max(1);
        let at_once = chunk(batch).min(self.images_at_once) as u64;
        let maps = self.feature_maps * at_once / self.images_at_once as u64 + self.forms.1 / 2;
        // Each chunk's gradients, and their sum.
        let gradients = (working + u64::from(chunks > 1)) * self.parameters;
        // One thread at a time needs one direction's form.
        let forms = match memory {
            Memory::Normal => self.forms.0,
            Memory::Low => working * self.forms.1 / 2,
        };
        let buffers = forms * 23 / 20 + working * maps * 3 / 2 + gradients * 13 / 10;
        OTHER + buffers + (copies + 1) * self.parameters
    }
}

impl UNetConfig {
    /// What training on images of this size takes, without making the network.
    ///
    /// # Errors
    /// As [`UNetConfig::validate`] and [`UNetConfig::check_sides`].
    pub fn footprint(&self, height: usize, width: usize) -> std::result::Result<Footprint, ModelError> {
        self.check_sides(height, width)?;
        let images = at_once(height, width);
        let (network, parameters) = without_parameters(self)?;
        let Extents { kept, largest, convolutions, linear } = Extents::of(&network, (height, width))?;
        let forms = convolutions.iter().map(|convolved| convolved.forms);
        Ok(Footprint {
            parameters: 4 * parameters,
            forms: (4 * (forms.clone().sum::<u64>() + linear), 4 * forms.max().unwrap_or(0)),
            feature_maps: 4 * (kept + GRADIENTS * largest),
            images_at_once: images,
        })
    }
}

/// So many gradients of the largest feature map exist at once.
const GRADIENTS: u64 = 4;

/// Runs a network over shapes, and counts the values that the way back needs.
#[derive(Default)]
pub(crate) struct Extents {
    kept: u64,
    largest: u64,
    /// In the order in which they run.
    pub convolutions: Vec<Convolved>,
    /// Values of the forms of all other layers' weights.
    linear: u64,
}

/// A convolution, and the images that it gets.
pub(crate) struct Convolved {
    pub layer: Conv,
    /// Height and width.
    pub sides: (usize, usize),
    /// The number of values of the forms of its weights.
    forms: u64,
}

/// A feature map (B, C, H, W); embeddings (B, E) are (B, E, 1, 1).
#[derive(Clone)]
pub(crate) struct Extent {
    shape: [usize; 4],
    is_kept: Rc<Cell<bool>>,
}

impl Extent {
    fn values(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64
    }
}

impl Extents {
    /// Those of the images that a thread has in the network at once.
    pub fn of(network: &UNet, (height, width): (usize, usize)) -> Result<Self> {
        let (images, config) = (at_once(height, width), network.config());
        let mut extents = Self::default();
        let x = extents.image([images, config.in_channels, height, width]);
        let labels = config.num_class_embeds.map(|_| vec![0; images]);
        let t = vec![1.0; images];
        let given = Given { x, copies: 1, t: &t[..], labels: labels.as_deref(), augment_labels: None };
        network.run(&mut extents, given)?;
        Ok(extents)
    }

    fn image(&mut self, shape: [usize; 4]) -> Extent {
        let new = Extent { shape, is_kept: Rc::default() };
        self.largest = self.largest.max(new.values());
        new
    }

    fn keep(&mut self, x: &Extent) {
        if !x.is_kept.replace(true) {
            self.kept += x.values();
        }
    }

    fn convolve(&mut self, x: &Extent, layer: &Conv, (height, width): (usize, usize)) -> Extent {
        self.keep(x);
        let Conv2d { stride, padding } = layer.options;
        let (forms, out) = forms_of(layer.affine.weight.dims(), (height, width), stride, padding);
        self.convolutions.push(Convolved {
            layer: layer.clone(),
            sides: (height, width),
            forms: forms as u64,
        });
        self.image([x.shape[0], layer.affine.weight.dims()[0], out.0, out.1])
    }

    fn linear_of(&mut self, x: &Extent, layer: &Linear) -> Extent {
        self.keep(x);
        let [batch, _, height, width] = x.shape;
        let outputs = layer.0.weight.dims()[0];
        self.linear += 2 * layer.0.weight.elem_count() as u64;
        self.image([batch, outputs, height, width])
    }
}

impl Graph for Extents {
    type X = Extent;
    type Times = [f32];
    type Labels = [u32];

    fn waves(&mut self, t: &[f32], waves: &Waves) -> Result<Extent> {
        Ok(self.image([t.len(), waves.width, 1, 1]))
    }

    fn rows_of_times(&mut self, t: &[f32], _: &str, table: &Tensor) -> Result<Extent> {
        Ok(self.image([t.len(), table.dims2()?.1, 1, 1]))
    }

    fn conv(&mut self, x: &Extent, layer: &Conv, _: Addends<Extent>) -> Result<Extent> {
        Ok(self.convolve(x, layer, (x.shape[2], x.shape[3])))
    }

    fn linear(&mut self, x: &Extent, layer: &Linear, _: Addends<Extent>) -> Result<Extent> {
        Ok(self.linear_of(x, layer))
    }

    fn pointwise(&mut self, x: &Extent, layer: &Linear, _: Addends<Extent>) -> Result<Extent> {
        Ok(self.linear_of(x, layer))
    }

    fn norm(&mut self, x: &Extent, _: &Norm, f: Activation, _: Option<&Extent>) -> Result<Extent> {
        self.keep(x);
        // It is computed again on the way back.
        let normal = Extent { shape: x.shape, is_kept: Rc::new(Cell::new(true)) };
        match f {
            Activation::None | Activation::Silu => Ok(normal),
            f => self.activation(&normal, f),
        }
    }

    fn activation(&mut self, x: &Extent, _: Activation) -> Result<Extent> {
        self.keep(x);
        Ok(self.image(x.shape))
    }

    fn concat(&mut self, a: &Extent, b: &Extent) -> Result<Extent> {
        let [batch, channels, height, width] = a.shape;
        Ok(self.image([batch, channels + b.shape[1], height, width]))
    }

    fn conv_of_doubled(&mut self, x: &Extent, layer: &Conv) -> Result<Extent> {
        Ok(self.convolve(x, layer, (2 * x.shape[2], 2 * x.shape[3])))
    }

    fn double(&mut self, x: &Extent) -> Result<Extent> {
        let [batch, channels, height, width] = x.shape;
        Ok(self.image([batch, channels, 2 * height, 2 * width]))
    }

    fn halve(&mut self, x: &Extent) -> Result<Extent> {
        let [batch, channels, height, width] = x.shape;
        Ok(self.image([batch, channels, height / 2, width / 2]))
    }

    fn divide_by_times(&mut self, x: &Extent, _: &[f32]) -> Result<Extent> {
        Ok(self.image(x.shape))
    }

    fn attention(&mut self, qkv: [&Extent; 3], _: usize) -> Result<Extent> {
        qkv.into_iter().for_each(|x| self.keep(x));
        let y = self.image(qkv[0].shape);
        self.keep(&y);
        Ok(y)
    }

    fn add_rows(&mut self, x: &Extent, _: &str, _: &Tensor, _: &[u32]) -> Result<Extent> {
        Ok(self.image(x.shape))
    }
}
