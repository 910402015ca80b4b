//! Exponential moving average of the weights.

/// Decay after `step` steps: min(decay, (1 + step) / (10 + step)), so that the average forgets the
/// first, useless weights (the warm-up of TensorFlow's ExponentialMovingAverage).
pub fn ema_decay(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

/// The first step at which the warm-up no longer holds [`ema_decay`] below `decay`, which is below 1.
///
/// Before it the weights of step s count ∝ s^8, about: the average is over the last tenth of the steps,
/// whatever the decay.
pub fn ema_reached(decay: f64) -> u64 {
    // (1 + s) / (10 + s) = decay
    ((10.0 * decay - 1.0) / (1.0 - decay)).max(0.0).round() as u64
}
