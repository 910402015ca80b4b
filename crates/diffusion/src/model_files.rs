//! A model in memory: what a page in a browser opens, where there are no folders.

use crate::config::SampleConfig;
use crate::drawing::Drawing;
use crate::error::{Result, Within};
use crate::model::Model;
use crate::plan::Plan;
use candle_core::{DType, Device, Tensor};
use duet_schedule::DiffusersScheduler;
use duet_train::model_folder::SCHEDULER_FILE;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Images of a comparison: classes of them at most, seeds of every class, and how many at once.
const CLASSES: usize = 10;
const SEEDS: usize = 4;
const BATCH: usize = 40;
/// Bits behind the point of a number of 16 bits.
const FEWEST_BITS: u32 = 10;
/// Bits behind the point of a number of 32 bits.
pub(crate) const ALL_BITS: u32 = 23;

/// The files of a model folder that draw, without their weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFiles {
    /// What the model is called: its folder. Nothing is read there.
    pub folder: PathBuf,
    /// The text of the network's `config.json`.
    pub network: String,
    /// The text of `scheduler_config.json`.
    pub scheduler: String,
    /// How its run draws, where it is known.
    pub sample: Option<SampleConfig>,
}

impl ModelFiles {
    /// Of a model, with the bytes of its weights' file. Of each weight's 23 bits behind the point, `bits` stay: it is rounded
    /// to the nearest value that has no more, and to the even one in the middle.
    ///
    /// # Errors
    /// Where a value cannot be written as JSON, and those of candle.
    pub fn of(model: &Model, bits: u32) -> Result<(Self, Vec<u8>)> {
        let loaded = &model.loaded;
        let tensors = loaded.parameters.iter().map(|(name, parameter)| {
            let values: Vec<f32> = parameter.as_tensor().flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
            let rounded: Vec<f32> = values.into_iter().map(|value| rounded(value, bits)).collect();
            Ok((name.to_string(), Tensor::from_vec(rounded, parameter.shape(), &Device::Cpu)?))
        });
        let weights = duet_model::weights_to_bytes(&tensors.collect::<Result<_>>()?)?;
        let network = loaded.unet.config().to_json(&loaded.notes)?;
        let (folder, scheduler) = (model.folder.clone(), model.scheduler.to_json());
        Ok((Self { folder, network, scheduler, sample: model.sample.clone() }, weights))
    }

    /// The same with as few bits, and at least 10, as leave the images of the model's own settings within
    /// `levels` grey levels, of which there are 255 from black to white. Also says by how many they differ then.
    ///
    /// # Errors
    /// As [`ModelFiles::of`], and where the model cannot draw.
    pub fn rounded(model: &Model, levels: f64) -> Result<Rounded> {
        let images = images(model)?;
        let mut bits = FEWEST_BITS;
        loop {
            let (files, weights) = Self::of(model, bits)?;
            let opened = files.clone().open(&weights, &Device::Cpu)?;
            let apart = grey_levels_apart(&images, &self::images(&opened)?);
            if apart <= levels || bits == ALL_BITS {
                return Ok(Rounded { files, weights, bits, apart });
            }
            bits += 1;
        }
    }

    /// Opens the model with the bytes of its weights' file.
    ///
    /// # Errors
    /// Where a file is damaged, or says what is not supported.
    pub fn open(self, weights: &[u8], device: &Device) -> Result<Model> {
        let loaded = duet_model::load_bytes(&self.network, weights, &self.folder, device)?;
        let place = self.folder.join(SCHEDULER_FILE);
        let scheduler = DiffusersScheduler::from_json(&self.scheduler);
        let scheduler = scheduler.within(place.display().to_string())?;
        Model::assembled(loaded, scheduler, self.sample, self.folder)
    }
}

/// A model whose weights are rounded.
pub struct Rounded {
    /// Without its weights.
    pub files: ModelFiles,
    /// The bytes of the weights' file.
    pub weights: Vec<u8>,
    /// Bits behind the point of each weight.
    pub bits: u32,
    /// The largest difference of an image's value, in grey levels.
    pub apart: f64,
}

/// The nearest value with so many bits behind the point.
fn rounded(value: f32, bits: u32) -> f32 {
    let lost = ALL_BITS - bits.min(ALL_BITS);
    if lost == 0 {
        return value;
    }
    let half = (1u32 << (lost - 1)) - 1 + (value.to_bits() >> lost & 1);
    let rounded = f32::from_bits((value.to_bits() + half) >> lost << lost);
    if rounded.is_finite() { rounded } else { value }
}

/// What a model draws with its own settings, as one row of values.
fn images(model: &Model) -> Result<Vec<f32>> {
    let drawing = Drawing::of_first_classes(&model.classes, CLASSES, SEEDS);
    let images = Plan::new(&drawing, model, BATCH, &Device::Cpu)?.draw(|_| Ok(()))?.images;
    Ok(images.flatten_all()?.to_vec1()?)
}

fn grey_levels_apart(a: &[f32], b: &[f32]) -> f64 {
    let levels =
        a.iter().zip(b).map(|(a, b)| f64::from(a.clamp(-1.0, 1.0) - b.clamp(-1.0, 1.0)).abs() * 127.5);
    // What is no number is no small difference.
    levels.fold(0.0, |most: f64, level| if level > most || level.is_nan() { level } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_rounded_to_the_nearest_value_with_few_bits() {
        // 1 + 2^-11 lies between 1 and 1 + 2^-10, of which the first is even.
        assert_eq!(rounded(1.0 + 2f32.powi(-11), 10), 1.0);
        assert_eq!(rounded(1.0 + 3.0 * 2f32.powi(-11), 10), 1.0 + 2f32.powi(-9));
        assert_eq!(rounded(-1.0 - 2f32.powi(-10), 10), -1.0 - 2f32.powi(-10));
        for value in [0.0, 0.1f32, -3.7, 1e-30, f32::MAX] {
            assert_eq!(rounded(value, 23), value);
            for bits in 10..23 {
                let error = (rounded(value, bits) - value).abs();
                assert!(error <= value.abs() * 2f32.powi(-(bits as i32) - 1), "{value} {bits}");
                // As half's own rounding has it, where half can hold the value.
                if (1e-4..6e4).contains(&value.abs()) {
                    assert_eq!(rounded(value, 10), half::f16::from_f32(value).to_f32());
                }
            }
        }
    }
}
