//! The program `duet`.

use clap::{CommandFactory, Parser};
use duet_cli::Verb;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Duet: class-conditional image diffusion with classifier-free guidance.
#[derive(Parser)]
#[command(name = "duet", version)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

fn main() -> std::process::ExitCode {
    duet_cli::begin("duet");
    duet_cli::end(match Cli::parse().verb {
        None => Cli::command().print_help().map_err(Into::into),
        Some(verb) => verb.run(),
    })
}
