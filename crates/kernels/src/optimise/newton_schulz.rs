//! The orthogonal factor of a matrix, by products alone.

use crate::elementwise::passes::squares;
use crate::product::{Matrix, Product, StartValues};
use crate::simd::dispatch;
use crate::storage::is_cpu_f32;
use candle_core::{Result, Shape, Tensor, bail};

/// a, b, c of the polynomial ax + bx³ + cx⁵. It brings every singular value in (0, 1] near 1, quickly but
/// not exactly (Jordan et al. 2024, "Muon").
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// The number of times that the polynomial is applied.
const STEPS: usize = 5;
/// The least divisor of a matrix: a smaller norm counts as this.
const LEAST_NORM: f64 = 1e-7;

/// Nearly UVᵀ for a matrix USVᵀ, by five steps of a Newton-Schulz iteration (Jordan et al. 2024). The new
/// singular values are about 0.7 to 1.2, except those that were nearly 0. The first dimension gives the
/// rows and all others together the columns; the shape stays. Errors: a rank below 2.
pub fn orthogonal(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix(x.shape())?;
    if is_cpu_f32(x) {
        let mut values = x.flatten_all()?.to_vec1::<f32>()?;
        orthogonalise(&mut values, rows, columns);
        return Tensor::from_vec(values, x.shape(), x.device());
    }
    let matrix = x.reshape((rows, columns))?;
    let mut short = if rows > columns { matrix.t()?.contiguous()? } else { matrix };
    let norm = short.sqr()?.sum_all()?.sqrt()?.maximum(LEAST_NORM)?;
    short = short.broadcast_div(&norm)?;
    let [a, b, c] = COEFFICIENTS.map(f64::from);
    for _ in 0..STEPS {
        let gram = short.matmul(&short.t()?)?;
        let factor = ((&gram * b)? + (gram.matmul(&gram)? * c)?)?;
        short = ((&short * a)? + factor.matmul(&short)?)?;
    }
    let matrix = if rows > columns { short.t()?.contiguous()? } else { short };
    matrix.reshape(x.shape())
}

/// Rows and columns of a parameter as a matrix.
pub(crate) fn matrix(shape: &Shape) -> Result<(usize, usize)> {
    match shape.dims() {
        [rows, rest @ ..] => Ok((*rows, rest.iter().product())),
        [] => bail!("a number is no matrix"),
    }
}

/// X = USVᵀ (rows × columns) becomes nearly UVᵀ: singular values from about 0.7 to 1.2.
///
/// The polynomial of X is P·X (or X·P), where P is a polynomial of X's Gram matrix along the shorter side.
/// All steps therefore work on matrices of that size; only the first product and the last use X.
pub(crate) fn orthogonalise(x: &mut [f32], rows: usize, columns: usize) {
    let scale = (1.0 / squares(x).sqrt().max(LEAST_NORM)) as f32;
    x.iter_mut().for_each(|v| *v *= scale);
    let (side, wide) = (rows.min(columns), rows <= columns);
    let view = Matrix::rows(x, columns);
    let mut gram = match wide {
        true => product(view, &transposed(x, rows, columns), (rows, rows, columns)),
        false => product(view.transposed(), x, (columns, columns, rows)),
    };
    let [a, b, c] = COEFFICIENTS;
    let square = |left: &[f32], right: &[f32]| product(Matrix::rows(left, side), right, (side, side, side));
    let mut polynomial: Option<Vec<f32>> = None;
    for step in 1..=STEPS {
        let mut factor = square(&gram, &gram);
        factor.iter_mut().zip(&gram).for_each(|(f, &g)| *f = b * g + c * *f);
        factor.iter_mut().step_by(side + 1).for_each(|f| *f += a);
        if step < STEPS {
            gram = square(&square(&factor, &gram), &factor);
        }
        polynomial = Some(match polynomial {
            Some(polynomial) => square(&factor, &polynomial),
            None => factor,
        });
    }
    let polynomial = polynomial.unwrap_or_default();
    let result = match wide {
        true => product(Matrix::rows(&polynomial, side), x, (rows, columns, rows)),
        false => product(view, &polynomial, (rows, columns, columns)),
    };
    x.copy_from_slice(&result);
}

fn transposed(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for (i, row) in x.chunks_exact(columns.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, &v)| out[j * rows + i] = v);
    }
    out
}

/// left (m, k) · right (k, n).
fn product(left: Matrix, right: &[f32], (m, n, k): (usize, usize, usize)) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    let start = StartValues::Zero;
    dispatch(Product {
        sizes: (m, n, k),
        left,
        right,
        right_row: n,
        next_right: &[],
        out: &mut out,
        out_row: n,
        start,
    });
    out
}
