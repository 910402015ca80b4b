//! Where the time of a tape goes: by layer, direction and kind of work.
//!
//! Nothing is measured before [`start`], and the crate itself reads no clock: the caller gives one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Products of matrices: multiply-adds in registers.
    Products,
    /// Winograd's transforms of images and gradients, to and from the products.
    Transforms,
    /// Winograd's transforms of weights and of their gradients.
    Weights,
    /// Patches of other convolutions, unfolded or folded.
    Patches,
    /// Normalisation with its activation, and its gradient.
    Norm,
    /// Softmax of attention, and what turns heads for it.
    Softmax,
    /// Sums, copies and resampling of whole images.
    Passes,
}

/// What was measured of one kind of work in one layer and direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Summed over threads.
    pub time: Duration,
    /// Multiply-adds of products that were really done.
    pub multiply_adds: u64,
    /// Bytes that the work reads and writes at least, each value once.
    pub bytes: u64,
}

/// (layer, whether it is the way back, kind of work).
pub type Place = (String, bool, Work);

static ON: AtomicBool = AtomicBool::new(false);
static CLOCK: OnceLock<fn() -> Duration> = OnceLock::new();
static SPENT: Mutex<BTreeMap<Place, Spent>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// The time of the spans inside the one that is open.
    static INSIDE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static LAYER: RefCell<(String, bool)> = const { RefCell::new((String::new(), false)) };
}

/// Measures from now on, with a clock that never goes back. The first clock stays.
pub fn start(clock: fn() -> Duration) {
    CLOCK.get_or_init(|| clock);
    spent().clear();
    ON.store(true, Ordering::Release);
}

/// Stops measuring, and returns what was measured since the start.
pub fn stop() -> BTreeMap<Place, Spent> {
    ON.store(false, Ordering::Release);
    std::mem::take(&mut spent())
}

fn spent() -> MutexGuard<'static, BTreeMap<Place, Spent>> {
    SPENT.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn now() -> Option<Duration> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    CLOCK.get().map(|clock| clock())
}

/// What this thread does from here on belongs to this layer.
pub(crate) fn layer(name: &str, backward: bool) {
    if ON.load(Ordering::Relaxed) {
        LAYER.with_borrow_mut(|layer| {
            layer.0.clear();
            layer.0.push_str(name);
            layer.1 = backward;
        });
    }
}

/// The time until it is dropped belongs to this kind of work, but for what spans inside it take.
pub(crate) fn span(work: Work) -> Span {
    let begin = now().map(|begin| (begin, INSIDE.replace(Duration::ZERO)));
    Span { begin, work, multiply_adds: 0, values: 0 }
}

/// Products of this many multiply-adds begin.
pub(crate) fn products(multiply_adds: usize, values: usize) -> Span {
    let mut span = span(Work::Products).over(values);
    span.multiply_adds = multiply_adds as u64;
    span
}

/// An operation on whole images begins.
pub(crate) fn operation(layer: &str, backward: bool) -> Span {
    self::layer(layer, backward);
    span(Work::Passes)
}

pub(crate) struct Span {
    /// When it began, and the time of the spans before it in the one around it.
    begin: Option<(Duration, Duration)>,
    work: Work,
    multiply_adds: u64,
    values: usize,
}

impl Span {
    /// The work reads and writes this many values.
    pub fn over(mut self, values: usize) -> Self {
        self.values = values;
        self
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (Some((begin, before)), Some(end)) = (self.begin, now()) else { return };
        let time = end.saturating_sub(begin);
        let own = time.saturating_sub(INSIDE.replace(before + time));
        let (layer, backward) = LAYER.with_borrow(Clone::clone);
        let mut spent = spent();
        let sum = spent.entry((layer, backward, self.work)).or_default();
        sum.time += own;
        sum.multiply_adds += self.multiply_adds;
        sum.bytes += 4 * self.values as u64;
    }
}
