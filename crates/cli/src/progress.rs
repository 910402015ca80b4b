//! Progress: a bar with rate and ETA on a terminal, plain lines elsewhere.

use crate::terminal::err;
use duet_diffusion::words::{duration, harmless};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Lines are this far apart where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Progress over a known number of units.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    first: u64,
    total: u64,
    images_per_unit: usize,
    rate_name: &'static str,
}

impl Progress {
    /// `first` of `total` units are done before; each unit is `images_per_unit` images, and the
    /// rate is called `rate_name`.
    pub fn new(first: u64, total: u64, images_per_unit: usize, rate_name: &'static str) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
            // The template is a constant; were it wrong, the bar's default style would stay.
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}  {msg}  ETA {prefix}") {
                bar.set_style(style);
            }
            bar.set_position(first);
            bar
        });
        Self { bar, started: now, last_line: now - LINE_EVERY, first, total, images_per_unit, rate_name }
    }

    /// Images a second since the start.
    fn rate(&self, done: u64) -> f64 {
        let images = (done - self.first) as f64 * self.images_per_unit as f64;
        images / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Shows that `done` units are done.
    pub fn show(&mut self, done: u64, message: &str) {
        let rate = self.rate(done);
        let left = (self.total - done) as f64 * self.images_per_unit as f64 / rate.max(1e-9);
        let left = duration(Duration::from_secs_f64(left.min(1e9)));
        let message = format!("{rate:.0} {}  {message}", self.rate_name);
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_prefix(left);
                bar.set_message(harmless(&message));
            }
            None if self.last_line.elapsed() >= LINE_EVERY || done == self.total => {
                self.last_line = Instant::now();
                err!("{done}/{}  {message}  ETA {left}", self.total);
            }
            None => {}
        }
    }

    /// Prints a line above the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(harmless(text)),
            None => err!("{text}"),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
