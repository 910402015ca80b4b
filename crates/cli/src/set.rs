//! `sample --count`: a set of images, to train or to measure with.

use crate::drawing::DrawingArgs;
use crate::exit::Interrupted;
use crate::hardware::Machine;
use crate::interrupt::Interrupt;
use crate::models;
use crate::progress::Progress;
use crate::terminal::{err, out};
use anyhow::Result;
use duet_diffusion::yardstick::Yardstick;
use duet_diffusion::{DrawnSet, Error, SetDrawing, SetFormat, SetProgress, find};
use std::path::Path;

/// Flags of `sample` for a set.
#[derive(clap::Args)]
pub struct Args {
    /// Draw a set of N images, spread evenly over the classes, into --out: x/ has a folder of PNGs for each
    /// class and manifest.json, which says what was drawn; x.npz has train_images, train_labels and
    /// class_names, and x.json beside it. --data and torchvision's ImageFolder read it. With --seeds, each
    /// class draws from these seeds; without, from 0 on. The same command goes on where it was interrupted
    #[arg(help_heading = "A set", long, value_name = "N", conflicts_with_all = ["noise", "image", "interpolate"])]
    pub count: Option<usize>,
    /// The form of the set: folder, npz, or idx for MNIST's files and classes.txt in x/ [default: npz where
    /// --out ends in .npz, else folder]
    #[arg(help_heading = "A set", long, value_name = "FORM", requires = "count")]
    format: Option<SetFormat>,
    /// Keep only images that the judge of the run's data takes for their class, and draw on until there are
    /// enough, at most 20 for one that is kept
    #[arg(help_heading = "A set", long, requires = "count")]
    only_right: bool,
}

/// Draws the set, or what is missing of it.
pub fn run(count: usize, args: &Args, drawing: DrawingArgs, machine: &Machine, out: &Path) -> Result<()> {
    let format = SetFormat::of(out, args.format)?;
    let seeds = drawing.seeds()?;
    let drawing = drawing.drawing()?;
    let device = machine.start()?;
    let model = models::of(&drawing, &device)?;
    let yardstick = match args.only_right {
        true => Some(Yardstick::new(find::run_of(&drawing.run)?.as_deref(), "only-right")?),
        false => None,
    };
    let set = SetDrawing {
        drawing: &drawing,
        model: &model,
        count,
        seeds: seeds.as_ref(),
        only_right: yardstick.as_ref(),
        out,
        format,
        batch: machine.batch,
        device: &device,
    };
    let drawn = drawn(&set)?;
    let manifest = &drawn.manifest;
    out!("{} images of {}: {}", manifest.kept, model.folder.display(), out.display());
    if drawn.found > 0 {
        out!("{} of them were there already", drawn.found);
    }
    if let Some(accuracy) = manifest.accuracy {
        out!(
            "{} were drawn, of which the judge takes {:.1} % for their class",
            manifest.drawn,
            100.0 * accuracy
        );
    }
    out!("{}", drawn.path.display());
    Ok(())
}

/// Draws it, and stops at a signal.
fn drawn(set: &SetDrawing) -> Result<DrawnSet> {
    let interrupt = Interrupt::listen()?;
    let mut progress: Option<Progress> = None;
    let drawn = set.run(|SetProgress { kept, count, drawn }| {
        let progress = progress.get_or_insert_with(|| Progress::new(kept as u64, count as u64, 1, "img/s"));
        // Before the first image, nothing is known of the time.
        if drawn > 0 {
            progress.show(kept as u64, "");
        }
        match interrupt.signal() {
            Some(_) => Err(Error::caller("interrupted")),
            None => Ok(()),
        }
    });
    if let Some(progress) = progress {
        progress.finish();
    }
    match (drawn, interrupt.signal()) {
        (Err(Error::Caller(_)), Some(signal)) => {
            err!("stopped; the same command goes on with {}", set.out.display());
            Err(Interrupted(signal).into())
        }
        (drawn, _) => Ok(drawn?),
    }
}
