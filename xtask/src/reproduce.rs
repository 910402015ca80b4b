//! `cargo xtask reproduce`: draws a picture again from what it says of itself.

use crate::drawing::Drawing;
use crate::note::{Form, Note};
use crate::plan::{FRAME_MS, Frames, Plan};
use crate::sample::{create_parent, write_atomically};
use crate::sweep::{Axes, Loaded};
use crate::terminal::out;
use crate::{hardware, images, model_folder};
use anyhow::{Result, bail};
use candle_core::Device;
use duet_data::encode_apng;
use std::path::{Path, PathBuf};

/// Images in one pass; they do not depend on it.
const BATCH: usize = 64;

/// Flags of `reproduce`.
#[derive(clap::Args)]
pub struct Args {
    /// A PNG that Duet drew: of `sample`, a preview, or a sheet of `eval`, `sweep` or `export`
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
    if note.from_picture {
        let folder = args.image.parent().unwrap_or(Path::new(""));
        drawing.run = folder.join(&drawing.run).display().to_string();
    }
    drawing.run = args.run.unwrap_or(drawing.run);
    if note.from_picture && !Path::new(&drawing.run).exists() {
        bail!(
            "{}: drawn by {}, which is not there; of a run's checkpoints only the newest are kept",
            args.image.display(),
            drawing.run
        );
    }
    let mut again = Again { image: &args.image, device: &device, texts, loaded: Loaded::default() };
    let bytes = again.draw(&note, &drawing)?;
    if let Some(out) = &args.out {
        create_parent(out)?;
        write_atomically(out, &bytes)?;
        out!("{}: drawn again by {}", out.display(), drawing.run);
    }
    let made = std::fs::read(&args.image)?;
    if bytes != made {
        bail!(
            "{}: what is drawn now differs from it: another version of Duet, or another machine",
            args.image.display()
        );
    }
    out!("{}: drawn again, byte for byte", args.image.display());
    Ok(())
}

struct Again<'a> {
    image: &'a Path,
    device: &'a Device,
    texts: Vec<(String, String)>,
    loaded: Loaded,
}

impl Again<'_> {
    /// The file's bytes, drawn by what `drawing` names.
    fn draw(&mut self, note: &Note, drawing: &Drawing) -> Result<Vec<u8>> {
        let texts: Vec<(&str, String)> =
            self.texts.iter().map(|(keyword, text)| (keyword.as_str(), text.clone())).collect();
        if let Form::Sweep { rows, columns } = &note.form {
            note.check(&model_folder::load(&drawing.run, self.device)?, None)?;
            let axes = Axes::new(rows, columns.as_deref(), drawing)?;
            let mut pictures = Vec::new();
            for cell in axes.cells(drawing)? {
                let models = self.loaded.of(&cell, self.device)?;
                let plan = Plan::new(&cell, models, BATCH, self.device)?;
                pictures.push(plan.grid(&plan.draw(|_| Ok(()))?.images)?);
            }
            return Ok(axes.sheet(pictures)?.encode_png_with(&texts));
        }
        let models = self.loaded.of(drawing, self.device)?;
        note.check(&models.model, models.guide.as_ref())?;
        let mut plan = Plan::new(drawing, models, BATCH, self.device)?;
        Ok(match note.form {
            Form::Animation => {
                let mut frames = Frames::default();
                plan.draw(|trajectory| frames.note(trajectory))?;
                encode_apng(&frames.pictures(&plan)?, FRAME_MS, &texts)?
            }
            Form::Image(i) => {
                if i >= plan.request.seeds.len() {
                    bail!("{}: names image {i} of {}", self.image.display(), plan.request.seeds.len());
                }
                plan.request = plan.request.only(i)?;
                images::pictures(&plan.draw(|_| Ok(()))?.images)?[0].encode_png_with(&texts)
            }
            _ => plan.grid(&plan.draw(|_| Ok(()))?.images)?.encode_png_with(&texts),
        })
    }
}
