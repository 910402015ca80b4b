//! `cargo xtask bench`: how fast training and sampling are here, beside torch if it is there.

use crate::chart::{self, Rate};
use crate::profile::MULTIPLY_ADDS;
use anyhow::{Context, Result, bail};
use candle_core::Device;
use clap::ValueEnum;
use duet_cli::exit::usage;
use duet_cli::terminal::{err, out};
use duet_diffusion::files::write_atomically;
use duet_diffusion::words::megabytes;
use duet_model::{UNet, UNetConfig};
use serde::Serialize;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// A Python with torch and diffusers, to time torch in the same run
    #[arg(long, value_name = "PYTHON")]
    torch: Option<PathBuf>,
    /// What to time, separated by commas
    #[arg(long, value_name = "KINDS", value_delimiter = ',', default_value = "conv,train,forward,sample")]
    only: Vec<Kind>,
    /// Networks to time, separated by commas
    #[arg(
        long,
        value_name = "NETWORKS",
        value_delimiter = ',',
        default_value = "preset,small,large,colour-32,colour-64"
    )]
    network: Vec<Network>,
    /// Images of a batch instead of the networks' own, separated by commas
    #[arg(long, value_name = "COUNTS", value_delimiter = ',')]
    batch: Vec<usize>,
    /// Height and width of images instead of the networks' own, separated by commas
    #[arg(long, value_name = "SIDES", value_delimiter = ',')]
    side: Vec<usize>,
    /// Channels of the first block instead of the networks' own, separated by commas; the others grow alike
    #[arg(long, value_name = "COUNTS", value_delimiter = ',')]
    channels: Vec<usize>,
    /// The widest instructions that all contestants may use; without it, the processor's widest
    #[arg(long, value_name = "SET")]
    instructions: Option<Instructions>,
    /// Threads of each contestant; training is timed on one thread too
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Rounds, each of which gives every contestant a turn of about 0.3 seconds; medians are shown
    #[arg(long, default_value_t = 7)]
    repeats: usize,
    /// Time nothing against each other; print instead where the time of our training and prediction goes
    #[arg(long, conflicts_with_all = ["torch", "only", "json"])]
    profile: bool,
    /// A launcher's words, to time training by several processes too, such as "mpirun -n 2"; several times for several.
    /// Needs the feature mpi
    #[arg(long, value_name = "COMMAND")]
    ranks: Vec<String>,
    /// Threads of each of these processes
    #[arg(long, default_value_t = 1)]
    rank_threads: usize,
    /// Steps of guided DDIM
    #[arg(long, default_value_t = 25)]
    steps: usize,
    /// Write all repeats here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the rates of one network over the one of --batch, --side and --channels that has several values: a chart
    #[arg(long, value_name = "FILE.svg", conflicts_with = "profile")]
    svg: Option<PathBuf>,
    /// Leave out compiled torch, which takes a minute to start for each size
    #[arg(long, requires = "torch")]
    eager: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Single 3×3 convolutions, batch 64
    Conv,
    /// A whole training step
    Train,
    /// The network's prediction for a batch
    Forward,
    /// Guided DDIM, w = 2
    Sample,
}

impl Kind {
    /// Whether a chart shows it.
    fn is_drawn(self) -> bool {
        matches!(self, Self::Train | Self::Forward)
    }
}

/// The unit of training and prediction.
const IMAGES: &str = "images/s";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// The preset's: (16, 32, 64), one layer a block, 28×28 grey
    Preset,
    /// (32, 64, 64), one layer a block, 28×28 grey
    Small,
    /// (64, 128, 128), two layers a block, attention at 7×7, 28×28 grey
    Large,
    /// (64, 128, 128), two layers a block, attention at 16×16, 32×32 colour
    #[value(name = "colour-32")]
    Colour32,
    /// (64, 128, 256), two layers a block, attention at 16×16, 64×64 colour
    #[value(name = "colour-64")]
    Colour64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Instructions {
    /// AVX2 with fused multiply-add
    Avx2,
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches");

impl Network {
    fn name(self) -> &'static str {
        match self {
            Self::Preset => "preset",
            Self::Small => "small",
            Self::Large => "large",
            Self::Colour32 => "colour-32",
            Self::Colour64 => "colour-64",
        }
    }

    fn json(self) -> &'static str {
        match self {
            Self::Preset => include_str!("../../benches/networks/preset.json"),
            Self::Small => include_str!("../../benches/networks/small.json"),
            Self::Large => include_str!("../../benches/networks/large.json"),
            Self::Colour32 => include_str!("../../benches/networks/colour-32.json"),
            Self::Colour64 => include_str!("../../benches/networks/colour-64.json"),
        }
    }

    /// The network, with these of its sizes changed.
    pub fn benched(self, sizes: Sizes) -> Result<Benched> {
        let mut keys: serde_json::Value = serde_json::from_str(self.json())?;
        sizes.change(&mut keys);
        let number = |key: &str| {
            keys[key].as_u64().map(|number| number as usize).with_context(|| format!("{key} of the network"))
        };
        Ok(Benched {
            config: UNetConfig::from_json(&keys.to_string())?,
            side: number("sample_size")?,
            batch: number("_batch")?,
            samples: number("_samples")?,
        })
    }
}

/// Sizes that are not the network's own.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Sizes {
    #[arg(long)]
    batch: Option<usize>,
    #[arg(long)]
    side: Option<usize>,
    #[arg(long)]
    channels: Option<usize>,
}

impl Sizes {
    /// Every combination of what is asked for.
    fn all(args: &Args) -> Vec<Self> {
        let each = |values: &[usize]| match values {
            [] => vec![None],
            values => values.iter().copied().map(Some).collect(),
        };
        let mut all = Vec::new();
        for batch in each(&args.batch) {
            for side in each(&args.side) {
                all.extend(each(&args.channels).into_iter().map(|channels| Self { batch, side, channels }));
            }
        }
        all
    }

    /// As flags, which our worker and the peer's script read.
    fn flags(self) -> Vec<String> {
        let flags = [("--batch", self.batch), ("--side", self.side), ("--channels", self.channels)];
        let given = flags.into_iter().filter_map(|(flag, value)| Some([flag.into(), value?.to_string()]));
        given.flatten().collect()
    }

    /// The peer's script changes the same keys.
    fn change(self, keys: &mut serde_json::Value) {
        for (key, value) in [("_batch", self.batch), ("_samples", self.batch), ("sample_size", self.side)] {
            if let Some(value) = value {
                keys[key] = value.into();
            }
        }
        if let (Some(first), Some(widths)) = (self.channels, keys["block_out_channels"].as_array_mut()) {
            let own = widths[0].as_u64().unwrap_or(1);
            for width in widths {
                *width = (width.as_u64().unwrap_or(0) * first as u64 / own).into();
            }
        }
    }
}

/// The one of the sizes that has several values.
struct Growing {
    title: &'static str,
    size: fn(&Sizes) -> Option<usize>,
}

impl Growing {
    /// None unless exactly one size has several values.
    fn of(args: &Args) -> Option<Self> {
        let batch = Self { title: "images of a batch", size: |sizes| sizes.batch };
        let side = Self { title: "height and width, pixels", size: |sizes| sizes.side };
        let channels = Self { title: "channels of the first block", size: |sizes| sizes.channels };
        match [&args.batch, &args.side, &args.channels].map(|values| values.len() > 1) {
            [true, false, false] => Some(batch),
            [false, true, false] => Some(side),
            [false, false, true] => Some(channels),
            _ => None,
        }
    }
}

/// A network and what it is timed with.
pub struct Benched {
    pub config: UNetConfig,
    /// Height and width of images.
    pub side: usize,
    /// Images of a batch in training and in a prediction.
    pub batch: usize,
    /// Images that are sampled at once.
    pub samples: usize,
}

impl Benched {
    /// (batch, channels, height, width)
    pub fn shape(&self, batch: usize) -> (usize, usize, usize, usize) {
        (batch, self.config.in_channels, self.side, self.side)
    }
}

/// What one worker does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Train,
    Forward,
    Sample,
    /// Inputs, outputs and side of a 3×3 convolution.
    Conv((usize, usize, usize)),
    /// With both gradients.
    ConvBoth((usize, usize, usize)),
    /// Multiply-adds in registers.
    Peak,
    /// Prints where the time of training and prediction goes.
    Profile,
    /// The sum of a network's gradients over several ranks, without the work before it.
    Wire,
}

impl FromStr for Task {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, sizes) = text.split_once(':').unwrap_or((text, ""));
        let numbers: Vec<usize> = sizes.split(',').filter_map(|number| number.parse().ok()).collect();
        match (name, <[usize; 3]>::try_from(numbers)) {
            ("train", _) => Ok(Self::Train),
            ("forward", _) => Ok(Self::Forward),
            ("sample", _) => Ok(Self::Sample),
            ("peak", _) => Ok(Self::Peak),
            ("profile", _) => Ok(Self::Profile),
            ("wire", _) => Ok(Self::Wire),
            ("conv-forward", Ok([i, o, side])) => Ok(Self::Conv((i, o, side))),
            ("conv-both", Ok([i, o, side])) => Ok(Self::ConvBoth((i, o, side))),
            _ => Err(format!("no task {text}")),
        }
    }
}

/// One row of the result.
#[derive(Serialize)]
struct Row {
    what: String,
    #[serde(skip)]
    task: String,
    #[serde(skip)]
    sizes: Sizes,
    contestant: String,
    threads: usize,
    unit: &'static str,
    /// Median of `repeats`.
    rate: f64,
    repeats: Vec<f64>,
    /// Direct convolutions' GFLOP/s.
    gflops: f64,
    peak_memory: u64,
}

pub fn run(args: Args) -> Result<()> {
    if args.threads == 0 || args.repeats == 0 || args.steps == 0 {
        return Err(usage("--threads, --repeats and --steps must be at least 1"));
    }
    if [&args.batch, &args.side, &args.channels].into_iter().flatten().any(|size| *size == 0) {
        return Err(usage("--batch, --side and --channels must be at least 1"));
    }
    let growing = Growing::of(&args);
    let is_drawn =
        growing.is_some() && args.network.len() == 1 && args.only.iter().any(|kind| kind.is_drawn());
    if args.svg.is_some() && !is_drawn {
        return Err(usage(
            "--svg needs one --network, several values of one of --batch, --side and --channels, and train or forward in --only",
        ));
    }
    if args.profile {
        for &network in &args.network {
            for sizes in Sizes::all(&args) {
                if !duet("profile", Some((network, sizes)), &args, args.threads)?.status()?.success() {
                    bail!("the profile of {} failed", network.name());
                }
            }
        }
        return Ok(());
    }
    let peak =
        contest(&args, "multiply-adds", Work { task: "peak".into(), network: None, ..Work::default() })?;
    // Each is two operations; a limit is what was ever reached.
    let fastest = peak[0].repeats.iter().copied().fold(0.0, f64::max);
    let peak = 2e-9 * args.threads as f64 * MULTIPLY_ADDS as f64 * fastest;
    out!("multiply-add peak on {} threads: {peak:.0} GFLOP/s\n", args.threads);
    let mut rows = Vec::new();
    if args.only.contains(&Kind::Conv) {
        for (inputs, outputs, side) in [(32, 32, 28), (64, 64, 14), (128, 128, 7), (1, 32, 28)] {
            for (task, passes) in [("conv-forward", 1.0), ("conv-both", 3.0)] {
                let work = Work {
                    task: format!("{task}:{inputs},{outputs},{side}"),
                    network: None,
                    units: 64.0,
                    unit: "images/s",
                    gflop: passes * 18.0 * (inputs * outputs * side * side) as f64 / 1e9,
                };
                let what = format!(
                    "3×3 convolution {inputs}→{outputs} at {side}×{side}, {}",
                    match task {
                        "conv-both" => "forward and backward",
                        _ => "forward",
                    }
                );
                show(&mut rows, &what, peak, contest(&args, &what, work)?);
            }
        }
    }
    for &network in &args.network {
        for sizes in Sizes::all(&args) {
            rows.extend(of_network(&args, network, sizes, peak)?);
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::json!({ "multiply_add_peak_gflops": peak, "rows": rows });
        write_atomically(path, format!("{text:#}\n").as_bytes())?;
    }
    if let (Some(path), Some(growing)) = (&args.svg, &growing) {
        write_atomically(path, growth(&rows, growing).as_bytes())?;
    }
    Ok(())
}

/// Rates over the size that grows: ours, and the best of torch's.
fn growth(rows: &[Row], growing: &Growing) -> String {
    let rates = rows.iter().filter(|row| row.unit == IMAGES).filter_map(|row| {
        let who = if row.contestant.starts_with("torch") { "torch's best" } else { &row.contestant };
        let threads = if row.threads == 1 { "1 thread".into() } else { format!("{} threads", row.threads) };
        let name = format!("{}, {who}, {threads}", row.task);
        Some(Rate { name, size: (growing.size)(&row.sizes)? as f64, rate: row.rate })
    });
    chart::rates(growing.title, rates)
}

/// The contests of a network.
fn of_network(args: &Args, network: Network, sizes: Sizes, peak: f64) -> Result<Vec<Row>> {
    let Benched { config, side, batch, samples } = network.benched(sizes)?;
    let gflop = 2e-9 * UNet::seeded(&config, 0, &Device::Cpu)?.0.multiply_adds(side, side)? as f64;
    let kinds = [
        (Kind::Train, "train", "training step", IMAGES, batch, batch, 3.0),
        (Kind::Forward, "forward", "prediction", IMAGES, batch, batch, 1.0),
        (Kind::Sample, "sample", "guided DDIM, w = 2", "images·steps/s", samples, samples * args.steps, 2.0),
    ];
    let mut rows = Vec::new();
    for (_, task, title, unit, batch, units, passes) in
        kinds.into_iter().filter(|kind| args.only.contains(&kind.0))
    {
        let work = Work {
            task: task.into(),
            network: Some((network, sizes)),
            units: units as f64,
            unit,
            gflop: passes * gflop,
        };
        let what = format!(
            "{title}, {} ×{}, batch {batch} of {side}×{side} pixels of {}",
            widths(&config),
            config.layers_per_block,
            config.in_channels
        );
        show(&mut rows, &what, peak, contest(args, &what, work)?);
    }
    Ok(rows)
}

fn widths(config: &UNetConfig) -> String {
    let widths: Vec<String> = config.block_out_channels.iter().map(|width| width.to_string()).collect();
    format!("({})", widths.join(", "))
}

#[derive(Clone, Default)]
struct Work {
    task: String,
    network: Option<(Network, Sizes)>,
    /// Units of one repeat.
    units: f64,
    unit: &'static str,
    /// Of one unit.
    gflop: f64,
}

/// Prints the rows of one contest, the first of which is ours, with the ratio to the best peer.
fn show(rows: &mut Vec<Row>, what: &str, peak: f64, contest: Vec<Row>) {
    out!("{what}");
    for row in &contest {
        out!(
            "  {:34} {:9.1} {:15} {:6.0} GFLOP/s of direct convolution ({:3.0} % of peak)  {:>9}",
            format!("{}, {} thread{}", row.contestant, row.threads, if row.threads == 1 { "" } else { "s" }),
            row.rate,
            row.unit,
            row.gflops,
            100.0 * row.gflops / peak,
            megabytes(row.peak_memory),
        );
    }
    for row in contest.iter().filter(|row| row.contestant.starts_with(RANKS)) {
        // Round by round: a neighbour's noise is in both.
        let mut ratios: Vec<f64> = row.repeats.iter().zip(&contest[0].repeats).map(|(a, b)| a / b).collect();
        ratios.sort_by(f64::total_cmp);
        out!("  {} is {:.3}× one process", row.contestant, ratios[ratios.len() / 2]);
    }
    let peers = || contest.iter().filter(|row| row.contestant.starts_with("torch"));
    let best = |rows: &mut dyn Iterator<Item = &Row>| rows.map(|row| row.rate).max_by(f64::total_cmp);
    if let Some(best_peer) = best(&mut peers()) {
        let eager =
            best(&mut peers().filter(|row| !row.contestant.contains("compiled"))).unwrap_or(best_peer);
        let memory = peers().map(|row| row.peak_memory).min().unwrap_or(0);
        out!(
            "  duet is {:.2}× the best torch, {:.2}× the best eager torch, with {:.0} % of the least memory",
            contest[0].rate / best_peer,
            contest[0].rate / eager,
            100.0 * contest[0].peak_memory as f64 / memory as f64,
        );
    }
    out!("");
    rows.extend(contest);
}

/// Times all contestants in turns, round by round; ours is the first.
fn contest(args: &Args, what: &str, work: Work) -> Result<Vec<Row>> {
    let mut workers = vec![Worker::duet(&work, args, args.threads)?];
    if work.task == "train" && args.threads > 1 {
        workers.push(Worker::duet(&work, args, 1)?);
    }
    if work.task == "train" {
        for launcher in &args.ranks {
            workers.push(Worker::ranks(launcher, &work, args)?);
        }
    }
    if let Some(python) = args.torch.as_deref().filter(|_| work.task != "peak") {
        for compiled in [false, true] {
            if !compiled || (work.network.is_some() && !args.eager) {
                for channels_last in [false, true] {
                    match Worker::torch(python, &work, args, channels_last, compiled) {
                        Ok(worker) => workers.push(worker),
                        // Torch's compiler breaks down on some machines; its eager mode is a contestant all the same.
                        Err(error) if compiled => err!("{what}: {error:#}: it is left out"),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    let terminal = std::io::stderr().is_terminal();
    for round in 0..args.repeats {
        if terminal {
            duet_cli::terminal::status(format_args!("{what}: round {} of {}  ", round + 1, args.repeats));
        }
        for worker in &mut workers {
            worker.repeat()?;
        }
    }
    if terminal {
        duet_cli::terminal::status(format_args!("{:width$}\r", "", width = what.chars().count() + 24));
    }
    Ok(workers.iter().map(|worker| worker.row(what, &work)).collect())
}

/// Our side: this program as the process of one task.
fn duet(task: &str, network: Option<(Network, Sizes)>, args: &Args, threads: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench-worker", task]);
    if let Some((network, sizes)) = network {
        command.args(["--network", network.name()]).args(sizes.flags());
    }
    command.args(["--threads", &threads.to_string(), "--steps", &args.steps.to_string()]);
    if let Some(Instructions::Avx2) = args.instructions {
        command.arg("--vector");
    }
    Ok(command)
}

/// What the names of several processes begin with.
const RANKS: &str = "duet, ";

/// A contestant's process, which takes a turn for each line that it is sent.
struct Worker {
    name: String,
    threads: usize,
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    seconds: Vec<f64>,
    peak_memory: u64,
}

impl Worker {
    fn duet(work: &Work, args: &Args, threads: usize) -> Result<Self> {
        Self::start("duet".into(), threads, duet(&work.task, work.network, args, threads)?)
    }

    /// Several processes by a launcher.
    fn ranks(launcher: &str, work: &Work, args: &Args) -> Result<Self> {
        let duet = duet(&work.task, work.network, args, args.rank_threads)?;
        let mut words = launcher.split_whitespace();
        let mut command = Command::new(words.next().context("--ranks: no command")?);
        command.args(words).arg(duet.get_program()).args(duet.get_args());
        Self::start(format!("{RANKS}{launcher}"), args.rank_threads, command)
    }

    fn torch(python: &Path, work: &Work, args: &Args, channels_last: bool, compiled: bool) -> Result<Self> {
        let mut name = String::from(if compiled { "torch compiled" } else { "torch eager" });
        let mut command = Command::new(python);
        command.arg(Path::new(FOLDER).join("torch_peer.py"));
        match work.network {
            Some((network, sizes)) => {
                let file = Path::new(FOLDER).join("networks").join(format!("{}.json", network.name()));
                command.arg(&work.task).arg(file).args(sizes.flags());
            }
            None => drop(command.args(work.task.split(':'))),
        }
        command.args(["--threads", &args.threads.to_string(), "--steps", &args.steps.to_string()]);
        if let Some(Instructions::Avx2) = args.instructions {
            command.envs([("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2")]);
        }
        if channels_last {
            name += ", channels last";
            command.arg("--channels-last");
        }
        if compiled {
            command.arg("--compile");
        }
        Self::start(name, args.threads, command)
    }

    fn start(name: String, threads: usize, mut command: Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program} for {name}"))?;
        let (input, output) = (process.stdin.take(), process.stdout.take().context("no output")?);
        let output = BufReader::new(output);
        let mut worker = Self { name, threads, process, input, output, seconds: Vec::new(), peak_memory: 0 };
        // One after another, so that no start disturbs another one's.
        worker.wait_until_ready()?;
        Ok(worker)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("{} ended: {}", self.name, self.process.wait()?);
        }
        Ok(line.trim().into())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        while self.line()? != "ready" {}
        Ok(())
    }

    fn repeat(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("no input")?;
        input.write_all(b"\n")?;
        input.flush()?;
        let line = self.line()?;
        let numbers = line
            .split_once(' ')
            .and_then(|(seconds, memory)| Some((seconds.parse().ok()?, memory.parse().ok()?)));
        let (seconds, memory) = numbers.with_context(|| format!("{} answered {line:?}", self.name))?;
        self.seconds.push(seconds);
        self.peak_memory = memory;
        Ok(())
    }

    fn row(&self, what: &str, work: &Work) -> Row {
        let units = if work.units == 0.0 { 1.0 } else { work.units };
        let repeats: Vec<f64> = self.seconds.iter().map(|seconds| units / seconds).collect();
        let mut sorted = repeats.clone();
        sorted.sort_by(f64::total_cmp);
        let rate = sorted[sorted.len() / 2];
        Row {
            what: what.into(),
            task: work.task.clone(),
            sizes: work.network.map(|(_, sizes)| sizes).unwrap_or_default(),
            contestant: self.name.clone(),
            threads: self.threads,
            unit: work.unit,
            rate,
            repeats,
            gflops: rate * work.gflop,
            peak_memory: self.peak_memory,
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A launcher that is killed may leave its processes behind; without input they end, and it with them.
        drop(self.input.take());
        for _ in 0..200 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
