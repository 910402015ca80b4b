//! One value for each image of a batch, as tensors that broadcast over the batch.

use candle_core::{Result, Tensor};

/// ⟨a, b⟩ of each image of (n, ...), as (n, 1, ...).
pub(crate) fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a * b)?.flatten_from(1)?.sum_keepdim(1)?.reshape(shape_over(a)?)
}

/// The unbiased standard deviation of each image's values, as torch's, (n, 1, ...).
pub(crate) fn deviation(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(1)?.var_keepdim(1)?.sqrt()?.reshape(shape_over(x)?)
}

/// A value for each image of `x` (n, ...), or one for all, as (n, 1, ...).
pub(crate) fn column(values: &[f64], x: &Tensor) -> Result<Tensor> {
    let mut shape = shape_over(x)?;
    shape[0] = values.len();
    Tensor::from_vec(values.iter().map(|&value| value as f32).collect(), shape, x.device())
}

fn shape_over(x: &Tensor) -> Result<Vec<usize>> {
    let mut shape = vec![1; x.rank()];
    shape[0] = x.dim(0)?;
    Ok(shape)
}
