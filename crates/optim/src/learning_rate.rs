//! The learning rate: a linear warm-up, then a cosine.

/// The learning rate over a run. It rises linearly to `peak` in `warmup` steps, then falls along half a
/// cosine (Loshchilov & Hutter 2017) to `peak · last` at the end of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// The highest learning rate.
    pub peak: f64,
    /// The number of steps of the rise; may be 0.
    pub warmup: u64,
    /// The number of steps of the whole run.
    pub steps: u64,
    /// The last learning rate as a share of the peak, 0 to 1.
    pub last: f64,
}

impl LearningRate {
    /// The learning rate of step `step`, counted from 0. The first is peak / warmup, not 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let fall = (self.steps - self.warmup.min(self.steps)).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / fall).min(1.0);
        let cosine = (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0;
        self.peak * (self.last + (1.0 - self.last) * cosine)
    }
}
