//! The notes and the scheduler of a checkpoint's model folder.

use crate::error::TrainError;
use crate::model_folder::{ClassRows, Notes};
use crate::trainer::Trainer;
use duet_schedule::{DiffusersScheduler, Spacing};

/// The notes of a checkpoint's network: the names of the classes, and the null label. There is no null
/// label if training never drops a label, because its row was then never trained.
pub fn notes(trainer: &Trainer, classes: &[String]) -> Notes {
    let mut notes = Notes::new();
    ClassRows::write_names(&mut notes, classes);
    if let Some(rows) = trainer.unet.config().num_class_embeds {
        let learned = trainer.options.label_dropout > 0.0;
        ClassRows::write_null_label(&mut notes, learned.then_some(rows as u32 - 1));
    }
    notes
}

/// The scheduler of a checkpoint: the noise schedule of the training, and the spacing of the timesteps for
/// sampling. Errors: a spacing that the schedule cannot have.
pub fn scheduler(trainer: &Trainer, spacing: &Spacing) -> Result<DiffusersScheduler, TrainError> {
    let diffusion = &trainer.diffusion;
    let scheduler = DiffusersScheduler::new(
        &diffusion.schedule,
        diffusion.zero_terminal_snr,
        diffusion.timesteps,
        diffusion.prediction,
    )?;
    let scheduler = match diffusion.beta_range()? {
        Some((start, end)) => scheduler.with_beta_range(start, end)?,
        None => scheduler,
    };
    Ok(scheduler.with_spacing(spacing)?)
}
