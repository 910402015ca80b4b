//! Students: runs that learn from another model's drawings.
use crate::support::{copy, files, refused, rows, trained};
use candle_core::Tensor;
use duet_diffusion::{Device, Distill, Drawing, LESSONS, Model, Plan, Resume, Session, verify};
use duet_model::Purpose;
use duet_sample::initial_noise;
use duet_train::model_folder;
use std::path::Path;

/// A student in two steps, with a new set every two optimiser steps, its own from the fifth on.
fn asked(steps: u64) -> Distill {
    let run = trained().display().to_string();
    Distill { train_steps: Some(steps), trajectories: Some(8), teacher_steps: Some(4), ..Distill::of(run, 2) }
}

fn begun(asked: &Distill, folder: &Path) -> duet_diffusion::Result<Session> {
    let config = asked.config()?;
    let data = config.load_data()?;
    Session::start(config, data, folder, Device::Cpu)
}

fn finished(mut session: Session) -> Vec<f64> {
    let mut losses = Vec::new();
    while !session.is_done() {
        losses.push(session.step().unwrap().report.loss);
    }
    session.finish().unwrap();
    losses
}

#[test]
fn a_student_that_was_stopped_ends_in_the_bytes_of_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| dir.path().join(name));
    finished(begun(&asked(12), &whole).unwrap());
    for last in [3, 6, 9] {
        let mut session = match last {
            3 => begun(&asked(12), &stopped).unwrap(),
            _ => Session::resume(&stopped, &Resume::default(), Device::Cpu).unwrap(),
        };
        while session.trainer().steps() < last {
            session.step().unwrap();
        }
        session.save().unwrap();
    }
    let resumed = || Session::resume(&stopped, &Resume::default(), Device::Cpu).unwrap();
    // Its set was drawn after the eighth step, with weights that are nowhere else any more.
    let kept = stopped.join(LESSONS).join("step-000008.safetensors");
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, &bytes[1..]).unwrap();
    let error = refused(resumed().step());
    assert!(
        error.contains("step-000008.safetensors") && error.contains("resume from a checkpoint"),
        "{error}"
    );
    let verified = |path: &Path| {
        let mut whole = None;
        verify(&stopped, |name, found| {
            if name == path {
                whole = Some(found.is_ok());
            }
        })
        .unwrap();
        whole
    };
    assert_eq!(verified(&kept), Some(false));
    std::fs::write(&kept, bytes).unwrap();
    assert_eq!(verified(&kept), Some(true));
    finished(resumed());
    let (expected, found) = (files(&whole), files(&stopped));
    let of_training = |path: &&std::path::PathBuf| {
        path.starts_with("checkpoints/step-000012")
            || path.starts_with(LESSONS)
            || path.ends_with("metrics.jsonl")
    };
    let mut compared = 0;
    for path in expected.keys().filter(of_training) {
        assert!(expected[path] == found[path], "{}", path.display());
        compared += 1;
    }
    assert!(compared > 8, "{compared}");
}

/// The loop of anybody who has read the folder's files: DDIM between the scheduler's own timesteps, labels, no guidance.
fn plain_loop(folder: &Path, label: u32, seed: u64) -> Vec<f32> {
    let loaded = duet_model::load_folder(folder, &Device::Cpu).unwrap();
    let (scheduler, _) = model_folder::read_scheduler(&folder.join(model_folder::SCHEDULER_FILE)).unwrap();
    let alphas = scheduler.noise_schedule().unwrap();
    let timesteps = [999usize, 499];
    assert_eq!(scheduler.spacing().unwrap().timesteps(2, &alphas).unwrap(), timesteps);
    assert_eq!(
        (scheduler.prediction().unwrap().to_string(), scheduler.clip_range()),
        ("v".into(), Some(1.0))
    );
    let network = loaded.unet.snapshot(Purpose::Prediction).unwrap();
    let mut x = initial_noise(&[seed], (1, 8, 8), &Device::Cpu).unwrap();
    for t in timesteps {
        let time = Tensor::new(&[t as u32], &Device::Cpu).unwrap();
        let v = network.predict(&x, &time, Some(&Tensor::new(&[label], &Device::Cpu).unwrap())).unwrap();
        let now = alphas.alpha_bar(t);
        let next = if t >= 500 { alphas.alpha_bar(t - 500) } else { 1.0 };
        let x0 = ((&x * now.sqrt()).unwrap() - (v * (1.0 - now).sqrt()).unwrap())
            .unwrap()
            .clamp(-1f32, 1f32)
            .unwrap();
        let epsilon = ((&x - (&x0 * now.sqrt()).unwrap()).unwrap() / (1.0 - now).sqrt()).unwrap();
        x = ((x0 * next.sqrt()).unwrap() + (epsilon * (1.0 - next).sqrt()).unwrap()).unwrap();
    }
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_student_draws_in_its_few_steps_without_a_second_pass_as_a_plain_loop_does() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("student");
    let losses = finished(begun(&asked(60), &folder).unwrap());
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[50..]) < 0.7 * mean(&losses[..5]), "{losses:?}");
    let model = Model::open(&folder, &Device::Cpu).unwrap();
    assert_eq!(model.null_label, None, "there is nothing to be led away from");
    let drawing = Drawing { class: "right".into(), seeds: "5,6,7".parse().unwrap(), ..Drawing::default() };
    let drawn = Plan::new(&drawing, &model, 64, &Device::Cpu).unwrap().draw(|_| Ok(())).unwrap();
    assert_eq!(drawn.evaluations, 3 * 2, "two for each image");
    for (image, seed) in rows(&drawn.images).iter().zip(5..) {
        let plain = plain_loop(&model.folder, 1, seed);
        let off = image.iter().zip(&plain).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(off < 1e-5, "seed {seed}: {off}");
    }
}

#[test]
fn a_student_teaches_another_one_to_draw_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let [two, one] = ["two", "one"].map(|name| dir.path().join(name));
    finished(begun(&asked(3), &two).unwrap());
    let again = Distill { run: two.display().to_string(), steps: 1, teacher_steps: None, ..asked(3) };
    let config = again.config().unwrap();
    let distill = config.distill.clone().unwrap();
    assert_eq!((distill.steps, distill.guidance, distill.led), (2, 1.0, 0));
    finished(begun(&again, &one).unwrap());
    let model = Model::open(&one, &Device::Cpu).unwrap();
    let plan = Plan::new(&Drawing::default(), &model, 64, &Device::Cpu).unwrap();
    assert_eq!(plan.draw(|_| Ok(())).unwrap().evaluations, 16, "one for each of 8 seeds of two classes");
}

#[test]
fn what_no_student_can_learn_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("student");
    let error = |change: &dyn Fn(&mut Distill)| {
        let mut other = asked(3);
        change(&mut other);
        refused(begun(&other, &folder))
    };
    assert!(error(&|asked| asked.steps = 0).contains("steps 0"));
    assert!(error(&|asked| asked.teacher_steps = Some(3)).contains("multiple of the student's 2 steps"));
    assert!(error(&|asked| asked.sampler = Some("dpmpp-2m-sde".parse().unwrap())).contains("without noise"));
    assert!(error(&|asked| asked.sampler = Some("heun".parse().unwrap())).contains("asks once"));
    assert!(!folder.exists());
    let (bare, newest) = (dir.path().join("bare"), Model::open(trained(), &Device::Cpu).unwrap().folder);
    copy(&newest.join("unet"), &bare.join("unet"));
    copy(&newest.join("scheduler"), &bare.join("scheduler"));
    let of_diffusers = Distill { run: bare.display().to_string(), ..asked(3) };
    assert!(refused(of_diffusers.config()).contains("here is no run_config.toml"));
}

#[test]
fn a_student_goes_on_with_its_own_teacher_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [teacher, folder] = ["teacher", "student"].map(|name| dir.path().join(name));
    copy(trained(), &teacher);
    let asked = Distill { run: teacher.display().to_string(), ..asked(6) };
    let mut session = begun(&asked, &folder).unwrap();
    session.step().unwrap();
    session.save().unwrap();
    drop(session);
    let newest = Model::open(&teacher, &Device::Cpu).unwrap().folder;
    std::fs::remove_dir_all(&newest).unwrap();
    let gone = refused(Session::resume(&folder, &Resume::default(), Device::Cpu));
    assert!(gone.contains("the teacher") && gone.contains("there is no such folder"), "{gone}");
    let older = Model::open(&teacher, &Device::Cpu).unwrap().folder;
    copy(&older, &newest);
    std::fs::remove_file(newest.join("manifest.json")).unwrap();
    let other = refused(Session::resume(&folder, &Resume::default(), Device::Cpu));
    assert!(other.contains("not the teacher that the run began with"), "{other}");
}
