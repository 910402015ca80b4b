//! `eval.json`: what an evaluation found out about a model.

use crate::error::{Result, Within};
use crate::judged::{Better, Judged};
use duet_data::DataError;
use duet_eval::{CopyCount, CopyCounts, Memorisation, Share};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// Name of the file, in a run's folder or in a checkpoint.
pub const EVAL_FILE: &str = "eval.json";
/// A confusion matrix of a thousand classes fits.
const MAX_BYTES: u64 = 1 << 24;

/// All of the file. Every key may be missing, and a reader passes over keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvalFile {
    /// Of the format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Hash of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The flags that it was made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
    /// How many were drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// What the judge says by which things are chosen.
    #[serde(flatten)]
    pub judged: Judged,
    /// What the second judge says, by which nothing is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_judge: Option<Judged>,
    /// Names of the classes, of the rows and columns of `confusion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memorisation: Option<CopiedShares>,
    /// Held-out loss by timestep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denoising_loss: Option<Vec<LossAt>>,
    /// Upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_dimension: Option<f64>,
    /// Standard error of the bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_dimension_error: Option<f64>,
    /// Of the model itself, used as a classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diffusion_classifier_accuracy: Option<f64>,
}

/// How much of what was drawn is a training image again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CopiedShares {
    /// Share of samples closer to a training image than nearly all held-out ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied_share: Option<f64>,
    /// The same of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied_by_class: Option<BTreeMap<String, f64>>,
    /// Share of samples closer than the median held-out one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closer_share: Option<f64>,
    /// Share of samples less than a third as far from one training image as from any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memorised_share: Option<f64>,
    /// The same of held-out images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_memorised_share: Option<f64>,
    /// How probable so many are, or more, of samples that copy no more than held-out images do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memorised_p: Option<f64>,
    /// `memorised_share` of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memorised_by_class: Option<BTreeMap<String, f64>>,
    /// `held_out_memorised_share` of each class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_memorised_by_class: Option<BTreeMap<String, f64>>,
}

impl CopiedShares {
    /// What was found, by the names of the classes.
    pub(crate) fn of(found: &Memorisation, counts: Option<&CopyCounts>, names: &[String]) -> Self {
        let name = |class: u32| names.get(class as usize).cloned().unwrap_or_else(|| class.to_string());
        let copied = found.copied_by_class.iter().map(|(&class, &share)| (name(class), share));
        let by_class = |share: fn(&CopyCount) -> Share| {
            let shares = counts?.by_class.iter().filter(|(_, count)| share(count).of > 0);
            Some(shares.map(|(&class, count)| (name(class), share(count).value())).collect())
        };
        let all = counts.map(|counts| counts.all);
        Self {
            copied_share: Some(found.copied_share),
            copied_by_class: Some(copied.collect()),
            closer_share: Some(found.closer_share),
            memorised_share: all.map(|count| count.samples.value()),
            held_out_memorised_share: all.map(|count| count.held_out.value()),
            memorised_p: all.map(|count| count.p_value()),
            memorised_by_class: by_class(|count| count.samples),
            held_out_memorised_by_class: by_class(|count| count.held_out),
        }
    }
}

/// The loss at one timestep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossAt {
    /// The timestep.
    pub t: u64,
    /// The loss.
    pub loss: f64,
}

impl EvalFile {
    /// The file in a folder; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or is not of this form.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(EVAL_FILE);
        let bytes = match duet_files::read(&path, MAX_BYTES) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|cause| DataError::Read { path: path.clone(), cause })?,
        };
        Ok(Some(serde_json::from_slice(&bytes).within(path.display().to_string())?))
    }

    /// Every single number by a name for people, those that are missing too. Names of the second judge's say so.
    pub fn numbers(&self) -> Vec<(String, Option<f64>, Better)> {
        use Better::{Lower, Neither};
        let memorisation = self.memorisation.clone().unwrap_or_default();
        let mut numbers = vec![("images", self.images.map(|images| images as f64), Neither)];
        numbers.extend(self.judged.numbers());
        numbers.extend([
            ("copied share", memorisation.copied_share, Lower),
            ("closer share (a half for real images)", memorisation.closer_share, Neither),
            ("memorised share", memorisation.memorised_share, Lower),
            ("memorised share of held-out images", memorisation.held_out_memorised_share, Neither),
            ("bits per dimension, at most", self.bits_per_dimension, Lower),
            ("bits per dimension, error", self.bits_per_dimension_error, Neither),
            ("accuracy as a classifier", self.diffusion_classifier_accuracy, Better::Higher),
        ]);
        let second = self.second_judge.clone().unwrap_or_default().numbers();
        let first = numbers.into_iter().map(|(name, value, better)| (name.to_string(), value, better));
        let second =
            second.into_iter().map(|(name, value, better)| (format!("second judge: {name}"), value, better));
        first.chain(second).collect()
    }

    /// Names of the classes that anything is known of, in the file's order where it says one.
    pub fn class_names(&self) -> Vec<String> {
        let mut names = self.classes.clone().unwrap_or_default();
        for by_class in [&self.judged.accuracy_by_class, &self.judged.frechet_by_class].into_iter().flatten()
        {
            let missing: Vec<_> = by_class.keys().filter(|name| !names.contains(name)).cloned().collect();
            names.extend(missing);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_missing_keys_are_passed_over() {
        let text = r#"{"version":1,"new":[1],"accuracy":null,"frechet":{"value":2.5,"more":{}},
            "classes":["b"],"accuracy_by_class":{"a":null,"b":1.0}}"#;
        let file: EvalFile = serde_json::from_str(text).unwrap();
        assert_eq!(file.judged.frechet.as_ref().unwrap().value, Some(2.5));
        assert_eq!((file.judged.accuracy, file.judged.recall), (None, None));
        assert_eq!(file.class_names(), ["b", "a"]);
        let again: EvalFile = serde_json::from_str(&serde_json::to_string(&file).unwrap()).unwrap();
        assert_eq!(again, file);
    }
}
