//! What docs/design/reliability.md promises of runs, shown on real processes.
use crate::support::{count, duet, files, images, run};
use duet_diffusion::tensorboard;
use duet_random::Draws;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const STEPS: u64 = 200;
const CONFIG: &str = r#"
[model]
block_out_channels = [8]
attention_levels = []
attention_head_dim = 8
norm_num_groups = 4

[train]
steps = 200
batch = 2
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

/// A folder with data and configuration, and how to begin a run in it.
struct Place {
    dir: tempfile::TempDir,
    begin: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = images(dir.path());
        std::fs::write(dir.path().join("tiny.toml"), CONFIG).unwrap();
        let begin = ["train", "--config", "tiny.toml", "--data", data.to_str().unwrap(), "--threads", "1"];
        Self { begin: begin.map(String::from).to_vec(), dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Arguments that begin a run, or go on with it where it has begun.
    fn arguments(&self, out: &str) -> Vec<String> {
        match self.path().join(out).join("config.toml").exists() {
            true => ["train", "--resume", out, "--threads", "1"].map(String::from).to_vec(),
            false => [self.begin.clone(), vec!["--out".into(), out.into()]].concat(),
        }
    }

    fn spawn(&self, out: &str) -> Child {
        let mut arguments = self.arguments(out);
        // A run that was killed before its first checkpoint is told to begin again.
        if arguments.contains(&"--resume".into()) {
            arguments.push("--restart".into());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = duet(self.path(), &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs to the end.
    fn whole(&self, out: &str, more: &[&str]) -> Duration {
        let started = Instant::now();
        let arguments = self.arguments(out);
        let arguments = [arguments.iter().map(String::as_str).collect(), more.to_vec()].concat();
        run(self.path(), &arguments, 0);
        started.elapsed()
    }

    /// What a finished run is compared by: everything but log and lock.
    fn result(&self, out: &str) -> BTreeMap<PathBuf, blake3::Hash> {
        let all = files(&self.path().join(out));
        all.into_iter().map(|(path, bytes)| (path, blake3::hash(&bytes))).collect()
    }

    fn events(&self, out: &str) -> PathBuf {
        self.path().join(out).join("events.out.tfevents.0.duet")
    }

    /// That a run's event file has what its metrics and previews have, each step once, and times that do not go back.
    #[track_caller]
    fn assert_events(&self, out: &str, what: &str) {
        let events = tensorboard::read(&self.events(out)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(events.is_sorted_by_key(|event| event.wall_time), "{what}: the times go back");
        let folder = self.path().join(out);
        let (opening, events) = events.split_at(2);
        let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        let config = tensorboard::Value::Text(format!("```toml\n{config}```\n"));
        assert_eq!(opening[1].values, [("config".to_string(), config)], "{what}");
        let mut expected = Vec::new();
        for line in std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let step = line["step"].as_u64().unwrap();
            let tags = [
                ("train/loss", "loss"),
                ("train/grad_norm", "grad_norm"),
                ("train/learning_rate", "learning_rate"),
                ("held_out/loss", "held_out_loss"),
            ];
            let scalar = |(tag, key): (&str, &str)| {
                let number = line[key].as_f64()? as f32;
                Some((tag.to_string(), tensorboard::Value::Scalar(number)))
            };
            expected.push((step, tags.into_iter().filter_map(scalar).collect()));
            if let Ok(png) = std::fs::read(folder.join(format!("samples/step-{step:06}.png"))) {
                expected.push((step, vec![("preview".to_string(), tensorboard::Value::Picture(png))]));
            }
        }
        let metrics = |event: &tensorboard::Event| {
            let values = event.values.iter().filter(|(tag, _)| tag != "train/images_per_second");
            (event.step, values.cloned().collect::<Vec<_>>())
        };
        let times = events.iter().filter(|event| event.values[0].0 != "preview").map(|event| event.wall_time);
        assert!(times.is_sorted_by(|before, after| before < after), "{what}: two steps at a time");
        let found: Vec<_> = events.iter().map(metrics).collect();
        assert!(
            found == expected,
            "{what}: the event file has {} events, not {}",
            found.len(),
            expected.len()
        );
    }

    /// That a finished run has the files of another, all with the same bytes.
    #[track_caller]
    fn assert_same(&self, out: &str, expected: &BTreeMap<PathBuf, blake3::Hash>, what: &str) {
        let found = self.result(out);
        let all: BTreeSet<&PathBuf> = found.keys().chain(expected.keys()).collect();
        let other: Vec<_> = all.into_iter().filter(|path| found.get(*path) != expected.get(*path)).collect();
        assert!(other.is_empty(), "{what}: other files or bytes: {other:?}");
        self.assert_events(out, what);
    }

    fn is_saving(&self, out: &str) -> bool {
        let entries =
            std::fs::read_dir(self.path().join(out).join("checkpoints")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(".saving-"))
    }

    /// How many whole lines the metrics have.
    fn reached(&self, out: &str) -> u64 {
        let bytes = std::fs::read(self.path().join(out).join("metrics.jsonl")).unwrap_or_default();
        bytes.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    fn steps(&self, out: &str) -> Vec<u64> {
        let text = std::fs::read_to_string(self.path().join(out).join("metrics.jsonl")).unwrap_or_default();
        let step =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap();
        text.lines().map(step).collect()
    }
}

/// How a process that may have been signalled ended, and what it said.
fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Waits until the process has ended, `until` says so, or `limit` is over.
fn wait(child: &mut Child, limit: Duration, until: impl Fn() -> bool) {
    let started = Instant::now();
    while started.elapsed() < limit && child.try_wait().unwrap().is_none() && !until() {
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[test]
fn a_run_killed_at_any_moment_and_resumed_ends_in_the_same_bytes() {
    let place = Place::new();
    // The first run of a program is a slow one.
    let time = place.whole("unbroken", &[]).min(place.whole("again", &[]));
    let expected = place.result("unbroken");
    let mut draws = Draws::new(1, "kills", 0);
    let (mut kills, mut in_saves, mut runs) = (0, 0, 0);
    while kills < count(50, 1000) {
        let out = format!("run-{runs}");
        loop {
            let mut child = place.spawn(&out);
            // Every other kill waits for a save; the rest come at any time.
            match kills % 2 {
                0 => {
                    let limit = time.mul_f64(draws.uniform());
                    wait(&mut child, limit, || false);
                    wait(&mut child, time, || place.is_saving(&out));
                    std::thread::sleep(Duration::from_micros(draws.below(1500)));
                }
                _ => wait(&mut child, time.mul_f64(0.7 * draws.uniform()), || false),
            }
            child.kill().unwrap();
            match ended(child) {
                (Some(0), _) => break,
                (None, _) => kills += 1,
                (Some(code), text) => panic!("exit code {code} after {kills} kills:\n{text}"),
            }
            in_saves += usize::from(place.is_saving(&out));
        }
        runs += 1;
        assert_eq!(place.steps(&out), (1..=STEPS).collect::<Vec<_>>(), "every step exactly once");
        place.assert_same(&out, &expected, &format!("after {kills} kills"));
        std::fs::remove_dir_all(place.path().join(&out)).unwrap();
    }
    println!("{kills} kills in {runs} runs, {in_saves} of them inside a save");
    assert!(in_saves * 10 >= kills * 3, "{in_saves} of {kills} kills were inside a save");
}

#[test]
fn a_first_signal_saves_and_a_second_stops_at_once() {
    let place = Place::new();
    let time = place.whole("unbroken", &[]);
    let mut expected = place.result("unbroken");
    expected.retain(|path, _| !path.starts_with("checkpoints/step-000190"));
    let mut draws = Draws::new(2, "signals", 0);
    let (mut signals, mut runs, mut at_once) = (0, 0, 0);
    while signals < count(25, 100) {
        let out = format!("run-{runs}");
        loop {
            let child = place.spawn(&out);
            let (signal, code) = if draws.uniform() < 0.5 { ("-INT", 130) } else { ("-TERM", 143) };
            std::thread::sleep(time.mul_f64(draws.uniform()));
            let send = || {
                let _ = Command::new("kill")
                    .args([signal, &child.id().to_string()])
                    .stderr(Stdio::null())
                    .status();
            };
            send();
            signals += 1;
            let twice = draws.uniform() < 0.2;
            if twice {
                send();
                at_once += 1;
            }
            match ended(child) {
                (Some(0), _) => break,
                (Some(found), text) => {
                    assert_eq!(found, code, "{text}");
                    let resumes = text.contains(&format!("duet train --resume {out}"));
                    assert!(twice || resumes || text.contains("nothing to save"), "{text}");
                }
                // Before it listens, a program has said nothing and has nothing to lose.
                (None, text) => assert!(text.is_empty(), "a signal was not heard:\n{text}"),
            }
        }
        runs += 1;
        // A signal saves at a step of its own, which may be among the checkpoints that are kept.
        let last = format!("step-{STEPS:06}");
        for entry in std::fs::read_dir(place.path().join(&out).join("checkpoints")).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with(&last) {
                std::fs::remove_dir_all(path).unwrap();
            }
        }
        place.assert_same(&out, &expected, &format!("after {signals} signals"));
    }
    println!("{signals} signals in {runs} runs, {at_once} of them sent twice");
}

#[test]
fn one_of_many_starts_wins_and_the_others_say_who_holds_the_run() {
    let place = Place::new();
    // Long enough that the winner is still there when the last one looks.
    let long = CONFIG.replace("steps = 200", "steps = 100000");
    std::fs::write(place.path().join("tiny.toml"), long).unwrap();
    let mut first = place.spawn("run");
    wait(&mut first, Duration::from_secs(60), || place.steps("run").len() > 12);
    first.kill().unwrap();
    first.wait().unwrap();
    for again in [true, false] {
        let out = if again { "run" } else { "new" };
        let mut children: Vec<Child> = (0..20).map(|_| place.spawn(out)).collect();
        let started = Instant::now();
        let running = |children: &mut Vec<Child>| {
            children
                .iter_mut()
                .filter_map(|child| child.try_wait().unwrap().is_none().then(|| child.id()))
                .collect()
        };
        let mut left: Vec<u32> = running(&mut children);
        while left.len() > 1 && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
            left = running(&mut children);
        }
        let [winner] = left[..] else { panic!("{} starts of {out} are running", left.len()) };
        for mut child in children {
            if child.id() == winner {
                child.kill().unwrap();
                child.wait().unwrap();
                continue;
            }
            let (code, text) = ended(child);
            assert_eq!(code, Some(2), "{text}");
            let named = text.contains(&format!("another process trains this run (process {winner})"));
            // A start that comes later finds a run, which it would not begin again.
            assert!(named || !again && text.contains("there is something already"), "{text}");
        }
    }
}

#[test]
fn a_full_disk_stops_the_run_and_leaves_the_last_checkpoint() {
    let place = Place::new();
    place.whole("run", &[]);
    let run_folder = place.path().join("run");
    let newest = run_folder.join(format!("checkpoints/step-{STEPS:06}"));
    let state = std::fs::metadata(newest.join("training_state.safetensors")).unwrap().len();
    std::fs::remove_dir_all(&newest).unwrap();
    let before = files(&run_folder.join("checkpoints"));
    let mut named = BTreeSet::new();
    for i in 0..20 {
        // In blocks of 512 bytes: from nothing to what is just too little for the largest file.
        let blocks = i * (state / 512) / 20;
        let program = env!("CARGO_BIN_EXE_duet");
        let script = format!("ulimit -f {blocks}; exec {program} train --resume run");
        let Output { status, stderr, .. } =
            Command::new("sh").args(["-c", &script]).current_dir(place.path()).output().unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(6), "{blocks} blocks:\n{text}");
        assert!(text.contains("cannot write run") && text.contains("too large"), "{blocks} blocks:\n{text}");
        assert!(files(&run_folder.join("checkpoints")) == before, "{blocks} blocks");
        let file = text.split("cannot write run/").nth(1).and_then(|rest| rest.split(':').next());
        named.extend(file.map(String::from));
    }
    for file in ["metrics.jsonl", "events.out.tfevents.0.duet"] {
        assert!(named.contains(file), "{file} was never too large: {named:?}");
    }
    place.whole("run", &[]);
    place.whole("other", &[]);
    place.assert_same("run", &place.result("other"), "after full disks");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let place = Place::new();
    let begin: Vec<&str> =
        place.begin.iter().map(String::as_str).filter(|word| !["--threads", "1"].contains(word)).collect();
    for threads in ["1", "2", "4"] {
        run(place.path(), &[&begin[..], &["--threads", threads, "--out", threads]].concat(), 0);
        let batch = ["2", "7", "64"][threads.len() % 3];
        let flags = ["--seeds", "0-4", "--eta", "1", "--steps", "3", "--threads", threads, "--batch", batch];
        let out = format!("{threads}/images.safetensors");
        run(place.path(), &[&["sample", "--run", threads, "--out", &out], &flags[..]].concat(), 0);
    }
    let first = place.result("1");
    assert!(
        first.contains_key(Path::new("images.safetensors")) && first.contains_key(Path::new("metrics.jsonl"))
    );
    assert!(first == place.result("2") && first == place.result("4"));
}

#[test]
fn nothing_but_fetch_needs_a_network() {
    let place = Place::new();
    let apart = |command: &[&str]| {
        Command::new("unshare")
            .args(["--map-root-user", "--net"])
            .args(command)
            .current_dir(place.path())
            .output()
    };
    if !apart(&["true"]).is_ok_and(|output| output.status.success()) {
        return println!("skipped: this machine gives no network namespaces");
    }
    let interfaces = apart(&["cat", "/proc/net/dev"]).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&interfaces.stdout).lines().filter(|line| line.contains(':')).count(),
        1,
        "lo alone"
    );
    let program = env!("CARGO_BIN_EXE_duet");
    let begin = place.arguments("run");
    let begin: Vec<&str> = begin.iter().map(String::as_str).collect();
    for arguments in [
        &begin[..],
        &["train", "--resume", "run"],
        &["sample", "--run", "run"],
        &["verify", "run"],
        &["export", "--run", "run", "--out", "shared"],
        &["import", "shared", "--out", "imported"],
    ] {
        let output = apart(&[&[program], arguments].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_images_of_a_run_may_have_moved_but_are_the_same() {
    let place = Place::new();
    place.whole("run", &[]);
    std::fs::rename(place.path().join("data"), place.path().join("moved")).unwrap();
    run(place.path(), &["train", "--resume", "run"], 4);
    run(place.path(), &["train", "--resume", "run", "--data", "moved"], 0);
    std::fs::remove_file(place.path().join("moved/left/03.png")).unwrap();
    let text = run(place.path(), &["train", "--resume", "run", "--data", "moved"], 2);
    assert!(text.contains("its images are not those that the run began with"), "{text}");
}

/// Every flag of `train`, so that one which is new must be decided about.
#[test]
fn each_flag_may_be_given_or_is_refused_by_name_on_resume() {
    let place = Place::new();
    place.whole("run", &[]);
    let help = run(place.path(), &["train", "--help"], 0);
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--"))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(flags.len() > 15, "{flags:?}");
    for flag in flags {
        let allowed = match flag {
            "threads" | "rank-limit" | "save-every" | "keep" | "sample-every" | "eval-every" => {
                Some(Some("1"))
            }
            "max-megapixels" | "max-gigabytes" => Some(Some("1")),
            "restart" => Some(None),
            "device" => Some(Some("cpu")),
            "memory" => Some(Some("low")),
            "data" => Some(place.begin.get(4).map(String::as_str)),
            // What is resumed, what a resumed run does not look at, and what goes with --from alone.
            "resume" | "preset" | "from-weights" => continue,
            _ => None,
        };
        let flag = format!("--{flag}");
        let value = match flag.as_str() {
            "--dry-run" | "--restart" | "--balance" => None,
            "--config" => Some("tiny.toml"),
            "--label" => Some("fine"),
            "--flip" => Some("horizontal"),
            "--optimizer" => Some("adamw"),
            "--loss-weighting" => Some("uniform"),
            _ => allowed.flatten().or(Some("1")),
        };
        let arguments = ["train", "--resume", "run", flag.as_str()].into_iter().chain(value);
        let arguments: Vec<&str> = arguments.collect();
        match allowed {
            Some(_) => drop(run(place.path(), &arguments, 0)),
            None => {
                let text = run(place.path(), &arguments, 2);
                assert!(
                    text.contains(&format!("{flag} cannot change when a run is resumed")),
                    "{flag}: {text}"
                );
            }
        }
    }
}

#[test]
fn verify_names_what_is_damaged() {
    let place = Place::new();
    place.whole("run", &[]);
    let text = run(place.path(), &["verify", "run"], 0);
    assert!(
        text.contains("step-000190") && text.contains("whole    run/checkpoints/step-000200: step 200"),
        "{text}"
    );
    let state = place.path().join("run/checkpoints/step-000190/training_state.safetensors");
    let mut bytes = std::fs::read(&state).unwrap();
    bytes[3000] ^= 4;
    std::fs::write(&state, bytes).unwrap();
    let text = run(place.path(), &["verify", "run"], 5);
    assert!(text.contains("whole    run/checkpoints/step-000200"), "{text}");
    assert!(
        text.contains("DAMAGED  run/checkpoints/step-000190/training_state.safetensors: damaged"),
        "{text}"
    );
    run(place.path(), &["verify", "run/checkpoints/step-000200"], 0);
    run(place.path(), &["verify", "data"], 5);
    run(place.path(), &["verify", "nowhere"], 2);
    // A run none of whose checkpoints is whole is not begun again behind one's back.
    std::fs::remove_file(place.path().join("run/checkpoints/step-000200/manifest.json")).unwrap();
    let text = run(place.path(), &["train", "--resume", "run"], 5);
    assert!(text.contains("none of its checkpoints is whole"), "{text}");
}

/// What a run's metrics say of its steps, checked to be each step exactly once.
#[track_caller]
fn assert_every_step(place: &Place, out: &str) {
    assert_eq!(place.steps(out), (1..=STEPS).collect::<Vec<_>>(), "every step exactly once");
}

#[test]
fn a_resume_from_an_older_checkpoint_sets_the_newer_ones_aside() {
    let place = Place::new();
    place.whole("unbroken", &[]);
    let expected = place.result("unbroken");
    place.whole("run", &[]);
    let old = "run/checkpoints/step-000190";
    let mut child = duet(place.path(), &["train", "--resume", old, "--save-every", "1000", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let aside = place.path().join("run/checkpoints/aside-step-000200");
    wait(&mut child, Duration::from_secs(60), || {
        aside.is_dir() && (192..STEPS).contains(&place.reached("run"))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    place.whole("run", &[]);
    assert_every_step(&place, "run");
    assert!(aside.is_dir(), "what was there is kept under a name of its own");
    std::fs::remove_dir_all(aside).unwrap();
    place.assert_same("run", &expected, "after a resume from step 190");
}

#[test]
fn a_run_that_has_steps_begins_again_only_when_told_to() {
    let place = Place::new();
    place.whole("run", &[]);
    let expected = place.result("run");
    let (checkpoints, away) = (place.path().join("run/checkpoints"), place.path().join("away"));
    std::fs::rename(&checkpoints, &away).unwrap();
    let text = run(place.path(), &["train", "--resume", "run"], 5);
    assert!(text.contains("200 steps and has no checkpoint") && text.contains("--restart"), "{text}");
    // A link to a disk that is not mounted is no absence.
    std::os::unix::fs::symlink("/nowhere/at/all", &checkpoints).unwrap();
    let text = run(place.path(), &["train", "--resume", "run"], 6);
    assert!(text.contains("link to what is not there"), "{text}");
    assert_every_step(&place, "run");
    std::fs::remove_file(&checkpoints).unwrap();
    std::fs::rename(&away, &checkpoints).unwrap();
    run(place.path(), &["train", "--resume", "run"], 0);
    place.assert_same("run", &expected, "after the disk was there again");
    std::fs::remove_dir_all(&checkpoints).unwrap();
    run(place.path(), &["train", "--resume", "run", "--restart", "--threads", "1"], 0);
    place.assert_same("run", &expected, "after it began again");
}

#[test]
fn links_in_a_received_run_are_not_followed_for_writing() {
    for name in ["LOCK", "log.txt", "metrics.jsonl", "events.out.tfevents.0.duet"] {
        let place = Place::new();
        place.whole("run", &[]);
        let precious = place.path().join("precious");
        std::fs::write(&precious, "mine").unwrap();
        let link = place.path().join("run").join(name);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let output = duet(place.path(), &["train", "--resume", "run"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(name), "{name}: {text}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine", "{name}");
    }
}

#[test]
fn metrics_that_are_not_what_was_written_are_repaired_or_named() {
    let place = Place::new();
    place.whole("run", &[]);
    let expected = place.result("run");
    let path = place.path().join("run/metrics.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let without = |i: usize| [&lines[..i], &lines[i + 1..]].concat().join("\n") + "\n";
    let repaired = [
        [whole.as_bytes(), b"\xff\xfe garbage\n"].concat(),
        [whole.as_bytes(), &[0; 4096]].concat(),
        [whole.as_bytes(), b"{\"step\":201,\"lo"].concat(),
    ];
    for bytes in repaired {
        std::fs::write(&path, bytes).unwrap();
        run(place.path(), &["train", "--resume", "run", "--threads", "1"], 0);
        place.assert_same("run", &expected, "after foreign bytes behind the last step");
    }
    // Steps 1 to 99 are what such a file reaches, and no checkpoint is that old.
    for text in [without(99), whole.replacen(lines[99], &format!("{}\n{}", lines[99], lines[50]), 1)] {
        std::fs::write(&path, &text).unwrap();
        let said = run(place.path(), &["train", "--resume", "run"], 5);
        assert!(said.contains("metrics.jsonl") && said.contains("put the file back"), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "nothing is taken away");
        assert!(run(place.path(), &["verify", "run"], 5).contains("metrics"), "verify says it too");
    }
}

#[test]
fn an_event_file_that_is_not_what_was_written_is_put_right() {
    let place = Place::new();
    place.whole("run", &[]);
    let (path, resume) = (place.events("run"), ["train", "--resume", "run", "--threads", "1"]);
    place.assert_events("run", "a run that was not stopped");
    let whole = std::fs::read(&path).unwrap();
    let rates = |path: &Path| {
        let events = tensorboard::read(path).unwrap();
        let tags = events.iter().flat_map(|event| &event.values).map(|(tag, _)| tag);
        tags.filter(|tag| *tag == "train/images_per_second").count()
    };
    assert_eq!(rates(&path), STEPS as usize);
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    // What was damaged loses its speed; what is not as the metrics and previews say is written again.
    for (what, bytes, kept) in [
        ("as it was", whole.clone(), 200),
        ("longer", [&whole[..], &whole[..500]].concat(), 200),
        ("foreign bytes", [&whole[..], b"\xff garbage"].concat(), 200),
        ("cut", whole[..whole.len() / 2].to_vec(), 1),
        ("a bit", flipped(whole.len() / 2), 1),
        ("the first bit", flipped(0), 0),
        ("empty", Vec::new(), 0),
    ] {
        std::fs::write(&path, bytes).unwrap();
        run(place.path(), &resume, 0);
        place.assert_events("run", what);
        assert!(rates(&path) >= kept && (kept == 200) == (std::fs::read(&path).unwrap() == whole), "{what}");
    }
    // Runs of older versions have none.
    std::fs::remove_file(&path).unwrap();
    run(place.path(), &["train", "--resume", "run/checkpoints/step-000190", "--threads", "1"], 0);
    place.assert_events("run", "after a resume from step 190");
    assert_eq!(rates(&path), 10);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let text = run(place.path(), &resume, 6);
    assert!(text.contains("cannot write run/events.out.tfevents.0.duet"), "{text}");
}

#[test]
fn pipes_and_devices_in_a_run_are_named_and_not_waited_for() {
    let place = Place::new();
    place.whole("run", &[]);
    for name in [
        "config.toml",
        "metrics.jsonl",
        "events.jsonl",
        "events.out.tfevents.0.duet",
        "checkpoints/step-000200/manifest.json",
    ] {
        let path = place.path().join("run").join(name);
        let whole = std::fs::read(&path).unwrap();
        for device in [false, true] {
            std::fs::remove_file(&path).unwrap();
            match device {
                true => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                false => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
            }
            for verb in [&["verify", "run"][..], &["compare", "run", "run"], &["train", "--resume", "run"]] {
                let mut child =
                    duet(place.path(), verb).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                wait(&mut child, Duration::from_secs(20), || false);
                assert!(child.try_wait().unwrap().is_some(), "{name}: {verb:?} is still running");
                if name == "config.toml" {
                    let output = duet(place.path(), verb).output().unwrap();
                    let text = String::from_utf8_lossy(&output.stderr).into_owned();
                    let named = if device { "not a file but a device" } else { "not a file but a pipe" };
                    assert!(text.contains(named), "{verb:?}: {text}");
                }
            }
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, whole).unwrap();
    }
}

/// `train … | head`: the reader goes away, the training does not.
#[test]
fn a_training_outlives_who_reads_its_messages() {
    let place = Place::new();
    let arguments = place.arguments("run");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child =
        duet(place.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_every_step(&place, "run");
    let verbs = [&["verify", "run"][..], &["compare", "run", "run"], &["sample", "--run", "run"]];
    for verb in verbs.into_iter().chain([&[][..], &["--help"], &["train", "--help"], &["--version"]]) {
        let mut child =
            duet(place.path(), verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let (code, text) = ended(child);
        assert_eq!((code, text.contains("panicked")), (Some(0), false), "{verb:?}: {text}");
        // A result that is not there whole is an error.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = duet(place.path(), verb).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_closed_terminal_saves_as_a_termination_does() {
    let place = Place::new();
    let config =
        CONFIG.replace("steps = 200", "steps = 100000").replace("save_every = 10", "save_every = 50000");
    std::fs::write(place.path().join("tiny.toml"), config).unwrap();
    let mut child = place.spawn("run");
    wait(&mut child, Duration::from_secs(60), || {
        std::fs::read(place.path().join("run/metrics.jsonl")).is_ok_and(|bytes| bytes.len() > 2000)
    });
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
    let (code, text) = ended(child);
    assert_eq!(code, Some(129), "{text}");
    assert!(text.contains("saved run/checkpoints/step-"), "{text}");
    assert!(run(place.path(), &["verify", "run"], 0).contains("whole"));
}

#[test]
fn a_run_that_is_moved_or_whose_lock_is_gone_is_no_more_written() {
    let config =
        CONFIG.replace("steps = 200", "steps = 100000").replace("save_every = 10", "save_every = 500");
    for (what, said) in [("run", "moved or removed"), ("run/LOCK", "another process may train")] {
        let place = Place::new();
        std::fs::write(place.path().join("tiny.toml"), &config).unwrap();
        let mut child = place.spawn("run");
        wait(&mut child, Duration::from_secs(60), || place.reached("run") > 20);
        std::fs::rename(place.path().join(what), place.path().join("elsewhere")).unwrap();
        let (code, text) = ended(child);
        assert_eq!(code, Some(6), "{what}: {text}");
        assert!(text.contains(said), "{what}: {text}");
        let there = place.path().join(what);
        assert!(!there.exists(), "nothing is written where {what} was");
    }
}
