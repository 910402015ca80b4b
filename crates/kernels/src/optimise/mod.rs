//! The update of one parameter by an optimiser, in place, with one pass for each result.

mod newton_schulz;

use crate::elementwise::passes::squares;
use crate::simd::dispatch;
use crate::storage::{is_cpu_f32, with_values};
use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var, bail};
pub use newton_schulz::orthogonal;
use newton_schulz::{matrix, orthogonalise};

/// The numbers for one step of AdamW.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// β₁ and β₂, the decays of the first and second moment.
    pub betas: [f64; 2],
    /// The factor of the parameter before the step: 1 - learning rate · weight decay.
    pub keep: f64,
    /// learning rate / (1 - β₁ᵗ).
    pub rate: f64,
    /// √(1 - β₂ᵗ).
    pub correction: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// One step of AdamW (Loshchilov & Hutter 2019) for one parameter, its moments and its gradient.
///
/// m ← β₁m + (1-β₁)g; v ← β₂v + (1-β₂)g²; θ ← keep·θ - rate · m / (√v / correction + eps). All four have
/// the same shape. Errors: shapes that differ.
pub fn adamw(parameter: &Var, first: &Var, second: &Var, gradient: &Tensor, step: AdamWStep) -> Result<()> {
    let [beta1, beta2] = step.betas;
    if is_cpu_f32(parameter) && is_cpu_f32(gradient) {
        let gradient = gradient.contiguous()?;
        first.inplace_op2(&gradient, &Average { decay: beta1, square: false })?;
        second.inplace_op2(&gradient, &Average { decay: beta2, square: true })?;
        return parameter.inplace_op3(first, second, &step);
    }
    first.set(&((first.as_tensor() * beta1)? + (gradient * (1.0 - beta1))?)?)?;
    second.set(&((second.as_tensor() * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?)?;
    let scale = ((second.as_tensor().sqrt()? / step.correction)? + step.eps)?;
    let update = ((first.as_tensor() / scale)? * step.rate)?;
    parameter.set(&((parameter.as_tensor() * step.keep)? - update)?.detach())
}

/// The numbers for one step of Muon.
#[derive(Debug, Clone, Copy)]
pub struct MuonStep {
    /// μ, the decay of the momentum.
    pub momentum: f64,
    /// The factor of the parameter before the step: 1 - learning rate · weight decay.
    pub keep: f64,
    /// The distance that the parameter moves along an orthogonal matrix.
    pub rate: f64,
}

/// One step of Muon (Jordan et al. 2024) for one parameter of rank 2 or more, its momentum and its
/// gradient. All have the same shape. Errors: shapes that differ, or a rank below 2; then nothing changes.
///
/// m ← μm + (1-μ)g; θ ← keep·θ - rate · O((1-μ)g + μm). O is [`orthogonal`]; the first dimension gives the
/// rows of the matrix.
pub fn muon(parameter: &Var, momentum: &Var, gradient: &Tensor, step: MuonStep) -> Result<()> {
    let shapes = [momentum.shape(), gradient.shape()];
    if shapes.into_iter().any(|shape| shape != parameter.shape()) {
        bail!(
            "Muon: a parameter of shape {:?} with a momentum and a gradient of {shapes:?}",
            parameter.shape()
        );
    }
    matrix(parameter.shape())?;
    average(momentum, gradient, step.momentum)?;
    if is_cpu_f32(parameter) && is_cpu_f32(gradient) {
        return parameter.inplace_op3(momentum, &gradient.contiguous()?, &step);
    }
    let ahead = ((gradient * (1.0 - step.momentum))? + (momentum.as_tensor() * step.momentum)?)?;
    let update = orthogonal(&ahead)?;
    parameter.set(&((parameter.as_tensor() * step.keep)? - (update * step.rate)?)?.detach())
}

/// average ← decay · average + (1 - decay) · values. Errors: shapes that differ.
pub fn average(average: &Var, values: &Tensor, decay: f64) -> Result<()> {
    if is_cpu_f32(average) && is_cpu_f32(values) {
        return average.inplace_op2(&values.contiguous()?, &Average { decay, square: false });
    }
    average.set(&((average.as_tensor() * decay)? + (values * (1.0 - decay))?)?.detach())
}

/// x ← factor · x, in place: every tensor that shares x's memory changes too. Errors: those of candle.
pub fn scale(x: &Tensor, factor: f64) -> Result<()> {
    x.inplace_op1(&Scale(factor as f32))
}

struct Scale(f32);

impl InplaceOp1 for Scale {
    fn name(&self) -> &'static str {
        "duet-scale"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (x, []) = slices(self.name(), (x, layout), [])?;
        crate::elementwise::passes::scale(x, self.0);
        Ok(())
    }
}

/// Σ x² in f64. Errors: those of candle.
pub fn sum_of_squares(x: &Tensor) -> Result<f64> {
    if !is_cpu_f32(x) {
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        return Ok(values.iter().map(|&v| f64::from(v) * f64::from(v)).sum());
    }
    with_values(x, |values| Ok(squares(values)))
}

/// Whether every value is finite. Errors: those of candle.
pub fn is_finite(x: &Tensor) -> Result<bool> {
    if !is_cpu_f32(x) {
        return Ok(x.flatten_all()?.to_vec1::<f32>()?.iter().all(|value| value.is_finite()));
    }
    with_values(x, |values| Ok(crate::elementwise::passes::are_finite(values)))
}

/// The values of a storage that is written in place, and of the tensors that are read.
fn slices<'a, const N: usize>(
    name: &str,
    to: (&'a mut CpuStorage, &Layout),
    from: [(&'a CpuStorage, &Layout); N],
) -> Result<(&'a mut [f32], [&'a [f32]; N])> {
    let len = to.1.shape().elem_count();
    let mut values: [&[f32]; N] = [&[]; N];
    for (values, (storage, layout)) in values.iter_mut().zip(from) {
        *values = crate::storage::values(storage, layout)?;
        if values.len() != len {
            bail!("{name}: {} values for {len}", values.len());
        }
    }
    match (to.1.contiguous_offsets(), to.0) {
        (Some((start, end)), CpuStorage::F32(to)) => Ok((&mut to[start..end], values)),
        _ => bail!("{name}: its result is not contiguous f32"),
    }
}

/// x ← decay · x + (1 - decay) · y, or with y² instead of y.
struct Average {
    decay: f64,
    square: bool,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "duet-average"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (x, [y]) = slices(self.name(), (x, x_layout), [(y, y_layout)])?;
        let (decay, rest) = (self.decay as f32, (1.0 - self.decay) as f32);
        dispatch(|| match self.square {
            true => x.iter_mut().zip(y).for_each(|(x, &y)| *x = *x * decay + y * y * rest),
            false => x.iter_mut().zip(y).for_each(|(x, &y)| *x = *x * decay + y * rest),
        });
        Ok(())
    }
}

impl InplaceOp3 for AdamWStep {
    fn name(&self) -> &'static str {
        "duet-adamw"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        let (x, [m, v]) = slices(self.name(), (x, x_layout), [(m, m_layout), (v, v_layout)])?;
        let (keep, rate, eps) = (self.keep as f32, self.rate as f32, self.eps as f32);
        let correction = self.correction as f32;
        dispatch(|| {
            for ((x, &m), &v) in x.iter_mut().zip(m).zip(v) {
                *x = *x * keep - m / (v.sqrt() / correction + eps) * rate;
            }
        });
        Ok(())
    }
}

impl InplaceOp3 for MuonStep {
    fn name(&self) -> &'static str {
        "duet-muon"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<()> {
        let (rows, columns) = matrix(x_layout.shape())?;
        let (x, [m, g]) = slices(self.name(), (x, x_layout), [(m, m_layout), (g, g_layout)])?;
        let (momentum, rest) = (self.momentum as f32, (1.0 - self.momentum) as f32);
        let (keep, rate) = (self.keep as f32, self.rate as f32);
        let mut update: Vec<f32> = m.iter().zip(g).map(|(&m, &g)| g * rest + m * momentum).collect();
        orthogonalise(&mut update, rows, columns);
        dispatch(|| x.iter_mut().zip(&update).for_each(|(x, &u)| *x = *x * keep - u * rate));
        Ok(())
    }
}
