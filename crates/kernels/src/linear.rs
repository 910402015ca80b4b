//! The linear layer as an op on candle tensors.

use crate::chunks::weights_first;
use crate::elementwise;
use crate::kernel::Kernel;
use crate::sizes::{Epilogue, Padding, Sizes};
use crate::storage::{is_cpu_f32, values, with_values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// y = x · weightᵀ + bias.
///
/// Shapes: `x` (..., I), `weight` (O, I), `bias` (O) → (..., O). Each row is computed in one fixed
/// order of additions: a general matrix product chooses its order by the number of rows.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    if x.dims().last() != Some(&inputs) || bias.dims() != [outputs] {
        bail!("linear: x {:?}, weight {:?} and bias {:?} do not fit", x.dims(), weight.dims(), bias.dims());
    }
    if is_cpu_f32(x) {
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Op { inputs, outputs });
    }
    let rows = x.reshape(((), inputs))?;
    rows.matmul(&weight.t()?)?.broadcast_add(bias)?.reshape(shape(x.dims(), outputs))
}

fn shape(x: &[usize], outputs: usize) -> Vec<usize> {
    let mut shape = x.to_vec();
    shape.pop();
    shape.push(outputs);
    shape
}

/// Rows that one thread works on at a time; fixed, as sums over rows are.
const ROWS: usize = 256;

struct Op {
    inputs: usize,
    outputs: usize,
}

impl Op {
    /// A convolution over a column of pixels that do not see each other.
    fn sizes(&self, rows: usize) -> Sizes {
        Sizes {
            channels: self.inputs,
            height: rows,
            width: 1,
            outputs: self.outputs,
            kernel: (1, 1),
            stride: 1,
            padding: Padding::default(),
            doubled: false,
        }
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "duet-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = shape(x_layout.dims(), self.outputs);
        let kernel = Kernel::new(
            values(weight, weight_layout)?,
            values(bias, bias_layout)?,
            self.inputs,
            (1, 1),
            false,
        );
        let mut y = vec![0f32; shape.iter().product()];
        let rows =
            y.par_chunks_mut(ROWS * self.outputs).zip(values(x, x_layout)?.par_chunks(ROWS * self.inputs));
        rows.for_each(|(y, x)| {
            let epilogue = Epilogue { bias: &kernel.bias, residual: None, scale: 1.0 };
            kernel.forward(&self.sizes(y.len() / self.outputs), 1, x, epilogue, y);
        });
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grad_x = vec![0f32; x.elem_count()];
        let parts: Vec<[Vec<f32>; 2]> = with_values(weight, |weight| {
            let kernel = Kernel::new(weight, &vec![0.0; self.outputs], self.inputs, (1, 1), true);
            with_values(x, |x| {
                with_values(grad, |grad| {
                    let rows = grad_x.par_chunks_mut(ROWS * self.inputs);
                    let rows =
                        rows.zip(x.par_chunks(ROWS * self.inputs)).zip(grad.par_chunks(ROWS * self.outputs));
                    let part = |((grad_x, x), grad): ((&mut [f32], &[f32]), &[f32])| {
                        let rows = grad.len() / self.outputs;
                        let mut sums = [vec![0f32; self.outputs * self.inputs], vec![0f32; self.outputs]];
                        let [weight, bias] = &mut sums;
                        kernel.backward(&self.sizes(rows), 1, x, grad, Some(grad_x), Some(weight));
                        elementwise::sum_pixels(grad, self.outputs, rows, bias);
                        sums
                    };
                    Ok(rows.map(part).collect())
                })
            })
        })?;
        let mut sums = [vec![0f32; self.outputs * self.inputs], vec![0f32; self.outputs]];
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, part)| elementwise::add(sum, &part));
        }
        let [grad_weight, grad_bias] = sums;
        let grad_weight = weights_first(&grad_weight, 1, self.inputs, self.outputs);
        Ok((
            Some(Tensor::from_vec(grad_x, x.shape(), x.device())?),
            Some(Tensor::from_vec(grad_weight, weight.shape(), x.device())?),
            Some(Tensor::from_vec(grad_bias, bias.shape(), x.device())?),
        ))
    }
}
