//! Work that ends when nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells a piece of work that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends work of the library where it is cancelled.
    pub fn check(&self) -> duet_diffusion::Result<()> {
        match self.is_cancelled() {
            true => Err(duet_diffusion::Error::caller("cancelled")),
            false => Ok(()),
        }
    }
}
