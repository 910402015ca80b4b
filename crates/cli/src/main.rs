//! The program `duet`.

use clap::{CommandFactory, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Duet: class-conditional image diffusion with classifier-free guidance.
#[derive(Parser)]
#[command(name = "duet", version)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Duet(duet_cli::Verb),
    /// Print what a shell needs to complete verbs and flags
    #[cfg(feature = "completions")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of a verb, for `man -l -`
    #[cfg(feature = "completions")]
    Man {
        /// The verb
        verb: Option<String>,
    },
}

fn main() -> std::process::ExitCode {
    duet_cli::begin("duet");
    let cli: Cli = match duet_cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    duet_cli::end(match cli.verb {
        None => duet_cli::help(Cli::command()),
        Some(Verb::Duet(verb)) => verb.run(),
        #[cfg(feature = "completions")]
        Some(Verb::Completions { shell }) => print(|text| {
            clap_complete::generate(shell, &mut Cli::command(), "duet", text);
            Ok(())
        }),
        #[cfg(feature = "completions")]
        Some(Verb::Man { verb }) => manual(verb.as_deref()),
    })
}

#[cfg(feature = "completions")]
fn manual(verb: Option<&str>) -> anyhow::Result<()> {
    let mut program = Cli::command();
    program.build();
    let command = match verb {
        None => program,
        Some(verb) => {
            let unknown = || duet_cli::exit::usage(format!("man {verb}: there is no such verb"));
            program.find_subcommand(verb).ok_or_else(unknown)?.clone()
        }
    };
    print(|text| clap_mangen::Man::new(command).render(text))
}

/// Prints what a generator writes.
#[cfg(feature = "completions")]
fn print(generate: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    generate(&mut text)?;
    duet_cli::terminal::print_out(format_args!("{}", String::from_utf8(text)?), "");
    Ok(())
}
