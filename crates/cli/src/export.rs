//! `export`: the smallest folder that diffusers loads, with a model card, and the network as an ONNX file.

use crate::exit::usage;
use crate::models;
use crate::terminal::out;
use anyhow::Result;
use candle_core::Device;
use duet_diffusion::About;
use duet_diffusion::files::refuse_existing;
use std::path::PathBuf;

/// Flags of `export`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).multiple(true).args(["out", "onnx"]))]
pub struct Args {
    /// A run, a checkpoint, or any model folder
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Where the folder for diffusers goes; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the network goes as an ONNX file, with its weights inside; it must not exist yet
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// Name in the model card [default: the folder's]
    #[arg(long, requires = "out")]
    name: Option<String>,
    /// What the model card says of the data [default: what the run knows]
    #[arg(long, value_name = "TEXT", requires = "out")]
    data: Option<String>,
    /// The data's licence, for the model card
    #[arg(long, value_name = "TEXT", requires = "out")]
    data_licence: Option<String>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    if let Some(out) = &args.out {
        refuse_existing(out)?;
    }
    if let Some(onnx) = args.onnx.as_ref().filter(|onnx| onnx.exists()) {
        let onnx = onnx.display();
        return Err(usage(format!("--onnx {onnx}: there is something already; choose another file")));
    }
    let model = models::open(&args.run, &Device::Cpu)?;
    if let Some(out) = &args.out {
        let about = About { name: args.name, data: args.data, data_licence: args.data_licence };
        duet_diffusion::export(&model, about, out)?;
        out!("{}: from {}", out.display(), model.folder.display());
        out!("load it in Python with UNet2DModel.from_pretrained({out:?}, subfolder=\"unet\")");
    }
    if let Some(onnx) = &args.onnx {
        duet_diffusion::export_onnx(&model, onnx)?;
        out!("{}: from {}", onnx.display(), model.folder.display());
        out!("load it in Python with onnxruntime.InferenceSession({onnx:?})");
    }
    Ok(())
}
