//! Ctrl-C, `kill` and a closed terminal: the first asks for an orderly end, the second, of any kind, stops at once.

use anyhow::{Context, Result};
pub use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Makes a write beyond a limit on file sizes an error, as on a full disk, instead of the end.
pub fn survive_size_limits() {
    #[cfg(unix)]
    {
        // A limit that cannot be caught ends the process, as it would without this.
        let _ = flag::register(SIGXFSZ, Arc::default());
    }
}

/// Not among signal-hook's names; the same number on Linux, macOS and the BSDs.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

/// Remembers the first SIGINT, SIGTERM or SIGHUP.
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Listens from now on. Under `nohup`, where SIGHUP is ignored, it stays ignored.
    pub fn listen() -> Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        let mut numbers = vec![SIGINT, SIGTERM];
        #[cfg(unix)]
        if !hangup_is_ignored() {
            numbers.push(signal_hook::consts::SIGHUP);
        }
        for number in numbers {
            // In this order: the first signal arms what ends the process at the second, of any kind.
            flag::register_conditional_shutdown(number, 128 + number, again.clone())
                .and_then(|_| flag::register(number, again.clone()))
                .and_then(|_| flag::register_usize(number, signal.clone(), number as usize))
                .context("cannot listen to signals")?;
        }
        Ok(Self(signal))
    }

    /// The signal that came, if any.
    pub fn signal(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

/// Whether whoever started the process has it ignore SIGHUP. Where the system does not tell, a run
/// whose messages go to no terminal is taken for one that is to outlive it.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let status = duet_files::read_text(std::path::Path::new("/proc/self/status"), 1 << 16);
    match status.ok().as_deref().and_then(ignored) {
        Some(mask) => mask & 1 << (signal_hook::consts::SIGHUP - 1) != 0,
        None => !std::io::IsTerminal::is_terminal(&std::io::stderr()),
    }
}

/// The signals that are ignored, a bit each, of a process's status as Linux shows it.
#[cfg(unix)]
fn ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}
