//! `cargo xtask import`: a model folder of a network from elsewhere.

use crate::exit::usage;
use crate::export::write_folder;
use crate::model_folder;
use crate::terminal::{err, out};
use anyhow::Result;
use candle_core::Device;
use duet_model::{CONFIG_FILE, ModelError, WEIGHTS_FILE};
use duet_schedule::DiffusersScheduler;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Flags of `import`.
#[derive(clap::Args)]
pub struct Args {
    /// A folder of diffusers, or a .safetensors file with a config.json beside it
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Where the model folder goes; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The scheduler_config.json, where SRC has none
    #[arg(long, value_name = "FILE")]
    scheduler: Option<PathBuf>,
    /// Names of the classes, separated by commas [default: their numbers]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Row of the class embedding that stands for no class, or none [default: what SRC notes, else
    /// the last row]
    #[arg(long, value_name = "ROW|none")]
    null_label: Option<String>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let (config, weights) = locate(&args.source)?;
    let mut loaded = duet_model::load_files(&config, &weights, &Device::Cpu)?;
    loaded.notes.retain(|key, _| key.starts_with("_duet_"));
    if let Some(null) = &args.null_label {
        loaded.notes.insert("_duet_null_label".into(), null_label(null)?);
    }
    if let Some(classes) = args.classes {
        loaded.notes.insert("_duet_classes".into(), classes.into());
    }
    let (classes, null) = model_folder::labels(&loaded)?;
    let scheduler = scheduler(&args.scheduler, &loaded.folder)?;
    let (unet, parameters) = (loaded.unet.config(), &loaded.parameters);
    let files = duet_train::checkpoint::model_files(unet, parameters, &loaded.notes, &scheduler)?;
    write_folder(&args.out, files)?;
    out!("{}: {} parameters, {}", args.out.display(), parameters.count(), scheduler.class_name());
    match (unet.num_class_embeds, null) {
        (None, _) => out!("no classes"),
        (Some(_), Some(null)) => out!("{} classes, null label {null}", classes.len()),
        (Some(_), None) => out!("{} classes and no null label: --guidance 1 alone works", classes.len()),
    }
    out!("draw with: cargo xtask sample --run {}", args.out.display());
    Ok(())
}

/// The configuration and the weights.
fn locate(source: &Path) -> Result<(PathBuf, PathBuf)> {
    if source.is_file() {
        return Ok((source.with_file_name(CONFIG_FILE), source.into()));
    }
    let inner = source.join("unet");
    let folder = if inner.is_dir() { inner } else { source.to_path_buf() };
    let (config, weights) = (folder.join(CONFIG_FILE), folder.join(WEIGHTS_FILE));
    if weights.exists() || !config.is_file() {
        return Ok((config, weights));
    }
    // A variant's file, such as diffusion_pytorch_model.fp16.safetensors.
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors")).collect();
    match found.as_slice() {
        [] => Ok((config, weights)),
        [one] => Ok((config, one.clone())),
        several => Err(usage(format!(
            "{}: {} files of weights; name the one to import instead of the folder",
            folder.display(),
            several.len()
        ))),
    }
}

fn null_label(text: &str) -> Result<Value> {
    match text {
        "none" => Ok(Value::Null),
        row => row
            .parse::<u32>()
            .map(Value::from)
            .map_err(|_| usage(format!("--null-label {text}: a row of the class embedding, or none"))),
    }
}

fn scheduler(named: &Option<PathBuf>, folder: &Path) -> Result<DiffusersScheduler> {
    if let Some(path) = named {
        return model_folder::read_scheduler(path);
    }
    let beside = folder.join("scheduler_config.json");
    let paths = [model_folder::scheduler_path(folder), beside];
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return model_folder::read_scheduler(path);
    }
    err!(
        "warning: no scheduler_config.json in {}: taking diffusers' defaults, the linear schedule and \
         epsilon-prediction; if the network was trained otherwise, name its own with --scheduler",
        folder.display()
    );
    let defaults = DiffusersScheduler::from_json(r#"{"_class_name": "DDIMScheduler"}"#);
    Ok(defaults.map_err(|error| ModelError::Input(error.to_string()))?)
}
