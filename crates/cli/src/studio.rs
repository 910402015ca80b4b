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
    crate::with_page::run("studio")
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
