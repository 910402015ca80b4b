//! The record of a run's steps, `metrics.jsonl`.

use crate::error::Result;
use crate::eval_file::CopiedShares;
use duet_train::TrainError;
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Name of the file in a run's folder.
pub const METRICS: &str = "metrics.jsonl";
/// Read first of a file's end.
const FIRST_PART: u64 = 1 << 14;
/// No more is read of a file's end.
const MOST_READ: u64 = 1 << 26;
/// Longer metrics are those of no run.
const MAX_METRICS: u64 = 1 << 32;

/// One line of `metrics.jsonl`: every step has exactly one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Counted from 1.
    pub step: u64,
    /// Weighted, of the step's images.
    pub loss: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Of this step.
    pub learning_rate: f64,
    /// Unweighted, of the averaged weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_loss: Option<f64>,
    /// Of images drawn with the averaged weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// How much of the same images is training images again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memorisation: Option<CopiedShares>,
}

/// The quick metrics of drawn images, named as in tables and files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of images that the classifier takes for the class that was asked for.
    pub accuracy: f64,
    /// To the held-out images; too large for few images, and comparable for equally many.
    pub frechet: f64,
    /// Share of samples within the real manifold.
    pub precision: f64,
    /// Share of real images within the samples' manifold.
    pub recall: f64,
    /// How full the real neighbourhoods are.
    pub density: f64,
    /// Share of real neighbourhoods that hold a sample.
    pub coverage: f64,
}

/// The steps at which copies were measured, with the p-value of each.
pub(crate) fn p_values(metrics: &[Metrics]) -> Vec<(u64, f64)> {
    metrics.iter().filter_map(|m| Some((m.step, m.memorisation.as_ref()?.memorised_p?))).collect()
}

/// The metrics of a run's folder as far as each step follows from the one before.
pub struct StepHistory {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where the line of each step ends.
    ends: Vec<usize>,
    /// Lines of later steps behind one that is wrong or missing.
    later: Vec<(u64, Vec<u8>)>,
    /// The line that ends it, counted from 1, and why; none where it is the end, or a line that a
    /// crash cut short.
    pub fault: Option<(usize, String)>,
}

impl StepHistory {
    /// Reads a run's metrics; none where there is no such file. A line that comes twice counts once.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(METRICS);
        let (bytes, mut ends, mut fault, mut kept) = (read_bytes(&path)?, Vec::new(), None, Vec::new());
        let mut later: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut before: &[u8] = b"";
        for (i, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let whole = line.ends_with(b"\n");
            let step = serde_json::from_slice::<Metrics>(line).map(|metrics| metrics.step);
            match step {
                Ok(step) if fault.is_some() => {
                    if whole && later.last().map_or(ends.len() as u64, |(last, _)| *last) < step {
                        later.push((step, line.to_vec()));
                    }
                }
                Err(_) if fault.is_some() => {}
                Ok(step) if whole && step == ends.len() as u64 + 1 => {
                    kept.extend_from_slice(line);
                    ends.push(kept.len());
                    before = line;
                }
                Ok(_) if line == before => {}
                // A crash cuts the last line short.
                _ if !whole => {}
                Ok(step) => {
                    fault = Some((i + 1, format!("step {step} comes after step {}", ends.len())));
                    if step > ends.len() as u64 {
                        later.push((step, line.to_vec()));
                    }
                }
                Err(error) => {
                    fault = Some((i + 1, format!("no line of metrics ({error})")));
                }
            }
        }
        Ok(Self { path, bytes: kept, ends, later, fault })
    }

    /// The last step that it has; 0 for none.
    pub fn last(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Whether the file is empty or absent.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.fault.is_none()
    }

    /// Why it has no more steps, for an error.
    pub fn reason(&self) -> String {
        let (path, last) = (self.path.display(), self.last());
        match &self.fault {
            Some((line, reason)) => format!("{path}: line {line}: {reason}"),
            None => format!("{path}: it ends after step {last}"),
        }
    }

    /// The lines up to a step, with those behind a gap.
    pub(crate) fn until(&self, step: u64) -> Vec<u8> {
        let steps = usize::try_from(step).unwrap_or(usize::MAX).min(self.ends.len());
        let mut lines = self.bytes[..steps.checked_sub(1).map_or(0, |last| self.ends[last])].to_vec();
        for (_, line) in self.later.iter().filter(|(later, _)| *later <= step) {
            lines.extend_from_slice(line);
        }
        lines
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    match duet_files::read(path, MAX_METRICS) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => Ok(bytes.map_err(|cause| TrainError::Read { path: path.into(), cause })?),
    }
}

/// The lines behind a step, at most the last `most` of them. Only the end of the file is read, so a run may be looked
/// at while it is trained. What is no such line is passed over.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn after(path: &Path, step: u64, most: usize) -> Result<Vec<Metrics>> {
    let failed = |cause| TrainError::Read { path: path.into(), cause };
    let mut file = match duet_files::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(failed)?,
    };
    let length = file.metadata().map_err(failed)?.len();
    let mut part = FIRST_PART.min(length);
    loop {
        file.seek(SeekFrom::End(-(part as i64))).map_err(failed)?;
        let mut bytes = Vec::new();
        (&file).take(part).read_to_end(&mut bytes).map_err(failed)?;
        // A part begins in the middle of a line.
        let begin =
            if part == length { 0 } else { bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len()) };
        let lines = bytes[begin..].split(|&byte| byte == b'\n');
        let read: Vec<Metrics> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let enough = read.first().is_some_and(|first| first.step <= step) || read.len() >= most;
        if enough || part == length || part >= MOST_READ {
            let mut behind: Vec<Metrics> = read.into_iter().filter(|metrics| metrics.step > step).collect();
            return Ok(behind.split_off(behind.len().saturating_sub(most)));
        }
        part = (part * 4).min(length);
    }
}

/// The lines of a run's metrics, none where there is no such file; what is no such line is warned
/// about, but for a last one that is cut short.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn read(path: &Path) -> Result<Vec<Metrics>> {
    let mut found = Vec::new();
    for (i, line) in read_bytes(path)?.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(metrics) => found.push(metrics),
            Err(error) if line.ends_with(b"\n") => {
                log::warn!("{}: line {}: no line of metrics ({error})", path.display(), i + 1);
            }
            Err(_) => {}
        }
    }
    Ok(found)
}
