//! In a clone, the same verb by a program that is built with the page now.

use crate::clone::clone_of;
use crate::exit::usage;
use crate::terminal::{err, program};
use anyhow::{Context, Result};
use std::process::Command;

/// The features that this program has, and the page's.
const FEATURES: [(&str, bool); 5] = [
    ("studio", true),
    ("cuda", cfg!(feature = "cuda")),
    ("metal", cfg!(feature = "metal")),
    ("mpi", cfg!(feature = "mpi")),
    ("parquet", cfg!(feature = "parquet")),
];

/// Runs the same words again by a program that has the page.
pub fn run(verb: &str) -> Result<()> {
    let own = std::env::current_exe().context("where is this program?")?;
    let Some(clone) = clone_of(&own).filter(|_| program() != "duet") else {
        return Err(usage(format!(
            "{verb}: this program was built without the page; build it in the repository: `cargo install --path \
             crates/cli --features studio`"
        )));
    };
    if cfg!(windows) {
        return Err(usage(format!(
            "{verb}: Windows builds no program that runs; use `cargo run --release --package xtask --features studio -- {verb}`"
        )));
    }
    let features: Vec<&str> = FEATURES.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    err!("building what has the page; the first time takes a minute or two");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["run", "--release", "--quiet", "--manifest-path"]).arg(clone.join("Cargo.toml"));
    cargo
        .args(["--package", "xtask", "--features", &features.join(","), "--"])
        .args(std::env::args_os().skip(1));
    replace(cargo)
}

/// Becomes the other program, which signals then reach alone.
#[cfg(unix)]
fn replace(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).with_context(|| format!("cannot run {}", command.get_program().display()))
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> Result<()> {
    use crate::exit::Child;
    let status =
        command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    match status.success() {
        true => Ok(()),
        false => Err(Child::of(status).into()),
    }
}
