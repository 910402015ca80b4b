//! Activations: functions between layers.

use candle_core::{Result, Tensor};

/// A function applied to every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: x.
    None,
    /// x · sigmoid(x) (Elfwing et al. 2018), also called swish.
    Silu,
    /// max(x, 0).
    Relu,
    /// x · Φ(x), where Φ is the normal distribution's cumulative function (Hendrycks & Gimpel 2016).
    Gelu,
    /// x · tanh(ln(1 + eˣ)) (Misra 2019).
    Mish,
}

impl Activation {
    /// Applies the function to a tensor of any shape, with candle's operations and gradients. Errors: those
    /// of candle.
    pub fn of(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(x.clone()),
            Self::Silu => x.silu(),
            Self::Relu => x.relu(),
            Self::Gelu => x.gelu_erf(),
            Self::Mish => {
                // ln(1 + eˣ) = max(x, 0) + ln(1 + e^-|x|), which never overflows.
                let softplus = (x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
                x * softplus.tanh()?
            }
        }
    }

    /// f(x) and f'(x). SiLU also has a kernel of its own, with vector instructions.
    pub(crate) fn value_and_slope(self, x: f32) -> (f32, f32) {
        let x = f64::from(x);
        let (value, slope) = match self {
            Self::None => (x, 1.0),
            Self::Silu => {
                let p = 1.0 / (1.0 + (-x).exp());
                (x * p, p * (1.0 + x * (1.0 - p)))
            }
            Self::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
            Self::Gelu => {
                let below = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (x * below, below + x * density)
            }
            Self::Mish => {
                let tanh = (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh();
                (x * tanh, tanh + x * (1.0 - tanh * tanh) / (1.0 + (-x).exp()))
            }
        };
        (value as f32, slope as f32)
    }
}
