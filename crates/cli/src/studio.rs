//! `studio`: a page on this machine, by the crate `studio`, which only a program with the feature of that name has.

use anyhow::Result;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Flags of `studio`.
#[derive(clap::Args)]
pub struct Args {
    /// The model that the page begins with: a run, a checkpoint, or any model folder
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// Where the runs are that the page shows
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,
    /// The port of the page; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Serve others than this machine, such as 0.0.0.0 for everybody who reaches it. They can draw with your models, see
    /// your runs and stop your trainings, and what is sent is not encrypted. It needs --token
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// What everybody has to show, at least 16 letters and digits. The address that is printed has it. Other accounts of
    /// this machine see command lines, so there set the environment variable DUET_TOKEN instead
    #[arg(long)]
    token: Option<String>,
    /// Open the page in the desktop's browser
    #[arg(long)]
    open: bool,
    /// Threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

/// Runs the verb.
#[cfg(feature = "studio")]
pub fn run(args: Args) -> Result<()> {
    serve::run(args)
}

/// Runs the verb: in a clone, by a program that is built with the feature now.
#[cfg(not(feature = "studio"))]
pub fn run(args: Args) -> Result<()> {
    let Args { run: _, runs: _, port: _, listen: _, token: _, open: _, threads: _ } = args;
    build::run()
}

#[cfg(feature = "studio")]
mod serve {
    use super::Args;
    use crate::exit::{Interrupted, usage};
    use crate::hardware::set_threads;
    use crate::interrupt::Interrupt;
    use crate::terminal::{err, out, program};
    use anyhow::Result;
    use duet_studio::{Error, Server, Settings};
    use std::io::{IsTerminal, stdin};
    use std::process::{Command, Stdio};

    /// The environment variable for the token, which other accounts cannot see.
    const TOKEN: &str = "DUET_TOKEN";

    pub fn run(args: Args) -> Result<()> {
        let Args { run, runs, port, listen, token, open, threads } = args;
        let of_environment = token.is_none();
        let token = token.or_else(|| Some(std::env::var_os(TOKEN)?.to_string_lossy().into_owned()));
        set_threads(threads)?;
        let interrupt = Interrupt::listen()?;
        let program = program().to_string();
        let server =
            Server::bind(Settings { run, runs, listen, port, token, program }).map_err(
                |error| match error {
                    Error::Token if of_environment => usage(error.to_string().replacen("token", TOKEN, 1)),
                    Error::NoToken(_) | Error::Token | Error::Model(_) | Error::Runs(_) => {
                        usage(format!("--{error}").replacen("--run: ", "--run ", 1))
                    }
                    error => error.into(),
                },
            )?;
        out!("the page is at {}", server.address());
        if listen.is_unspecified() {
            err!("put this machine's name in the place of THIS-MACHINE");
        }
        let address = server.address_here();
        if !listen.is_loopback() {
            err!(
                "warning: who has the token can draw, see the runs and stop trainings; what is sent is not encrypted"
            );
        }
        err!("Ctrl-C ends it");
        match (open, opener()) {
            (true, Some(opener)) => show(opener, &address),
            (true, None) => err!("warning: --open: there is no desktop here; open the address in a browser"),
            (false, Some(opener)) if stdin().is_terminal() => {
                err!("Enter opens it in a browser");
                // It waits for a key that may never come, and ends with the process.
                std::thread::spawn(move || {
                    if stdin().read_line(&mut String::new()).is_ok_and(|bytes| bytes > 0) {
                        show(opener, &address);
                    }
                });
            }
            (false, _) => {}
        }
        server.serve(|| interrupt.signal().is_some())?;
        Err(Interrupted(interrupt.signal().unwrap_or_default()).into())
    }

    /// The program that opens an address on this desktop; none where there is none.
    fn opener() -> Option<&'static [&'static str]> {
        let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match std::env::consts::OS {
            "macos" => Some(&["open"]),
            "windows" => Some(&["explorer"]),
            _ if has("DISPLAY") || has("WAYLAND_DISPLAY") => Some(&["xdg-open"]),
            _ => None,
        }
    }

    fn show(opener: &[&str], address: &str) {
        let mut command = Command::new(opener[0]);
        command
            .args(&opener[1..])
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Err(error) = command.spawn() {
            err!("warning: {} does not start: {error}; open the address in a browser", opener[0]);
        }
    }
}

#[cfg(not(feature = "studio"))]
mod build {
    use crate::clone::clone_of;
    use crate::exit::usage;
    use crate::terminal::{err, program};
    use anyhow::{Context, Result};
    use std::process::Command;

    /// The features that this program has, and the page's.
    const FEATURES: [(&str, bool); 4] = [
        ("studio", true),
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("parquet", cfg!(feature = "parquet")),
    ];

    /// Runs the same words again by a program that has the page.
    pub fn run() -> Result<()> {
        let own = std::env::current_exe().context("where is this program?")?;
        let Some(clone) = clone_of(&own).filter(|_| program() != "duet") else {
            return Err(usage(
                "studio: this program was built without the page; build it in the repository: `cargo install --path \
                 crates/cli --features studio`",
            ));
        };
        if cfg!(windows) {
            return Err(usage("studio: Windows builds no program that runs; use `cargo xtask-studio`"));
        }
        let features: Vec<&str> = FEATURES.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
        err!("building the page's server; the first time takes a minute or two");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args(["run", "--release", "--quiet", "--manifest-path"]).arg(clone.join("Cargo.toml"));
        cargo
            .args(["--package", "xtask", "--features", &features.join(","), "--"])
            .args(std::env::args_os().skip(1));
        replace(cargo)
    }

    /// Becomes the other program, which signals then reach alone.
    #[cfg(unix)]
    fn replace(mut command: Command) -> Result<()> {
        use std::os::unix::process::CommandExt;
        Err(command.exec()).with_context(|| format!("cannot run {}", command.get_program().display()))
    }

    #[cfg(not(unix))]
    fn replace(mut command: Command) -> Result<()> {
        use crate::exit::Child;
        let status =
            command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        match status.success() {
            true => Ok(()),
            false => Err(Child(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)).into()),
        }
    }
}
