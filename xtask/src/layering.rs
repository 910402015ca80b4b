//! Which crate may depend on which; checked with `cargo tree`.

use crate::terminal::out;
use anyhow::{Context, Result, bail};

/// Each crate, and which of our own it may depend on directly.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("duet-files", &[]),
    ("duet-random", &[]),
    ("duet-schedule", &[]),
    ("duet-kernels", &[]),
    ("duet-optim", &["duet-kernels"]),
    ("duet-data", &["duet-files"]),
    ("duet-model", &["duet-files", "duet-kernels", "duet-random"]),
    ("duet-sample", &["duet-random", "duet-schedule"]),
    (
        "duet-train",
        &[
            "duet-data",
            "duet-files",
            "duet-kernels",
            "duet-model",
            "duet-optim",
            "duet-random",
            "duet-schedule",
        ],
    ),
    ("duet-judge", &["duet-data", "duet-files", "duet-kernels", "duet-optim", "duet-random"]),
    ("duet-eval", &["duet-random", "duet-schedule"]),
    ("duet-hub", &[]),
];

/// Crates that must do without candle, however indirectly.
const WITHOUT_CANDLE: [&str; 4] = ["duet-files", "duet-random", "duet-schedule", "duet-data"];

/// Checks every crate of ours, and that none was forgotten here.
pub fn run() -> Result<()> {
    let mut wrong = Vec::new();
    for (name, allowed) in ALLOWED {
        wrong.extend(forbidden(name, allowed, &tree(name)?));
    }
    for name in members()? {
        if !ALLOWED.iter().any(|(known, _)| *known == name) {
            wrong.push(format!("{name} is not in the list of layers (xtask/src/layering.rs)"));
        }
    }
    if !wrong.is_empty() {
        bail!("the layering is broken:\n  {}", wrong.join("\n  "));
    }
    out!("layering holds for {} crates", ALLOWED.len());
    Ok(())
}

/// The forbidden edges of a crate, given the lines of its dependency tree, "depth name …".
fn forbidden(name: &str, allowed: &[&str], tree: &[(usize, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (depth, dependency) in tree {
        if *depth == 1 && dependency.starts_with("duet-") && !allowed.contains(&dependency.as_str()) {
            wrong.push(format!("{name} must not depend on {dependency}"));
        }
        if WITHOUT_CANDLE.contains(&name) && dependency.starts_with("candle-") {
            wrong.push(format!("{name} must do without {dependency}"));
        }
    }
    wrong
}

/// What a crate depends on, tests aside, as (depth, name).
fn tree(name: &str) -> Result<Vec<(usize, String)>> {
    let arguments =
        ["tree", "--package", name, "--edges", "normal,build", "--prefix", "depth", "--format", " {p}"];
    let lines = cargo(&arguments)?;
    lines.lines().map(|line| parse(line).with_context(|| format!("cargo tree printed {line:?}"))).collect()
}

/// "2 candle-core v0.11.1" → (2, "candle-core").
fn parse(line: &str) -> Option<(usize, String)> {
    let mut words = line.split_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.to_string()))
}

/// The libraries of this workspace.
fn members() -> Result<Vec<String>> {
    let lines = cargo(&["tree", "--workspace", "--depth", "0", "--prefix", "none", "--format", "{p}"])?;
    let names = lines.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names
        .filter(|name| name.starts_with("duet-") && *name != "duet-benches")
        .map(str::to_string)
        .collect())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output = crate::ci::cargo().args(arguments).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(lines: &[&str]) -> Vec<(usize, String)> {
        lines.iter().map(|line| parse(line).unwrap()).collect()
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        let tree =
            edges(&["0 duet-sample v0.1.0 (/x)", "1 duet-schedule v0.1.0 (/x)", "1 duet-model v0.1.0 (/x)"]);
        let wrong = forbidden("duet-sample", &["duet-schedule"], &tree);
        assert_eq!(wrong, ["duet-sample must not depend on duet-model"]);
    }

    #[test]
    fn candle_is_found_at_any_depth() {
        let tree = edges(&["0 duet-schedule v0.1.0", "1 serde v1.0.0", "2 candle-core v0.11.1"]);
        assert_eq!(forbidden("duet-schedule", &[], &tree), ["duet-schedule must do without candle-core"]);
    }

    #[test]
    fn what_is_allowed_passes() {
        let tree = edges(&["0 duet-model v0.1.0", "1 duet-kernels v0.1.0", "1 candle-core v0.11.1"]);
        assert!(forbidden("duet-model", &["duet-files", "duet-kernels"], &tree).is_empty());
    }
}
