//! Exponential moving average of the weights.

/// Decay after `step` steps: min(decay, (1 + step) / (10 + step)), so that the average forgets the
/// first, useless weights (the warm-up of TensorFlow's ExponentialMovingAverage).
pub fn ema_decay(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}
