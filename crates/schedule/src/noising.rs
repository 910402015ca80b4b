//! x_t and the training target from an image and its noise, value by value.

use crate::noise::NoiseSchedule;
use crate::prediction::Prediction;

impl NoiseSchedule {
    /// Writes x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε, the image with the noise of timestep t (Ho et al. 2020, equation
    /// 4). It computes in f32; the factors are rounded once.
    ///
    /// Panics: three slices that are not equally long; t ≥ T.
    pub fn x_t(&self, t: usize, x_0: &[f32], noise: &[f32], out: &mut [f32]) {
        let alpha_bar = self.alpha_bar(t);
        // x_t = √ᾱ_t x_0 + √(1-ᾱ_t) ε
        mix((alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()), x_0, noise, out);
    }
}

impl Prediction {
    /// Writes what the network should predict at x_t: ε, v = √ᾱ_t ε - √(1-ᾱ_t) x_0, or x_0. It computes in
    /// f32; the factors of [`Prediction::target_coefficients`] are rounded once.
    ///
    /// Panics: three slices that are not equally long; t ≥ T.
    pub fn target(self, (schedule, t): (&NoiseSchedule, usize), x_0: &[f32], noise: &[f32], out: &mut [f32]) {
        // target = a·x_0 + b·ε
        mix(self.target_coefficients(schedule.alpha_bar(t)), x_0, noise, out);
    }
}

/// out = a·x_0 + b·ε
fn mix((a, b): (f64, f64), x_0: &[f32], noise: &[f32], out: &mut [f32]) {
    assert!(x_0.len() == out.len() && noise.len() == out.len(), "an image, its noise and a place for both");
    let (a, b) = (a as f32, b as f32);
    for ((out, x_0), noise) in out.iter_mut().zip(x_0).zip(noise) {
        *out = a * x_0 + b * noise;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::betas::BetaSchedule;

    #[test]
    fn x_t_and_the_target_together_say_the_image_and_the_noise() {
        let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap();
        let (x_0, noise) = ([-1.0f32, 0.25, 0.5, 1.0], [0.3f32, -2.0, 0.0, 1.5]);
        for kind in [Prediction::Epsilon, Prediction::V, Prediction::X0] {
            for t in [0, 1, 400, 700] {
                let (mut x_t, mut target) = ([0f32; 4], [0f32; 4]);
                schedule.x_t(t, &x_0, &noise, &mut x_t);
                kind.target((&schedule, t), &x_0, &noise, &mut target);
                let (a, b) = kind.x0_coefficients(schedule.alpha_bar(t));
                let (c, d) = kind.epsilon_coefficients(schedule.alpha_bar(t));
                for i in 0..4 {
                    let (x, p) = (f64::from(x_t[i]), f64::from(target[i]));
                    assert!((a * x + b * p - f64::from(x_0[i])).abs() < 1e-5, "{kind} {t}");
                    assert!((c * x + d * p - f64::from(noise[i])).abs() < 1e-5, "{kind} {t}");
                }
            }
        }
    }
}
