//! This process as one of several that `mpirun` or `srun` has started.

use crate::exit::{self, Child, usage};
use crate::terminal::err;
#[cfg(not(feature = "mpi"))]
use crate::terminal::program;
use anyhow::Result;
use duet_diffusion::Job;
use duet_diffusion::ranks::{Launch, RankError, Ranks, launch};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

/// The job that this process leads.
static JOB: OnceLock<Job> = OnceLock::new();

/// The job that this process leads, if it leads one.
pub fn current() -> Option<Job> {
    JOB.get().cloned()
}

/// How this process was started, if it is one of several.
pub fn launched() -> Option<Launch> {
    launch(|name| std::env::var(name).ok())
}

/// Whether this is one of several processes, and not the one that speaks for all.
pub fn is_silent() -> bool {
    launched().is_some_and(|launch| launch.rank > 0)
}

/// Runs the work of a verb: here alone, or as the leader of a job, or where another leads by doing what that asks. `limit` is
/// the number of seconds after which a silent rank counts as lost.
pub fn run(limit: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let Some(launch) = launched() else { return work() };
    let ranks = connect(&launch, Duration::from_secs(limit.max(1)))?;
    let result = match ranks.rank() {
        0 => lead(&ranks, work),
        _ => follow(&ranks),
    };
    if let Err(error) = &result
        && let Some(rank) = lost(error)
    {
        // It cannot be asked to end. The message first: this process may be ended too.
        let place = current().map_or(String::new(), |job| format!(" ({})", job.name(rank)));
        exit::report(Err(anyhow::anyhow!("{}{place}", exit::text(error))));
        ranks.abort(1);
        std::thread::sleep(Duration::from_secs(2));
        return Err(Child(1).into());
    }
    // Before this rank leaves: the launcher ends all as soon as one has ended with an error.
    let result = match result {
        Err(error) if ranks.rank() == 0 => {
            let code = exit::code(&error);
            exit::report(Err(error));
            Err(Child(code).into())
        }
        result => result,
    };
    if !ranks.leave() {
        return Err(anyhow::anyhow!("a rank does not end; the work itself was done"));
    }
    result
}

/// Ends all ranks of a job whose arguments are wrong with exit code 2; one of them says what is wrong.
pub fn refuse(say: impl FnOnce()) -> ExitCode {
    let refused = run(60, || {
        say();
        Err(Child(2).into())
    });
    exit::report(refused)
}

fn lead(ranks: &Ranks, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let job = match introduction().and_then(|own| Ok(Job::lead(ranks.clone(), &own)?)) {
        Ok(job) => JOB.get_or_init(|| job),
        Err(error) => {
            if rank_error(&error).is_none() {
                ranks.fail(exit::code(&error), &exit::text(&error));
            }
            return Err(error);
        }
    };
    err!("{} ranks: {}", job.size(), hosts(job));
    let result = work();
    let code = result.as_ref().err().map_or(0, exit::code);
    // An error of a rank is known to all ranks.
    if result.as_ref().err().and_then(rank_error).is_none() {
        job.end(code)?;
    }
    result
}

fn follow(ranks: &Ranks) -> Result<()> {
    // The first signal is rank 0's to answer: it saves, and tells the others to end.
    let _heard = crate::interrupt::Interrupt::listen()?;
    let introduction = introduction()?;
    match duet_diffusion::job::follow(ranks, &introduction) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Child(code).into()),
        Err(error) => {
            let error = anyhow::Error::from(error);
            if let Some(RankError::Failed { code, .. }) = rank_error(&error) {
                return Err(Child(*code).into());
            }
            if lost(&error).is_some() {
                return Err(error);
            }
            let code = exit::code(&error);
            ranks.fail(code, &format!("on {}: {}", introduction.host, exit::text(&error)));
            Err(Child(code).into())
        }
    }
}

fn introduction() -> Result<duet_diffusion::job::Introduction> {
    let arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    Ok(duet_diffusion::job::Introduction::of_process(env!("CARGO_PKG_VERSION"), arguments)?)
}

/// Each host with its number of ranks and threads.
fn hosts(job: &Job) -> String {
    let mut hosts: Vec<(&str, Vec<usize>)> = Vec::new();
    for introduction in job.introductions() {
        match hosts.iter_mut().find(|(host, _)| *host == introduction.host) {
            Some((_, threads)) => threads.push(introduction.threads),
            None => hosts.push((&introduction.host, vec![introduction.threads])),
        }
    }
    let of = |(host, threads): &(&str, Vec<usize>)| {
        format!("{host} {} with {} threads", threads.len(), threads.iter().sum::<usize>())
    };
    hosts.iter().map(of).collect::<Vec<_>>().join(", ")
}

fn rank_error(error: &anyhow::Error) -> Option<&RankError> {
    error.chain().find_map(exit::rank_error)
}

fn lost(error: &anyhow::Error) -> Option<usize> {
    match rank_error(error)? {
        RankError::Lost { rank, .. } => Some(*rank),
        _ => None,
    }
}

/// The ranks that were started.
#[cfg(feature = "mpi")]
pub fn connect(launch: &Launch, limit: Duration) -> Result<Ranks> {
    duet_diffusion::ranks::mpi(launch, limit).map_err(|error| usage(error.to_string()))
}

/// Refuses: there is no way to reach the others.
#[cfg(not(feature = "mpi"))]
pub fn connect(launch: &Launch, _: Duration) -> Result<Ranks> {
    let how = match program() {
        "duet" => "`cargo install --path crates/cli --features mpi`".to_string(),
        _ => "`cargo build --release --package xtask --features mpi`, and start target/release/xtask"
            .to_string(),
    };
    let Launch { by, size, rank } = launch;
    match rank {
        0 => Err(usage(format!(
            "{by} started {size} processes, and this program was built without MPI: each would do all of the work and \
             write into the same places; build it in the repository, {how}"
        ))),
        _ => Err(Child(2).into()),
    }
}
