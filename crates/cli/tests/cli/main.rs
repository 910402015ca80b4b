//! The program as a process: what it prints, writes and answers.

mod ema;
mod eval;
mod exchange;
#[cfg(unix)]
mod flags;
#[cfg(unix)]
mod messages;
#[cfg(unix)]
mod reliability;
mod rectangles;
mod report;
mod sample;
mod support;
mod train;
