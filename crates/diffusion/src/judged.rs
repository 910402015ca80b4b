//! What one judge says of a set of samples, as `eval.json` has it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The numbers of one judge. The second judge's stand in a table of their own. Every key may be missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Judged {
    /// Share of images that the judge takes for the class that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_interval: Option<Interval>,
    /// Share of held-out images that the judge takes for their class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_accuracy: Option<f64>,
    /// `accuracy` of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy_by_class: Option<BTreeMap<String, Option<f64>>>,
    /// Images by the class asked for (rows) and the class seen (columns).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Of all samples to all held-out images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frechet: Option<Frechet>,
    /// The same of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frechet_by_class: Option<BTreeMap<String, Option<f64>>>,
    /// Of all samples to all held-out images, by a polynomial kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_distance: Option<f64>,
    /// Its 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_interval: Option<Interval>,
    /// Whether a classifier tells held-out images from samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_sample: Option<TwoSampleTest>,
    /// Share of samples within the real manifold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// Share of real images within the samples' manifold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// How full the real neighbourhoods are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// Share of real neighbourhoods that hold a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Share of samples that look real; above 1 where they are more typical than real images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipped_density: Option<f64>,
    /// Share of samples that cover the real variety; above 1 by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipped_coverage: Option<f64>,
    /// The same number of samples and of unseen real images, each against the same other real images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal_counts: Option<EqualCounts>,
}

/// The ends of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower.
    pub low: f64,
    /// Upper.
    pub high: f64,
}

/// A Fréchet distance with its interval, and that of real images to real ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frechet {
    /// The distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Of as many real training images: of the first judge's own, and of those that the second has not seen. None where
    /// there are not as many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
}

/// The classifier two-sample test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TwoSampleTest {
    /// Share of images that are told right, half of them for perfect samples.
    pub accuracy: f64,
    /// Its standard error.
    pub error: f64,
    /// How probable so many, or more, are of perfect samples.
    pub p: f64,
    /// Images of either kind.
    pub images: u64,
    /// `accuracy` of as many real training images as there are samples, those of the Fréchet distance's `floor`: what a
    /// perfect model of the training images would have, where the held-out images are of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(default)]
    pub floor: Option<f64>,
}

/// Distances that compare, because both are of as many images to the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EqualCounts {
    /// How many samples, and how many real images.
    pub images: u64,
    /// How many other real images they are compared with.
    pub reference: u64,
    /// The mean over parts of the samples.
    pub drawn: Distances,
    /// Of one half of the held-out images to the other.
    pub real: Distances,
}

/// The metrics of as many images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are the metrics of the same names")]
pub struct Distances {
    pub frechet: f64,
    pub kernel_distance: f64,
    pub precision: f64,
    pub recall: f64,
    pub density: f64,
    pub coverage: f64,
    pub clipped_density: f64,
    pub clipped_coverage: f64,
}

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The lower one.
    Lower,
    /// The higher one.
    Higher,
    /// Neither is.
    Neither,
}

impl From<duet_eval::Closeness> for Distances {
    fn from(of: duet_eval::Closeness) -> Self {
        Self {
            frechet: of.frechet,
            kernel_distance: of.kernel_distance,
            precision: of.precision,
            recall: of.recall,
            density: of.density,
            coverage: of.coverage,
            clipped_density: of.clipped_density,
            clipped_coverage: of.clipped_coverage,
        }
    }
}

impl From<duet_eval::TwoSample> for TwoSampleTest {
    fn from(of: duet_eval::TwoSample) -> Self {
        Self { accuracy: of.accuracy, error: of.error, p: of.p_value, images: of.images as u64, floor: None }
    }
}

impl From<duet_eval::ConfidenceInterval> for Interval {
    fn from(of: duet_eval::ConfidenceInterval) -> Self {
        Self { low: of.low, high: of.high }
    }
}

impl Distances {
    /// Each by its name for people.
    pub fn numbers(&self) -> [(&'static str, f64); 8] {
        [
            ("Fréchet distance", self.frechet),
            ("kernel distance", self.kernel_distance),
            ("precision", self.precision),
            ("recall", self.recall),
            ("density", self.density),
            ("coverage", self.coverage),
            ("clipped density", self.clipped_density),
            ("clipped coverage", self.clipped_coverage),
        ]
    }
}

impl Judged {
    /// Every single number by a name for people, those that are missing too.
    pub fn numbers(&self) -> Vec<(&'static str, Option<f64>, Better)> {
        use Better::{Higher, Lower, Neither};
        let frechet = self.frechet.clone().unwrap_or_default();
        let equal = self.equal_counts;
        vec![
            ("accuracy", self.accuracy, Higher),
            ("accuracy, low", self.accuracy_interval.map(|i| i.low), Neither),
            ("accuracy, high", self.accuracy_interval.map(|i| i.high), Neither),
            ("accuracy on held-out images", self.held_out_accuracy, Neither),
            ("Fréchet distance", frechet.value, Lower),
            ("Fréchet distance, low", frechet.low, Neither),
            ("Fréchet distance, high", frechet.high, Neither),
            ("Fréchet distance of real training images", frechet.floor, Neither),
            ("kernel distance", self.kernel_distance, Lower),
            ("kernel distance, low", self.kernel_interval.map(|i| i.low), Neither),
            ("kernel distance, high", self.kernel_interval.map(|i| i.high), Neither),
            ("two-sample accuracy (a half is perfect)", self.two_sample.map(|test| test.accuracy), Lower),
            ("two-sample accuracy, error", self.two_sample.map(|test| test.error), Neither),
            (
                "two-sample accuracy of real training images",
                self.two_sample.and_then(|test| test.floor),
                Neither,
            ),
            ("two-sample p", self.two_sample.map(|test| test.p), Neither),
            ("precision", self.precision, Higher),
            ("recall", self.recall, Higher),
            ("density", self.density, Higher),
            ("coverage", self.coverage, Higher),
            ("clipped density", self.clipped_density, Higher),
            ("clipped coverage", self.clipped_coverage, Higher),
            ("images at equal counts", equal.map(|equal| equal.images as f64), Neither),
            ("Fréchet distance at equal counts", equal.map(|equal| equal.drawn.frechet), Lower),
            ("Fréchet distance of unseen real images", equal.map(|equal| equal.real.frechet), Neither),
            ("kernel distance at equal counts", equal.map(|equal| equal.drawn.kernel_distance), Lower),
            ("kernel distance of unseen real images", equal.map(|equal| equal.real.kernel_distance), Neither),
        ]
    }
}
