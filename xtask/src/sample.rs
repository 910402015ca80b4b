//! `cargo xtask sample`: images of a class, from a run or any model folder.

use crate::exit::usage;
use crate::guidance_flags;
use crate::images::{self, Request};
use crate::model_folder::{self, Model};
use crate::progress::Progress;
use crate::{hardware, selection};
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use duet_data::{DataError, write_apng, write_gif};
use duet_model::ModelError;
use duet_sample::{Sampler, Trajectory, initial_noise};
use duet_schedule::{DpmAlgorithm, DpmSolver, SecondOrder, Solver, Spacing, Steps, Variance};
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
    /// class and less varied (Ho & Salimans' w is this minus 1); several, such as 1,2,4, give a row
    /// for each of every class
    #[arg(long, value_name = "W", default_value = "2", value_delimiter = ',', allow_negative_numbers = true)]
    pub guidance: Vec<f64>,
    /// How w grows over the steps: constant, linear or cosine (both from 1), or a list with one for
    /// each step
    #[arg(long, value_name = "RULE", default_value = "constant", allow_hyphen_values = true)]
    pub guidance_schedule: String,
    /// Noise levels σ that are guided, such as 0.2:5; outside them the network is asked once, not
    /// twice
    #[arg(long, value_name = "LOW:HIGH")]
    pub interval: Option<String>,
    /// Brings the guided prediction's deviation back to the conditional one's, 0 (not) to 1 (Lin et
    /// al. 2023)
    #[arg(long, value_name = "PHI", default_value_t = 0.0)]
    pub rescale: f64,
    /// Another rule of guidance: plain, zero-star (Fan et al. 2025), or apg or apg:ETA, the projected
    /// guidance of Sadat et al. 2024
    #[arg(long, value_name = "RULE", default_value = "plain")]
    pub rule: String,
    /// Puts back the null prediction's noise, as CFG++ does; W is then its λ, 0 to 1 (Chung et al.
    /// 2024)
    #[arg(long)]
    pub cfg_plus_plus: bool,
    /// A class to be led away from, instead of the null label
    #[arg(long, value_name = "CLASS")]
    pub negative: Option<String>,
    /// Network evaluations of each image, guidance's two passes counted as one
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// How an image gets from one timestep to the next: ddim, ddpm, dpmpp-2m or dpmpp-2m-sde
    /// [default: what the model's scheduler says]
    #[arg(long)]
    sampler: Option<String>,
    /// Which timesteps are visited: leading, trailing, linspace, karras or karras:RHO, sigmoid or
    /// sigmoid:SHARPNESS, or a list such as 999,500,100 [default: what the model's scheduler says]
    #[arg(long)]
    spacing: Option<String>,
    /// Noise that DDIM adds on the way, 0 (none) to 1 (as much as DDPM)
    #[arg(long, default_value_t = 0.0)]
    eta: f64,
    /// Starting noise from a file instead of seeds: tensors `noise` (n, C, H, W) f32 and, for a model
    /// with classes, `labels` (n) i64
    #[arg(long, value_name = "FILE", conflicts_with_all = ["class", "seeds"])]
    noise: Option<PathBuf>,
    /// Also write the starting noise and the labels, as --noise reads them
    #[arg(long, value_name = "FILE")]
    save_noise: Option<PathBuf>,
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
    if let Some(path) = args.save_noise.as_deref().filter(|path| !is_safetensors(path)) {
        return Err(usage(format!("--save-noise {}: use x.safetensors", path.display())));
    }
    hardware::set_threads(args.threads)?;
    let device = hardware::device(&args.device)?;
    let model = model_folder::load(&args.run, &device)?;
    let start = match &args.noise {
        Some(path) => Start::read(path, &model)?,
        None => Start::drawn(&args, &model)?,
    };
    let columns = start.columns;
    let request = request(&args, &model, start, &device)?;
    if let Some(path) = &args.save_noise {
        save_noise(path, &request)?;
    }
    let mut frames: BTreeMap<usize, Vec<Tensor>> = BTreeMap::new();
    let steps = request.sampler.steps().len();
    let passes = request.seeds.len().div_ceil(request.batch) * steps;
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
        println!("{} frames: {}", steps + 1, path.display());
    }
    Ok(())
}

/// What the trajectories begin with.
struct Start {
    /// Empty for an unconditional network.
    labels: Vec<u32>,
    seeds: Vec<u64>,
    shape: (usize, usize, usize),
    /// Instead of the seeds'.
    noise: Option<Tensor>,
    /// One for each image, where there are several.
    weights: Vec<f64>,
    /// Images in a row of the grid.
    columns: usize,
}

impl Start {
    /// Every class with every seed.
    fn drawn(args: &Args, model: &Model) -> Result<Self> {
        let config = model.loaded.unet.config();
        let Some(size) = config.sample_size else {
            let path = model.loaded.folder.join("config.json");
            return Err(usage(format!(
                "{}: sample_size is null, so the image size is unknown; --noise has one",
                path.display()
            )));
        };
        let seeds = selection::seeds(&args.seeds)?;
        let columns = seeds.len();
        let labels = labels(args, model)?;
        // A row of seeds for each weight of each class.
        let rows = labels.iter().flat_map(|&label| args.guidance.iter().map(move |&weight| (label, weight)));
        let (row_labels, row_weights): (Vec<u32>, Vec<f64>) = rows.unzip();
        let (labels, seeds) = match config.num_class_embeds {
            Some(_) => images::pairs(&row_labels, &seeds),
            None => (Vec::new(), seeds),
        };
        let weights = match args.guidance.len() {
            1 => Vec::new(),
            _ => row_weights.iter().flat_map(|&weight| std::iter::repeat_n(weight, columns)).collect(),
        };
        let (height, width) = size.sides();
        Ok(Self { labels, seeds, shape: (config.in_channels, height, width), noise: None, weights, columns })
    }

    /// As a file says, with seeds 0 to n-1 for noise on the way.
    fn read(path: &Path, model: &Model) -> Result<Self> {
        let config = model.loaded.unet.config();
        let refuse = |cause: String| DataError::Malformed {
            path: path.into(),
            cause,
            fix: "--save-noise writes such files".into(),
        };
        let tensors = duet_model::read_tensors(path, &Device::Cpu);
        let mut tensors = tensors.map_err(|error| match error {
            ModelError::Read { path, cause } => DataError::Read { path, cause },
            ModelError::File { reason, .. } => refuse(reason),
            error => refuse(error.to_string()),
        })?;
        let noise = tensors.remove("noise").ok_or_else(|| refuse("has no tensor noise".into()))?;
        let &[count, channels, height, width] = noise.dims() else {
            return Err(refuse(format!("noise is {:?}, expected (n, C, H, W)", noise.dims())).into());
        };
        if !noise.dtype().is_float() || channels != config.in_channels || count == 0 {
            let (dims, dtype, inputs) = (noise.dims(), noise.dtype(), config.in_channels);
            let reason =
                format!("noise is {dims:?} {dtype:?}, expected (n, {inputs}, H, W) F32, n at least 1");
            return Err(refuse(reason).into());
        }
        config.check_sides(height, width).map_err(|error| refuse(error.to_string()))?;
        let labels = match (config.num_class_embeds, tensors.remove("labels")) {
            (None, None) => Vec::new(),
            (None, Some(_)) => return Err(refuse("has labels, and the model no classes".into()).into()),
            (Some(_), None) => {
                return Err(refuse("has no tensor labels, and the model has classes".into()).into());
            }
            (Some(rows), Some(labels)) => {
                if labels.dims() != [count] || labels.dtype() != candle_core::DType::I64 {
                    let (dims, dtype) = (labels.dims(), labels.dtype());
                    let reason = format!("labels are {dims:?} {dtype:?}, expected [{count}] I64");
                    return Err(refuse(reason).into());
                }
                let labels = labels.to_vec1::<i64>()?;
                if let Some(label) = labels.iter().find(|&&label| !(0..rows as i64).contains(&label)) {
                    return Err(
                        refuse(format!("label {label}: the model has {rows} (0-{})", rows - 1)).into()
                    );
                }
                labels.into_iter().map(|label| label as u32).collect()
            }
        };
        if let Some(name) = tensors.keys().next() {
            return Err(refuse(format!("has a tensor {name}; noise and labels are read")).into());
        }
        let seeds = (0..count as u64).collect();
        Ok(Self {
            labels,
            seeds,
            shape: (channels, height, width),
            noise: Some(noise),
            weights: Vec::new(),
            columns: count.min(8),
        })
    }
}

fn save_noise(path: &Path, request: &Request) -> Result<()> {
    let noise = match &request.noise {
        Some(noise) => noise.clone(),
        None => initial_noise(&request.seeds, request.shape, &Device::Cpu)?,
    };
    write_tensors(path, "noise", noise, &request.labels)
}

/// A file of one tensor and, if there are any, labels.
fn write_tensors(path: &Path, name: &str, tensor: Tensor, labels: &[u32]) -> Result<()> {
    let mut tensors = BTreeMap::from([(name.to_string(), tensor)]);
    if !labels.is_empty() {
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let count = labels.len();
        tensors.insert("labels".into(), Tensor::from_vec(labels, count, &Device::Cpu)?);
    }
    create_parent(path)?;
    write_atomically(path, &duet_model::weights_to_bytes(&tensors)?)
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

fn form(out: &Path) -> Result<Form> {
    match out.extension().and_then(|extension| extension.to_str()) {
        _ if out.is_dir() || out.to_string_lossy().ends_with(['/', '\\']) => Ok(Form::Folder),
        Some("png") => Ok(Form::Grid),
        _ if is_safetensors(out) => Ok(Form::Tensors),
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

fn request<'a>(args: &Args, model: &'a Model, start: Start, device: &'a Device) -> Result<Request<'a>> {
    if args.batch == 0 {
        return Err(usage("--batch 0: at least one image is needed"));
    }
    let config = model.loaded.unet.config();
    if config.in_channels != config.out_channels {
        let path = model.loaded.folder.join("config.json");
        return Err(usage(format!(
            "{}: in_channels and out_channels differ: not a denoiser",
            path.display()
        )));
    }
    if args.noise.is_some() && args.guidance.len() > 1 {
        return Err(usage("--guidance: several weights go with --seeds, not with --noise"));
    }
    let guidance = guidance_flags::guidance(args, model)?;
    let guidance = match start.weights.is_empty() {
        true => guidance,
        false => guidance.with_weights(start.weights),
    };
    Ok(Request {
        unet: &model.loaded.unet,
        sampler: sampler(args, model)?,
        guidance,
        shape: start.shape,
        labels: start.labels,
        seeds: start.seeds,
        batch: args.batch,
        device,
        noise: start.noise.map(|noise| noise.to_device(device)).transpose()?,
    })
}

/// The sampler of the flags, and of the model's scheduler where they say nothing.
fn sampler(args: &Args, model: &Model) -> Result<Sampler> {
    let scheduler = &model.scheduler;
    let schedule = scheduler.noise_schedule()?;
    let steps = match &args.spacing {
        Some(text) => {
            let timesteps = text.parse::<Spacing>().context("--spacing")?.timesteps(args.steps, &schedule);
            Steps::new(&schedule, &timesteps.context("--steps")?)?
        }
        None => scheduler.steps(args.steps).context("--steps")?,
    };
    let prediction = scheduler.prediction()?;
    if let Some(warning) = prediction.check(&schedule)? {
        eprintln!("warning: {warning}");
    }
    let solver = match solver(args, scheduler.solver()?)? {
        Solver::Ddim { .. } => Solver::Ddim { eta: args.eta },
        _ if args.eta != 0.0 => {
            return Err(usage(format!("--eta {}: only --sampler ddim has it", args.eta)));
        }
        solver => solver,
    };
    Ok(Sampler::new(steps, prediction, solver).context("--sampler")?.with_clip(scheduler.clip()))
}

fn solver(args: &Args, default: Solver) -> Result<Solver> {
    let dpm = |algorithm| {
        Solver::DpmSolver(DpmSolver {
            order: 2,
            algorithm,
            second_order: SecondOrder::Midpoint,
            lower_order_final: true,
            euler_at_final: true,
        })
    };
    Ok(match args.sampler.as_deref() {
        None => default,
        Some("ddim") => Solver::Ddim { eta: 0.0 },
        Some("ddpm") => Solver::Ddpm { variance: Variance::Small },
        Some("dpmpp-2m") => dpm(DpmAlgorithm::DataOde),
        Some("dpmpp-2m-sde") => dpm(DpmAlgorithm::DataSde),
        Some(other) => {
            return Err(usage(format!("--sampler {other}: expected ddim, ddpm, dpmpp-2m or dpmpp-2m-sde")));
        }
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
                let class = match args.guidance.len() {
                    1 => class,
                    count => format!("{class}w-{}_", args.guidance[i / columns % count]),
                };
                let what = if request.noise.is_some() { "noise" } else { "seed" };
                picture.write_png(out.join(format!("{class}{what}-{}.png", request.seeds[i])))?;
            }
        }
        Form::Tensors => write_tensors(out, "images", images.clone(), &request.labels)?,
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
