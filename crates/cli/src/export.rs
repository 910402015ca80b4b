//! `export`: the smallest folder that diffusers loads, with a model card.

use crate::models;
use crate::terminal::out;
use anyhow::Result;
use candle_core::Device;
use duet_diffusion::About;
use duet_diffusion::files::refuse_existing;
use std::path::PathBuf;

/// Flags of `export`.
#[derive(clap::Args)]
pub struct Args {
    /// A run, a checkpoint, or any model folder
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Where the folder goes; it must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name in the model card [default: the folder's]
    #[arg(long)]
    name: Option<String>,
    /// What the model card says of the data [default: what the run knows]
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,
    /// The data's licence, for the model card
    #[arg(long, value_name = "TEXT")]
    data_licence: Option<String>,
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    refuse_existing(&args.out)?;
    let model = models::open(&args.run, &Device::Cpu)?;
    let about = About { name: args.name, data: args.data, data_licence: args.data_licence };
    duet_diffusion::export(&model, about, &args.out)?;
    out!("{}: from {}", args.out.display(), model.folder.display());
    out!("load it in Python with UNet2DModel.from_pretrained({:?}, subfolder=\"unet\")", args.out);
    Ok(())
}
