//! Ctrl-C: the first asks for an orderly end, the second stops at once.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
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

/// Remembers the first SIGINT or SIGTERM.
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM] {
            let again = Arc::new(AtomicBool::new(false));
            // In this order: the first signal arms what ends the process at the second.
            flag::register_conditional_shutdown(number, 128 + number, again.clone())
                .and_then(|_| flag::register(number, again))
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
