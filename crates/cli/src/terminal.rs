//! What a person sees: every line of the program goes through here.
//!
//! Text may come from a stranger's file (a class name, a key of a JSON file, a folder's name).
//! [`harmless`] shows its control characters instead of sending them to the terminal. A stream that
//! nobody reads any more ends nothing: a training goes on, and other verbs end with their own code.

use duet_diffusion::words::{harmless, quoted};
use std::fmt::Arguments;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, OnceLock};

/// Whether standard output was a terminal when the program began: one that is closed later only says
/// that it is none.
static SHOWN: OnceLock<bool> = OnceLock::new();

/// What the program was called as.
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// The first failure to write to standard output that is no closed pipe.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line of results to standard output, as `println!` does.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::terminal::print_out(format_args!($($text)*), "\n") };
}

/// Prints a line of progress, warning or error to standard error, as `eprintln!` does.
#[macro_export]
macro_rules! err {
    ($($text:tt)*) => { $crate::terminal::print_err(format_args!($($text)*), "\n") };
}

pub use {err, out};

/// What the library says on the way, printed as it comes.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Info && metadata.target().starts_with("duet")
    }

    fn log(&self, record: &log::Record) {
        match record.level() {
            _ if !self.enabled(record.metadata()) => {}
            log::Level::Info => err!("{}", record.args()),
            _ => err!("warning: {}", record.args()),
        }
    }

    fn flush(&self) {}
}

/// To be called first, with the program's name.
pub fn begin(program: &'static str) {
    SHOWN.get_or_init(|| io::stdout().is_terminal());
    PROGRAM.get_or_init(|| program);
    // Only a second call fails.
    let _ = log::set_logger(&Logger);
    log::set_max_level(log::LevelFilter::Info);
}

/// The program as it was called: `duet` or `cargo xtask`.
pub fn program() -> &'static str {
    PROGRAM.get().unwrap_or(&"duet")
}

/// Prints to standard output; [`lost`] tells of a failure.
pub fn print_out(text: Arguments, end: &str) {
    let mut stream = io::stdout().lock();
    let written = write!(stream, "{}{end}", harmless(&text.to_string())).and_then(|()| stream.flush());
    printed(written);
}

/// Takes note of what came of printing to standard output by other means, such as clap's; [`lost`] tells of it.
pub fn printed(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && SHOWN.get() != Some(&true)
    {
        LOST.lock().unwrap_or_else(|held| held.into_inner()).get_or_insert(error);
    }
}

/// Prints to standard error. If nobody reads it, nobody can be told.
pub fn print_err(text: Arguments, end: &str) {
    let _ = write!(io::stderr().lock(), "{}{end}", harmless(&text.to_string()));
}

/// Writes over the present line of the terminal; only for text of our own.
pub fn status(text: Arguments) {
    let _ = write!(io::stderr().lock(), "\r{text}");
}

/// A command for a person to type: the words as a shell takes them, quoted where it would take them
/// otherwise.
pub fn command<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let words = words.into_iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ");
    format!("{} {words}", program())
}

/// Why standard output is not complete, if it is not: a full disk, but not a reader or a terminal that
/// went away.
pub fn lost() -> Option<io::Error> {
    LOST.lock().unwrap_or_else(|held| held.into_inner()).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_is_what_a_shell_reads() {
        assert_eq!(command(["train", "--resume", "my run"]), "duet train --resume 'my run'");
        assert_eq!(
            command(["sample", "--run", "it's", "--class", "@3,4"]),
            r"duet sample --run 'it'\''s' --class @3,4"
        );
        assert_eq!(command(["sample", "--run", "a;$(b)", ""]), "duet sample --run 'a;$(b)' ''");
        assert_eq!(command(["sample", "--run", "図/runs"]), "duet sample --run 図/runs");
    }
}
