//! Reads the f32 values of a contiguous CPU tensor.

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// Whether this crate's kernels apply: f32 on the CPU.
pub(crate) fn is_cpu_f32(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// The values of a contiguous storage, for custom ops.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("kernel input of shape {:?} is not contiguous", layout.shape()),
    }
}

/// Calls `read` with the values of `x`. A tensor that is not contiguous is copied first.
pub(crate) fn with_values<R>(x: &Tensor, read: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(values(storage, layout)?),
        _ => bail!("a CPU kernel was given a tensor on another device"),
    }
}
