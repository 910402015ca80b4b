//! A Python that runs scripts of this repository.

use anyhow::{Context, Result};
use duet_cli::exit::usage;
use std::path::Path;
use std::process::Command;

/// The versions of these packages. Errors: a Python that is not there, or that lacks one of them.
pub fn check(python: &Path, packages: &[&str]) -> Result<String> {
    let names = packages.join(", ");
    let versions =
        format!("import {names}; print(*(m.__name__ + ' ' + m.__version__ for m in ({names})), sep=', ')");
    let output = Command::new(python)
        .args(["-c", &versions])
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let cause = text.trim().lines().last().unwrap_or("it ended with an error").to_string();
        let (python, packages) = (python.display(), packages.join(" "));
        let install = format!("`{python} -m pip install {packages}` gets what the comparisons need");
        return Err(usage(format!("{python}: {cause}; {install}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}
