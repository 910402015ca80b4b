//! Classifier-free guidance and its options.

use crate::history::History;
use crate::noise_interval::NoiseInterval;
use crate::rescale::Rescale;
use crate::rule::Rule;
use crate::weight::WeightSchedule;

/// Classifier-free guidance (Ho & Salimans 2022, equation 6) and its options.
///
/// p̃ = p(x, ∅) + w · (p(x, c) - p(x, ∅)). **w = 1 is no guidance**. With the plain rule, w = 0 is
/// unconditional; the other rules follow their own formulas at w = 0. A larger w gives less variety and
/// more fidelity to the class. Ho & Salimans write (1 + w')p(x, c) - w'p(x, ∅), so w = 1 + w'. The rule
/// holds for ε, v and x_0 predictions alike, because they are affine functions of each other.
///
/// The network evaluates an image twice only in steps where its answer for the null label matters.
#[derive(Debug, Clone, PartialEq)]
pub struct Guidance {
    /// One for all images, or one for each.
    pub(crate) weights: Vec<f64>,
    pub(crate) away: Option<Away>,
    pub(crate) schedule: WeightSchedule,
    pub(crate) interval: NoiseInterval,
    pub(crate) rule: Rule,
    pub(crate) rescale: Rescale,
    pub(crate) renoise: Renoise,
    pub(crate) history: History,
}

/// The prediction that guidance pushes away from: p(x, ∅) in the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// The prediction of the same network for one label: the null label, or an unwanted class.
    Label(u32),
    /// The prediction of the same network for a class that is drawn anew in each step. It is for networks
    /// without a null label: independent condition guidance (Sadat et al. 2024b, section 3.1).
    Independent {
        /// Number of classes to draw from.
        classes: u32,
    },
    /// The prediction of a weaker network for the same labels: autoguidance (Karras et al. 2024).
    Guide,
    /// The prediction of a weaker network for one label.
    GuideLabel(u32),
}

impl Away {
    /// Whether another network makes this prediction.
    pub fn is_guide(self) -> bool {
        matches!(self, Self::Guide | Self::GuideLabel(_))
    }
}

/// The noise that a step puts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renoise {
    /// The noise that remains of x without the guided x̂_0.
    #[default]
    Guided,
    /// ε of the null prediction: CFG++ (Chung et al. 2024). Its λ in [0, 1] is w here. Outside the interval
    /// of guidance, a step uses the conditional prediction alone.
    Null,
}

impl Renoise {
    /// The first value of a weight that grows: 1 (no guidance), or λ = 0 with CFG++.
    pub(crate) fn first_weight(self) -> f64 {
        match self {
            Self::Guided => 1.0,
            Self::Null => 0.0,
        }
    }
}

impl Guidance {
    /// Guidance with a constant weight w, any finite number. `null_label` is the label that means no class.
    /// A network that was trained without one takes `None`, and then only w = 1.
    pub fn new(weight: f64, null_label: Option<u32>) -> Self {
        let (schedule, interval, rule, rescale, renoise, history) = Default::default();
        let away = null_label.map(Away::Label);
        Self { weights: vec![weight], away, schedule, interval, rule, rescale, renoise, history }
    }

    /// Pushes away from this prediction instead of the null label's.
    pub fn with_away(self, away: Away) -> Self {
        Self { away: Some(away), ..self }
    }

    /// Gives each image of the batch a weight of its own.
    pub fn with_weights(self, weights: Vec<f64>) -> Self {
        Self { weights, ..self }
    }

    /// Makes the weight a function of the step.
    pub fn with_schedule(self, schedule: WeightSchedule) -> Self {
        Self { schedule, ..self }
    }

    /// Guides only in an interval of noise levels. Outside it, the network does not evaluate the null
    /// label.
    pub fn with_interval(self, interval: NoiseInterval) -> Self {
        Self { interval, ..self }
    }

    /// Uses another rule than the plain one.
    pub fn with_rule(self, rule: impl Into<Rule>) -> Self {
        Self { rule: rule.into(), ..self }
    }

    /// Rescales the guided prediction: its standard deviation moves back towards that of the conditional
    /// one (Lin et al. 2023, section 3.4), both as v.
    pub fn with_rescale(self, rescale: Rescale) -> Self {
        Self { rescale, ..self }
    }

    /// The noise that a step puts back.
    pub fn with_renoise(self, renoise: Renoise) -> Self {
        Self { renoise, ..self }
    }

    /// Extrapolates each estimate from the previous step's. This is a guidance of its own; it works at
    /// every w, also at 1.
    pub fn with_history(self, history: History) -> Self {
        Self { history, ..self }
    }

    /// Whether a step depends on the steps before it.
    pub(crate) fn remembers(&self) -> bool {
        self.rule.remembers() || !self.history.is_none()
    }

    /// The guidance of a part of the batch.
    pub fn of_images(&self, range: std::ops::Range<usize>) -> Self {
        match self.weights.len() {
            1 => self.clone(),
            _ => Self { weights: self.weights[range].to_vec(), ..self.clone() },
        }
    }
}
