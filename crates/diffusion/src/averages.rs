//! Another average of a run's weights, after the training (Karras et al. 2024, section 3).

use crate::drawing::Drawing;
use crate::error::{Result, option, setting};
use crate::files::write_folder;
use crate::metrics::Score;
use crate::model::Model;
use crate::run_folder::SNAPSHOTS;
use crate::score::score;
use crate::snapshots;
use crate::yardstick::Yardstick;
use candle_core::{Device, Tensor};
use duet_model::{LoadedModel, UNet};
use duet_optim::{POWER_LENGTHS, PowerAverage, power_factors};
use duet_train::TrainError;
use duet_train::checkpoint::{CONFIG_COPY, step_of};
use duet_train::model_folder::model_files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A larger file is no configuration.
const MAX_CONFIG: u64 = 1 << 20;
/// Of more snapshots, this many are enough, and their system of equations is quickly solved.
const MOST: usize = 200;
/// More of the wanted weighting than this left out is worth a warning.
const FAR: f64 = 0.1;

/// Averages of a run's weights, of several lengths.
pub struct Averages<'a> {
    model: &'a Model,
    lengths: Vec<f64>,
    weights: Vec<BTreeMap<String, Tensor>>,
    /// The step after which they are taken.
    pub step: u64,
}

impl<'a> Averages<'a> {
    /// Of these relative lengths σ_rel, above 0 and below 0.288, from the snapshots of the model's run up to
    /// `step`; without one, up to the model's checkpoint, or the newest.
    ///
    /// # Errors
    /// Where the run kept no snapshots, one is damaged, or a length is out of its range.
    pub fn new(run: &Path, step: Option<u64>, lengths: &[f64], model: &'a Model) -> Result<Self> {
        let snapshots = Snapshots::of(run, step, model)?;
        let weights = snapshots.averages(lengths, model)?;
        Ok(Self { model, lengths: lengths.into(), weights, step: snapshots.last })
    }

    /// The lengths in their order.
    pub fn lengths(&self) -> &[f64] {
        &self.lengths
    }

    /// The model with the average of the length with this index.
    ///
    /// # Errors
    /// Those of candle.
    pub fn model(&self, index: usize, device: &Device) -> Result<Model> {
        with_weights(self.model, self.weights[index].clone(), device)
    }

    /// Measures the model itself and each average; `on_model` sees how many are done.
    ///
    /// # Errors
    /// As [`score`].
    pub fn scores(&self, measure: &Measure, mut on_model: impl FnMut(usize)) -> Result<(Score, Vec<Score>)> {
        let of = |mut model: Model| {
            if let Some(name) = &measure.drawing.guide_with {
                model = model.with_guide(name, measure.device)?;
            }
            score(measure.drawing, &model, measure.yardstick, (measure.count, measure.batch), measure.device)
        };
        let own = of(with_weights(self.model, tensors(self.model), measure.device)?)?;
        let mut scores = Vec::new();
        for index in 0..self.lengths.len() {
            on_model(1 + index);
            scores.push(of(self.model(index, measure.device)?)?);
        }
        Ok((own, scores))
    }

    /// Writes the model with the average of this index as the folder `out`, which must not exist yet.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, index: usize, out: &Path, device: &Device) -> Result<()> {
        let model = self.model(index, device)?;
        let (config, notes) = (model.loaded.unet.config(), &model.loaded.notes);
        let mut files = model_files(config, &model.loaded.parameters, notes, &model.scheduler)?;
        if let Ok(copy) = duet_files::read(&model.folder.join(CONFIG_COPY), MAX_CONFIG) {
            files.insert(CONFIG_COPY.into(), copy);
        }
        write_folder(out, files)
    }
}

/// How averages are measured.
pub struct Measure<'a> {
    /// As `sample` has it.
    pub drawing: &'a Drawing,
    /// What they are measured with.
    pub yardstick: &'a Yardstick,
    /// Images of each.
    pub count: usize,
    /// Images at once.
    pub batch: usize,
    /// Where the model is.
    pub device: &'a Device,
}

fn tensors(model: &Model) -> BTreeMap<String, Tensor> {
    let parameters = model.loaded.parameters.iter();
    parameters.map(|(name, var)| (name.to_string(), var.as_tensor().clone())).collect()
}

/// The same model with other weights.
fn with_weights(model: &Model, weights: BTreeMap<String, Tensor>, device: &Device) -> Result<Model> {
    let (unet, parameters) = UNet::from_tensors(model.loaded.unet.config(), weights, device)?;
    let (folder, notes) = (model.loaded.folder.clone(), model.loaded.notes.clone());
    Ok(Model {
        loaded: LoadedModel { unet, parameters, folder, notes },
        scheduler: model.scheduler.clone(),
        classes: model.classes.clone(),
        sample: model.sample.clone(),
        folder: model.folder.clone(),
        null_label: model.null_label,
        null_is_assumed: model.null_is_assumed,
        guide: None,
        job: model.job.clone(),
    })
}

/// The snapshots of a run up to a step.
struct Snapshots {
    files: Vec<(u64, PathBuf)>,
    last: u64,
}

impl Snapshots {
    /// Up to `step`, or that of the model's checkpoint if there is a snapshot of it, or the newest.
    fn of(run: &Path, step: Option<u64>, model: &Model) -> Result<Self> {
        let mut files = snapshots::list(&run.join(SNAPSHOTS));
        let Some(&(newest, _)) = files.last() else {
            return Err(setting(format!(
                "{}: the run kept no snapshots of its weights; train with ema_snapshots = N in [train]",
                run.display()
            )));
        };
        let of_checkpoint = step_of(&model.folder);
        let of_checkpoint = of_checkpoint.filter(|step| files.iter().any(|(other, _)| other == step));
        let last = step.or(of_checkpoint).unwrap_or(newest);
        if !files.iter().any(|(step, _)| *step == last) {
            let known: Vec<String> = files.iter().map(|(step, _)| step.to_string()).collect();
            return Err(option("step", format!(" {last}: there are snapshots after {}", known.join(", "))));
        }
        files.retain(|(step, _)| *step <= last);
        // One that is missing is named too.
        for (_, found) in snapshots::check(&run.join(SNAPSHOTS), last)? {
            found?;
        }
        // Counted from the last, which always stays.
        let (count, every) = (files.len(), files.len().div_ceil(MOST));
        let kept = files.into_iter().enumerate().filter(|(i, _)| (count - 1 - i) % every == 0);
        let files = kept.map(|(_, file)| file).collect();
        Ok(Self { files, last })
    }

    /// The weights of each length, from one pass through the files.
    fn averages(&self, lengths: &[f64], model: &Model) -> Result<Vec<BTreeMap<String, Tensor>>> {
        let steps = self.files.iter().map(|(step, _)| *step);
        let kept: Vec<PowerAverage> =
            steps.flat_map(|step| POWER_LENGTHS.map(|length| PowerAverage { step, length })).collect();
        let mut factors = Vec::new();
        for &length in lengths {
            let (found, left) = power_factors(&kept, PowerAverage { step: self.last, length })?;
            if left > FAR {
                let left = 100.0 * left;
                log::warn!("length {length}: {left:.0} % of its weighting cannot be made of the snapshots");
            }
            factors.push(found);
        }
        let mut sums = vec![BTreeMap::new(); lengths.len()];
        for (i, (_, path)) in self.files.iter().enumerate() {
            let refuse = |reason: String| TrainError::Checkpoint { path: path.clone(), reason };
            let tensors = duet_model::read_tensors(path, model.loaded.unet.device())?;
            for (j, length) in POWER_LENGTHS.iter().enumerate() {
                for (name, _) in model.loaded.parameters.iter() {
                    let key = format!("{length}.{name}");
                    let values = tensors.get(&key).ok_or_else(|| refuse(format!("{key} is missing")))?;
                    for (sums, factors) in sums.iter_mut().zip(&factors) {
                        add(sums, name, values, factors[i * POWER_LENGTHS.len() + j])
                            .map_err(|error| refuse(error.to_string()))?;
                    }
                }
            }
        }
        Ok(sums)
    }
}

fn add(
    sums: &mut BTreeMap<String, Tensor>,
    name: &str,
    values: &Tensor,
    factor: f64,
) -> candle_core::Result<()> {
    let part = (values * factor)?;
    let sum = match sums.remove(name) {
        Some(sum) => (sum + part)?,
        None => part,
    };
    sums.insert(name.into(), sum);
    Ok(())
}
