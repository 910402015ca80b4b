//! `cargo xtask docs`: holds the documents' figures and pictures against what makes them.

use crate::config;
use crate::exit::usage;
use crate::note::Note;
use crate::terminal::{err, out};
use anyhow::{Context, Result, bail};
use duet_data::Picture;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the documents state, and how it is measured.
const FIGURES: &str = "docs/figures.toml";
const PICTURES: &str = "docs/images";
/// Documents are small.
const MAX_BYTES: u64 = 1 << 24;

/// Flags of `docs`.
#[derive(clap::Args)]
pub struct Args {
    /// Train what is not there yet, measure every figure and draw every picture again; hours
    #[arg(long)]
    measure: bool,
    /// With --measure: only of these runs, such as default,original
    #[arg(long, value_name = "RUN,…", value_delimiter = ',', requires = "measure")]
    only: Vec<String>,
    /// With --measure: where the runs are, or are trained
    #[arg(long, value_name = "DIR", default_value = "runs/docs", requires = "measure")]
    runs: PathBuf,
}

/// docs/figures.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    run: Vec<Run>,
}

/// A trained run, and all that the documents say of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    name: String,
    /// Arguments of `train`.
    train: String,
    /// How long it takes, for people.
    time: String,
    /// Verbs that come before the pictures; {run} stands for the run's folder.
    #[serde(default)]
    before: Vec<String>,
    #[serde(default)]
    measure: Vec<Measure>,
    /// Pictures that the run draws again from what they say of themselves.
    #[serde(default)]
    pictures: Vec<String>,
    /// Grey levels by which pictures may differ in the mean: another processor rounds otherwise.
    #[serde(default)]
    levels: f64,
}

/// One command and the figures that it gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Measure {
    /// A verb with its flags, which writes eval.json into {out}; none for the run's own metrics.
    #[serde(default)]
    command: Option<String>,
    figure: Vec<Figure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    document: PathBuf,
    /// Words of the document in which the figure stands.
    text: String,
    /// The figure as it stands there.
    stated: String,
    /// Where it is in eval.json, or in the last line of metrics.jsonl: a JSON pointer.
    of: String,
    /// 100 where the document has percent.
    #[serde(default = "one")]
    times: f64,
    /// How far another run of the same command may be from it.
    noise: f64,
}

fn one() -> f64 {
    1.0
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let figures = read()?;
    check(&figures)?;
    let count = |run: &Run| run.measure.iter().map(|measure| measure.figure.len()).sum::<usize>();
    let all: usize = figures.run.iter().map(count).sum();
    let pictures: usize = figures.run.iter().map(|run| run.pictures.len()).sum();
    out!("{all} figures stand where {FIGURES} says, and {pictures} pictures say how they were drawn");
    if !args.measure {
        return Ok(());
    }
    if let Some(name) = args.only.iter().find(|name| !figures.run.iter().any(|run| run.name == **name)) {
        let known: Vec<&str> = figures.run.iter().map(|run| run.name.as_str()).collect();
        return Err(usage(format!("--only {name}: there are {}", known.join(", "))));
    }
    let wanted = |run: &&Run| args.only.is_empty() || args.only.contains(&run.name);
    let mut moved = 0;
    for run in figures.run.iter().filter(wanted) {
        moved += measured(run, &args.runs.join(&run.name))?;
    }
    match moved {
        0 => Ok(()),
        _ => bail!("{moved} of what the documents state is not what was measured now"),
    }
}

fn read() -> Result<Figures> {
    let text = config::read(Path::new(FIGURES)).context("run it from the root of the repository")?;
    toml::from_str(&text).with_context(|| FIGURES.to_string())
}

/// Holds the list against the documents: fast, and part of `ci`.
pub fn check_stated() -> Result<()> {
    check(&read()?)
}

fn check(figures: &Figures) -> Result<()> {
    let mut wrong = Vec::new();
    for figure in figures.run.iter().flat_map(|run| &run.measure).flat_map(|measure| &measure.figure) {
        wrong.extend(figure.check()?);
    }
    let listed: BTreeSet<&str> =
        figures.run.iter().flat_map(|run| &run.pictures).map(String::as_str).collect();
    for name in &listed {
        let path = Path::new(PICTURES).join(name);
        if let Err(error) = Note::read(&path) {
            wrong.push(format!("{error:#}"));
        }
    }
    for entry in std::fs::read_dir(PICTURES).with_context(|| PICTURES.to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !listed.contains(name.as_str()) {
            wrong.push(format!("{PICTURES}/{name}: {FIGURES} does not say which run draws it"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => bail!("{}", wrong.join("\n  ")),
    }
}

impl Figure {
    /// What is wrong with how it is stated.
    fn check(&self) -> Result<Option<String>> {
        let document = self.document.display();
        let text = duet_files::read_text(&self.document, MAX_BYTES).with_context(|| document.to_string())?;
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(match (plain(&text).contains(&plain(&self.text)), self.text.contains(&self.stated)) {
            (false, _) => Some(format!("{document}: these words do not stand there: {}", self.text)),
            (_, false) => Some(format!("{FIGURES}: {} is not among the words {}", self.stated, self.text)),
            _ => self.value().err().map(|error| format!("{FIGURES}: {error:#}")),
        })
    }

    fn value(&self) -> Result<f64> {
        let number = self.stated.replace(',', "");
        number.parse().with_context(|| format!("stated = {:?}: not a number", self.stated))
    }

    /// Whether the measured value is what the document states; says both.
    fn holds(&self, found: &serde_json::Value) -> Result<bool> {
        let Some(value) = found.pointer(&self.of).and_then(serde_json::Value::as_f64) else {
            bail!("{FIGURES}: of = {:?}: no such number was measured", self.of);
        };
        let (value, stated) = (value * self.times, self.value()?);
        let holds = (value - stated).abs() <= self.noise;
        let word = if holds { "holds" } else { "MOVED" };
        let document = self.document.display();
        out!(
            "{word}  {document}: {} is now {value:.4}, within {} or not: {}",
            self.stated,
            self.noise,
            self.text
        );
        Ok(holds)
    }
}

/// Measures all that the documents say of a run; how many have moved.
fn measured(run: &Run, folder: &Path) -> Result<usize> {
    if !folder.join("config.toml").is_file() {
        err!("training {} ({})", run.name, run.time);
        verb(&format!("train {} --out {{run}}", run.train), folder, folder)?;
    }
    let scratch = tempfile::tempdir()?;
    let mut moved = 0;
    for measure in &run.measure {
        let found = match &measure.command {
            Some(command) => {
                verb(&format!("{command} --out {{out}}"), folder, scratch.path())?;
                duet_files::read_text(&scratch.path().join("eval.json"), MAX_BYTES)?
            }
            None => {
                let text = duet_files::read_text(&folder.join("metrics.jsonl"), MAX_BYTES)?;
                text.lines().last().unwrap_or_default().to_string()
            }
        };
        let found = serde_json::from_str(&found)?;
        for figure in &measure.figure {
            moved += usize::from(!figure.holds(&found)?);
        }
    }
    for command in &run.before {
        verb(command, folder, scratch.path())?;
    }
    for name in &run.pictures {
        moved += usize::from(!picture_holds(name, run, folder, scratch.path())?);
    }
    Ok(moved)
}

/// Runs a verb of this program.
fn verb(command: &str, run: &Path, out: &Path) -> Result<()> {
    let program = std::env::current_exe().context("where is this program?")?;
    let place = |word: &str| match word {
        "{run}" => run.to_path_buf(),
        "{out}" => out.to_path_buf(),
        word => word.into(),
    };
    err!("\n$ cargo xtask {command}");
    let status = Command::new(program).args(command.split_whitespace().map(place)).status()?;
    if status.success() { Ok(()) } else { bail!("{command} failed") }
}

fn picture_holds(name: &str, run: &Run, folder: &Path, scratch: &Path) -> Result<bool> {
    let (stated, again) = (Path::new(PICTURES).join(name), scratch.join(name));
    let program = std::env::current_exe().context("where is this program?")?;
    let mut reproduce = Command::new(program);
    reproduce.arg("reproduce").arg(&stated).arg("--run").arg(folder).arg("--out").arg(&again);
    let output = reproduce.output()?;
    let read = |path: &Path| -> Result<Picture> { Ok(Picture::decode(&duet_files::read(path, MAX_BYTES)?)?) };
    let difference = match read(&again) {
        Ok(again) => difference(&read(&stated)?, &again),
        Err(_) => {
            out!("MOVED  {}: {}", stated.display(), String::from_utf8_lossy(&output.stderr).trim());
            return Ok(false);
        }
    };
    let holds = output.status.success() || difference.is_some_and(|levels| levels <= run.levels);
    let word = if holds { "holds" } else { "MOVED" };
    match difference {
        Some(levels) => out!("{word}  {}: {levels:.3} grey levels in the mean", stated.display()),
        None => out!("{word}  {}: of another size", stated.display()),
    }
    Ok(holds)
}

/// The mean difference of two pictures in grey levels; none where their sizes differ.
fn difference(a: &Picture, b: &Picture) -> Option<f64> {
    let sizes = |picture: &Picture| (picture.channels, picture.height, picture.width);
    if sizes(a) != sizes(b) {
        return None;
    }
    let sum: u64 = a.pixels.iter().zip(&b.pixels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    Some(sum as f64 / a.pixels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(stated: &str, text: &str) -> Figure {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let (stated, text, of) = (stated.into(), text.into(), "/a/b".into());
        Figure { document, text, stated, of, times: 100.0, noise: 0.5 }
    }

    #[test]
    fn words_that_do_not_stand_in_the_document_are_named() {
        let wrong = figure("12.3", "no document says 12.3 % of this").check().unwrap().unwrap();
        assert!(wrong.contains("README.md") && wrong.contains("12.3 % of this"), "{wrong}");
        assert_eq!(
            figure("MIT", "MIT or\nApache-2.0").check().unwrap().map(|w| w.contains("not a number")),
            Some(true)
        );
    }

    #[test]
    fn a_figure_holds_within_its_noise_alone() {
        let figure = figure("99.1", "");
        for (value, holds) in [(0.991, true), (0.9869, true), (0.9855, false), (0.997, false)] {
            assert_eq!(figure.holds(&serde_json::json!({"a": {"b": value}})).unwrap(), holds, "{value}");
        }
        assert!(figure.holds(&serde_json::json!({"a": 1})).is_err());
    }

    #[test]
    fn pictures_of_other_sizes_are_not_compared() {
        let picture = |side, grey| Picture::new(1, side, side, vec![grey; side * side]).unwrap();
        assert_eq!(difference(&picture(2, 10), &picture(2, 13)), Some(3.0));
        assert_eq!(difference(&picture(2, 10), &picture(3, 10)), None);
    }
}
