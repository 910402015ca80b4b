//! `sample`: images of a class, from a run or any model folder.

use crate::drawing::DrawingArgs;
use crate::exit::usage;
use crate::hardware::Machine;
use crate::models;
use crate::progress::Progress;
use crate::set;
use crate::terminal::out;
use anyhow::Result;
use candle_core::{Device, Tensor};
use duet_diffusion::data::DataError;
use duet_diffusion::files::{create_folder, create_parent, write_atomically};
use duet_diffusion::sample::Trajectory;
use duet_diffusion::{FRAME_MS, Form, Frames, Plan, data, pictures};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Flags of `sample`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    drawing: DrawingArgs,
    /// Also write the starting noise, the labels and the seeds to a file that --noise reads
    #[arg(long, help_heading = "Output", value_name = "FILE", conflicts_with = "count")]
    save_noise: Option<PathBuf>,
    #[command(flatten)]
    set: set::Args,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// x.png is one grid: a row for each class, a column for each seed. x/ is one PNG for each image.
    /// x.safetensors has tensors `images` (n, C, H, W) f32 in [-1, 1] and `labels` (n) i64; of a mixture,
    /// the largest part. With --count a set: x/ or x.npz
    #[arg(long, help_heading = "Output", value_name = "FILE|DIR/", default_value = "samples.png")]
    out: PathBuf,
    /// Also write the way from noise to the images as x.png (APNG) or x.gif, beside the x̂_0 of each step
    #[arg(long, help_heading = "Output", value_name = "FILE", conflicts_with = "count")]
    animate: Option<PathBuf>,
}

/// What `--out` asks for.
enum Output {
    Grid,
    Folder,
    Tensors,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    check_above(&args.out)?;
    if let Some(count) = args.set.count {
        return set::run(count, &args.set, args.drawing, &args.machine, &args.out);
    }
    let output = output(&args.out)?;
    let animation = args.animate.as_deref().map(animation).transpose()?;
    if let Some(path) = args.save_noise.as_deref().filter(|path| !is_safetensors(path)) {
        return Err(usage(format!("--save-noise {}: use x.safetensors", path.display())));
    }
    let device = args.machine.start()?;
    let drawing = args.drawing.drawing()?;
    let model = models::of(&drawing, &device)?;
    let plan = Plan::new(&drawing, &model, args.machine.batch, &device)?;
    if let Some(path) = &args.save_noise {
        save_noise(path, &plan)?;
    }
    let mut frames = Frames::default();
    let count = plan.sampling.seeds.len();
    let total = count * plan.sampling.sampler.steps().len();
    let mut progress = Progress::new(0, total as u64, 1, "denoised img/s");
    let started = Instant::now();
    let mut done = 0;
    let drawn = match animation {
        None => plan.draw_images(|far| {
            if far.done > 0 {
                progress.show(far.done as u64, "");
            }
            Ok(())
        })?,
        Some(_) => plan.draw(|trajectory: &Trajectory| {
            frames.note(trajectory)?;
            if trajectory.progress().0 > 0 {
                done += trajectory.x().dim(0)? as u64;
                progress.show(done, "");
            }
            Ok(())
        })?,
    };
    let seconds = started.elapsed().as_secs_f64();
    progress.finish();
    write_images(&args.out, output, &plan, &drawn.images)?;
    out!("{count} images of {}: {}", model.folder.display(), args.out.display());
    out!(
        "{}: {} network evaluations, {:.1} an image, {:.1} img/s",
        plan.summary(),
        drawn.evaluations,
        drawn.evaluations as f64 / count as f64,
        count as f64 / seconds
    );
    if let (Some(path), Some(animation)) = (&args.animate, animation) {
        create_parent(path)?;
        let frames = frames.pictures(&plan)?;
        match animation {
            Animation::Apng => data::write_apng(&frames, FRAME_MS, &plan.texts(Form::Animation)?, path)?,
            Animation::Gif => data::write_gif(&frames, FRAME_MS, path)?,
        }
        out!("{} frames: {}", frames.len(), path.display());
    }
    Ok(())
}

fn save_noise(path: &Path, plan: &Plan) -> Result<()> {
    let sampling = &plan.sampling;
    let seeds: Vec<i64> = sampling.seeds.iter().map(|&seed| seed as i64).collect();
    let seeds = Tensor::from_vec(seeds, sampling.seeds.len(), &Device::Cpu)?;
    let tensors = plan.tensors([("noise", sampling.starting_noise()?), ("seeds", seeds)])?;
    create_parent(path)?;
    Ok(write_atomically(path, &tensors)?)
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

fn output(out: &Path) -> Result<Output> {
    match out.extension().and_then(|extension| extension.to_str()) {
        _ if out.is_dir() || out.to_string_lossy().ends_with(['/', '\\']) => Ok(Output::Folder),
        Some("png") => Ok(Output::Grid),
        _ if is_safetensors(out) => Ok(Output::Tensors),
        _ => Err(usage(format!("--out {}: use x.png, x/ or x.safetensors", out.display()))),
    }
}

/// Refuses a place below a file before anything is drawn.
fn check_above(out: &Path) -> Result<()> {
    match out.ancestors().skip(1).find(|above| above.exists()) {
        Some(above) if !above.is_dir() => {
            let cause = std::io::ErrorKind::NotADirectory.into();
            Err(DataError::Write { path: above.into(), cause }.into())
        }
        _ => Ok(()),
    }
}

#[derive(Clone, Copy)]
enum Animation {
    Apng,
    Gif,
}

fn animation(path: &Path) -> Result<Animation> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("png" | "apng") => Ok(Animation::Apng),
        Some("gif") => Ok(Animation::Gif),
        _ => Err(usage(format!("--animate {}: use x.png or x.gif", path.display()))),
    }
}

fn write_images(out: &Path, output: Output, plan: &Plan, images: &Tensor) -> Result<()> {
    match output {
        Output::Grid => {
            create_parent(out)?;
            plan.grid(images)?.write_png_with(out, &plan.texts(Form::Grid)?)?;
        }
        Output::Folder => {
            create_folder(out)?;
            for (i, picture) in pictures(images)?.iter().enumerate() {
                let path = out.join(format!("{}.png", plan.stems[i]));
                picture.write_png_with(path, &plan.texts(Form::Image(i))?)?;
            }
        }
        Output::Tensors => {
            create_parent(out)?;
            write_atomically(out, &plan.tensors([("images", images.clone())])?)?;
        }
    }
    Ok(())
}
