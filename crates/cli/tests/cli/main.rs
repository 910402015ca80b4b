//! The program as a process: what it prints, writes and answers.

mod ema;
mod eval;
mod exchange;
#[cfg(unix)]
mod flags;
#[cfg(unix)]
mod messages;
#[cfg(unix)]
mod ranks;
mod rectangles;
#[cfg(unix)]
mod reliability;
mod report;
mod sample;
#[cfg(unix)]
mod sets;
#[cfg(all(unix, feature = "studio"))]
mod studio;
mod support;
mod train;
