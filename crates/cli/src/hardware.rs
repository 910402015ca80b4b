//! Threads, devices and memory.

use crate::exit::usage;
use crate::terminal::program;
use anyhow::{Context, Result};
use candle_core::Device;
use std::sync::atomic::{AtomicBool, Ordering};

/// Flags of the verbs that compute.
#[derive(clap::Args)]
pub struct Compute {
    /// Threads. The result does not depend on them [default: all cores]
    #[arg(long, help_heading = "This machine")]
    threads: Option<usize>,
    /// auto, cpu, cuda:N or metal. A GPU needs a program that was built with the feature cuda or metal; nobody has run
    /// that on a GPU yet
    #[arg(long, help_heading = "This machine", default_value = "auto")]
    device: String,
    /// Under mpirun or srun: seconds without a sign of life after which a rank counts as lost, and all end
    #[arg(long, help_heading = "This machine", value_name = "SECONDS", default_value_t = RANK_LIMIT)]
    pub rank_limit: u64,
}

/// Seconds without a sign of life after which a rank counts as lost.
pub const RANK_LIMIT: u64 = 60;

impl Compute {
    /// Starts the threads; the device.
    pub fn start(&self) -> Result<Device> {
        self.start_threads()?;
        device(&self.device)
    }

    /// Starts the threads, once.
    pub fn start_threads(&self) -> Result<()> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        match STARTED.swap(true, Ordering::Relaxed) {
            true => Ok(()),
            false => set_threads(self.threads),
        }
    }
}

/// Flags of the verbs that draw: where and how, and nothing that the images depend on.
#[derive(clap::Args)]
pub struct Machine {
    /// Images in one pass through the network. It does not change the images
    #[arg(long, help_heading = "This machine", default_value_t = 64)]
    pub batch: usize,
    /// Threads and device.
    #[command(flatten)]
    pub compute: Compute,
}

impl Machine {
    /// Starts the threads; the device.
    pub fn start(&self) -> Result<Device> {
        self.compute.start()
    }
}

/// Every thread takes memory, and no machine that this runs on has more cores.
const MAX_THREADS: usize = 1024;

/// Limits the threads of all work in this process; none for as many as there are cores.
pub fn set_threads(threads: Option<usize>) -> Result<()> {
    if let Some(threads) = threads.filter(|threads| !(1..=MAX_THREADS).contains(threads)) {
        return Err(usage(format!("--threads {threads}: must be 1 to {MAX_THREADS}")));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    pool.build_global().context("cannot start the threads")
}

/// The device of `--device auto|cpu|cuda:N|metal`.
fn device(text: &str) -> Result<Device> {
    let unavailable = |feature: &str| {
        let how = match program() {
            "duet" => {
                format!("build it in the repository: `cargo install --path crates/cli --features {feature}`")
            }
            _ => format!("run it as `cargo run --release --package xtask --features {feature} -- …`"),
        };
        usage(format!("--device {text}: this program was built without it; {how}"))
    };
    match text.split_once(':').unwrap_or((text, "0")) {
        ("cpu", _) => Ok(Device::Cpu),
        ("auto", _) if cfg!(feature = "cuda") => Ok(Device::cuda_if_available(0)?),
        ("auto", _) if cfg!(feature = "metal") => Ok(Device::metal_if_available(0)?),
        ("auto", _) => Ok(Device::Cpu),
        ("cuda", index) => {
            let index =
                index.parse().map_err(|_| usage(format!("--device {text}: {index} is not a number")))?;
            if cfg!(feature = "cuda") { Ok(Device::new_cuda(index)?) } else { Err(unavailable("cuda")) }
        }
        ("metal", _) if cfg!(feature = "metal") => Ok(Device::new_metal(0)?),
        ("metal", _) => Err(unavailable("metal")),
        _ => Err(usage(format!("--device {text}: use auto, cpu, cuda:N or metal"))),
    }
}

/// The most memory that this process has had, in bytes; none where the system does not tell.
pub fn peak_memory() -> Option<u64> {
    from_proc("/proc/self/status", "VmHWM:")
}

/// Bytes of the line "KEY N kB".
fn from_proc(path: &str, key: &str) -> Option<u64> {
    let text = duet_files::read_text(path.as_ref(), 1 << 20).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
