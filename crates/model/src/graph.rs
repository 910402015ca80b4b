//! The operations of the network. It is written once over these. It runs on candle tensors with candle's
//! gradients and on the kernels' tape, and it is written as the nodes of an ONNX file.

use crate::layers::{Conv, Linear, Norm};
use crate::waves::Waves;
use candle_core::{D, Device, Result, Tensor};
use duet_kernels::{Activation, GroupNorm};

/// The terms that are added to a layer's result: (y + time + residual) · scale.
pub(crate) struct Addends<'a, X> {
    pub time: Option<&'a X>,
    pub residual: Option<&'a X>,
    pub scale: f64,
}

impl<X> Addends<'_, X> {
    pub fn nothing() -> Self {
        Self { time: None, residual: None, scale: 1.0 }
    }
}

/// What the network gets of a batch of B images, as a graph has it.
pub(crate) struct Given<'a, G: Graph> {
    /// (B / copies, C, H, W)
    pub x: G::X,
    /// How often the batch has each image, all of them one after the other each time.
    pub copies: usize,
    /// Timesteps (B)
    pub t: &'a G::Times,
    /// Rows of the class embedding (B); none for a network without classes.
    pub labels: Option<&'a G::Labels>,
    /// What was done to each image (B, N)
    pub augment_labels: Option<G::X>,
}

/// One way to run the network. Feature maps (B, C, H, W) and embeddings (B, E) are both an `X`.
pub(crate) trait Graph {
    type X: Clone;
    /// A timestep for each image.
    type Times: ?Sized;
    /// A row of a table for each image.
    type Labels: ?Sized;

    /// The codes (B, E) of timesteps. No gradient flows into them.
    fn waves(&mut self, t: &Self::Times, waves: &Waves) -> Result<Self::X>;
    /// The rows (B, E) of a table (timesteps, E).
    fn rows_of_times(&mut self, t: &Self::Times, name: &str, table: &Tensor) -> Result<Self::X>;
    /// Convolution; the time term is (B, O).
    fn conv(&mut self, x: &Self::X, layer: &Conv, sum: Addends<Self::X>) -> Result<Self::X>;
    /// Linear layer on an embedding.
    fn linear(&mut self, x: &Self::X, layer: &Linear, sum: Addends<Self::X>) -> Result<Self::X>;
    /// Linear layer on the channels of each pixel.
    fn pointwise(&mut self, x: &Self::X, layer: &Linear, sum: Addends<Self::X>) -> Result<Self::X>;
    /// Normalisation; then z·(1 + scale) + shift if there is a modulation (B, 2·C), with the scales first;
    /// then the activation.
    fn norm(
        &mut self,
        x: &Self::X,
        layer: &Norm,
        activation: Activation,
        modulation: Option<&Self::X>,
    ) -> Result<Self::X>;
    fn activation(&mut self, x: &Self::X, activation: Activation) -> Result<Self::X>;
    /// Channels of a, then those of b.
    fn concat(&mut self, a: &Self::X, b: &Self::X) -> Result<Self::X>;
    /// Nearest-neighbour doubling of both sides, then a convolution.
    fn conv_of_doubled(&mut self, x: &Self::X, layer: &Conv) -> Result<Self::X>;
    /// Nearest-neighbour doubling of both sides.
    fn double(&mut self, x: &Self::X) -> Result<Self::X>;
    /// The mean of each 2×2 pixels.
    fn halve(&mut self, x: &Self::X) -> Result<Self::X>;
    /// Each image divided by its timestep.
    fn divide_by_times(&mut self, x: &Self::X, t: &Self::Times) -> Result<Self::X>;
    /// softmax(q kᵀ / √(C / heads)) v over pixels.
    fn attention(&mut self, qkv: [&Self::X; 3], heads: usize) -> Result<Self::X>;
    /// Marks that the parameters used so far are not used again from here on to the end of the network.
    fn mark(&mut self) {}
    /// The images, `copies` times over. Only a graph that is given such images needs it.
    fn repeated(&mut self, _x: &Self::X, copies: usize) -> Result<Self::X> {
        candle_core::bail!("this graph has each image once, not {copies} times")
    }
    /// x (B, E) plus the rows of a table (rows, E).
    fn add_rows(&mut self, x: &Self::X, name: &str, table: &Tensor, labels: &Self::Labels)
    -> Result<Self::X>;
}

/// The reciprocal of each timestep.
pub(crate) fn reciprocals(t: &[f32]) -> Vec<f32> {
    t.iter().map(|t| t.recip()).collect()
}

/// The rows of a table that timesteps number.
pub(crate) fn rows(t: &[f32]) -> Vec<u32> {
    t.iter().map(|&t| t as u32).collect()
}

/// Runs on candle tensors, on the device of the parameters. The gradients are candle's.
pub(crate) struct CandleGraph<'a>(pub &'a Device);

fn add_sum(y: Tensor, sum: Addends<Tensor>) -> Result<Tensor> {
    let y = match sum.time {
        Some(time) => y.broadcast_add(&time.unsqueeze(2)?.unsqueeze(3)?)?,
        None => y,
    };
    let y = match sum.residual {
        Some(residual) => (residual + y)?,
        None => y,
    };
    if sum.scale == 1.0 { Ok(y) } else { y * sum.scale }
}

impl Graph for CandleGraph<'_> {
    type X = Tensor;
    type Times = [f32];
    type Labels = [u32];

    fn waves(&mut self, t: &[f32], waves: &Waves) -> Result<Tensor> {
        Tensor::from_vec(waves.codes(t)?, (t.len(), waves.width), self.0)
    }

    fn rows_of_times(&mut self, t: &[f32], _: &str, table: &Tensor) -> Result<Tensor> {
        table.index_select(&Tensor::new(rows(t), self.0)?, 0)
    }

    fn conv(&mut self, x: &Tensor, layer: &Conv, sum: Addends<Tensor>) -> Result<Tensor> {
        let affine = &layer.affine;
        add_sum(duet_kernels::conv2d(x, &affine.weight, &affine.bias, layer.options)?, sum)
    }

    fn linear(&mut self, x: &Tensor, layer: &Linear, sum: Addends<Tensor>) -> Result<Tensor> {
        add_sum(duet_kernels::linear(x, &layer.0.weight, &layer.0.bias)?, sum)
    }

    fn pointwise(&mut self, x: &Tensor, layer: &Linear, sum: Addends<Tensor>) -> Result<Tensor> {
        let weight = layer.0.weight.unsqueeze(2)?.unsqueeze(3)?;
        add_sum(duet_kernels::conv2d(x, &weight, &layer.0.bias, crate::layers::POINTWISE)?, sum)
    }

    fn norm(
        &mut self,
        x: &Tensor,
        layer: &Norm,
        activation: Activation,
        modulation: Option<&Tensor>,
    ) -> Result<Tensor> {
        let norm = |activation| {
            let options = GroupNorm { groups: layer.groups, eps: layer.eps, activation };
            duet_kernels::group_norm(x, &layer.affine.weight, &layer.affine.bias, options)
        };
        let Some(modulation) = modulation else { return norm(activation) };
        let halves = modulation.unsqueeze(2)?.unsqueeze(3)?.chunk(2, 1)?;
        let (scale, shift) = (&halves[0], &halves[1]);
        let z = norm(Activation::None)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(shift)?;
        activation.of(&z)
    }

    fn activation(&mut self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        activation.of(x)
    }

    fn concat(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Tensor::cat(&[a, b], 1)
    }

    fn conv_of_doubled(&mut self, x: &Tensor, layer: &Conv) -> Result<Tensor> {
        let doubled = self.double(x)?;
        self.conv(&doubled, layer, Addends::nothing())
    }

    /// Doubles by a broadcast, because candle's own upsampling overwrites gradients in its backward pass.
    fn double(&mut self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        x.reshape((batch * channels, height, 1, width, 1))?
            .broadcast_as((batch * channels, height, 2, width, 2))?
            .reshape((batch, channels, 2 * height, 2 * width))
    }

    fn halve(&mut self, x: &Tensor) -> Result<Tensor> {
        x.avg_pool2d(2)
    }

    fn divide_by_times(&mut self, x: &Tensor, t: &[f32]) -> Result<Tensor> {
        x.broadcast_mul(&Tensor::from_vec(reciprocals(t), (t.len(), 1, 1, 1), self.0)?)
    }

    fn attention(&mut self, qkv: [&Tensor; 3], heads: usize) -> Result<Tensor> {
        let (batch, channels, height, width) = qkv[0].dims4()?;
        let split = |x: &Tensor| x.reshape((batch, heads, channels / heads, height * width));
        let (q, k, v) = (split(qkv[0])?, split(qkv[1])?, split(qkv[2])?);
        let scores = (q.t()?.contiguous()?.matmul(&k)? / ((channels / heads) as f64).sqrt())?;
        // candle's fused softmax has no gradient. This one consists of ops that have gradients.
        let probabilities = candle_nn::ops::softmax(&scores, D::Minus1)?;
        v.matmul(&probabilities.t()?.contiguous()?)?.reshape((batch, channels, height, width))
    }

    fn add_rows(&mut self, x: &Tensor, _: &str, table: &Tensor, labels: &[u32]) -> Result<Tensor> {
        let labels = Tensor::new(labels, self.0)?;
        x + table.index_select(&labels, 0)?
    }
}
