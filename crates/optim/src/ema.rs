//! Exponential moving average of the weights.

/// The decay after `step` steps: min(decay, (1 + step) / (10 + step)). This warm-up lets the average forget
/// the first weights, which are useless (TensorFlow's ExponentialMovingAverage has it too).
pub fn ema_decay(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

/// The first step at which the warm-up no longer keeps [`ema_decay`] below `decay`; `decay` is below 1.
///
/// Before this step, the weights of step s count about ∝ s^8. The average then covers the last tenth of the
/// steps, for every decay.
pub fn ema_reached(decay: f64) -> u64 {
    // (1 + s) / (10 + s) = decay
    ((10.0 * decay - 1.0) / (1.0 - decay)).max(0.0).round() as u64
}
