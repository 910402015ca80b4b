//! `cargo xtask docs`: whether the documents' figures and pictures are what the repository makes,
//! and whether their links lead somewhere.

mod links;

use crate::repository::{MAX_BYTES, ROOT, read};
use anyhow::{Context, Result, bail};
use duet_cli::exit::usage;
use duet_cli::terminal::{err, out};
use duet_data::Picture;
use duet_diffusion::find;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LIST: &str = "docs/figures.toml";

/// Flags of `docs`.
#[derive(clap::Args)]
pub struct Args {
    /// Run the commands too and compare what they find; without, only the documents are read
    #[arg(long)]
    measure: bool,
    /// Of the measurements these, separated by commas, as this verb lists them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "measure")]
    only: Vec<String>,
    /// Trained runs that are there already, such as preset=runs/00001-digits, separated by commas;
    /// others are trained in runs/docs
    #[arg(long, value_name = "NAME=DIR", value_delimiter = ',', requires = "measure")]
    run: Vec<String>,
}

/// docs/figures.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    run: BTreeMap<String, Step>,
    measurement: BTreeMap<String, Measurement>,
    figure: Vec<Figure>,
}

/// Arguments of `cargo xtask`, and the minutes they take on two idle cores.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    command: String,
    minutes: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Measurement {
    /// Which run's folder stands for {run}.
    run: String,
    /// {out} is an empty folder.
    #[serde(default)]
    command: Option<String>,
    minutes: f64,
    /// The JSON file that has the values: JSON, or JSON lines, of which the last counts.
    #[serde(default)]
    file: Option<String>,
    /// Pictures that are drawn again from their notes.
    #[serde(default)]
    pictures: Vec<String>,
    /// Grey levels by which a pixel of them may differ, on another processor.
    #[serde(default)]
    levels: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    measurement: String,
    document: String,
    /// What the document says, in which the value stands as `value` is written.
    text: String,
    value: String,
    noise: f64,
    /// The JSON pointer of the value in the measurement's file, and what it is multiplied by.
    key: String,
    #[serde(default = "one")]
    scale: f64,
}

fn one() -> f64 {
    1.0
}

impl Figures {
    /// The repository's.
    pub fn read() -> Result<Self> {
        let path = Path::new(ROOT).join(LIST);
        let figures: Self = toml::from_str(&read(&path)?).with_context(|| path.display().to_string())?;
        for figure in &figures.figure {
            figure.number()?;
            let Some(measurement) = figures.measurement.get(&figure.measurement) else {
                bail!("{LIST}: there is no measurement {:?}", figure.measurement);
            };
            if measurement.command.is_none() || measurement.file.is_none() {
                bail!("{LIST}: {} has a figure, so it needs a command and a file", figure.measurement);
            }
        }
        match figures.measurement.iter().find(|(_, measurement)| !figures.run.contains_key(&measurement.run))
        {
            Some((name, _)) => bail!("{LIST}: {name} names a run that is not there"),
            None => Ok(figures),
        }
    }
}

impl Figure {
    fn number(&self) -> Result<f64> {
        let number = self.value.parse();
        number.with_context(|| format!("{LIST}: {:?} is no number", self.value))
    }

    /// Whether a document says what is listed; line breaks do not count.
    fn stands_in(&self, document: &str) -> bool {
        let joined = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text.contains(&self.value) && joined(document).contains(&joined(&self.text))
    }

    /// The measured value, and whether it is as near as the noise and the digits that are stated allow.
    fn holds(&self, measured: &serde_json::Value) -> Result<(f64, bool)> {
        let value = measured.pointer(&self.key).and_then(serde_json::Value::as_f64);
        let value = value.with_context(|| format!("{}: no number at {}", self.measurement, self.key))?;
        let digits = self.value.split_once('.').map_or(0, |(_, digits)| digits.len());
        let allowed = self.noise + 0.5 * 0.1f64.powi(digits as i32) + 1e-9;
        let value = value * self.scale;
        Ok((value, (value - self.number()?).abs() <= allowed))
    }
}

/// Whether every listed figure stands in its document, every picture is there, and no link is dead.
pub fn check(figures: &Figures) -> Result<()> {
    let mut wrong = Vec::new();
    for figure in &figures.figure {
        if !figure.stands_in(&read(&Path::new(ROOT).join(&figure.document))?) {
            wrong.push(format!("{}: does not say {:?} with {}", figure.document, figure.text, figure.value));
        }
    }
    let pictures = || figures.measurement.values().flat_map(|measurement| &measurement.pictures);
    wrong.extend(
        pictures()
            .filter(|picture| !Path::new(ROOT).join(picture).is_file())
            .map(|picture| format!("{picture}: is not there")),
    );
    let dead = links::dead(Path::new(ROOT))?;
    if !dead.is_empty() {
        bail!("links of the documents lead nowhere:\n  {}", dead.join("\n  "));
    }
    if !wrong.is_empty() {
        bail!("the documents and {LIST} differ; mend the one that is wrong:\n  {}", wrong.join("\n  "));
    }
    out!("{} figures and {} pictures stand in the documents", figures.figure.len(), pictures().count());
    Ok(())
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let figures = Figures::read()?;
    check(&figures)?;
    if !args.measure {
        out!("--measure runs what they come from, minutes on two idle cores:");
        for (name, step) in &figures.run {
            out!("  {:4} run {name}: cargo xtask {}", step.minutes, step.command);
        }
        for (name, Measurement { run, command, minutes, pictures, .. }) in &figures.measurement {
            let command =
                command.clone().unwrap_or_else(|| format!("reproduce, {} pictures", pictures.len()));
            out!("  {minutes:4} {name}, of run {run}: cargo xtask {command}");
        }
        return Ok(());
    }
    if let Some(name) = args.only.iter().find(|name| !figures.measurement.contains_key(*name)) {
        return Err(usage(format!("--only {name}: no such measurement; `cargo xtask docs` lists them")));
    }
    let mut runs = given(&args.run, &figures)?;
    let mut moved = 0;
    for (name, measurement) in &figures.measurement {
        if args.only.is_empty() || args.only.contains(name) {
            let run = trained(&mut runs, &measurement.run, &figures.run[&measurement.run])?;
            err!("\n== {name}");
            moved += measure(name, measurement, &figures.figure, &run)?;
        }
    }
    if moved > 0 { bail!("{moved} figures or pictures moved beyond their noise") } else { Ok(()) }
}

/// The folders that `--run` names.
fn given(words: &[String], figures: &Figures) -> Result<BTreeMap<String, PathBuf>> {
    let mut runs = BTreeMap::new();
    for word in words {
        let named = word.split_once('=').filter(|(name, _)| figures.run.contains_key(*name));
        let (name, folder) = named.ok_or_else(|| {
            let names: Vec<&str> = figures.run.keys().map(String::as_str).collect();
            usage(format!("--run {word}: must be NAME=DIR, where NAME is {}", names.join(" or ")))
        })?;
        runs.insert(name.into(), std::path::absolute(folder)?);
    }
    Ok(runs)
}

/// A run's folder; it is trained where nobody has.
fn trained(runs: &mut BTreeMap<String, PathBuf>, name: &str, step: &Step) -> Result<PathBuf> {
    if let Some(run) = runs.get(name) {
        return Ok(run.clone());
    }
    let run = Path::new(ROOT).join("runs/docs").join(name);
    if !run.join("DONE").exists() {
        err!("\n== run {name}, {} minutes on two idle cores: cargo xtask {}", step.minutes, step.command);
        if run.exists() {
            xtask(&["train".into(), "--resume".into(), run.display().to_string()])?;
        } else {
            let words = step.command.split_whitespace().map(String::from);
            xtask(&words.chain(["--out".into(), run.display().to_string()]).collect::<Vec<_>>())?;
        }
        std::fs::write(run.join("DONE"), "").with_context(|| format!("cannot write in {}", run.display()))?;
    }
    runs.insert(name.into(), run.clone());
    Ok(run)
}

fn xtask(words: &[String]) -> Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .args(words)
        .current_dir(ROOT)
        .stdout(Stdio::null())
        .status()
        .context("cannot start this program again")?;
    if status.success() { Ok(()) } else { bail!("cargo xtask {} ended with {status}", words.join(" ")) }
}

/// Runs a measurement and prints what it found; how many figures and pictures moved.
fn measure(name: &str, measurement: &Measurement, figures: &[Figure], run: &Path) -> Result<usize> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let placed = |word: &str| {
        let word = word.replace("{run}", &run.display().to_string());
        word.replace("{out}", &folder.path().display().to_string())
    };
    let mut moved = 0;
    if let Some(command) = &measurement.command {
        xtask(&command.split_whitespace().map(placed).collect::<Vec<_>>())?;
    }
    if let Some(file) = &measurement.file {
        let text = read(Path::new(&placed(file)))?;
        let last = || text.lines().last().unwrap_or_default();
        let found = serde_json::from_str(&text).or_else(|_| serde_json::from_str(last()));
        let found = found.with_context(|| placed(file))?;
        for figure in figures.iter().filter(|figure| figure.measurement == name) {
            let (value, holds) = figure.holds(&found)?;
            moved += usize::from(!holds);
            let verdict = if holds { "holds" } else { "MOVED" };
            out!(
                "{verdict}  {} {}: {} stated, {value:.4} measured, noise {}",
                figure.document,
                figure.key,
                figure.value,
                figure.noise
            );
        }
    }
    for picture in &measurement.pictures {
        let again = folder.path().join("again.png");
        let verdict = redrawn(&Path::new(ROOT).join(picture), &again, run, measurement.levels);
        moved += usize::from(verdict.is_err());
        match verdict {
            Ok(()) => out!("holds  {picture}"),
            Err(error) => out!("MOVED  {picture}: {error:#}"),
        }
    }
    Ok(moved)
}

/// Draws a picture again from its note and compares the pixels.
fn redrawn(picture: &Path, again: &Path, run: &Path, levels: u8) -> Result<()> {
    let checkpoint = find::latest_checkpoint(run)?.unwrap_or_else(|| run.into());
    let output = Command::new(std::env::current_exe()?)
        .arg("reproduce")
        .arg(picture)
        .args([Path::new("--run"), &checkpoint, Path::new("--out"), again])
        .current_dir(ROOT)
        .output()
        .context("cannot start this program again")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_string();
    let decode =
        |path: &Path| -> Result<Picture> { Ok(Picture::decode(&duet_files::read(path, MAX_BYTES)?)?) };
    let Ok(drawn) = decode(again) else { bail!("{text}") };
    let stated = decode(picture)?;
    if (drawn.channels, drawn.height, drawn.width) != (stated.channels, stated.height, stated.width) {
        bail!("it is drawn at another size");
    }
    let differences = drawn.pixels.iter().zip(&stated.pixels).map(|(a, b)| a.abs_diff(*b));
    match differences.max().unwrap_or(0) {
        largest if largest <= levels => Ok(()),
        largest => bail!("a pixel differs by {largest} grey levels, and {levels} are allowed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(text: &str, value: &str, noise: f64) -> Figure {
        let (text, value) = (text.into(), value.into());
        Figure {
            measurement: "eval".into(),
            document: "x.md".into(),
            text,
            value,
            noise,
            key: "/a/b".into(),
            scale: 100.0,
        }
    }

    #[test]
    fn every_listed_figure_stands_in_its_document() {
        check(&Figures::read().unwrap()).unwrap();
    }

    #[test]
    fn a_figure_that_the_document_does_not_state_is_found() {
        assert!(figure("99.1 % are\nright", "99.1", 0.0).stands_in("of which 99.1 %\nare right"));
        assert!(!figure("99.1 % are right", "99.1", 0.0).stands_in("99.2 % are right"));
        assert!(!figure("99.1 % are right", "99.2", 0.0).stands_in("99.1 % are right"));
    }

    #[test]
    fn a_figure_holds_within_its_noise_and_its_digits() {
        let found = |value: f64| serde_json::json!({ "a": { "b": value } });
        assert!(figure("", "99.1", 0.0).holds(&found(0.9914)).unwrap().1);
        assert!(!figure("", "99.1", 0.0).holds(&found(0.9917)).unwrap().1);
        assert!(figure("", "99.1", 0.3).holds(&found(0.988)).unwrap().1);
        assert!(!figure("", "99.1", 0.3).holds(&found(0.985)).unwrap().1);
        assert!(figure("", "99.1", 0.3).holds(&serde_json::json!({})).is_err());
    }
}
