//! The program started several times: as one job where it was built with MPI, and refused where it was not.
#[cfg(not(feature = "mpi"))]
use crate::support::duet;
use crate::support::images;
#[cfg(feature = "mpi")]
use crate::support::{count, files, run};
#[cfg(feature = "mpi")]
use duet_random::Draws;
#[cfg(feature = "mpi")]
use std::path::Path;
use std::process::Output;
#[cfg(feature = "mpi")]
use std::process::{Command, Stdio};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[cfg(not(feature = "mpi"))]
#[test]
fn several_processes_of_a_program_without_mpi_are_refused_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for (size, rank) in
        [("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID")]
    {
        let started = |number: &str, arguments: &[&str]| {
            duet(dir.path(), arguments).env(size, "4").env(rank, number).output().unwrap()
        };
        for arguments in [&["train", "--out", "run"][..], &["sample"], &["eval"], &["train", "--nothing"]] {
            let first = started("0", arguments);
            assert_eq!(first.status.code(), Some(2), "{}", text(&first));
            let said = text(&first);
            assert!(said.contains("4 processes") && said.contains("--features mpi"), "{said}");
            let second = started("1", arguments);
            assert_eq!((second.status.code(), text(&second)), (Some(2), String::new()), "one of them speaks");
        }
        let help = started("0", &["train", "--help"]);
        assert!(help.status.success() && text(&help).contains("--rank-limit"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // One process of a launcher is one process.
    let alone = duet(dir.path(), &["data", images(dir.path()).to_str().unwrap()])
        .env("OMPI_COMM_WORLD_SIZE", "1")
        .output()
        .unwrap();
    assert!(alone.status.success(), "{}", text(&alone));
}

/// Chunks of eight, eight and four images; a step takes some milliseconds.
#[cfg(feature = "mpi")]
const CONFIG: &str = r#"
[model]
block_out_channels = [8, 16]
attention_levels = []
norm_num_groups = 4

[train]
steps = 120
batch = 20
ema_snapshots = 40

[save]
save_every = 10
keep = 2
sample_every = 60
first_sample = 7
held_out_every = 50
held_out_images = 4

[sample]
steps = 2
"#;

#[cfg(feature = "mpi")]
struct Place(tempfile::TempDir);

#[cfg(feature = "mpi")]
impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        images(dir.path());
        std::fs::write(dir.path().join("tiny.toml"), CONFIG).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Arguments that begin a run, or go on with it.
    fn train<'a>(&self, out: &'a str) -> Vec<&'a str> {
        match self.path().join(out).join("config.toml").exists() {
            true => vec!["train", "--resume", out, "--threads", "1", "--rank-limit", "4", "--restart"],
            false => {
                let begin = [
                    "train",
                    "--config",
                    "tiny.toml",
                    "--data",
                    "data",
                    "--threads",
                    "1",
                    "--rank-limit",
                    "4",
                ];
                [&begin[..], &["--out", out]].concat()
            }
        }
    }

    /// So many ranks with these arguments.
    fn mpirun(&self, size: usize, arguments: &[&str]) -> Command {
        let mut command = launcher();
        command
            .current_dir(self.path())
            .args(["-n", &size.to_string(), env!("CARGO_BIN_EXE_duet")])
            .args(arguments);
        command
    }

    #[track_caller]
    fn run(&self, size: usize, arguments: &[&str], code: i32) -> String {
        let output = self.mpirun(size, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{size} ranks, {arguments:?}:\n{}", text(&output));
        text(&output)
    }
}

/// More ranks than cores, of which none is bound to one.
#[cfg(feature = "mpi")]
fn launcher() -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
    command
}

/// The process of a rank that mpirun, by its process, has started.
#[cfg(feature = "mpi")]
fn process_of(mpirun: u32, rank: usize) -> Option<String> {
    let children = Command::new("pgrep").args(["-P", &mpirun.to_string()]).output().unwrap();
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    let children = String::from_utf8(children.stdout).unwrap();
    let is_wanted = |child: &&str| {
        let environment = std::fs::read(format!("/proc/{child}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    children.lines().find(is_wanted).map(String::from)
}

#[cfg(feature = "mpi")]
fn signal(signal: &str, process: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

#[cfg(feature = "mpi")]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed().as_secs() < 60, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[cfg(feature = "mpi")]
#[test]
fn runs_sets_and_measurements_of_any_number_of_ranks_are_the_same_bytes() {
    let place = Place::new();
    run(place.path(), &place.train("alone"), 0);
    let expected = files(&place.path().join("alone"));
    for size in [2, 3, 4, 8] {
        let out = format!("on-{size}");
        let said = place.run(size, &place.train(&out), 0);
        assert!(said.contains(&format!("{size} ranks")), "{said}");
        assert_eq!(said.contains("have nothing to do"), size > 3, "{said}");
        assert!(files(&place.path().join(&out)) == expected, "{size} ranks");
    }
    let set = ["sample", "--run", "alone", "--count", "50", "--out"];
    run(place.path(), &[&set[..], &["set/"]].concat(), 0);
    place.run(3, &[&set[..], &["shared/"]].concat(), 0);
    assert!(files(&place.path().join("set")) == files(&place.path().join("shared")));
    for (out, size) in [("pictures", 1), ("of-ranks", 4)] {
        place.run(size, &["sample", "--run", "alone", "--seeds", "0-20", "--out", &format!("{out}/")], 0);
    }
    assert!(files(&place.path().join("pictures")) == files(&place.path().join("of-ranks")));
}

#[cfg(feature = "mpi")]
#[test]
fn what_differs_or_is_missing_ends_all_ranks_with_one_message() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_duet");
    let differ = launcher()
        .current_dir(place.path())
        .args(["-n", "1", program, "train", "--steps", "3", "--out", "a", ":"])
        .args(["-n", "2", program, "train", "--steps", "4", "--out", "a"])
        .output()
        .unwrap();
    let said = text(&differ);
    assert_eq!(differ.status.code(), Some(2), "{said}");
    assert!(said.contains("--steps 3") && said.contains("--steps 4") && said.contains("rank 1 on"), "{said}");
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    let said = place.run(3, &["train", "--nothing"], 2);
    assert_eq!(said.matches("error:").count(), 1, "{said}");
    let said = place.run(3, &["train", "--data", "not-there", "--out", "a"], 4);
    assert_eq!((said.matches("error:").count(), said.matches("not-there").count()), (1, 1), "{said}");
    // Only rank 1 is where the images are not.
    let elsewhere = tempfile::tempdir().unwrap();
    // Each process has another folder of this name.
    let train = ["train", "--data", "/proc/self/cwd/data", "--steps", "3", "--out", "a"];
    let missing = launcher()
        .args(["-n", "1", "--wdir", place.path().to_str().unwrap(), program])
        .args(train)
        .args([":", "-n", "1", "--wdir", elsewhere.path().to_str().unwrap(), program])
        .args(train)
        .output()
        .unwrap();
    let said = text(&missing);
    assert_eq!(missing.status.code(), Some(4), "{said}");
    assert!(said.contains("error: rank 1: on ") && said.contains("data"), "{said}");
    assert!(!place.path().join("a").exists());
}

/// The long test, `DUET_LONG=1`, takes a hundred.
#[cfg(feature = "mpi")]
#[test]
fn a_job_whose_rank_is_killed_at_any_moment_ends_soon_and_goes_on_with_other_ranks_exactly() {
    let place = Place::new();
    run(place.path(), &place.train("alone"), 0);
    let expected = files(&place.path().join("alone"));
    let mut draws = Draws::new(2, "kills", 0);
    let (mut kills, mut in_saves, mut runs) = (0, 0, 0);
    while kills < count(4, 100) {
        let out = format!("run-{runs}");
        let saving = || {
            let saves = std::fs::read_dir(place.path().join(&out).join("checkpoints"));
            saves.is_ok_and(|mut all| {
                all.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with(".saving")))
            })
        };
        loop {
            let size = 2 + draws.below(3) as usize;
            let mut job =
                place.mpirun(size, &place.train(&out)).stderr(std::process::Stdio::piped()).spawn().unwrap();
            let rank = draws.below(size as u64) as usize;
            wait_until("the ranks begin", || {
                process_of(job.id(), rank).is_some() || job.try_wait().unwrap().is_some()
            });
            std::thread::sleep(std::time::Duration::from_millis(draws.below(1500)));
            if kills % 2 == 0 {
                let started = std::time::Instant::now();
                while !saving() && started.elapsed().as_secs() < 2 && job.try_wait().unwrap().is_none() {}
            }
            let victim = process_of(job.id(), rank);
            if let Some(victim) = &victim {
                // It may have ended meanwhile.
                let _ = Command::new("kill").args(["-KILL", victim]).status();
            }
            let killed = std::time::Instant::now();
            let ended = job.wait_with_output().unwrap();
            let said = text(&ended);
            if ended.status.success() {
                break;
            }
            assert!(victim.is_some() && killed.elapsed().as_secs() < 10, "{:?}: {said}", killed.elapsed());
            assert!(said.contains(&format!("rank {rank}")), "rank {rank} of {size} was killed: {said}");
            (kills, in_saves) = (kills + 1, in_saves + usize::from(saving()));
        }
        runs += 1;
        assert!(files(&place.path().join(&out)) == expected, "after {kills} kills");
    }
    println!("{kills} kills in {runs} runs, {in_saves} of them inside a save");
}

#[cfg(feature = "mpi")]
#[test]
fn a_stopped_rank_is_named_and_a_first_signal_saves() {
    let place = Place::new();
    let long =
        CONFIG.replace("steps = 120", "steps = 100000").replace("ema_snapshots = 40", "ema_snapshots = 0");
    std::fs::write(place.path().join("tiny.toml"), long).unwrap();
    for (i, (rank, sent)) in [(1, "-STOP"), (0, "-STOP"), (0, "-TERM"), (2, "-TERM")].into_iter().enumerate()
    {
        let out = format!("run-{i}");
        let mut job = place.mpirun(3, &place.train(&out));
        let job = job.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it saves", || {
            place.path().join(&out).join("checkpoints/step-000010/manifest.json").exists()
        });
        let started = std::time::Instant::now();
        signal(sent, &process_of(job.id(), rank).unwrap());
        if rank == 2 {
            // A rank that does not lead leaves the end to the one that does.
            std::thread::sleep(std::time::Duration::from_secs(1));
            signal(sent, &process_of(job.id(), 0).unwrap());
        }
        let ended = job.wait_with_output().unwrap();
        let said = text(&ended);
        assert!(started.elapsed().as_secs() < 20, "{:?}: {said}", started.elapsed());
        match sent {
            "-STOP" => {
                assert!(said.contains(&format!("rank {rank} has not answered for 4 seconds")), "{said}")
            }
            _ => {
                assert_eq!(ended.status.code(), Some(143), "{said}");
                assert_eq!(said.matches("saved").count(), 1, "{said}");
            }
        }
    }
}
