//! Memory for kernels. It is aligned to cache lines, and is reused instead of being returned to the system.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([f32; LINE]);

/// f32 values that begin at a cache line. When a buffer is dropped, its memory goes to a store for later
/// buffers.
pub struct Buffer {
    lines: Vec<CacheLine>,
    len: usize,
}

/// The largest number of bytes in the store. The store avoids asking the system for new pages in every
/// step. (A `usize` cannot hold it everywhere.)
const KEPT: u64 = 4 << 30;

/// So many bytes may always be used and free.
const FEW: usize = 256 << 20;

struct Store {
    /// Sorted by the number of lines; among equals, the newest is last.
    free: Vec<Free>,
    /// Bytes of `free`.
    bytes: usize,
    /// Bytes of all buffers in use, and the most that they have ever been.
    used: usize,
    most_used: usize,
    /// How many buffers have come back.
    returns: u64,
}

/// Memory for a later buffer, and when it came back.
struct Free {
    lines: Vec<CacheLine>,
    returned: u64,
}

static STORE: Mutex<Store> =
    Mutex::new(Store { free: Vec::new(), bytes: 0, used: 0, most_used: 0, returns: 0 });

impl Store {
    /// Takes the smallest that fits, unless it is much too large.
    fn take(&mut self, lines: usize) -> Option<Vec<CacheLine>> {
        self.used += lines * size_of::<CacheLine>();
        self.most_used = self.most_used.max(self.used);
        let first = self.free.partition_point(|free| free.lines.capacity() < lines);
        let fitting = self.free.get(first).map(|free| free.lines.capacity());
        let Some(size) = fitting.filter(|&size| size <= lines + lines / 4 + 16) else {
            self.make_room();
            return None;
        };
        // The newest one is most likely in the cache.
        let at = self.free.partition_point(|free| free.lines.capacity() <= size);
        Some(self.remove(at - 1))
    }

    /// Before memory comes from the system: gives back what was not used for longest, until all buffers, used and free,
    /// take little more than buffers have ever used at once.
    fn make_room(&mut self) {
        let most = (self.most_used + self.most_used / 8).max(FEW);
        while self.used + self.bytes > most {
            let oldest = self.free.iter().enumerate().min_by_key(|(_, free)| free.returned);
            let Some((oldest, _)) = oldest else { break };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, at: usize) -> Vec<CacheLine> {
        let lines = self.free.remove(at).lines;
        self.bytes -= lines.capacity() * size_of::<CacheLine>();
        lines
    }

    fn keep(&mut self, lines: Vec<CacheLine>) {
        self.used -= lines.len() * size_of::<CacheLine>();
        let bytes = lines.capacity() * size_of::<CacheLine>();
        if (self.bytes + bytes) as u64 <= KEPT && bytes > 0 {
            self.bytes += bytes;
            self.returns += 1;
            let at = self.free.partition_point(|free| free.lines.capacity() <= lines.capacity());
            self.free.insert(at, Free { lines, returned: self.returns });
        }
    }
}

/// Ignores a poisoned lock: after a panic, the store still holds valid buffers.
fn store() -> MutexGuard<'static, Store> {
    STORE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Buffer {
    /// `len` values of any content, for results that are written completely.
    pub fn scratch(len: usize) -> Self {
        let count = len.div_ceil(LINE);
        let found = store().take(count);
        let mut lines = found.unwrap_or_default();
        // Old values stay. Only memory that was never used is filled.
        lines.resize(count, CacheLine([0.0; LINE]));
        Self { lines, len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::scratch(len);
        buffer.fill(0.0);
        buffer
    }

    /// A copy of `values`.
    pub fn copy(values: &[f32]) -> Self {
        let mut buffer = Self::scratch(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        store().keep(lines);
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the lines are `repr(C)` arrays without padding (64 bytes, aligned to 64), hold
        // at least `len` initialised values, and are borrowed as long as the slice.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len)
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the lines are borrowed mutably.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len)
        }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
