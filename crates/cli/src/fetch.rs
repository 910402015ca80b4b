//! `fetch`: public data sets, through the crate `hub`, which is a program of its own.

use crate::clone::clone_of;
use crate::exit::{Child, usage};
use crate::terminal::err;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The downloader's program.
const DOWNLOADER: &str = "duet-hub";
/// Its package, in a clone.
const PACKAGE: &str = "duet-hub";

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

/// Runs the downloader: the one beside this program, or else, in a clone, one that is built now.
pub fn run(args: Args) -> Result<()> {
    let mut command = downloader()?;
    let status = command.arg(&args.set).arg("--out").arg(&args.out).status();
    let status = status.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(Child::of(status).into()),
    }
}

fn downloader() -> Result<Command> {
    let own = std::env::current_exe().context("where is this program?")?;
    if let Some(clone) = clone_of(&own) {
        err!("building the downloader; the first time takes some 15 minutes on two cores");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        let manifest = clone.join("Cargo.toml");
        cargo.args(["run", "--release", "--quiet", "--manifest-path"]).arg(manifest);
        cargo.args(["--package", PACKAGE, "--"]);
        return Ok(cargo);
    }
    let beside = own.with_file_name(DOWNLOADER).with_extension(std::env::consts::EXE_EXTENSION);
    if beside.is_file() {
        return Ok(Command::new(beside));
    }
    Err(usage(format!(
        "fetch: the downloader is not there: install it beside this program, which takes some 15 minutes on \
         two cores, with `cargo install {PACKAGE}`, or in a clone with `cargo install --path crates/hub`"
    )))
}
