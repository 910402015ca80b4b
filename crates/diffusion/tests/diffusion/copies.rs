//! Copies of training images: measured while a run trains, warned of once, and `best` is from before.
use crate::support::{configured, files, heard, own_run, refused};
use crate::tiny::{CONFIG, images};
use duet_diffusion::data::{Dataset, Shape, Splits, digits};
use duet_diffusion::events::{self, Event};
use duet_diffusion::metrics::{self, METRICS};
use duet_diffusion::{Device, Model, Resume, RunConfig, Session, find};
use std::path::Path;

/// Writes p-values of copies into the lines of a run's metrics.
fn measured(run: &Path, p_values: &[(u64, f64)]) {
    let path = run.join(METRICS);
    let text = std::fs::read_to_string(&path).unwrap();
    let line = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some((_, p)) = p_values.iter().find(|(step, _)| line["step"] == *step) {
            line["memorisation"] = serde_json::json!({ "memorised_p": p });
        }
        format!("{line}\n")
    };
    std::fs::write(path, text.lines().map(line).collect::<String>()).unwrap();
}

#[test]
fn best_is_the_newest_checkpoint_from_before_copies_rose() {
    let (_dir, run) = own_run();
    let best = run.join("best");
    assert!(refused(find::model_folder(&best)).contains("has not measured whether it copies"));
    let checkpoint = |step: u64| run.join(format!("checkpoints/step-{step:06}"));
    measured(&run, &[(20, 0.9), (40, 0.5), (60, 0.3)]);
    assert_eq!(find::model_folder(&best).unwrap(), checkpoint(60), "they did not rise");
    for (p_values, step) in [
        ([(30, 0.9), (45, 1e-5), (60, 0.9)], 25),
        ([(30, 0.9), (55, 0.06), (60, 1e-4)], 50),
        ([(30, 0.9), (55, 0.04), (60, 1e-4)], 25),
    ] {
        measured(&run, &[(20, 0.9), (40, 0.9), (60, 0.9)]);
        let (_own, run) = own_run();
        measured(&run, &p_values);
        let found = find::model_folder(run.join("best")).unwrap();
        assert_eq!(found, run.join(format!("checkpoints/step-{step:06}")), "{p_values:?}");
        assert_eq!(find::run_of(run.join("best")).unwrap().unwrap(), run);
        assert_eq!(Model::open(run.join("best"), &Device::Cpu).unwrap().folder, found);
    }
    let (_own, run) = own_run();
    measured(&run, &[(10, 0.9), (20, 1e-5)]);
    let text = refused(find::model_folder(run.join("best")));
    assert!(text.contains("copies rose at step 20") && text.contains("--save-every"), "{text}");
    std::fs::create_dir(run.join("best")).unwrap();
    assert!(
        refused(find::model_folder(run.join("best"))).contains("neither a run"),
        "a folder is what it is"
    );
}

#[test]
fn pruning_keeps_the_best_checkpoint_besides_the_newest() {
    for (p_values, left) in [
        ([(30, 0.9), (45, 1e-5), (60, 0.9)], vec!["step-000025", "step-000060"]),
        ([(30, 0.9), (55, 0.5), (60, 0.9)], vec!["step-000060"]),
    ] {
        let (_dir, run) = own_run();
        measured(&run, &p_values);
        let changes = Resume { keep: Some(1), ..Resume::default() };
        Session::resume(&run, &changes, Device::Cpu).unwrap().finish().unwrap();
        let mut found: Vec<String> = std::fs::read_dir(run.join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, left, "{p_values:?}");
    }
}

#[test]
fn a_run_goes_on_from_best_and_sets_the_later_ones_aside() {
    let (_dir, run) = own_run();
    measured(&run, &[(30, 0.9), (45, 1e-5)]);
    let (session, said) =
        heard(|| Session::resume(run.join("best"), &Resume::default(), Device::Cpu).unwrap());
    assert_eq!(session.trainer().steps(), 25);
    assert!(said.contains("set aside"), "{said}");
}

/// Each measurement stands in the metrics with the shares of each class, and a resumed run goes on with them.
#[test]
fn a_run_that_is_measured_notes_copies_by_class() {
    let dir = tempfile::tempdir().unwrap();
    let toml = CONFIG.replace("save_every = 25", "save_every = 25\neval_every = 20\neval_images = 20");
    let config = configured("digits", &toml, dir.path(), &images(dir.path()));
    let run = dir.path().join("run");
    crate::support::train(config, &run);
    let found = metrics::read(&run.join(METRICS)).unwrap();
    let steps: Vec<u64> = found.iter().filter(|m| m.memorisation.is_some()).map(|m| m.step).collect();
    assert_eq!(steps, [20, 40, 60]);
    let last = found.last().unwrap().memorisation.clone().unwrap();
    for by_class in [&last.copied_by_class, &last.memorised_by_class, &last.held_out_memorised_by_class] {
        let names: Vec<&String> = by_class.as_ref().unwrap().keys().collect();
        assert_eq!(names, ["left", "right"]);
    }
    let by_class = last.memorised_by_class.unwrap();
    let mean = by_class.values().sum::<f64>() / 2.0;
    assert!((mean - last.memorised_share.unwrap()).abs() < 1e-12, "{by_class:?}");
    assert!(last.memorised_p.unwrap() > 0.0 && last.closer_share.is_some());
}

/// A run that is not measured writes what it always wrote.
#[test]
fn a_run_that_is_not_measured_says_nothing_of_copies() {
    let (_dir, run) = own_run();
    let text = std::fs::read_to_string(run.join(METRICS)).unwrap();
    assert!(!text.contains("memorisation") && !text.contains("score"));
    assert!(!files(&run).is_empty());
}

/// Digits at half their size, so that a small network learns them by heart in a few thousand steps: `each` of every
/// class to train on, and all held-out ones.
fn small_digits(each: usize) -> Splits {
    let digits = digits().unwrap();
    let half = |set: Dataset| {
        let shape = Shape { channels: 1, height: 14, width: 14 };
        let mut whole = vec![0f32; 28 * 28];
        let names = set.classes().to_vec();
        Dataset::from_fn(shape, names, set.len(), |i, image| {
            set.image(i, &mut whole);
            for (p, value) in image.iter_mut().enumerate() {
                let at = 2 * (p / 14) * 28 + 2 * (p % 14);
                *value = (whole[at] + whole[at + 1] + whole[at + 28] + whole[at + 29]) / 4.0;
            }
            set.label(i)
        })
        .unwrap()
    };
    Splits::new("small digits", half(digits.train.take_per_class(each)), half(digits.test)).unwrap()
}

/// Of each of the long runs.
const MOST_STEPS: u64 = 12_000;

/// The step at which the run of `each` images a class warns of copies; none if it does not up to step `last`.
fn rises(each: usize, last: u64, dir: &Path) -> Option<u64> {
    let toml = format!(
        "[model]\nblock_out_channels = [32, 48]\nattention_levels = []\n[train]\nsteps = {MOST_STEPS}\nbatch = 50\n\
         [save]\nsave_every = 250\nkeep = 1\nsample_every = 0\nfirst_sample = 0\nheld_out_every = 0\n\
         eval_every = 250\neval_images = 200\n"
    );
    let config: RunConfig = configured("digits", &toml, dir, dir);
    let run = dir.join(format!("run-{each}"));
    let mut session = Session::start(config, small_digits(each), &run, Device::Cpu).unwrap();
    while session.trainer().steps() < last {
        let stepped = session.step().unwrap();
        if let Some(found) = &stepped.memorisation {
            let (share, real) = (found.memorised_share.unwrap(), found.held_out_memorised_share.unwrap());
            println!(
                "{} images, step {}: memorised {share:.3}, held-out {real:.4}, p {:.1e}, quantile {:.3}",
                10 * each,
                stepped.report.step,
                found.memorised_p.unwrap(),
                found.copied_share.unwrap()
            );
        }
        if let Some(warning) = stepped.warning {
            println!("{warning}");
            let step = stepped.report.step;
            let told = events::read(&run).unwrap();
            let rose = told.iter().filter(|event| matches!(event, Event::CopiesRose { .. })).count();
            assert_eq!(rose, 1);
            if find::model_folder(run.join("best"))
                .is_ok_and(|best| best.ends_with(format!("step-{step:06}")))
            {
                panic!("best is no checkpoint from before");
            }
            return Some(step);
        }
    }
    None
}

/// The fewer images, the sooner they are learnt by heart (Bonnaire et al. 2025). The long test, `DUET_LONG=1`.
#[test]
fn runs_of_fewer_images_warn_of_copies_sooner() {
    if std::env::var_os("DUET_LONG").is_none() {
        return println!("SKIPPED: DUET_LONG=1 trains for minutes");
    }
    let dir = tempfile::tempdir().unwrap();
    let hundred = rises(10, MOST_STEPS, dir.path()).expect("100 images are learnt by heart");
    let three_hundred = rises(30, MOST_STEPS, dir.path()).expect("300 images are learnt by heart");
    // It is enough to know that it is later.
    let thousand = rises(100, three_hundred, dir.path());
    println!("copies rose at {hundred}, {three_hundred} and {thousand:?}");
    assert!(hundred < three_hundred && thousand.is_none());
}
