//! Jobs of several ranks against one process: runs, pictures and sets are the same bytes.
use crate::support::{CONFIG, configured, draw_grid, drawing, files, images, refused, rows, train, trained};
use duet_diffusion::job::{Introduction, follow};
use duet_diffusion::ranks::{RankError, Ranks};
use duet_diffusion::{
    Device, Drawing, Error, Job, Model, NewRun, Plan, Result, Resume, RunConfig, Session, SetDrawing,
    SetFormat, Sweep,
};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What each rank says of itself; a training step is taken for it once.
fn introduction() -> Introduction {
    static OWN: OnceLock<Introduction> = OnceLock::new();
    OWN.get_or_init(|| Introduction::of_process("test", vec!["train".into()]).unwrap()).clone()
}

/// What the leader of so many ranks makes, and how the others end.
fn led<T: Send>(size: usize, work: impl FnOnce(&Job) -> T + Send) -> (T, Vec<Result<u8>>) {
    let mut ranks = Ranks::local(size, LIMIT).into_iter();
    let lead = ranks.next().unwrap();
    let following = |ranks: Ranks| {
        let ended = follow(&ranks, &introduction());
        if let Err(error) = &ended {
            ranks.fail(4, &error.to_string());
        }
        (ended, ranks)
    };
    thread::scope(|scope| {
        let followers: Vec<_> = ranks.map(|ranks| scope.spawn(move || following(ranks))).collect();
        let job = Job::lead(lead, &introduction()).unwrap();
        let made = work(&job);
        job.end(0).unwrap();
        // A rank that leaves before others have heard of its error would be lost to them.
        let ended: Vec<_> = followers.into_iter().map(|follower| follower.join().unwrap()).collect();
        (made, ended.into_iter().map(|(ended, _)| ended).collect())
    })
}

/// The files of a run that do not speak of time or process.
fn lasting(run: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let passing = |name: &str| {
        name == "log.txt" || name == "LOCK" || name.contains("tfevents") || name.contains("events")
    };
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    files(run).into_iter().filter(|(path, _)| !passing(&named(path))).collect()
}

fn config(dir: &Path) -> RunConfig {
    // Three chunks a step, of which one is not whole.
    let more = CONFIG.replace("batch = 8", "batch = 20");
    configured("digits", &more, dir, &images(dir))
}

#[test]
fn a_run_of_several_ranks_is_that_of_one_byte_for_byte_also_after_a_resume_on_others() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let alone = dir.path().join("alone");
    train(config.clone(), &alone);
    let expected = lasting(&alone);
    assert!(expected.len() > 10);
    for (size, other) in [(2, 4), (3, 1)] {
        let run = dir.path().join(format!("on-{size}"));
        led(size, |job| {
            let data = config.load_data().unwrap();
            let new = NewRun::new(config.clone(), data, Device::Cpu).unwrap().with_job(job.clone()).unwrap();
            let mut session = new.begin(&run).unwrap();
            // Beyond the save after step 25, from which the other ranks go on.
            for _ in 0..33 {
                session.step().unwrap();
            }
        });
        let (_, ended) = led(other, |job| {
            let mut session = Session::resume(&run, &Resume::default(), Device::Cpu).unwrap();
            session.use_job(job.clone()).unwrap();
            while !session.is_done() {
                session.step().unwrap();
            }
            session.finish().unwrap();
        });
        assert!(ended.into_iter().all(|ended| ended.is_ok_and(|code| code == 0)));
        let (found, expected) = (lasting(&run), &expected);
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!(found.1 == expected.1, "{size}, then {other} ranks: {}", found.0.display());
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn a_time_is_turned_into_steps_with_all_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (steps, ended) = led(2, |job| {
        let data = config.load_data().unwrap();
        let new = NewRun::new(config.clone(), data, Device::Cpu).unwrap().with_job(job.clone()).unwrap();
        let new = new.with_epochs(2.0).unwrap();
        let mut session = new.begin(&dir.path().join("run")).unwrap();
        session.step().unwrap();
        session.config().train.steps
    });
    assert!(steps > 1 && ended[0].as_ref().is_ok_and(|code| *code == 0), "{steps} {ended:?}");
}

#[test]
fn drawings_of_several_ranks_are_those_of_one() {
    let guide = trained().join("checkpoints/step-000025").display().to_string();
    let drawings = [
        drawing(|_| {}),
        drawing(|d| (d.seeds, d.guidance) = ("0-12".parse().unwrap(), vec![1.0, 3.0])),
        drawing(|d| d.guide_with = Some(guide)),
        drawing(|d| d.interpolate = Some("classes:4".parse().unwrap())),
        drawing(|d| {
            (d.sampler, d.seeds) = (Some("dpmpp-2m-sde".parse().unwrap()), "3,9,1000".parse().unwrap())
        }),
    ];
    let (_, ended) = led(3, |job| {
        for drawing in &drawings {
            let mut model = Model::of(drawing, &Device::Cpu).unwrap();
            let alone = Plan::new(drawing, &model, 7, &Device::Cpu).unwrap().draw_images(|_| Ok(())).unwrap();
            model.job = Some(job.clone());
            let mut far = Vec::new();
            let plan = Plan::new(drawing, &model, 7, &Device::Cpu).unwrap();
            let shared = plan.draw_images(|now| {
                far.push((now.done, now.total));
                Ok(())
            });
            let shared = shared.unwrap();
            assert!(rows(&shared.images) == rows(&alone.images), "{drawing:?}");
            assert_eq!(shared.evaluations, alone.evaluations);
            let total = shared.images.dims()[0] * plan.sampling.sampler.steps().len();
            assert_eq!((far[0], *far.last().unwrap()), ((0, total), (total, total)));
            assert!(far.is_sorted());
        }
    });
    assert!(ended.into_iter().all(|ended| ended.is_ok_and(|code| code == 0)));
}

#[test]
fn a_drawing_that_is_left_leaves_no_part_for_the_next() {
    let asked = drawing(|d| d.seeds = "0-39".parse().unwrap());
    led(3, |job| {
        let mut model = Model::of(&asked, &Device::Cpu).unwrap();
        let alone = Plan::new(&asked, &model, 16, &Device::Cpu).unwrap().draw_images(|_| Ok(())).unwrap();
        model.job = Some(job.clone());
        let plan = Plan::new(&asked, &model, 16, &Device::Cpu).unwrap();
        for stop in [0, 1, 60, 200] {
            let left = plan.draw_images(|far| match far.done >= stop {
                true => Err(Error::caller("enough")),
                false => Ok(()),
            });
            assert!(matches!(left, Err(Error::Caller(_))));
        }
        assert!(rows(&plan.draw_images(|_| Ok(())).unwrap().images) == rows(&alone.images));
    });
}

#[test]
fn a_drawing_that_begins_with_a_picture_is_the_leaders_alone() {
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("start.png");
    draw_grid(
        &drawing(|d| {
            (d.class, d.seeds, d.scale, d.no_captions) = ("0".into(), "0".parse().unwrap(), 1, true)
        }),
        &picture,
    );
    let asked = drawing(|d| (d.image, d.strength) = (Some(picture), Some("0.5".parse().unwrap())));
    led(2, |job| {
        let mut model = Model::of(&asked, &Device::Cpu).unwrap();
        let alone = Plan::new(&asked, &model, 16, &Device::Cpu).unwrap().draw_images(|_| Ok(())).unwrap();
        model.job = Some(job.clone());
        let shared = Plan::new(&asked, &model, 16, &Device::Cpu).unwrap().draw_images(|_| Ok(())).unwrap();
        assert!(rows(&shared.images) == rows(&alone.images));
    });
}

#[test]
fn a_set_and_a_sweep_of_several_ranks_are_those_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Drawing { steps: Some(3), ..drawing(|_| {}) };
    let draw = |job: Option<&Job>, out: &Path| {
        let model = Model { job: job.cloned(), ..Model::of(&asked, &Device::Cpu).unwrap() };
        let set = SetDrawing {
            drawing: &asked,
            model: &model,
            count: 45,
            seeds: None,
            only_right: None,
            out: &out.join("set"),
            format: SetFormat::Folder,
            batch: 8,
            device: &Device::Cpu,
        };
        set.run(|_| Ok(())).unwrap();
        let sweep = Sweep {
            rows: "guidance=1,2.5",
            columns: None,
            drawing: &asked,
            score: 20,
            batch: 16,
            out: &out.join("sweep"),
            device: &Device::Cpu,
            job: job.cloned(),
        };
        sweep.run(|_, _| ()).unwrap();
    };
    draw(None, &dir.path().join("alone"));
    led(3, |job| draw(Some(job), &dir.path().join("shared")));
    let set = |name: &str| files(&dir.path().join(name).join("set"));
    assert!(set("alone").len() > 45 && set("alone") == set("shared"));
    let sheet = |name: &str| std::fs::read(dir.path().join(name).join("sweep/sheet.png")).unwrap();
    assert!(sheet("alone") == sheet("shared"));
}

#[test]
fn a_rank_without_the_images_ends_all_with_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (error, ended) = led(3, |job| {
        let data = config.load_data().unwrap();
        // They are gone when the others look.
        std::fs::remove_dir_all(&config.data.source).unwrap();
        let new = NewRun::new(config.clone(), data, Device::Cpu).unwrap();
        new.with_job(job.clone()).map(|_| ()).unwrap_err()
    });
    let Error::Rank(RankError::Failed { rank, code: 4, message }) = error else { panic!("{error}") };
    assert!(rank > 0 && message.contains(&config.data.source), "{rank}: {message}");
    assert!(ended.iter().all(Result::is_err));
}

#[test]
fn other_images_on_a_rank_are_refused_with_both_fingerprints() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let (error, _) = led(2, |job| {
        let data = config.load_data().unwrap();
        let fingerprint = data.train.fingerprint();
        let image = std::fs::read_dir(&config.data.source).unwrap().next().unwrap().unwrap().path();
        let image = if image.is_dir() {
            std::fs::read_dir(image).unwrap().next().unwrap().unwrap().path()
        } else {
            image
        };
        std::fs::remove_file(image).unwrap();
        let new = NewRun::new(config.clone(), data, Device::Cpu).unwrap();
        (new.with_job(job.clone()).map(|_| ()).unwrap_err().to_string(), fingerprint)
    });
    let (error, fingerprint) = error;
    assert!(error.contains("fingerprints") && error.contains(&fingerprint), "{error}");
}

#[test]
fn ranks_that_are_not_the_same_do_not_begin() {
    let mut ranks = Ranks::local(2, LIMIT).into_iter();
    let (lead, other) = (ranks.next().unwrap(), ranks.next().unwrap());
    let differs =
        Introduction { arguments: vec!["train".into(), "--batch".into(), "8".into()], ..introduction() };
    thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&other, &differs));
        let error = refused(Job::lead(lead.clone(), &introduction()));
        assert!(error.contains("arguments") && error.contains("--batch 8"), "{error}");
        lead.fail(2, &error);
        assert!(matches!(follower.join().unwrap(), Err(Error::Rank(RankError::Failed { code: 2, .. }))));
    });
}

#[test]
fn a_student_of_several_ranks_is_that_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let asked = duet_diffusion::Distill {
        train_steps: Some(6),
        trajectories: Some(24),
        teacher_steps: Some(4),
        ..duet_diffusion::Distill::of(trained().display().to_string(), 2)
    };
    let mut config = asked.config().unwrap();
    // Three chunks a step.
    config.train.batch = 20;
    let taught = |out: &Path, job: Option<&Job>| {
        let data = config.load_data().unwrap();
        let mut new = NewRun::new(config.clone(), data, Device::Cpu).unwrap();
        if let Some(job) = job {
            new = new.with_job(job.clone()).unwrap();
        }
        let mut session = new.begin(out).unwrap();
        while !session.is_done() {
            session.step().unwrap();
        }
        session.finish().unwrap();
        lasting(out)
    };
    let alone = taught(&dir.path().join("alone"), None);
    let (shared, ended) = led(3, |job| taught(&dir.path().join("shared"), Some(job)));
    assert!(ended.into_iter().all(|ended| ended.is_ok_and(|code| code == 0)));
    assert_eq!(alone.len(), shared.len());
    for (alone, shared) in alone.iter().zip(&shared) {
        assert!(alone == shared, "{} {}", alone.0.display(), shared.0.display());
    }
}
