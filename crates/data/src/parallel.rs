//! Does the same work on every item of a slice, on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

/// Applies `work` to every item; the results are in the order of the items. Threads take the items one by
/// one, so that a slow item does not delay the others. A panic in `work` is passed on.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            match items.get(i) {
                Some(item) => done.push((i, work(item))),
                None => return done,
            }
        }
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    results.sort_by_key(|&(i, _)| i);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Limits the memory of parallel work: work that needs much memory runs alone, work that needs little runs
/// in parallel.
pub(crate) struct MemoryBudget {
    most: u64,
    taken: Mutex<u64>,
    freed: Condvar,
}

impl MemoryBudget {
    /// A budget of `most` bytes at the same time. Work that needs more runs alone.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, taken: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until `bytes` fit into the budget, then does the work. A panic in `work` is passed on.
    pub(crate) fn with<R>(&self, bytes: u64, work: impl FnOnce() -> R) -> R {
        struct Taken<'a>(&'a MemoryBudget, u64);
        impl Drop for Taken<'_> {
            fn drop(&mut self) {
                *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.1;
                self.0.freed.notify_all();
            }
        }
        let bytes = bytes.min(self.most);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.freed.wait_while(taken, |taken| *taken + bytes > self.most);
        *waiting.unwrap_or_else(PoisonError::into_inner) += bytes;
        let _taken = Taken(self, bytes);
        work()
    }
}
