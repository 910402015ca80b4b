//! Whether this process was started as one of several.

/// A launcher that started this process as a rank of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The launcher, `mpirun` or `srun`.
    pub by: &'static str,
    /// How many ranks it started.
    pub size: usize,
    /// This one's number.
    pub rank: usize,
}

/// What launchers tell the processes that they start: the names of the variables with the number of ranks and with the
/// rank. Slurm sets others for a job's script, which is one process.
const VARIABLES: [(&str, &str, &str); 4] = [
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpirun", "PMI_SIZE", "PMI_RANK"),
    ("mpirun", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
];

/// How this process was started, if it is one of several. `variable` looks a variable of the environment up.
pub fn launch(variable: impl Fn(&str) -> Option<String>) -> Option<Launch> {
    let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
    let of = |(by, size, rank): (&'static str, &str, &str)| {
        Some(Launch { by, size: number(size)?, rank: number(rank).unwrap_or(0) })
    };
    VARIABLES.into_iter().filter_map(of).find(|launch| launch.size > 1)
}
