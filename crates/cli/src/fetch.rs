//! `cargo xtask fetch`: public data sets, through the crate `hub`.

use crate::exit::Child;
use crate::terminal::err;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Flags of `fetch`.
#[derive(clap::Args)]
pub struct Args {
    /// The data set
    #[arg(value_parser = ["mnist", "fashion-mnist", "cifar10"])]
    set: String,
    /// Where to put it, a folder that is new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Builds `hub`, which nothing else needs, and runs it.
pub fn run(args: Args) -> Result<()> {
    err!("building the downloader; the first time takes some 15 minutes on two cores");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["run", "--release", "--quiet", "--manifest-path", manifest, "--package", "duet-hub", "--"]);
    let status = cargo.arg(&args.set).arg("--out").arg(&args.out).status().context("cannot run cargo")?;
    match status.success() {
        true => Ok(()),
        false => Err(Child(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)).into()),
    }
}
