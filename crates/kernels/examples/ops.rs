//! The kernels in any candle program: a convolution, a norm and their gradients.
use candle_core::{Device, Result, Tensor, Var};
use duet_kernels::{Activation, Conv2d, GroupNorm, Padding, conv2d, group_norm};

fn main() -> Result<()> {
    let cpu = Device::Cpu;
    let x = Tensor::randn(0f32, 1.0, (4, 3, 28, 28), &cpu)?;
    let weight = Var::randn(0f32, 0.1, (8, 3, 3, 3), &cpu)?;
    let bias = Var::zeros(8, candle_core::DType::F32, &cpu)?;
    let h = conv2d(&x, &weight, &bias, Conv2d { stride: 1, padding: Padding::all(1) })?;
    let norm = GroupNorm { groups: 4, eps: 1e-5, activation: Activation::Silu };
    let ones = Tensor::ones(8, candle_core::DType::F32, &cpu)?;
    let y = group_norm(&h, &ones, &ones.zeros_like()?, norm)?;
    let grads = y.sqr()?.mean_all()?.backward()?;
    println!(
        "{:?} → {:?}; the weight's gradient is {:?}",
        x.dims(),
        y.dims(),
        grads.get(&weight).map(|g| g.dims())
    );
    Ok(())
}
