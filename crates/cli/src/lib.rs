//! The verbs of the program `duet`: clap arguments in, calls of the library, words on the terminal.
//!
//! A library only so that the repository's own runner has the same verbs: `cargo xtask train` is
//! `duet train`.

mod classify;
mod clone;
mod compare;
mod data;
mod distill;
mod drawing;
mod ema;
#[cfg(feature = "studio")]
mod engine;
mod eval;
pub mod exit;
mod export;
mod fetch;
pub mod hardware;
mod images;
mod import;
mod interrupt;
mod job;
mod models;
mod page;
pub mod progress;
mod report;
mod reproduce;
mod sample;
mod set;
mod studio;
mod sweep;
pub mod terminal;
mod train;
mod verify;
#[cfg(not(feature = "studio"))]
mod with_page;

use std::process::ExitCode;

/// What `duet` and `cargo xtask` can do with models and data.
#[derive(clap::Subcommand)]
pub enum Verb {
    /// Train a model; with no flags, on the embedded digits
    Train(Box<train::Args>),
    /// Teach a copy of a trained model to draw in few steps, without guidance
    Distill(Box<distill::Args>),
    /// Draw images with a trained model
    Sample(Box<sample::Args>),
    /// Measure a model's samples, or anybody's
    Eval(Box<eval::Args>),
    /// Ask the diffusion model itself what held-out images show
    Classify(classify::Args),
    /// Draw and score images over two flags of sample
    Sweep(Box<sweep::Args>),
    /// Average a run's weights over another length, after the training
    Ema(Box<ema::Args>),
    /// Draw a picture again, byte for byte, from what it says of itself
    Reproduce(reproduce::Args),
    /// Check every byte of a run's checkpoints
    Verify(verify::Args),
    /// Write a page about a run: curves, images, numbers, settings
    Report(report::Args),
    /// Set runs side by side
    Compare(compare::Args),
    /// Write the folder that diffusers loads, with a model card, or an ONNX file
    Export(export::Args),
    /// Make a model folder of a network from elsewhere
    Import(import::Args),
    /// Show what training would see of a data set: counts, what is left out, a contact sheet
    Data(data::Args),
    /// Serve a page on this machine that draws, shows how guidance works, and watches trainings
    Studio(studio::Args),
    /// Write the page that draws as one file with the model in it, which works offline in any browser
    Page(page::Args),
    /// Download a public data set for --data
    Fetch(fetch::Args),
}

impl Verb {
    /// Runs it, as one of several processes where it was started so.
    pub fn run(self) -> anyhow::Result<()> {
        let compute = match &self {
            Self::Train(args) => Some(&args.compute),
            Self::Distill(args) => Some(&args.compute),
            Self::Sample(args) => Some(&args.machine.compute),
            Self::Eval(args) => Some(&args.machine.compute),
            Self::Sweep(args) => Some(&args.machine.compute),
            Self::Ema(args) => Some(&args.machine.compute),
            Self::Reproduce(args) => Some(&args.compute),
            _ => None,
        };
        if let (Some(compute), true) = (compute, job::launched().is_some()) {
            compute.start_threads()?;
        }
        job::run(compute.map_or(hardware::RANK_LIMIT, |compute| compute.rank_limit), || self.run_here())
    }

    fn run_here(self) -> anyhow::Result<()> {
        match self {
            Self::Train(args) => train::run(*args),
            Self::Distill(args) => distill::run(*args),
            Self::Sample(args) => sample::run(*args),
            Self::Eval(args) => eval::run(*args),
            Self::Classify(args) => classify::run(args),
            Self::Sweep(args) => sweep::run(*args),
            Self::Ema(args) => ema::run(*args),
            Self::Reproduce(args) => reproduce::run(args),
            Self::Verify(args) => verify::run(args),
            Self::Report(args) => report::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Export(args) => export::run(args),
            Self::Import(args) => import::run(args),
            Self::Data(args) => data::run(args),
            Self::Studio(args) => studio::run(args),
            Self::Page(args) => page::run(args),
            Self::Fetch(args) => fetch::run(args),
        }
    }
}

/// The ranks of the job that this process was started for, without anything that the verbs do with them; none where it is
/// alone.
///
/// # Errors
/// Where the job cannot be joined.
pub fn ranks() -> anyhow::Result<Option<duet_diffusion::ranks::Ranks>> {
    let limit = std::time::Duration::from_secs(hardware::RANK_LIMIT);
    job::launched().map(|launch| job::connect(&launch, limit)).transpose()
}

/// To be called first, with the program's name as it is called: messages and commands for a person to
/// type begin with it.
pub fn begin(program: &'static str) {
    terminal::begin(program);
    interrupt::survive_size_limits();
}

/// The arguments, or the code to end with where they ask for help or a version, or are none.
pub fn parse<C: clap::Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| match error.use_stderr() {
        // If nobody reads why, nobody can be told.
        true => job::refuse(|| drop(error.print())),
        false => {
            if !job::is_silent() {
                terminal::printed(error.print());
            }
            end(Ok(()))
        }
    })
}

/// Prints the help of the whole program.
pub fn help(mut command: clap::Command) -> anyhow::Result<()> {
    terminal::printed(command.print_help());
    Ok(())
}

/// Says what went wrong, if anything did, and turns it into the process's exit code.
pub fn end(result: anyhow::Result<()>) -> ExitCode {
    exit::report(result)
}
