//! Dead links of the documents: relative links in Markdown, and documents that sources name.

use crate::repository::read;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Where documents are, beside the root's own; a person's runs and data may lie anywhere else.
const FOLDERS: [&str; 6] = ["benches", "configs", "crates", "docs", "fuzz", "xtask"];

/// A line for each dead relative link of the Markdown files under `root` (its file or its section is
/// not there), and for each document that a comment in Rust names by a path that is not there.
pub fn dead(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    collect(root, false, &mut files)?;
    for folder in FOLDERS.iter().map(|name| root.join(name)).filter(|folder| folder.is_dir()) {
        collect(&folder, true, &mut files)?;
    }
    let mut dead = Vec::new();
    for path in files {
        let text = read(&path)?;
        let named = path.strip_prefix(root).unwrap_or(&path).display();
        let lost: Vec<String> = if path.extension().is_some_and(|extension| extension == "md") {
            let folder = path.parent().unwrap_or(root);
            let targets = targets(&text).into_iter();
            targets.filter(|target| !leads_somewhere(folder, &text, target)).collect()
        } else {
            named_documents(&text).into_iter().filter(|document| !root.join(document).is_file()).collect()
        };
        dead.extend(lost.iter().map(|target| format!("{named}: links to {target}, which is not there")));
    }
    Ok(dead)
}

/// Adds the Markdown and Rust files of a folder, in order of their names.
fn collect(folder: &Path, deeper: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if deeper && name != "target" && name != "node_modules" && !name.starts_with('.') {
                collect(&path, deeper, files)?;
            }
        } else if name.ends_with(".md") || name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The targets of a Markdown text's links and pictures, outside code, without those on the web.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in outside_code(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                targets.push(target.to_string());
            }
        }
    }
    targets
}

/// The lines that are in no fenced block.
fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Whether a link's file is there, and its section, where it names one of a Markdown file.
fn leads_somewhere(folder: &Path, text: &str, target: &str) -> bool {
    let (file, section) = target.split_once('#').unwrap_or((target, ""));
    let path = folder.join(file);
    if !file.is_empty() && !path.exists() {
        return false;
    }
    let has = |text: &str| outside_code(text).any(|line| line.starts_with('#') && anchor(line) == section);
    match (section, file) {
        ("", _) => true,
        (_, "") => has(text),
        _ => !file.ends_with(".md") || read(&path).is_ok_and(|text| has(&text)),
    }
}

/// The name that GitHub gives a heading: small letters, blanks to hyphens, no other signs.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
    kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

/// The documents that a source's comments name as `docs/….md`.
fn named_documents(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    for line in text.lines().filter(|line| line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("docs/") {
            let ends = |sign: char| !sign.is_ascii_alphanumeric() && !"/-_.".contains(sign);
            let path = line[at..].split(ends).next().unwrap_or_default().trim_end_matches('.');
            if path.ends_with(".md") {
                documents.push(path.to_string());
            }
        }
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn links_that_lead_nowhere_are_found_and_others_are_not() {
        let root = tempfile::tempdir().unwrap();
        let fine = "# What it does, in short\n[a](docs/page.md#the-other-one) ![b](docs/x.png) [c](https://x.y/z) \
                    [d](#what-it-does-in-short) [e](docs)\n```\n[in code](nowhere.md)\n```\n";
        put(root.path(), "README.md", fine);
        put(root.path(), "docs/page.md", "## The *other* one\n[back](../README.md)");
        put(root.path(), "docs/x.png", "");
        put(root.path(), "crates/a/src/lib.rs", "//! docs/page.md says why.");
        assert!(dead(root.path()).unwrap().is_empty());

        put(root.path(), "docs/page.md", "[back](README.md) and [on](../README.md#missing)");
        put(root.path(), "crates/a/src/lib.rs", "//! docs/former.md said why.");
        let found = dead(root.path()).unwrap().join("\n");
        for lost in ["page.md#the-other-one", "README.md,", "README.md#missing", "docs/former.md"] {
            assert!(found.contains(lost), "{lost}: {found}");
        }
        assert_eq!(found.lines().count(), 4, "{found}");
    }
}
