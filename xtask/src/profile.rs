//! `cargo xtask bench --profile`: where the time of a network's training and prediction goes.

use anyhow::Result;
use duet_cli::terminal::out;
use duet_kernels::profile::{self, Spent, Work};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long each of the two is measured.
const MEASURED: Duration = Duration::from_secs(5);

fn clock() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// Measures what is run over and over for `images` images, and prints where its time went.
pub fn print(title: &str, images: usize, threads: usize, run: impl FnMut() -> Result<()>) -> Result<()> {
    let peak = peak(threads);
    Measured::of(run)?.print(title, images, peak, threads);
    Ok(())
}

/// Multiply-adds of each thread in a round that measures their limit.
pub const MULTIPLY_ADDS: u64 = 200_000_000;

/// Runs them in registers, on all threads at once.
pub fn multiply_adds_on_each_thread() {
    rayon::broadcast(|_| std::hint::black_box(duet_kernels::peak::multiply_adds(MULTIPLY_ADDS)));
}

/// Multiply-adds a second in registers, on all threads at once: the best of some rounds.
fn peak(threads: usize) -> f64 {
    let round = |_| {
        let begin = Instant::now();
        multiply_adds_on_each_thread();
        (threads as u64 * MULTIPLY_ADDS) as f64 / begin.elapsed().as_secs_f64()
    };
    (0..10).map(round).fold(0.0, f64::max)
}

struct Measured {
    spent: BTreeMap<profile::Place, Spent>,
    wall: Duration,
    times: u32,
}

impl Measured {
    fn of(mut run: impl FnMut() -> Result<()>) -> Result<Self> {
        for _ in 0..3 {
            run()?;
        }
        profile::start(clock);
        let (begin, mut times) = (Instant::now(), 0);
        while begin.elapsed() < MEASURED {
            run()?;
            times += 1;
        }
        let wall = begin.elapsed();
        Ok(Self { spent: profile::stop(), wall, times })
    }

    fn print(&self, title: &str, images: usize, peak: f64, threads: usize) {
        let all = threads as f64 * self.wall.as_secs_f64();
        let rate = f64::from(self.times) * images as f64 / self.wall.as_secs_f64();
        out!("{title}: {rate:.1} images/s; multiply-add peak {:.0} GFLOP/s\n", 2e-9 * peak);
        let by_work = sum_by(&self.spent, |(_, backward, work)| {
            format!("{}{}", name(*work), if *backward { ", back" } else { "" })
        });
        let by_layer = sum_by(&self.spent, |(layer, backward, work)| {
            let layer = if layer.is_empty() { "outside the layers" } else { layer };
            format!("{layer}{}: {}", if *backward { ", back" } else { "" }, name(*work))
        });
        let share = peak / threads as f64;
        let rest = all - by_work.iter().map(|(_, spent)| spent.time.as_secs_f64()).sum::<f64>();
        for (what, spent) in by_work {
            line(&what, spent, all, share);
        }
        out!("  {:58} {:5.1} %", "the rest: draws, the optimiser, and waiting", 100.0 * rest / all);
        out!("\n  the layers that take longest:");
        for (what, spent) in by_layer.into_iter().take(24) {
            line(&what, spent, all, share);
        }
        out!("");
    }
}

/// Sums by a name, the longest first.
fn sum_by(
    spent: &BTreeMap<profile::Place, Spent>,
    name: impl Fn(&profile::Place) -> String,
) -> Vec<(String, Spent)> {
    let mut sums = BTreeMap::<String, Spent>::new();
    for (place, spent) in spent {
        let sum = sums.entry(name(place)).or_default();
        sum.time += spent.time;
        sum.multiply_adds += spent.multiply_adds;
        sum.bytes += spent.bytes;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, spent)| std::cmp::Reverse(spent.time));
    sums
}

/// `peak` is one thread's.
fn line(what: &str, spent: Spent, all: f64, peak: f64) {
    let seconds = spent.time.as_secs_f64();
    let mut text = format!("  {what:58} {:5.1} %", 100.0 * seconds / all);
    if spent.multiply_adds > 0 {
        text += &format!(", {:3.0} % of the peak", 100.0 * spent.multiply_adds as f64 / seconds / peak);
    }
    if spent.bytes > 0 {
        text += &format!(", {:.1} GB/s", 1e-9 * spent.bytes as f64 / seconds);
    }
    out!("{text}");
}

fn name(work: Work) -> &'static str {
    match work {
        Work::Products => "products",
        Work::Transforms => "Winograd's transforms",
        Work::Weights => "Winograd's transforms of weights",
        Work::Patches => "patches",
        Work::Norm => "norm and activation",
        Work::Softmax => "softmax",
        Work::Passes => "passes over images",
    }
}
