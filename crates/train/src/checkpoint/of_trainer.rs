//! The notes and the scheduler of a checkpoint's model folder.

use crate::error::TrainError;
use crate::model_folder::{ClassRows, Notes};
use crate::options::Diffusion;
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
    let of = |schedule| {
        let Diffusion { zero_terminal_snr, timesteps, prediction, .. } = *diffusion;
        DiffusersScheduler::new(schedule, zero_terminal_snr, timesteps, prediction)
    };
    let scheduler = match (diffusion.scaled_betas()?, diffusion.beta_range()?) {
        (Some(betas), _) => of(&betas)?,
        (None, Some((start, end))) => of(&diffusion.schedule)?.with_beta_range(start, end)?,
        (None, None) => of(&diffusion.schedule)?,
    };
    Ok(scheduler.with_spacing(spacing)?)
}
