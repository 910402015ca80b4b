//! `cargo xtask ci --peers PYTHON`: every comparison with torch and diffusers.

use crate::python;
use crate::repository::{ROOT, cargo};
use anyhow::{Context, Result, bail};
use duet_cli::terminal::{err, out};
use duet_diffusion::find;
use duet_diffusion::words::duration;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Configurations that are drawn for the comparison of networks.
const DRAWN: usize = 300;

/// The comparisons in order; all run, and one failure fails all.
pub fn run(python: &Path, run: Option<&str>) -> Result<()> {
    out!("{}", python::check(python, &["torch", "diffusers", "safetensors"])?);
    let checkpoint = run.map(|run| newest(Path::new(run))).transpose()?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let peers = Peers { python, folder: folder.path(), xtask: std::env::current_exe()? };
    let comparisons: [(&str, &dyn Fn() -> Result<()>); 5] = [
        ("networks and their gradients", &|| peers.networks()),
        ("timesteps and noise levels", &|| peers.steps()),
        ("sampling, trained in Duet and made in diffusers", &|| peers.sampling(checkpoint.as_deref())),
        ("sampling, trained in torch", &|| peers.baseline()),
        ("speed", &|| peers.speed()),
    ];
    let (mut lines, mut failed) = (Vec::new(), 0);
    for (name, comparison) in comparisons {
        err!("\n== {name}");
        let began = Instant::now();
        let verdict = match comparison() {
            Ok(()) => "pass".into(),
            Err(error) => {
                failed += 1;
                format!("FAIL: {error:#}")
            }
        };
        lines.push(format!("{name:<50} {:<12} {verdict}", duration(began.elapsed())));
    }
    out!("\n{}", lines.join("\n"));
    if failed > 0 { bail!("{failed} of {} comparisons failed", lines.len()) } else { Ok(()) }
}

struct Peers<'a> {
    python: &'a Path,
    folder: &'a Path,
    xtask: PathBuf,
}

impl Peers<'_> {
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(self.python);
        // Threads that wait in a loop for each other stand still where others use the cores too.
        command.arg(Path::new(ROOT).join("benches").join(name)).env("OMP_WAIT_POLICY", "PASSIVE");
        command
    }

    /// Duet's networks on configurations that are drawn here, and their gradients, against torch's.
    fn networks(&self) -> Result<()> {
        let out = self.folder.join("networks");
        let cases = (0..DRAWN).map(|case| format!("random-{case}"));
        ended(self.script("make_references.py").arg(&out).args(cases))?;
        // With the features of the whole workspace, so that candle is not built again.
        let arguments =
            ["test", "--release", "--workspace", "--exclude", "duet-hub", "--test", "model", "references"];
        ended(cargo().args(arguments).env("DUET_REFERENCES", &out).current_dir(ROOT))
    }

    /// How far diffusers' steps land from a known answer; the script fails where Duet's are further.
    fn steps(&self) -> Result<()> {
        ended(&mut self.script("diffusers_steps.py"))
    }

    fn sampling(&self, checkpoint: Option<&Path>) -> Result<()> {
        let tiny = self.folder.join("tiny");
        let mut train = Command::new(&self.xtask);
        train.args(["train", "--steps", "20", "--sample-every", "0", "--out"]).arg(&tiny);
        ended(train.stdout(Stdio::null()))?;
        let mut script = self.script("compare_diffusers.py");
        ended(script.arg(newest(&tiny)?).args(checkpoint).arg("--xtask").arg(&self.xtask))
    }

    /// Trains for a moment in torch; Duet draws from the folder what diffusers draws.
    fn baseline(&self) -> Result<()> {
        let out = self.folder.join("baseline");
        let mut script = self.script("torch_baseline.py");
        ended(script.args(["--images", "640", "--guidance", "2", "--steps", "2", "--out"]).arg(&out))?;
        let mut script = self.script("compare_diffusers.py");
        ended(script.arg(out.join("model")).arg("--xtask").arg(&self.xtask).args(["--count", "10"]))
    }

    /// Whether torch's side of `bench` runs; the figures mean nothing on a busy machine.
    fn speed(&self) -> Result<()> {
        let mut bench = Command::new(&self.xtask);
        let flags = ["bench", "--only", "conv,forward", "--network", "small", "--repeats", "1", "--torch"];
        ended(bench.args(flags).arg(self.python))
    }
}

/// A run's newest checkpoint; any other folder is a model itself.
fn newest(folder: &Path) -> Result<PathBuf> {
    Ok(find::latest_checkpoint(folder)?.unwrap_or_else(|| folder.into()))
}

/// Runs a program, which must end well.
fn ended(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    if status.success() { Ok(()) } else { bail!("{program} ended with {status}") }
}
