//! TensorBoard's own reader on the event files of runs, one of them killed and resumed.

use crate::repository::ROOT;
use anyhow::{Context, Result, bail};
use duet_cli::terminal::err;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// So long may a training of few steps take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Small batches, and something of everything that such a file can have.
const TRAIN: &str = "train --steps 60 --batch 4 --save-every 10 --sample-every 20 --eval-every 30 \
                     --set save.eval_images=20 --set save.held_out_every=10 --set save.held_out_images=16 --out";
/// The run is killed after so many steps, between two checkpoints.
const KILLED: usize = 35;

/// Trains in `folder` and has `benches/event_files.py` compare what was written; says so where Python or TensorBoard is
/// missing. The tests have built the program.
pub fn check(folder: &Path) -> Result<&'static str> {
    err!("\n== event files: python3 benches/event_files.py check RUN …");
    let mut import = Command::new("python3");
    let import = import.args(["-c", "import tensorboard"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !import.status().is_ok_and(|status| status.success()) {
        err!("SKIPPED: TensorBoard is not there; `python3 -m pip install tensorboard` gets it");
        return Ok("skipped, no TensorBoard");
    }
    let (whole, killed) = (folder.join("whole"), folder.join("killed"));
    ended(train(&whole)?.status())?;
    kill(&killed)?;
    ended(quiet(["train", "--resume"])?.arg(&killed).status())?;
    let script = Path::new(ROOT).join("benches/event_files.py");
    ended(Command::new("python3").arg(script).arg("check").args([&whole, &killed]).status())?;
    Ok("compared")
}

/// The program with these arguments, without its words.
fn quiet<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let runner = std::env::current_exe().context("where is this program?")?;
    let mut program =
        Command::new(runner.with_file_name("duet").with_extension(std::env::consts::EXE_EXTENSION));
    program.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(program)
}

fn train(run: &Path) -> Result<Command> {
    let mut train = quiet(TRAIN.split_whitespace())?;
    train.arg(run);
    Ok(train)
}

/// Begins a run and kills it.
fn kill(run: &Path) -> Result<()> {
    let mut training = train(run)?.spawn().context("cannot start the training")?;
    let began = Instant::now();
    let steps = || std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    while steps() < KILLED && began.elapsed() < PATIENCE && training.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    training.kill().context("cannot kill the training")?;
    training.wait()?;
    Ok(())
}

fn ended(status: std::io::Result<std::process::ExitStatus>) -> Result<()> {
    let status = status.context("cannot start the program or Python")?;
    if status.success() { Ok(()) } else { bail!("the check of event files ended with {status}") }
}
