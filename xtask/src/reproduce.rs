//! `cargo xtask reproduce`: draws a picture again from what it says of itself.

use crate::note::{Form, Note};
use crate::plan::{FRAME_MS, Frames, Models, Plan};
use crate::sample::{create_parent, write_atomically};
use crate::{hardware, images};
use anyhow::{Result, bail};
use duet_data::encode_apng;
use std::path::PathBuf;

/// Images in one pass; they do not depend on it.
const BATCH: usize = 64;

/// Flags of `reproduce`.
#[derive(clap::Args)]
pub struct Args {
    /// A PNG that `sample` wrote
    image: PathBuf,
    /// The model, where it is not where it was [default: what the picture names]
    #[arg(long, value_name = "DIR|latest")]
    run: Option<String>,
    /// Where the picture goes [default: nowhere, it is compared]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let (note, texts) = Note::read(&args.image)?;
    hardware::set_threads(args.threads)?;
    let device = hardware::device(&args.device)?;
    let mut drawing = note.drawing.clone();
    if let Some(run) = args.run {
        drawing.run = run;
    }
    let models = Models::load(&drawing, &device)?;
    note.check(&models.model, models.guide.as_ref())?;
    let mut plan = Plan::new(&drawing, &models, BATCH, &device)?;
    let texts: Vec<(&str, String)> =
        texts.iter().map(|(keyword, text)| (keyword.as_str(), text.clone())).collect();
    let bytes = match note.form {
        Form::Grid => plan.grid(&plan.draw(|_| Ok(()))?.images)?.encode_png_with(&texts),
        Form::Animation => {
            let mut frames = Frames::default();
            plan.draw(|trajectory| frames.note(trajectory))?;
            encode_apng(&frames.pictures(&plan)?, FRAME_MS, &texts)?
        }
        Form::Image(i) => {
            if i >= plan.request.seeds.len() {
                bail!("{}: names image {i} of {}", args.image.display(), plan.request.seeds.len());
            }
            plan.request = plan.request.only(i)?;
            images::pictures(&plan.draw(|_| Ok(()))?.images)?[0].encode_png_with(&texts)
        }
    };
    if let Some(out) = &args.out {
        create_parent(out)?;
        write_atomically(out, &bytes)?;
        println!("{}: drawn again by {}", out.display(), models.model.folder.display());
    }
    let made = std::fs::read(&args.image)?;
    if bytes != made {
        bail!(
            "{}: what is drawn now differs from it: another version of Duet, or another machine",
            args.image.display()
        );
    }
    println!("{}: drawn again, byte for byte", args.image.display());
    Ok(())
}
