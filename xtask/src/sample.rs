//! `cargo xtask sample`: images of a class, from a run or any model folder.

use crate::exit::usage;
use crate::images::{self, Request};
use crate::model_folder::{self, Model};
use crate::progress::Progress;
use crate::{hardware, selection};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use duet_data::{DataError, write_apng, write_gif};
use duet_sample::{Ddim, Guidance, Trajectory};
use duet_schedule::Spacing;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `sample`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, a checkpoint, or any model folder of diffusers' UNet2DModel
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Classes by number or name, or all
    #[arg(long, value_name = "LIST", default_value = "all")]
    class: String,
    /// w of classifier-free guidance: 1 is no guidance, 0 unconditional, more is closer to the
    /// class and less varied (Ho & Salimans' w is this minus 1)
    #[arg(long, value_name = "W", default_value_t = 2.0, allow_negative_numbers = true)]
    guidance: f64,
    /// Network evaluations of each image, guidance's two passes counted as one
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// How an image gets from one timestep to the next: ddim
    #[arg(long, default_value = "ddim")]
    sampler: String,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100 [default: what the model's scheduler says]
    #[arg(long)]
    spacing: Option<String>,
    /// Noise that DDIM adds on the way, 0 (none) to 1 (as much as DDPM)
    #[arg(long, default_value_t = 0.0)]
    eta: f64,
    /// One image of each class for each seed
    #[arg(long, value_name = "LIST", default_value = "0-7")]
    seeds: String,
    /// Images in one pass through the network; they do not depend on it
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Threads [default: all cores]; the images do not depend on it
    #[arg(long)]
    threads: Option<usize>,
    /// auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: String,
    /// x.png: one grid, rows classes, columns seeds; x/: one PNG per image; x.safetensors: tensors
    /// `images` (n, C, H, W) f32 in [-1, 1] and `labels` (n) i64
    #[arg(long, value_name = "FILE|DIR/", default_value = "samples.png")]
    out: PathBuf,
    /// Also write the way from noise to images, as x.png (APNG) or x.gif
    #[arg(long, value_name = "FILE")]
    animate: Option<PathBuf>,
    /// Size of a pixel in grids and animations
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=32))]
    scale: u8,
}

/// What `--out` asks for.
enum Form {
    Grid,
    Folder,
    Tensors,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let form = form(&args.out)?;
    let animation = args.animate.as_deref().map(animation_kind).transpose()?;
    hardware::set_threads(args.threads)?;
    let device = hardware::device(&args.device)?;
    let seeds = selection::seeds(&args.seeds)?;
    let model = model_folder::load(&args.run, &device)?;
    let labels = labels(&args, &model)?;
    let request = request(&args, &model, &labels, &seeds, &device)?;
    let columns = seeds.len();
    let mut frames: BTreeMap<usize, Vec<Tensor>> = BTreeMap::new();
    let passes = request.seeds.len().div_ceil(request.batch) * args.steps;
    let mut progress =
        Progress::new(0, passes as u64, request.batch.min(request.seeds.len()), "denoised img/s");
    let mut done = 0;
    let images = request.draw(|trajectory: &Trajectory| {
        let (step, _) = trajectory.progress();
        if animation.is_some() {
            frames.entry(step).or_default().push(trajectory.x().to_device(&Device::Cpu)?);
        }
        if step > 0 {
            done += 1;
            progress.show(done, "");
        }
        Ok(())
    })?;
    progress.finish();
    write_images(&args, form, &model, &request, &images, columns)?;
    println!("{} images of {}: {}", request.seeds.len(), model.folder.display(), args.out.display());
    if let (Some(path), Some(write)) = (&args.animate, animation) {
        let grids =
            frames.values().map(|parts| images::grid(&Tensor::cat(parts, 0)?, columns, args.scale.into()));
        create_parent(path)?;
        write(&grids.collect::<Result<Vec<_>>>()?, 80, path)?;
        println!("{} frames: {}", args.steps + 1, path.display());
    }
    Ok(())
}

fn form(out: &Path) -> Result<Form> {
    match out.extension().and_then(|extension| extension.to_str()) {
        _ if out.is_dir() || out.to_string_lossy().ends_with(['/', '\\']) => Ok(Form::Folder),
        Some("png") => Ok(Form::Grid),
        Some("safetensors") => Ok(Form::Tensors),
        _ => Err(usage(format!("--out {}: use x.png, x/ or x.safetensors", out.display()))),
    }
}

type WriteFrames = fn(&[duet_data::Picture], u16, &Path) -> Result<(), DataError>;

fn animation_kind(path: &Path) -> Result<WriteFrames> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("png" | "apng") => Ok(|frames, delay, path| write_apng(frames, delay, path)),
        Some("gif") => Ok(|frames, delay, path| write_gif(frames, delay, path)),
        _ => Err(usage(format!("--animate {}: use x.png or x.gif", path.display()))),
    }
}

fn labels(args: &Args, model: &Model) -> Result<Vec<u32>> {
    match model.loaded.unet.config().num_class_embeds {
        Some(_) => selection::classes(&args.class, &model.classes),
        None if args.class == "all" => Ok(Vec::new()),
        None => Err(usage(format!("--class {}: {} has no classes", args.class, model.folder.display()))),
    }
}

fn request<'a>(
    args: &Args,
    model: &'a Model,
    labels: &[u32],
    seeds: &[u64],
    device: &'a Device,
) -> Result<Request<'a>> {
    if args.sampler != "ddim" {
        return Err(usage(format!("--sampler {}: there is only ddim", args.sampler)));
    }
    if args.batch == 0 {
        return Err(usage("--batch 0: at least one image is needed"));
    }
    let config = model.loaded.unet.config();
    let Some(size) = config.sample_size else {
        let path = model.loaded.folder.join("config.json");
        return Err(usage(format!("{}: sample_size is null, so the image size is unknown", path.display())));
    };
    if config.in_channels != config.out_channels {
        let path = model.loaded.folder.join("config.json");
        return Err(usage(format!(
            "{}: in_channels and out_channels differ: not a denoiser",
            path.display()
        )));
    }
    let schedule = model.scheduler.noise_schedule()?;
    let spacing = match &args.spacing {
        Some(text) => text.parse::<Spacing>().context("--spacing")?,
        None => model.scheduler.spacing()?,
    };
    let timesteps = spacing.timesteps(args.steps, &schedule).context("--steps")?;
    let prediction = model.scheduler.prediction()?;
    if let Some(warning) = prediction.check(&schedule)? {
        eprintln!("warning: {warning}");
    }
    let sampler = Ddim::new(&schedule, &timesteps, prediction)?
        .with_eta(args.eta)
        .context("--eta")?
        .with_clip(model.scheduler.clip_range());
    let (labels, seeds) = match config.num_class_embeds {
        Some(_) => images::pairs(labels, seeds),
        None => (Vec::new(), seeds.to_vec()),
    };
    let guidance = match config.num_class_embeds {
        Some(_) => Guidance { weight: args.guidance, null_label: model.null_label },
        None => Guidance { weight: 1.0, null_label: None },
    };
    let (height, width) = size.sides();
    let shape = (config.in_channels, height, width);
    Ok(Request {
        unet: &model.loaded.unet,
        sampler,
        guidance,
        shape,
        labels,
        seeds,
        batch: args.batch,
        device,
    })
}

fn write_images(
    args: &Args,
    form: Form,
    model: &Model,
    request: &Request,
    images: &Tensor,
    columns: usize,
) -> Result<()> {
    let out = &args.out;
    match form {
        Form::Grid => {
            create_parent(out)?;
            images::grid(images, columns, args.scale.into())?.write_png(out)?;
        }
        Form::Folder => {
            std::fs::create_dir_all(out).map_err(write_error(out))?;
            for (i, picture) in images::pictures(images)?.iter().enumerate() {
                let class = match request.labels.get(i) {
                    Some(&label) => format!("class-{}_", file_name(model, label)),
                    None => String::new(),
                };
                picture.write_png(out.join(format!("{class}seed-{}.png", request.seeds[i])))?;
            }
        }
        Form::Tensors => {
            let mut tensors = BTreeMap::from([("images".to_string(), images.clone())]);
            if !request.labels.is_empty() {
                let labels: Vec<i64> = request.labels.iter().map(|&label| i64::from(label)).collect();
                let count = labels.len();
                tensors.insert("labels".into(), Tensor::from_vec(labels, count, &Device::Cpu)?);
            }
            create_parent(out)?;
            write_atomically(out, &duet_model::weights_to_bytes(&tensors)?)?;
        }
    }
    Ok(())
}

/// A class's name as part of a file name, with its number where the name would not do.
fn file_name(model: &Model, label: u32) -> String {
    match model.classes.get(label as usize) {
        Some(name) if name.chars().all(|c| c.is_alphanumeric() || "-_ ".contains(c)) => name.clone(),
        _ => label.to_string(),
    }
}

fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => Ok(std::fs::create_dir_all(parent).map_err(write_error(parent))?),
        None => Ok(()),
    }
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    move |cause| DataError::Write { path: path.into(), cause }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    Ok(write().map_err(write_error(path))?)
}
