//! The diffusion model as a classifier (Li et al. 2023).

use crate::draw::seam;
use crate::error::{Result, option, setting};
use crate::model::Model;
use candle_core::{Device, Tensor};
use duet_data::{ImageSize, Raster};
use duet_eval::{Classified, Denoiser, Labelled, classify_by_denoising};
use duet_model::Purpose;
use std::path::Path;

/// Pairs of timestep and noise in each stage, after which the worse half of the classes is out.
const STAGES: [usize; 4] = [8, 16, 32, 64];
/// Rows that the network is given at once.
const BATCH: usize = 128;

/// The classes of images (n, C, H, W), as the model sees them.
///
/// # Errors
/// Those of the network.
pub fn classified(model: &Model, images: &Tensor) -> Result<Classified> {
    classified_while(model, images, || Ok(()))
}

/// The same; `on_step` is called before the network is, and its error ends the work.
fn classified_while(
    model: &Model,
    images: &Tensor,
    mut on_step: impl FnMut() -> Result<()>,
) -> Result<Classified> {
    let snapshot = model.loaded.unet.snapshot(Purpose::Prediction)?;
    let schedule = model.scheduler.noise_schedule()?;
    let mut network = seam(&snapshot);
    let mut predict = |x: &Tensor, t: &Tensor, labels: Option<&Tensor>| {
        on_step()?;
        network(x, t, labels)
    };
    let prediction = model.scheduler.prediction()?;
    let mut denoiser = Denoiser { schedule: &schedule, prediction, predict: &mut predict, batch: BATCH };
    let data = Labelled { images, labels: None };
    Ok(classify_by_denoising(&mut denoiser, data, model.classes.len() as u32, &STAGES, 0)?)
}

/// What one image file shows, fitted to the model's images.
///
/// # Errors
/// Where it cannot be read, or the model's images have no known size, or other channels than a file's 1 or 3.
pub fn picture(model: &Model, path: &Path) -> Result<u32> {
    Ok(raster(model, Raster::read(path)?, || Ok(()))?.classes[0])
}

/// What one image shows, fitted to the model's; `on_step` is called before the network is, and its error ends the work.
///
/// # Errors
/// Where the model's images have no known size, or other channels than a file's 1 or 3, and those of the network.
pub fn raster(model: &Model, image: Raster, on_step: impl FnMut() -> Result<()>) -> Result<Classified> {
    check(model, model.classes.len())?;
    let config = model.loaded.unet.config();
    let Some((height, width)) = config.sample_size.map(|size| size.sides()) else {
        return Err(option("image", ": the size of the model's images is not known"));
    };
    let image = image.fitted(config.in_channels, ImageSize::new(height, width)?)?;
    let shape = (1, config.in_channels, height, width);
    let image = Tensor::from_vec(image.to_unit(), shape, &Device::Cpu)?;
    classified_while(model, &image, on_step)
}

/// Refuses a model that cannot tell so many classes apart.
///
/// # Errors
/// [`crate::Error::Setting`].
pub fn check(model: &Model, classes: usize) -> Result<()> {
    match model.classes.len() {
        0 => Err(setting(format!("{}: has no classes to tell apart", model.folder.display()))),
        known if known != classes => {
            Err(setting(format!("the data have {classes} classes, and the model knows {known}")))
        }
        _ => Ok(()),
    }
}
