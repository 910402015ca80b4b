//! The linear layer, row by row.

use crate::storage::{is_cpu_f32, values};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// y = x · weightᵀ + bias.
///
/// Shapes: `x` (..., I), `weight` (O, I), `bias` (O) → (..., O). Each row is computed alone, in
/// one fixed order of additions: a general matrix product chooses its order by the number of rows.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    if x.dims().last() != Some(&inputs) || bias.dims() != [outputs] {
        bail!("linear: x {:?}, weight {:?} and bias {:?} do not fit", x.dims(), weight.dims(), bias.dims());
    }
    if is_cpu_f32(x) {
        return x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Op);
    }
    let rows = x.reshape(((), inputs))?;
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(outputs);
    rows.matmul(&weight.t()?)?.broadcast_add(bias)?.reshape(shape)
}

struct Op;

/// Σ a · b in 16 interleaved partial sums.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0f32; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
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
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let (x, weight, bias) =
            (values(x, x_layout)?, values(weight, weight_layout)?, values(bias, bias_layout)?);
        let mut shape = x_layout.dims().to_vec();
        shape.pop();
        shape.push(outputs);
        let mut y = vec![0f32; shape.iter().product()];
        let arch = pulp::Arch::new();
        let rows = y.par_chunks_mut(outputs.max(1)).zip(x.par_chunks(inputs.max(1)));
        rows.with_min_len(8).for_each(|(y, x)| {
            arch.dispatch(|| {
                for ((y, &bias), weight) in y.iter_mut().zip(bias).zip(weight.chunks(inputs)) {
                    *y = bias + dot(x, weight);
                }
            });
        });
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = weight.dims2()?;
        let grad = grad.contiguous()?.reshape(((), outputs))?;
        let rows = x.reshape(((), inputs))?;
        Ok((
            Some(grad.matmul(weight)?.reshape(x.shape())?),
            Some(grad.t()?.matmul(&rows)?),
            Some(grad.sum(0)?),
        ))
    }
}
