//! Memory for kernels: aligned to cache lines, and used again instead of given back.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

const LINE: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// f32 values that begin at a cache line. Dropped, it goes to a small store of its thread.
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

/// Buffers that a thread keeps, in bytes: what one chunk of images needs, so that the system is
/// not asked for fresh pages at every step.
const KEPT: usize = 256 << 20;

#[derive(Default)]
struct Store {
    /// By number of lines, ascending.
    free: Vec<Vec<Line>>,
    bytes: usize,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
}

impl Store {
    /// The smallest that fits, if it is not much too large.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        let at = self.free.partition_point(|free| free.capacity() < lines);
        let fits = self.free.get(at).is_some_and(|free| free.capacity() <= lines + lines / 4 + 16);
        let found = fits.then(|| self.free.remove(at))?;
        self.bytes -= found.capacity() * size_of::<Line>();
        Some(found)
    }

    fn keep(&mut self, lines: Vec<Line>) {
        let bytes = lines.capacity() * size_of::<Line>();
        if self.bytes + bytes <= KEPT && bytes > 0 {
            self.bytes += bytes;
            let at = self.free.partition_point(|free| free.capacity() < lines.capacity());
            self.free.insert(at, lines);
        }
    }
}

impl Buffer {
    /// `len` values that are anything: for results that are written in full.
    pub fn scratch(len: usize) -> Self {
        let count = len.div_ceil(LINE);
        let found = STORE.try_with(|store| store.borrow_mut().take(count)).ok().flatten();
        let mut lines = found.unwrap_or_default();
        // Old values stay, and only what was never used is filled.
        lines.resize(count, Line([0.0; LINE]));
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
        // A thread that ends has no store any more.
        let _ = STORE.try_with(|store| store.borrow_mut().keep(lines));
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
