//! Which crate may depend on which, checked with `cargo tree`, and that no files use each other in a circle.

mod circles;
mod modules;
mod tokens;

use anyhow::{Context, Result, bail};
use duet_cli::terminal::out;
use std::path::{Path, PathBuf};

/// Each crate, and which of our own it may depend on directly.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("duet-files", &[]),
    ("duet-random", &[]),
    ("duet-ranks", &[]),
    ("duet-schedule", &[]),
    ("duet-kernels", &[]),
    ("duet-optim", &["duet-kernels"]),
    ("duet-data", &["duet-files"]),
    ("duet-model", &["duet-files", "duet-kernels", "duet-random", "duet-ranks"]),
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
            "duet-ranks",
            "duet-schedule",
        ],
    ),
    ("duet-judge", &["duet-data", "duet-files", "duet-kernels", "duet-optim", "duet-random"]),
    ("duet-eval", &["duet-random", "duet-schedule"]),
    ("duet-hub", &[]),
    (
        "duet-diffusion",
        &[
            "duet-data",
            "duet-eval",
            "duet-files",
            "duet-judge",
            "duet-model",
            "duet-optim",
            "duet-random",
            "duet-ranks",
            "duet-sample",
            "duet-schedule",
            "duet-train",
        ],
    ),
    ("duet-studio", &["duet-diffusion", "duet-files"]),
    ("duet-web", &["duet-diffusion", "duet-studio"]),
    (
        "duet-cli",
        &[
            "duet-diffusion",
            "duet-eval",
            "duet-files",
            "duet-judge",
            "duet-model",
            "duet-optim",
            "duet-sample",
            "duet-studio",
            "duet-train",
        ],
    ),
];

/// Crates that must do without candle, however indirectly.
const WITHOUT_CANDLE: [&str; 5] = ["duet-files", "duet-random", "duet-ranks", "duet-schedule", "duet-data"];

/// Crates whose files still use each other in a circle.
const NOT_YET: [&str; 0] = [];

/// Checks every crate of ours, and that none was forgotten here.
pub fn run() -> Result<()> {
    let mut wrong = Vec::new();
    for (name, allowed) in ALLOWED {
        wrong.extend(forbidden(name, allowed, &tree(name)?));
    }
    let members = members()?;
    for (name, folder) in &members {
        let is_library = name.starts_with("duet-") && name != "duet-benches";
        if is_library && !ALLOWED.iter().any(|(known, _)| known == name) {
            wrong.push(format!("{name} is not in the list of layers (xtask/src/layering.rs)"));
        }
        wrong.extend(circular(name, folder, &NOT_YET)?);
    }
    if let Some(gone) = NOT_YET.iter().find(|name| !members.iter().any(|(member, _)| member == *name)) {
        wrong.push(format!("{gone} is in NOT_YET (xtask/src/layering.rs), and there is no such crate"));
    }
    if !wrong.is_empty() {
        bail!("the layering is broken:\n  {}", wrong.join("\n  "));
    }
    out!("layering holds for {} crates", ALLOWED.len());
    Ok(())
}

/// A circle of a crate's files, or that there is none though the crate is listed for one.
fn circular(name: &str, folder: &Path, not_yet: &[&str]) -> Result<Option<String>> {
    let circle = circles::circle(&folder.join("src"))?;
    Ok(match (circle, not_yet.contains(&name)) {
        (Some(circle), false) => Some(format!("files of {name} use each other in a circle: {circle}")),
        (None, true) => {
            Some(format!("{name} has no circle any more: take it out of NOT_YET (xtask/src/layering.rs)"))
        }
        _ => None,
    })
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

/// The crates of this workspace and their folders.
fn members() -> Result<Vec<(String, PathBuf)>> {
    let lines = cargo(&["tree", "--workspace", "--depth", "0", "--prefix", "none", "--format", "{p}"])?;
    let named = lines.lines().filter(|line| !line.trim().is_empty());
    named.map(|line| member(line).with_context(|| format!("cargo tree printed {line:?}"))).collect()
}

/// "duet-data v0.1.0 (/duet/crates/data)" → its name and folder.
fn member(line: &str) -> Option<(String, PathBuf)> {
    let (name, rest) = line.split_once(' ')?;
    let folder = rest.split_once('(')?.1.strip_suffix(')')?;
    Some((name.to_string(), folder.into()))
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output = crate::repository::cargo().args(arguments).output().context("cannot run cargo")?;
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

    #[test]
    fn a_member_has_a_name_and_a_folder() {
        let (name, folder) = member("duet-data v0.1.0 (/a folder/crates/data)").unwrap();
        assert_eq!((name.as_str(), folder), ("duet-data", "/a folder/crates/data".into()));
    }

    #[test]
    fn a_circle_is_wrong_unless_it_is_listed_and_a_list_without_one_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join("src").join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        write("lib.rs", "mod a; mod b;");
        write("a.rs", "use crate::b;");
        write("b.rs", "use crate::a;");
        let found = |not_yet| circular("duet-x", folder.path(), not_yet).unwrap();
        assert!(found(&[]).unwrap().contains("duet-x use each other in a circle: a.rs → b.rs → a.rs"));
        assert_eq!(found(&["duet-x"]), None);
        write("b.rs", "");
        assert_eq!(found(&[]), None);
        assert!(found(&["duet-x"]).unwrap().contains("no circle any more"));
    }
}
