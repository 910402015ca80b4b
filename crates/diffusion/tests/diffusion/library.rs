//! What a program that depends on this crate alone can do and tell.
use duet_diffusion::data::{Dataset, Shape, Splits};
use duet_diffusion::{
    CannotResume, Device, Drawing, Error, Model, Plan, Resume, RunConfig, Session, Split, Tensor,
};
use std::path::Path;

const SHAPE: Shape = Shape { channels: 1, height: 8, width: 8 };

/// Images that are bright at the left or at the right, `shift` brighter.
fn images(train: usize, shift: f32) -> Splits {
    let half = move |i: usize, values: &mut [f32]| {
        let of = |p: usize| if p % 8 / 4 == i % 2 { 0.5 + shift } else { -0.5 };
        values.iter_mut().enumerate().for_each(|(p, value)| *value = of(p));
        (i % 2) as u32
    };
    let of = |count| Dataset::from_fn(SHAPE, vec!["left".into(), "right".into()], count, half).unwrap();
    Splits::new("halves", of(train), of(8)).unwrap()
}

fn config() -> RunConfig {
    let mut config = RunConfig::preset("digits").unwrap();
    config.model.block_out_channels = vec![8, 16];
    config.model.layers_per_block = 1;
    (config.train.steps, config.train.batch) = (4, 4);
    config.save.held_out_images = 4;
    config
}

fn trained(folder: &Path) {
    let mut session = Session::start(config(), images(16, 0.0), folder, Device::Cpu).unwrap();
    while !session.is_done() {
        session.step().unwrap();
    }
    session.finish().unwrap();
}

fn resume(folder: &Path, images: Splits) -> Result<Session, Error> {
    Session::resume_with(folder, images, &Resume::default(), Device::Cpu)
}

/// The error itself, where an option's value has it.
fn inner(error: &Error) -> &Error {
    match error {
        Error::InOption { source, .. } => source,
        other => other,
    }
}

/// It compiles: nothing else has to be depended on to write these types.
#[test]
fn the_types_of_public_fields_have_names_here() {
    let drawing = Drawing {
        sampler: Some(duet_diffusion::schedule::Solver::Ddim(duet_diffusion::schedule::Ddim { eta: 0.0 })),
        spacing: Some("trailing".parse::<duet_diffusion::schedule::Spacing>().unwrap()),
        rule: Some(duet_diffusion::sample::Rule::default()),
        ..Drawing::default()
    };
    drawing.check().unwrap();
    let mut config = config();
    config.diffusion.prediction = duet_diffusion::schedule::Prediction::V;
    let _: &duet_diffusion::train::TrainOptions = &config.train;
    let numbers = duet_diffusion::EvalFile::default().numbers();
    let (_, _, better): &(String, Option<f64>, duet_diffusion::Better) = &numbers[1];
    assert_eq!(*better, duet_diffusion::Better::Higher);
    let error: Error = duet_diffusion::train::TrainError::Option("no".into()).into();
    assert!(matches!(error, Error::Train(duet_diffusion::train::TrainError::Option(_))));
}

#[test]
fn models_sessions_and_errors_go_to_other_threads() {
    fn sends<T: Send>() {}
    fn shares<T: Send + Sync>() {}
    shares::<Model>();
    shares::<Error>();
    sends::<Session>();
    sends::<Plan>();
}

#[test]
fn a_drawing_that_its_caller_ends_returns_what_the_caller_said() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    trained(&run);
    // What is measured later is not measured against the preset's digits.
    let (written, _) = RunConfig::load(&run.join("config.toml")).unwrap();
    assert_eq!(written.data.source, "halves");
    let model = Model::open(&run, &Device::Cpu).unwrap();
    let plan = Plan::new(&Drawing::default(), &model, 4, &Device::Cpu).unwrap();
    let mut seen = 0;
    let ended = plan.draw(|trajectory| {
        let _: &Tensor = trajectory.x();
        seen += 1;
        if seen == 2 { Err(Error::caller(std::fmt::Error)) } else { Ok(()) }
    });
    let Err(Error::Caller(reason)) = ended else { panic!("it was not ended") };
    assert!(reason.is::<std::fmt::Error>() && seen == 2);
    // A guide that is named and was not opened leads nowhere.
    let guided = Drawing { guide_with: Some("step-000002".into()), ..Drawing::default() };
    let refused = Plan::new(&guided, &model, 4, &Device::Cpu).err().unwrap();
    assert!(matches!(refused, Error::Option { name: "guide-with", .. }), "{refused}");
}

#[test]
fn what_keeps_a_run_from_going_on_is_told_by_the_error_itself() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let none = Session::start(config(), images(0, 0.0), &run, Device::Cpu).err().unwrap();
    assert!(none.to_string().contains("no training images") && !run.exists(), "{none}");
    trained(&run);
    let error = Session::start(config(), images(16, 0.0), &run, Device::Cpu).err().unwrap();
    assert!(matches!(error, Error::Exists { is_run: true, .. }), "{error}");
    let error = resume(&run, images(16, 0.25)).err().unwrap();
    assert!(matches!(error, Error::OtherImages { split: Split::Training, .. }), "{error}");
    let session = resume(&run, images(16, 0.0)).unwrap();
    let error = resume(&run, images(16, 0.0)).err().unwrap();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    drop(session);
    let metrics = run.join("metrics.jsonl");
    let whole = std::fs::read(&metrics).unwrap();
    std::fs::write(&metrics, "").unwrap();
    let error = resume(&run, images(16, 0.0)).err().unwrap();
    let why = |error: &Error| match inner(error) {
        Error::CannotResume { why, .. } => why.clone(),
        other => panic!("{other}"),
    };
    let CannotResume::MetricsEnd { checkpoint, .. } = why(&error) else { panic!("{error}") };
    assert!(checkpoint.ends_with("checkpoints/step-000004"));
    std::fs::write(&metrics, whole).unwrap();
    std::fs::write(checkpoint.join("manifest.json"), "{}").unwrap();
    assert_eq!(why(&resume(&run, images(16, 0.0)).err().unwrap()), CannotResume::NoneWhole);
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let error = resume(&run, images(16, 0.0)).err().unwrap();
    assert_eq!(why(&error), CannotResume::NoCheckpoint { steps: 4 });
    let again = Resume { restart: true, ..Resume::default() };
    Session::resume_with(&run, images(16, 0.0), &again, Device::Cpu).unwrap();
    assert!(!error.chain().contains("--"), "{}", error.chain());
}
