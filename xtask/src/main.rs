//! Duet's runner: `cargo xtask <verb>`. It parses, wires the crates together and presents.

mod bench;
mod bench_worker;
mod card;
mod chart;
mod ci;
mod classify;
mod compare;
mod compare_table;
mod config;
mod curves;
mod docs;
mod drawing;
mod ema;
mod eval;
mod eval_file;
mod exit;
mod export;
mod fetch;
mod file_names;
mod hardware;
mod html;
mod images;
mod import;
mod interrupt;
mod layering;
mod markdown;
mod model_folder;
mod note;
mod peers;
mod plan;
mod progress;
mod report;
mod report_eval;
mod report_page;
mod reproduce;
mod resume;
mod run_folder;
mod run_record;
mod sample;
mod score;
mod selection;
mod settings;
mod snapshots;
mod start;
mod sweep;
mod terminal;
mod train;
mod verify;
mod yardstick;

use clap::{CommandFactory, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Duet: class-conditional image diffusion with classifier-free guidance.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Train a model; with no flags, on the embedded digits
    Train(Box<train::Args>),
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
    /// Write the folder that diffusers loads, with a model card
    Export(export::Args),
    /// Make a model folder of a network from elsewhere
    Import(import::Args),
    /// Download a public data set for --data
    Fetch(fetch::Args),
    /// Time training and sampling here, beside torch if asked
    Bench(bench::Args),
    #[command(hide = true)]
    BenchWorker(bench_worker::Args),
    /// Run every check of this repository
    Ci(ci::Args),
    /// Check the figures and pictures of the documents, or measure them again
    Docs(docs::Args),
    /// Check which crate depends on which
    Layering,
}

fn main() -> std::process::ExitCode {
    terminal::begin();
    interrupt::survive_size_limits();
    let result = match Cli::parse().verb {
        None => Cli::command().print_help().map_err(Into::into),
        Some(Verb::Train(args)) => train::run(*args),
        Some(Verb::Sample(args)) => sample::run(*args),
        Some(Verb::Eval(args)) => eval::run(*args),
        Some(Verb::Classify(args)) => classify::run(args),
        Some(Verb::Sweep(args)) => sweep::run(*args),
        Some(Verb::Ema(args)) => ema::run(*args),
        Some(Verb::Reproduce(args)) => reproduce::run(args),
        Some(Verb::Verify(args)) => verify::run(args),
        Some(Verb::Report(args)) => report::run(args),
        Some(Verb::Compare(args)) => compare::run(args),
        Some(Verb::Export(args)) => export::run(args),
        Some(Verb::Import(args)) => import::run(args),
        Some(Verb::Fetch(args)) => fetch::run(args),
        Some(Verb::Bench(args)) => bench::run(args),
        Some(Verb::BenchWorker(args)) => bench_worker::run(args),
        Some(Verb::Ci(args)) => ci::run(args),
        Some(Verb::Docs(args)) => docs::run(args),
        Some(Verb::Layering) => layering::run(),
    };
    exit::report(result)
}
