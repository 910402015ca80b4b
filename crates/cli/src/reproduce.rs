//! `cargo xtask reproduce`: draws a picture again from what it says of itself.

use crate::drawing::Drawing;
use crate::exit::usage;
use crate::note::{Form, Note, read_picture};
use crate::plan::{FRAME_MS, Frames, Plan};
use crate::sample::{create_parent, write_atomically};
use crate::selection;
use crate::settings::STEPS;
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
    /// Refuses a picture that takes more evaluations of a network: a stranger's may ask for any number
    #[arg(long, value_name = "EVALUATIONS", default_value_t = 100_000)]
    most: u64,
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
    let mut again = Again {
        image: &args.image,
        device: &device,
        texts,
        loaded: Loaded::default(),
        work: Work { most: args.most, left: args.most },
    };
    let bytes = again.draw(&note, &drawing)?;
    if let Some(out) = &args.out {
        create_parent(out)?;
        write_atomically(out, &bytes)?;
        out!("{}: drawn again by {}", out.display(), drawing.run);
    }
    let made = read_picture(&args.image)?;
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
    work: Work,
}

/// Evaluations of the network that may still be asked for.
struct Work {
    most: u64,
    left: u64,
}

impl Work {
    /// Takes the product of these numbers.
    fn take(&mut self, numbers: &[usize]) -> Result<()> {
        let wanted = numbers.iter().fold(1u64, |product, &number| product.saturating_mul(number as u64));
        match self.left.checked_sub(wanted) {
            Some(left) => self.left = left,
            None => {
                let most = self.most;
                return Err(usage(format!(
                    "this picture takes more than {most} evaluations of the network; if you trust it, allow more \
                     with --most N"
                )));
            }
        }
        Ok(())
    }

    /// Takes what finding an image's noise asks for, which is done before anything is drawn.
    fn take_inversion(&mut self, drawing: &Drawing) -> Result<()> {
        // Cheaper than making a plan of them: no class has fewer images than there are seeds.
        let (seeds, most) = (selection::seeds(&drawing.seeds)?.len(), self.most);
        Work { most, left: most }.take(&[seeds, drawing.guidance.len().max(1)])?;
        self.take(&[drawing.invert.unwrap_or(0), drawing.steps.unwrap_or(STEPS)])
    }

    /// Takes what drawing `images` of the plan asks for.
    fn take_images(&mut self, images: usize, plan: &Plan) -> Result<()> {
        self.take(&[images, plan.request.sampler.steps().len()])
    }
}

impl Again<'_> {
    /// The file's bytes, drawn by what `drawing` names.
    fn draw(&mut self, note: &Note, drawing: &Drawing) -> Result<Vec<u8>> {
        let texts: Vec<(&str, String)> =
            self.texts.iter().map(|(keyword, text)| (keyword.as_str(), text.clone())).collect();
        if let Form::Sweep { rows, columns } = &note.form {
            note.check(&model_folder::load(&drawing.run, self.device)?, None)?;
            let axes = Axes::new(rows, columns.as_deref(), drawing)?;
            // A cell has one image at the least.
            Work { ..self.work }.take(&[axes.count(), drawing.steps.unwrap_or(1)])?;
            let mut pictures = Vec::new();
            for cell in axes.cells(drawing)? {
                let models = self.loaded.of(&cell, self.device)?;
                self.work.take_inversion(&cell)?;
                let plan = Plan::new(&cell, models, BATCH, self.device)?;
                self.work.take_images(plan.request.seeds.len(), &plan)?;
                pictures.push(plan.grid(&plan.draw(|_| Ok(()))?.images)?);
            }
            return Ok(axes.sheet(pictures)?.encode_png_with(&texts));
        }
        let models = self.loaded.of(drawing, self.device)?;
        note.check(&models.model, models.guide.as_ref())?;
        self.work.take_inversion(drawing)?;
        let mut plan = Plan::new(drawing, models, BATCH, self.device)?;
        let images = plan.request.seeds.len();
        self.work.take_images(if let Form::Image(_) = note.form { 1 } else { images }, &plan)?;
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
