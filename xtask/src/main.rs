//! `cargo xtask <verb>`: every verb of the program `duet`, and the chores of this repository.

mod bench;
mod bench_worker;
mod chart;
mod ci;
mod docs;
mod event_files;
mod frontier;
mod layering;
mod peers;
mod profile;
mod python;
mod repository;

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
    #[command(flatten)]
    Duet(duet_cli::Verb),
    /// Time training and sampling here, beside torch if asked
    Bench(bench::Args),
    #[command(hide = true)]
    BenchWorker(bench_worker::Args),
    /// Run every check of this repository
    Ci(ci::Args),
    /// Check the figures and pictures of the documents, or measure them again
    Docs(docs::Args),
    /// Measure every rule, sampler and student of a run: accuracy over distance, as a table and a picture
    Frontier(frontier::Args),
    /// Check which crate depends on which
    Layering,
}

fn main() -> std::process::ExitCode {
    duet_cli::begin("cargo xtask");
    let cli: Cli = match duet_cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    duet_cli::end(match cli.verb {
        None => duet_cli::help(Cli::command()),
        Some(Verb::Duet(verb)) => verb.run(),
        Some(Verb::Bench(args)) => bench::run(args),
        Some(Verb::BenchWorker(args)) => bench_worker::run(args),
        Some(Verb::Ci(args)) => ci::run(args),
        Some(Verb::Docs(args)) => docs::run(args),
        Some(Verb::Frontier(args)) => frontier::run(args),
        Some(Verb::Layering) => layering::run(),
    })
}
