//! `cargo xtask import`: a model folder of a network from elsewhere.

use crate::exit::usage;
use crate::export::write_folder;
use crate::model_folder;
use crate::terminal::{command, err, out};
use anyhow::Result;
use candle_core::Device;
use duet_model::{CONFIG_FILE, ModelError};
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
    /// Row of the class embedding that stands for no class, or none [default: what SRC notes, none
    /// if --classes names every row, else the last row]
    #[arg(long, value_name = "ROW|none")]
    null_label: Option<String>,
}

/// What is said of a null label that nothing names.
const ASSUMED: &str = ": taken, since nothing says which row it is; --null-label ROW or none says so";

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
    check_names(&classes, null, loaded.unet.config().num_class_embeds)?;
    let assumed = !loaded.notes.contains_key("_duet_null_label");
    if loaded.unet.config().num_class_embeds.is_some() {
        loaded.notes.insert("_duet_null_label".into(), null.into());
    }
    let scheduler = scheduler(&args.scheduler, &loaded.folder)?;
    let (unet, parameters) = (loaded.unet.config(), &loaded.parameters);
    let files = duet_train::checkpoint::model_files(unet, parameters, &loaded.notes, &scheduler)?;
    write_folder(&args.out, files)?;
    out!("{}: {} parameters, {}", args.out.display(), parameters.count(), scheduler.class_name());
    match (unet.num_class_embeds, null) {
        (None, _) => out!("no classes"),
        (Some(_), Some(null)) => {
            out!("{} classes, null label {null}{}", classes.len(), if assumed { ASSUMED } else { "" });
        }
        (Some(_), None) => out!("{} classes and no null label: drawn without guidance", classes.len()),
    }
    let out = args.out.display().to_string();
    out!("draw with: {}", command(["sample", "--run", &out]));
    Ok(())
}

/// The configuration and the weights.
fn locate(source: &Path) -> Result<(PathBuf, PathBuf)> {
    if source.exists() && !source.is_dir() {
        return Ok((source.with_file_name(CONFIG_FILE), source.into()));
    }
    let inner = source.join("unet");
    let folder = if inner.is_dir() { inner } else { source.to_path_buf() };
    let weights = duet_model::find_weights(&folder)?;
    if weights.exists() {
        return Ok((folder.join(CONFIG_FILE), weights));
    }
    // A single file of any other name.
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_weights = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "safetensors");
    let found: Vec<PathBuf> = entries.filter(is_weights).collect();
    match found.as_slice() {
        [] => Ok((folder.join(CONFIG_FILE), weights)),
        [one] => Ok((folder.join(CONFIG_FILE), one.clone())),
        several => Err(usage(format!(
            "{}: {} files of weights; name the one to import instead of the folder",
            folder.display(),
            several.len()
        ))),
    }
}

/// Each row but the null label's has a name.
fn check_names(classes: &[String], null: Option<u32>, rows: Option<usize>) -> Result<()> {
    let known = rows.unwrap_or(0) - usize::from(null.is_some());
    match classes.len() == known {
        true => Ok(()),
        false => {
            Err(usage(format!("--classes: {} names, and the network has {known} classes", classes.len())))
        }
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
    if let Some(path) = model_folder::scheduler_path(folder) {
        return model_folder::read_scheduler(&path);
    }
    err!(
        "warning: no scheduler_config.json in {}: taking diffusers' defaults, the linear schedule and \
         epsilon-prediction; if the network was trained otherwise, name its own with --scheduler",
        folder.display()
    );
    let defaults = DiffusersScheduler::from_json(r#"{"_class_name": "DDIMScheduler"}"#);
    Ok(defaults.map_err(|error| ModelError::Input(error.to_string()))?)
}
