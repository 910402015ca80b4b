//! Classifier-free guidance and what can be varied about it.

use crate::history::History;
use crate::noise_interval::NoiseInterval;
use crate::rescale::Rescale;
use crate::rule::Rule;
use crate::weight::WeightSchedule;

/// Classifier-free guidance (Ho & Salimans 2022, equation 6) and what can be varied about it.
///
/// p̃ = p(x, ∅) + w · (p(x, c) - p(x, ∅)). **w = 1 is no guidance** and w = 0 unconditional, with the
/// plain rule: the others are at w = 0 what their formulas say, the limit of small w. Larger w trades variety for fidelity to the class. Ho & Salimans write (1 + w')p(x, c) - w'p(x, ∅):
/// w = 1 + w'. The rule holds for ε, v and x_0 predictions alike, which are affine in each other.
///
/// The network is asked twice for an image only in steps where its answer for the null label counts.
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

/// The prediction that guidance leads away from: p(x, ∅) in the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// The network's own for one label: the null label, or a class that is not wanted.
    Label(u32),
    /// The network's own for a class drawn anew in each step, for networks that know no null label:
    /// independent condition guidance (Sadat et al. 2024b, section 3.1).
    Independent {
        /// Number of classes to draw from.
        classes: u32,
    },
    /// A weaker network's, for the same labels: autoguidance (Karras et al. 2024).
    Guide,
    /// A weaker network's for one label.
    GuideLabel(u32),
}

impl Away {
    /// Whether it is another network's.
    pub fn is_guide(self) -> bool {
        matches!(self, Self::Guide | Self::GuideLabel(_))
    }
}

/// The noise that a step puts back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renoise {
    /// What the guided x̂_0 leaves of x.
    #[default]
    Guided,
    /// The null prediction's ε: CFG++ (Chung et al. 2024), whose λ in [0, 1] is w here. Outside the
    /// interval of guidance a step is the conditional prediction's alone.
    Null,
}

impl Renoise {
    /// Where a weight that grows begins: at no guidance, and with CFG++ at λ = 0.
    pub(crate) fn first_weight(self) -> f64 {
        match self {
            Self::Guided => 1.0,
            Self::Null => 0.0,
        }
    }
}

impl Guidance {
    /// Constant weight w, any finite number. `null_label` is the label that stands for no class; none
    /// for a network that was trained without one, which then takes w = 1 only.
    pub fn new(weight: f64, null_label: Option<u32>) -> Self {
        let (schedule, interval, rule, rescale, renoise, history) = Default::default();
        let away = null_label.map(Away::Label);
        Self { weights: vec![weight], away, schedule, interval, rule, rescale, renoise, history }
    }

    /// Another prediction than the null label's to lead away from.
    pub fn with_away(self, away: Away) -> Self {
        Self { away: Some(away), ..self }
    }

    /// A weight for each image of the batch.
    pub fn with_weights(self, weights: Vec<f64>) -> Self {
        Self { weights, ..self }
    }

    /// The weight as a function of the step.
    pub fn with_schedule(self, schedule: WeightSchedule) -> Self {
        Self { schedule, ..self }
    }

    /// Guidance within an interval of noise levels alone; outside it, the null pass is not taken.
    pub fn with_interval(self, interval: NoiseInterval) -> Self {
        Self { interval, ..self }
    }

    /// Another rule than the plain one.
    pub fn with_rule(self, rule: impl Into<Rule>) -> Self {
        Self { rule: rule.into(), ..self }
    }

    /// How far the guided prediction's deviation is brought back to the conditional one's (Lin et al. 2023,
    /// section 3.4), both as v.
    pub fn with_rescale(self, rescale: Rescale) -> Self {
        Self { rescale, ..self }
    }

    /// The noise that a step puts back.
    pub fn with_renoise(self, renoise: Renoise) -> Self {
        Self { renoise, ..self }
    }

    /// How each estimate is led on by that of the step before: guidance of its own, at every w, also 1.
    pub fn with_history(self, history: History) -> Self {
        Self { history, ..self }
    }

    /// Whether a step depends on what those before it saw.
    pub(crate) fn remembers(&self) -> bool {
        self.rule.remembers() || !self.history.is_none()
    }

    /// The same for a part of the batch.
    pub fn of_images(&self, range: std::ops::Range<usize>) -> Self {
        match self.weights.len() {
            1 => self.clone(),
            _ => Self { weights: self.weights[range].to_vec(), ..self.clone() },
        }
    }
}
