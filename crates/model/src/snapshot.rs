//! The network's weights at one moment, prepared for the CPU's kernels.

use crate::chunks::{at_once, chunks};
use crate::error::ModelError;
use crate::footprint::{Convolved, Extents};
use crate::graph::{Addends, CandleGraph, Graph, reciprocals, rows};
use crate::layers::{Conv, Linear, Norm, WeightAndBias};
use crate::memory::Memory;
use crate::parameters::Parameters;
use crate::partial::{PartialGradients, ValueAndGradients, by_name, whole_gradients};
use crate::unet::{Inputs, NetworkInputs, UNet};
use crate::waves::Waves;
use candle_core::{DType, Device, Result, Tensor};
use duet_kernels::Activation;
use duet_kernels::tape::{Gradients, Images, Tape};
use duet_kernels::{Conv2d, ConvWeights, NormWeights};
use duet_ranks::TreeSum;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a [`Snapshot`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Predictions alone.
    Prediction,
    /// Gradients too.
    Training,
}

/// The weights of a [`UNet`] at one moment, in the forms that the kernels compute with.
///
/// One snapshot serves any number of predictions on any number of threads. It reads the network's parameters when it
/// first predicts images of a size; they must not change before. A batch is cut into chunks of images. Each chunk runs
/// on one thread from the first layer to the last, so that it stays in that core's cache. A result depends neither on
/// the number of threads nor on the other images of the batch. On other devices than the CPU, a snapshot is the network
/// itself, without gradients or with candle's.
pub struct Snapshot<'a> {
    unet: &'a UNet,
    purpose: Purpose,
    memory: Memory,
    convolutions: Mutex<HashMap<String, Arc<ConvWeights>>>,
    norms: Mutex<HashMap<String, Arc<NormWeights>>>,
    /// The values of the embedding tables, by name.
    tables: BTreeMap<String, Vec<f32>>,
}

impl UNet {
    /// Takes a snapshot of the weights. Errors: those of candle.
    pub fn snapshot(&self, purpose: Purpose) -> std::result::Result<Snapshot<'_>, ModelError> {
        let tables = self.tables().filter(|_| self.device().is_cpu());
        Ok(Snapshot {
            unet: self,
            purpose,
            memory: if purpose == Purpose::Training { self.memory } else { Memory::Normal },
            convolutions: Mutex::default(),
            norms: Mutex::default(),
            tables: tables
                .map(|(name, values)| Ok((name.to_string(), flat(values)?)))
                .collect::<Result<_>>()?,
        })
    }

    /// The number of multiply-adds in one image's prediction; a convolution counts as the direct sum. The
    /// network must be on the CPU, and the sides must pass
    /// [`UNetConfig::check_sides`](crate::UNetConfig::check_sides). Errors: those of candle.
    pub fn multiply_adds(&self, height: usize, width: usize) -> std::result::Result<u64, ModelError> {
        let x = Tensor::zeros((1, self.config().in_channels, height, width), DType::F32, self.device())?;
        let labels = self.config().num_class_embeds.map(|_| vec![0]);
        let inputs = Inputs { x, copies: 1, t: vec![0.0], labels, augment_labels: None };
        let snapshot = self.snapshot(Purpose::Prediction)?;
        let mut graph = TapeGraph { tape: Tape::forward_only(), snapshot: &snapshot };
        self.run(&mut graph, inputs.given(channels_last)?)?;
        Ok(graph.tape.multiply_adds())
    }

    /// The value of an objective of the prediction, and its gradients with respect to the trainable ones of
    /// the network's `parameters`, by name.
    ///
    /// `objective` gets a range of the batch and the predictions for it (n, out_channels, H, W). It returns
    /// the range's share of the value, and the gradient with respect to these predictions. Several threads
    /// call it at once, each for its own range. The shares are summed in the order of the images.
    ///
    /// Errors: inputs as for [`UNet::forward_of`]; a parameter without a gradient, such as that of augment labels
    /// where there are none; those of `objective`.
    pub fn value_and_gradients<F>(
        &self,
        parameters: &Parameters,
        inputs: &NetworkInputs,
        objective: F,
    ) -> std::result::Result<ValueAndGradients, ModelError>
    where
        F: Fn(Range<usize>, &Tensor) -> Result<(f64, Tensor)> + Sync,
    {
        let inputs = self.inputs(inputs)?;
        if inputs.x.device().is_cpu() {
            let chunks = chunks(inputs.len(), 1);
            let numbered: Vec<_> = chunks.iter().cloned().enumerate().collect();
            let snapshot = self.snapshot(Purpose::Training)?;
            return whole_gradients(&self.groups(parameters), |ready| {
                snapshot.partial_gradients(&inputs, (&numbered, chunks.len()), objective, ready)
            });
        }
        let prediction = self.run(&mut CandleGraph(self.device()), inputs.given(|x| Ok(x.clone()))?)?;
        let (value, gradient) = objective(0..inputs.len(), &prediction.detach())?;
        let grads = (prediction * gradient)?.sum_all()?.backward()?;
        let parameters: Vec<_> = parameters.trainable().collect();
        Ok((value, by_name(&parameters, |_, var| Ok(grads.get(var).cloned()))?))
    }

    /// The same on the CPU for some [`chunks`] of a batch that has more, with their numbers among `terms` chunks and their
    /// images among these inputs. `ready` gets the number of each of the [groups](UNet::groups) and this part of its sum as soon
    /// as it has all of these chunks, one group after the other, while work on the next ones goes on;
    /// [`PartialGradients::by_name`] makes gradients of a whole sum.
    ///
    /// Errors: inputs as for [`UNet::forward_of`]; those of `objective` and `ready`.
    pub fn partial_gradients<F, R>(
        &self,
        inputs: &NetworkInputs,
        chunks: (&[(usize, Range<usize>)], usize),
        objective: F,
        ready: R,
    ) -> std::result::Result<(), ModelError>
    where
        F: Fn(Range<usize>, &Tensor) -> Result<(f64, Tensor)> + Sync,
        R: Fn(usize, TreeSum<PartialGradients>) -> std::result::Result<(), ModelError> + Sync,
    {
        let inputs = self.inputs(inputs)?;
        self.snapshot(Purpose::Training)?.partial_gradients(&inputs, chunks, objective, ready)
    }
}

impl Snapshot<'_> {
    /// The network's prediction. Shapes and errors are those of [`UNet::forward`], but candle's gradients
    /// are absent.
    pub fn predict(
        &self,
        x: &Tensor,
        t: &Tensor,
        labels: Option<&Tensor>,
    ) -> std::result::Result<Tensor, ModelError> {
        let inputs = self.unet.inputs(&NetworkInputs { x, t, labels, augment_labels: None })?;
        // A browser has no other device, and a page carries nothing that it does not use.
        #[cfg(not(target_arch = "wasm32"))]
        if !x.device().is_cpu() {
            let mut graph = CandleGraph(self.unet.device());
            return Ok(self.unet.run(&mut graph, inputs.given(|x| Ok(x.clone()))?)?.detach());
        }
        // A small batch is shared among all threads. Predictions do not depend on the chunks.
        let threads = rayon::current_num_threads();
        let (_, _, height, width) = inputs.x.dims4()?;
        let most = at_once(height, width);
        let inputs = inputs.once(most)?;
        // Copies on several threads are sooner there than what they share is computed once.
        let inputs = match inputs.x.dim(0)? < threads {
            true => Inputs { x: inputs.x.repeat((inputs.copies, 1, 1, 1))?, copies: 1, ..inputs },
            false => inputs,
        };
        let (images, copies) = (inputs.x.dim(0)?, inputs.copies);
        let chunk = images.div_ceil(threads).clamp(1, most / copies);
        let parts = inputs.chunks_of_copies(chunk)?.into_par_iter().map(|part| {
            let mut graph = TapeGraph { tape: Tape::forward_only(), snapshot: self };
            channels_first(&self.unet.run(&mut graph, part.given(channels_last)?)?)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let of_copy = |copy: usize| {
            parts.iter().map(move |part| {
                let images = part.dim(0)? / copies;
                part.narrow(0, copy * images, images)
            })
        };
        Ok(Tensor::cat(&(0..copies).flat_map(of_copy).collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn partial_gradients<F, R>(
        &self,
        inputs: &Inputs,
        (chunks, terms): (&[(usize, Range<usize>)], usize),
        objective: F,
        ready: R,
    ) -> std::result::Result<(), ModelError>
    where
        F: Fn(Range<usize>, &Tensor) -> Result<(f64, Tensor)> + Sync,
        R: Fn(usize, TreeSum<PartialGradients>) -> std::result::Result<(), ModelError> + Sync,
    {
        let (_, _, height, width) = inputs.x.dims4()?;
        self.prepare((height, width))?;
        let last = self.unet.blocks_up();
        let sums: Vec<_> =
            (0..=last).map(|_| (TreeSum::new(terms), AtomicUsize::new(chunks.len()))).collect();
        let add = |group: usize, number: usize, part: PartialGradients| {
            let (sum, left) = &sums[group];
            sum.add(number, part, PartialGradients::add);
            // Whoever is the last finds what the others have added.
            if left.fetch_sub(1, Ordering::AcqRel) == 1 { ready(group, sum.take()) } else { Ok(()) }
        };
        chunks.par_iter().try_for_each(|(number, chunk)| {
            let (mut value, mut gradients) = (0.0, Gradients::default());
            let parts = inputs.part(chunk.clone())?.chunks(at_once(height, width))?;
            for (range, part) in parts {
                let mut graph = TapeGraph { tape: Tape::recording(), snapshot: self };
                let y = self.unet.run(&mut graph, part.given(channels_last)?)?;
                let is_last = range.end == chunk.len();
                let range = chunk.start + range.start..chunk.start + range.end;
                let (share, gradient) = objective(range, &channels_first(&y)?)?;
                let gradient = flat(&gradient.permute((0, 2, 3, 1))?)?;
                value += share;
                let mut added = Ok(());
                gradients = graph.tape.backward_onto(&y, &gradient, gradients, |mark, known| {
                    if is_last && added.is_ok() {
                        let group = last - 1 - mark;
                        let gradients = known.take(|name| self.unet.group_of(name) == group);
                        added = add(group, *number, PartialGradients { value: 0.0, gradients });
                    }
                });
                added?;
            }
            add(last, *number, PartialGradients { value, gradients })
        })
    }

    /// Prepares the weights of all convolutions on all threads. At a first use one thread would, and the others would wait.
    fn prepare(&self, sides: (usize, usize)) -> Result<()> {
        let convolutions = Extents::of(self.unet, sides)?.convolutions;
        convolutions.into_par_iter().with_max_len(1).try_for_each(|Convolved { layer, sides, .. }| {
            let Conv2d { stride, padding } = layer.options;
            self.convolution(&layer.affine)?.prepare(sides, stride, padding);
            Ok(())
        })
    }

    /// The prepared weights of a layer. They are made at the first use.
    fn convolution(&self, affine: &WeightAndBias) -> Result<Arc<ConvWeights>> {
        let poisoned = || candle_core::Error::Msg("another thread panicked in this snapshot".into());
        let mut convolutions = self.convolutions.lock().map_err(|_| poisoned())?;
        if let Some(weights) = convolutions.get(&affine.name) {
            return Ok(weights.clone());
        }
        let gradients = self.purpose == Purpose::Training;
        let weights = ConvWeights::from_tensors(&affine.name, &affine.weight, &affine.bias, gradients)?;
        let weights = match self.memory {
            Memory::Normal => weights,
            Memory::Low => weights.forgetting_forms(),
        };
        Ok(convolutions.entry(affine.name.clone()).or_insert(Arc::new(weights)).clone())
    }

    fn norm(&self, layer: &Norm) -> Result<Arc<NormWeights>> {
        let affine = &layer.affine;
        let poisoned = || candle_core::Error::Msg("another thread panicked in this snapshot".into());
        let mut norms = self.norms.lock().map_err(|_| poisoned())?;
        if let Some(weights) = norms.get(&affine.name) {
            return Ok(weights.clone());
        }
        let (weight, bias) = (flat(&affine.weight)?, flat(&affine.bias)?);
        let weights = NormWeights::new(&affine.name, &weight, &bias, layer.groups, layer.eps);
        Ok(norms.entry(affine.name.clone()).or_insert(Arc::new(weights)).clone())
    }
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// A tape's images as a tensor (B, C, H, W).
fn channels_first(images: &Images) -> Result<Tensor> {
    let [batch, height, width, channels] = images.shape();
    let last = Tensor::from_slice(images.values(), (batch, height, width, channels), &Device::Cpu)?;
    last.permute((0, 3, 1, 2))?.contiguous()
}

/// The kernels' tape, for one chunk.
struct TapeGraph<'a> {
    tape: Tape,
    snapshot: &'a Snapshot<'a>,
}

/// A tensor (B, C, H, W), or an embedding (B, E), channels last.
fn channels_last(x: &Tensor) -> Result<Images> {
    Ok(match *x.dims() {
        [batch, channels, height, width] => {
            Images::new([batch, height, width, channels], &flat(&x.permute((0, 2, 3, 1))?)?)
        }
        [batch, width] => Images::new([batch, 1, 1, width], &flat(x)?),
        ref dims => candle_core::bail!("an input of shape {dims:?}"),
    })
}

fn sum_of<'a>(sum: &Addends<'a, Images>) -> duet_kernels::Sum<'a> {
    duet_kernels::Sum { time: sum.time, residual: sum.residual, scale: sum.scale as f32 }
}

impl Graph for TapeGraph<'_> {
    type X = Images;
    type Times = [f32];
    type Labels = [u32];

    fn mark(&mut self) {
        self.tape.mark();
    }

    fn waves(&mut self, t: &[f32], waves: &Waves) -> Result<Images> {
        Ok(Images::new([t.len(), 1, 1, waves.width], &waves.codes(t)?))
    }

    fn rows_of_times(&mut self, t: &[f32], name: &str, table: &Tensor) -> Result<Images> {
        let width = table.dims2()?.1;
        let zeros = Images::new([t.len(), 1, 1, width], &vec![0.0; t.len() * width]);
        self.add_rows(&zeros, name, table, &rows(t))
    }

    fn conv(&mut self, x: &Images, layer: &Conv, sum: Addends<Images>) -> Result<Images> {
        let weights = self.snapshot.convolution(&layer.affine)?;
        Ok(self.tape.conv(x, &weights, layer.options.stride, layer.options.padding, sum_of(&sum)))
    }

    fn linear(&mut self, x: &Images, layer: &Linear, sum: Addends<Images>) -> Result<Images> {
        self.pointwise(x, layer, sum)
    }

    fn pointwise(&mut self, x: &Images, layer: &Linear, sum: Addends<Images>) -> Result<Images> {
        let weights = self.snapshot.convolution(&layer.0)?;
        Ok(self.tape.linear(x, &weights, sum_of(&sum)))
    }

    fn norm(
        &mut self,
        x: &Images,
        layer: &Norm,
        activation: Activation,
        modulation: Option<&Images>,
    ) -> Result<Images> {
        let weights = self.snapshot.norm(layer)?;
        Ok(self.tape.norm(x, &weights, activation, modulation))
    }

    fn activation(&mut self, x: &Images, activation: Activation) -> Result<Images> {
        Ok(self.tape.activation(x, activation))
    }

    fn concat(&mut self, a: &Images, b: &Images) -> Result<Images> {
        Ok(self.tape.concat(a, b))
    }

    fn conv_of_doubled(&mut self, x: &Images, layer: &Conv) -> Result<Images> {
        let weights = self.snapshot.convolution(&layer.affine)?;
        Ok(self.tape.conv_of_doubled(x, &weights, layer.options.padding, duet_kernels::Sum::NOTHING))
    }

    fn double(&mut self, x: &Images) -> Result<Images> {
        Ok(self.tape.double(x))
    }

    fn repeated(&mut self, x: &Images, copies: usize) -> Result<Images> {
        Ok(self.tape.repeated(x, copies))
    }

    fn halve(&mut self, x: &Images) -> Result<Images> {
        Ok(self.tape.halve(x))
    }

    fn divide_by_times(&mut self, x: &Images, t: &[f32]) -> Result<Images> {
        Ok(self.tape.scale_images(x, &reciprocals(t)))
    }

    fn attention(&mut self, qkv: [&Images; 3], heads: usize) -> Result<Images> {
        Ok(self.tape.attention(qkv, heads))
    }

    fn add_rows(&mut self, x: &Images, name: &str, _: &Tensor, labels: &[u32]) -> Result<Images> {
        match self.snapshot.tables.get(name) {
            Some(table) => Ok(self.tape.add_rows(x, name, table, labels)),
            None => candle_core::bail!("the network has no {name}"),
        }
    }
}
