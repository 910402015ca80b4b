//! The code of a timestep by sines and cosines.

use candle_core::{Result, Tensor};

/// Sines and cosines of a timestep at several frequencies, rounded as in torch. t goes up to 1000, so t times a
/// frequency is large, and one more digit of a frequency would change the code visibly.
#[derive(Debug, Clone)]
pub(crate) struct Waves {
    pub kind: Kind,
    /// The length of the code. What the waves leave of it is 0.
    pub width: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Of t · f (Vaswani et al. 2017; Ho et al. 2020).
    Positional { frequencies: Vec<f32>, cosine_first: bool },
    /// Of 2π · w · ln t at fixed random w (Song et al. 2021b), sines first.
    Fourier { weight: Tensor },
}

impl Waves {
    /// f_i = 10000^(-i / (width / 2 - freq_shift)), i < width / 2.
    pub fn positional(width: usize, freq_shift: f64, cosine_first: bool) -> Self {
        let half = width / 2;
        let log = -(10_000f64.ln()) as f32;
        let divisor = (half as f64 - freq_shift) as f32;
        let frequencies = (0..half).map(|i| f64::from(log * i as f32 / divisor).exp() as f32).collect();
        Self { kind: Kind::Positional { frequencies, cosine_first }, width }
    }

    /// Of frequencies (W), with codes of length 2·W.
    pub fn fourier(weight: Tensor) -> Result<Self> {
        let width = 2 * weight.dims1()?;
        Ok(Self { kind: Kind::Fourier { weight }, width })
    }

    /// Whether the cosines come before the sines.
    pub fn cosine_first(&self) -> bool {
        matches!(self.kind, Kind::Positional { cosine_first: true, .. })
    }

    /// The codes of timesteps (B), one after another: (B, width).
    pub fn codes(&self, t: &[f32]) -> Result<Vec<f32>> {
        let mut codes = vec![0f32; t.len() * self.width];
        let rows = codes.chunks_exact_mut(self.width).zip(t);
        match &self.kind {
            Kind::Positional { frequencies, .. } => {
                for (code, &t) in rows {
                    self.write(frequencies.iter().map(|frequency| t * frequency), code);
                }
            }
            Kind::Fourier { weight } => {
                let weight = weight.to_vec1::<f32>()?;
                for (code, &t) in rows {
                    let log = f64::from(t).ln() as f32;
                    self.write(weight.iter().map(|w| log * w * 2.0 * std::f32::consts::PI), code);
                }
            }
        }
        Ok(codes)
    }

    /// Sines and cosines of the phases, one half each. The rest of `code` stays 0.
    fn write(&self, phases: impl ExactSizeIterator<Item = f32>, code: &mut [f32]) {
        let half = phases.len();
        for (i, phase) in phases.enumerate() {
            let (sin, cos) = f64::from(phase).sin_cos();
            let (first, second) = if self.cosine_first() { (cos, sin) } else { (sin, cos) };
            code[i] = first as f32;
            code[half + i] = second as f32;
        }
    }
}
