//! `cargo xtask ci`: every check of this repository, one after another.

use crate::repository::cargo;
use crate::{docs, event_files, layering, peers, python};
use anyhow::{Context, Result, bail};
use duet_cli::terminal::{err, out};
use duet_diffusion::words::duration;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Flags of `ci`.
#[derive(clap::Args)]
pub struct Args {
    /// Check the downloader instead of everything else; its build takes some 15 minutes
    #[arg(long)]
    hub: bool,
    /// Compare with torch and diffusers instead, by this Python, which needs `pip install torch
    /// diffusers safetensors`
    #[arg(long, value_name = "PYTHON", conflicts_with = "hub")]
    peers: Option<PathBuf>,
    /// Compare ONNX files with onnxruntime too, by this Python, which needs `pip install onnxruntime onnx
    /// numpy` [default: python3, if it has them]
    #[arg(long, value_name = "PYTHON", conflicts_with_all = ["hub", "peers"])]
    onnxruntime: Option<PathBuf>,
    /// A run or checkpoint that is compared too [default: a tiny one alone, trained for it]
    #[arg(long, value_name = "DIR", requires = "peers")]
    run: Option<String>,
}

/// One check: what it is, cargo's arguments, and the environment it needs.
struct Check {
    name: &'static str,
    arguments: Vec<&'static str>,
    environment: &'static [(&'static str, &'static str)],
}

fn check(name: &'static str, arguments: &'static str) -> Check {
    Check { name, arguments: arguments.split(' ').collect(), environment: &[] }
}

/// Everything shares the runner's release build of candle; only `hub` stands apart.
fn checks(hub: bool) -> Vec<Check> {
    let strict = |check| Check { environment: &[("RUSTDOCFLAGS", "-D warnings")], ..check };
    if hub {
        return vec![
            check("clippy of hub", "clippy --release --package duet-hub --all-targets -- -D warnings"),
            check("tests of hub", "test --release --package duet-hub"),
        ];
    }
    vec![
        check("format", "fmt --all --check"),
        check("tests", "test --release --workspace --exclude duet-hub"),
        check("clippy", "clippy --release --workspace --exclude duet-hub --all-targets -- -D warnings"),
        check("tests of parquet", "test --release --package duet-data --features parquet"),
        check(
            "clippy of parquet",
            "clippy --release --package duet-data --features parquet --all-targets -- -D warnings",
        ),
        check(
            "tests of studio",
            "test --release --package duet-cli --package xtask --features xtask/studio --test cli studio",
        ),
        check(
            "clippy of studio",
            "clippy --release --package duet-cli --package xtask --features xtask/studio --all-targets -- -D warnings",
        ),
        strict(check("docs", "doc --release --workspace --exclude duet-hub --no-deps")),
    ]
}

/// Each crate used alone. The tests have built them; built by themselves, they would build candle
/// again with other features.
const EXAMPLES: [&str; 18] = [
    "streams",
    "sum",
    "spacings",
    "ops",
    "attention",
    "quadratic",
    "load",
    "classes",
    "own_source",
    "in_memory",
    "closure",
    "own_sampler",
    "own_rule",
    "judge",
    "metrics",
    "train_own",
    "train",
    "draw",
];

/// In a folder of its own, where the last one draws with what the one before has trained.
fn run_example(name: &str, folder: &Path) -> Result<()> {
    let runner = std::env::current_exe().context("where is this program?")?;
    let program =
        runner.with_file_name("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    err!("\n== example {name}");
    let status = Command::new(&program)
        .current_dir(folder)
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if status.success() { Ok(()) } else { bail!("the example {name} failed") }
}

/// Licences, versions and sources of the dependencies against deny.toml.
fn dependencies() -> Result<&'static str> {
    err!("\n== dependencies: cargo deny check licenses bans sources");
    let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !quiet(cargo().args(["deny", "--version"])).is_ok_and(|status| status.success()) {
        err!("SKIPPED: cargo-deny is not there; `cargo install --locked cargo-deny` gets it");
        return Ok("skipped, no cargo-deny");
    }
    let arguments = ["deny", "--log-level", "error", "check", "licenses", "bans", "sources"];
    match cargo().args(arguments).status().context("cannot run cargo")?.success() {
        true => Ok("checked"),
        false => bail!("cargo deny failed"),
    }
}

/// What the tests of ONNX files need.
const ONNX_PACKAGES: [&str; 3] = ["onnxruntime", "onnx", "numpy"];

/// The Python that runs ONNX files; none, with a word, where nobody names one and the usual one cannot.
fn onnxruntime(named: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(python) = named {
        err!("{}", python::check(python, &ONNX_PACKAGES)?);
        // The tests run in other folders. A bare name is looked up on the path.
        let is_bare = python.parent().is_some_and(|folder| folder.as_os_str().is_empty());
        return Ok(Some(if is_bare { python.into() } else { std::path::absolute(python)? }));
    }
    let usual = Path::new("python3");
    match python::check(usual, &ONNX_PACKAGES) {
        Ok(versions) => {
            err!("{versions}");
            Ok(Some(usual.into()))
        }
        Err(error) => {
            err!("SKIPPED: no comparison of ONNX files with onnxruntime: {error:#}");
            Ok(None)
        }
    }
}

/// Runs the checks in order and stops at the first that fails.
pub fn run(args: Args) -> Result<()> {
    let started = Instant::now();
    if let Some(python) = &args.peers {
        return peers::run(python, args.run.as_deref());
    }
    let mut times = Vec::new();
    let mut onnx_python = None;
    if !args.hub {
        onnx_python = onnxruntime(args.onnxruntime.as_deref())?;
        layering::run()?;
        docs::check(&docs::Figures::read()?)?;
    }
    for check in checks(args.hub) {
        let began = Instant::now();
        err!("\n== {}: cargo {}", check.name, check.arguments.join(" "));
        let mut cargo = cargo();
        let onnx_python = onnx_python.iter().map(|python| ("DUET_ONNXRUNTIME", python));
        let cargo = cargo.args(&check.arguments).envs(check.environment.iter().copied()).envs(onnx_python);
        let status = cargo.status();
        if !status.context("cannot run cargo")?.success() {
            bail!("{} failed", check.name);
        }
        times.push(format!("{:<20} {}", check.name, duration(began.elapsed())));
    }
    if !args.hub {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        EXAMPLES.iter().try_for_each(|name| run_example(name, folder.path()))?;
        times.push(format!("{:<20} {}", "event files", event_files::check(folder.path())?));
        times.push(format!("{:<20} {}", "dependencies", dependencies()?));
        let onnx = if onnx_python.is_some() { "compared" } else { "skipped, no onnxruntime" };
        times.push(format!("{:<20} {onnx}", "ONNX files"));
    }
    out!("\nall checks passed in {}\n  {}", duration(started.elapsed()), times.join("\n  "));
    Ok(())
}
