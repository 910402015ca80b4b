//! Runs that begin from a model.
use crate::support::{configured, files, own_run, refused, trained};
use crate::tiny::{CONFIG, images};
use candle_core::{Tensor, Var};
use duet_diffusion::data::{Dataset, Shape, Splits};
use duet_diffusion::schedule::{BetaSchedule, DiffusersScheduler, Prediction};
use duet_diffusion::{Device, FromWeights, Model, NewRun, Resume, RunConfig, Session, TRANSFER, Transfer};
use duet_model::{Parameters, UNet, UNetConfig};
use duet_train::model_folder::{ClassRows, Notes, model_files};
use std::path::{Path, PathBuf};
use toml::Value;

/// Random images of such classes.
fn splits(channels: usize, side: usize, classes: &[&str]) -> Splits {
    let shape = Shape { channels, height: side, width: side };
    let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
    let count = names.len();
    let of = |images: usize| {
        let fill = move |i: usize, values: &mut [f32]| {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(p, value)| *value = ((7 * i + p) % 11) as f32 / 5.5 - 1.0);
            (i % count) as u32
        };
        Dataset::from_fn(shape, names.clone(), images, fill).unwrap()
    };
    Splits::new("others", of(12 * count), of(2 * count)).unwrap()
}

fn config_from(model: &Path, flags: Vec<(&str, Value)>) -> duet_diffusion::Result<RunConfig> {
    let from = ("from.model", Value::String(model.display().to_string()));
    let short = [("train.steps", Value::Integer(3)), ("train.batch", Value::Integer(4))];
    let few = [("save.held_out_images", Value::Integer(4)), ("train.ema_snapshots", Value::Integer(1))];
    RunConfig::resolve("digits", None, [from].into_iter().chain(short).chain(few).chain(flags).collect())
}

fn begun(model: &Path, data: Splits, flags: Vec<(&str, Value)>) -> NewRun {
    let config = config_from(model, flags).unwrap_or_else(|error| panic!("{}", error.chain()));
    NewRun::new(config, data, Device::Cpu).unwrap_or_else(|error| panic!("{}", error.chain()))
}

fn rows(parameters: &Parameters) -> Vec<Vec<f32>> {
    parameters.get("class_embedding.weight").unwrap().to_vec2().unwrap()
}

fn values(var: &Var) -> Vec<f32> {
    var.flatten_all().unwrap().to_vec1().unwrap()
}

/// The prediction for one image at timestep 500.
fn predicted(unet: &UNet, image: &Tensor, label: Option<u32>) -> Vec<f32> {
    let t = Tensor::new(&[500u32], &Device::Cpu).unwrap();
    let label = label.map(|label| Tensor::new(&[label], &Device::Cpu).unwrap());
    unet.forward(image, &t, label.as_ref()).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn image(side: usize) -> Tensor {
    let values: Vec<f32> = (0..side * side).map(|p| ((5 * p) % 13) as f32 / 6.5 - 1.0).collect();
    Tensor::from_vec(values, (1, 1, side, side), &Device::Cpu).unwrap()
}

fn grey_as_colour(image: &Tensor) -> Tensor {
    image.repeat((1, 3, 1, 1)).unwrap()
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32]) {
    let off = a.iter().zip(b).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
    assert!(a.len() == b.len() && off < 1e-5, "off by {off}");
}

/// A model folder as diffusers has it, of seeded weights, trained on v.
fn foreign(dir: &Path, config: UNetConfig, classes: Option<&[&str]>) -> PathBuf {
    let (_, parameters) = UNet::seeded(&config, 7, &Device::Cpu).unwrap();
    let scheduler = DiffusersScheduler::new(&BetaSchedule::Sigmoid, true, 100, Prediction::V).unwrap();
    let mut notes = Notes::new();
    if let Some(classes) = classes {
        let names: Vec<String> = classes.iter().map(ToString::to_string).collect();
        ClassRows::write_names(&mut notes, &names);
    }
    let folder = dir.join("foreign");
    for (path, bytes) in model_files(&config, &parameters, &notes, &scheduler).unwrap() {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

fn small(classes: Option<usize>) -> UNetConfig {
    UNetConfig {
        sample_size: None,
        in_channels: 1,
        out_channels: 1,
        block_out_channels: vec![8, 16],
        down_block_types: vec!["ResnetDownsampleBlock2D".into(), "AttnDownBlock2D".into()],
        up_block_types: vec!["UpBlock2D".into(), "UpBlock2D".into()],
        layers_per_block: 1,
        norm_num_groups: 4,
        act_fn: "gelu".into(),
        freq_shift: 1.0,
        dropout: 0.1,
        attention_head_dim: None,
        num_class_embeds: classes,
        ..UNetConfig::diffusers_defaults()
    }
}

#[test]
fn weights_averages_network_and_schedule_are_those_of_the_model() {
    let model = Model::open(trained(), &Device::Cpu).unwrap();
    let run = begun(trained(), splits(1, 8, &["left", "right"]), Vec::new());
    let trainer = run.trainer();
    for (name, var) in model.loaded.parameters.iter() {
        assert_eq!(values(trainer.parameters().get(name).unwrap()), values(var), "{name}");
        assert_eq!(values(trainer.ema_parameters().get(name).unwrap()), values(var), "{name}");
    }
    for (name, average) in trainer.power_averages() {
        let (_, name) = name.split_once('.').unwrap();
        let name = name.split_once('.').unwrap().1;
        let average: Vec<f32> = average.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(average, values(model.loaded.parameters.get(name).unwrap()), "{name}");
    }
    assert_eq!(trainer.schedule(), &model.scheduler.noise_schedule().unwrap());
    assert_eq!(trainer.diffusion().prediction, Prediction::V);
    assert_eq!(run.config().sample.steps, 4);
    let transfer = run.transfer().unwrap();
    assert_eq!(transfer.tensors, trainer.parameters().len());
    assert!(transfer.new_tensors.is_empty() && transfer.channels.is_none() && transfer.image_size.is_none());
}

#[test]
fn raw_weights_are_those_that_training_goes_on_from() {
    let session = Session::resume_with(trained(), tiny(), &Resume::default(), Device::Cpu).map(|session| {
        session.trainer().parameters().iter().map(|(name, var)| (name.to_string(), values(var))).collect()
    });
    let raw: std::collections::BTreeMap<String, Vec<f32>> = session.unwrap();
    let flags = vec![("from.weights", Value::String("raw".into()))];
    let run = begun(trained(), splits(1, 8, &["left", "right"]), flags);
    assert_eq!(run.transfer().unwrap().weights, FromWeights::Raw);
    for (name, var) in run.trainer().parameters().iter() {
        assert_eq!(values(var), raw[name], "{name}");
    }
    let averaged = begun(trained(), splits(1, 8, &["left", "right"]), Vec::new());
    let differs = |(name, var): (&str, &Var)| values(var) != raw[name];
    assert!(averaged.trainer().parameters().iter().any(differs));
}

/// The images of the trained run.
fn tiny() -> Splits {
    let dir = tempfile::tempdir().unwrap();
    configured("digits", CONFIG, dir.path(), &images(dir.path())).load_data().unwrap()
}

/// The root of the mean square of two rows' difference.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32).sqrt()
}

#[test]
fn classes_are_matched_by_name_and_new_ones_begin_around_the_null_row() {
    let model = Model::open(trained(), &Device::Cpu).unwrap();
    let before = rows(&model.loaded.parameters);
    let null = &before[2];
    let run = begun(trained(), splits(1, 8, &["above", "right", "below"]), Vec::new());
    let found = rows(run.trainer().parameters());
    assert_eq!((&found[1], &found[3]), (&before[1], null));
    // As far from it as the model's own classes, and each in a direction of its own.
    let spread =
        (distance(&before[0], null).powi(2) + distance(&before[1], null).powi(2)).sqrt() / 2f32.sqrt();
    for new in [&found[0], &found[2]] {
        let off = distance(new, null) / spread;
        assert!((0.6..1.6).contains(&off), "{off}");
    }
    assert!(distance(&found[0], &found[2]) > spread);
    // A row follows from seed and name, not from the order.
    let other = begun(trained(), splits(1, 8, &["below", "above"]), Vec::new());
    assert_eq!(rows(other.trainer().parameters())[..2], [found[2].clone(), found[0].clone()]);
    let seeded = begun(trained(), splits(1, 8, &["below"]), vec![("train.seed", Value::Integer(1))]);
    assert_ne!(rows(seeded.trainer().parameters())[0], found[2]);

    let classes = &run.transfer().unwrap().classes;
    assert_eq!(classes.kept, ["right"]);
    assert_eq!(classes.new, ["above", "below"]);
    assert_eq!(classes.dropped, ["left"]);
    let told = run.transfer().unwrap().describe();
    for line in ["carried over: right", "new: above, below", "dropped: left"] {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn a_model_whose_rows_are_all_classes_gets_their_mean_as_null_row() {
    let dir = tempfile::tempdir().unwrap();
    let folder = foreign(dir.path(), small(Some(2)), Some(&["left", "right"]));
    let before = rows(&Model::open(&folder, &Device::Cpu).unwrap().loaded.parameters);
    let mean: Vec<f32> = before[0].iter().zip(&before[1]).map(|(a, b)| (a + b) / 2.0).collect();
    let run = begun(&folder, splits(1, 8, &["right", "new"]), Vec::new());
    let found = rows(run.trainer().parameters());
    assert_eq!((&found[0], &found[2]), (&before[1], &mean));
}

#[test]
fn a_model_without_classes_gets_them_and_begins_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let folder = foreign(dir.path(), small(None), None);
    let model = Model::open(&folder, &Device::Cpu).unwrap();
    let run = begun(&folder, splits(1, 16, &["left", "right"]), Vec::new());
    let expected = predicted(&model.loaded.unet, &image(16), None);
    for label in 0..3 {
        assert_close(&predicted(run.trainer().unet(), &image(16), Some(label)), &expected);
    }
    let transfer = run.transfer().unwrap();
    assert_eq!(transfer.new_tensors, ["class_embedding.weight"]);
    assert_eq!(transfer.tensors, model.loaded.parameters.len());
}

#[test]
fn a_learned_embedding_of_time_is_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let learned = UNetConfig {
        time_embedding_type: "learned".into(),
        num_train_timesteps: Some(100),
        ..small(Some(3))
    };
    let run = begun(&foreign(dir.path(), learned, None), splits(1, 16, &["0", "1"]), Vec::new());
    assert_eq!(run.trainer().unet().config().num_train_timesteps, Some(100));
}

#[test]
fn a_row_that_was_never_trained_is_no_class() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let flags = vec![("train.label_dropout", Value::Float(0.0))];
    let config = config_from(trained(), flags).unwrap();
    let mut session = Session::start(config, splits(1, 8, &["left", "right"]), &source, Device::Cpu).unwrap();
    session.step().unwrap();
    session.save().unwrap();
    drop(session);
    let before = rows(&Model::open(&source, &Device::Cpu).unwrap().loaded.parameters);
    let mean: Vec<f32> = before[0].iter().zip(&before[1]).map(|(a, b)| (a + b) / 2.0).collect();
    let run = begun(&source, splits(1, 8, &["left", "new"]), Vec::new());
    let null = &rows(run.trainer().parameters())[2];
    assert!(distance(null, &mean) < 1e-6 && distance(null, &before[2]) > 0.1);
}

#[test]
fn the_noise_that_a_run_learnt_most_and_how_it_draws_come_along() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    let flags = vec![
        ("train.loss_weighting", Value::String("log_normal:1.293:0.8".into())),
        ("sample.guidance", Value::Float(3.5)),
        ("train.learning_rate", Value::Float(0.5)),
    ];
    let config = config_from(trained(), flags).unwrap();
    let mut session = Session::start(config, splits(1, 8, &["left", "right"]), &source, Device::Cpu).unwrap();
    session.save().unwrap();
    let config = config_from(&source, Vec::new()).unwrap();
    assert_eq!(config.train.loss_weighting.to_string(), "log_normal:1.293:0.8");
    assert_eq!((config.sample.guidance, config.train.learning_rate), (3.5, 3e-3));
}

#[test]
fn what_the_network_did_not_learn_is_warned_about() {
    let warned = |key, value: &str| {
        let flags = vec![(key, Value::String(value.into()))];
        begun(trained(), splits(1, 8, &["left", "right"]), flags).warnings().unwrap().join("; ")
    };
    assert!(
        warned("diffusion.prediction", "x0").contains("the model predicts v, and this run trains it for x0")
    );
    assert!(warned("diffusion.schedule", "linear").contains("noise schedule is not the model's"));
    assert!(warned("model.diffusers.act_fn", "gelu").contains("the network differs from the model's"));
    assert_eq!(warned("train.optimizer", "muon"), "");
}

#[test]
fn any_network_of_diffusers_is_trained_on_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = foreign(dir.path(), small(Some(3)), None);
    let config = config_from(&folder, Vec::new()).unwrap();
    assert_eq!(config.diffusion.schedule, BetaSchedule::Sigmoid);
    let (run, data) = (dir.path().join("run"), splits(1, 16, &["0", "1"]));
    let mut session = Session::start(config, data.clone(), &run, Device::Cpu).unwrap();
    session.step().unwrap();
    session.save().unwrap();
    drop(session);
    let mut session = Session::resume_with(&run, data, &Resume::default(), Device::Cpu).unwrap();
    while !session.is_done() {
        session.step().unwrap();
    }
    session.finish().unwrap();
    let model = Model::open(&run, &Device::Cpu).unwrap();
    let (a, b) = (model.loaded.unet.config(), small(Some(3)));
    assert_eq!(
        (&a.act_fn, &a.down_block_types, a.freq_shift),
        (&b.act_fn, &b.down_block_types, b.freq_shift)
    );
    let schedule = Model::open(&folder, &Device::Cpu).unwrap().scheduler.noise_schedule().unwrap();
    assert_eq!(model.scheduler.noise_schedule().unwrap(), schedule);
}

#[test]
fn colour_is_seen_as_grey_and_drawn_as_grey_by_a_model_of_grey_images() {
    let model = Model::open(trained(), &Device::Cpu).unwrap();
    let run = begun(trained(), splits(3, 16, &["left", "right"]), Vec::new());
    let expected = predicted(&model.loaded.unet, &image(16), Some(1));
    let found = predicted(run.trainer().unet(), &grey_as_colour(&image(16)), Some(1));
    for channel in found.chunks(256) {
        assert_close(channel, &expected);
    }
    assert_eq!(run.transfer().unwrap().channels, Some([1, 3]));
    assert_eq!(run.transfer().unwrap().image_size, Some([(8, 8), (16, 16)]));
}

#[test]
fn grey_is_seen_as_equal_channels_by_a_model_of_colour() {
    let dir = tempfile::tempdir().unwrap();
    let colour = UNetConfig { in_channels: 3, out_channels: 3, ..small(Some(3)) };
    let folder = foreign(dir.path(), colour, None);
    let model = Model::open(&folder, &Device::Cpu).unwrap();
    let run = begun(&folder, splits(1, 16, &["0", "1"]), Vec::new());
    let there = predicted(&model.loaded.unet, &grey_as_colour(&image(16)), Some(1));
    let mean: Vec<f32> = (0..256).map(|p| (there[p] + there[256 + p] + there[512 + p]) / 3.0).collect();
    assert_close(&predicted(run.trainer().unet(), &image(16), Some(1)), &mean);
    assert_eq!(run.transfer().unwrap().channels, Some([3, 1]));
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_the_first_tensor_and_both_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let flags = |key, value| vec![(key, value)];
    let wide = flags("model.block_out_channels", vec![16, 16].into());
    let deep = flags("model.layers_per_block", Value::Integer(2));
    let cases = [
        (wide, ["class_embedding.weight is [3, 32] in the model, [3, 64] in the run", "without a [model]"]),
        (deep, ["down_blocks.0.resnets.1.", "is not in the model"]),
    ];
    for (flags, expected) in cases {
        let config = config_from(trained(), flags).unwrap();
        let folder = dir.path().join("run");
        let error = refused(Session::start(config, splits(1, 8, &["left", "right"]), &folder, Device::Cpu));
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        assert!(error.starts_with("from") && !folder.exists(), "{error}");
    }
    let gone = dir.path().join("gone");
    let error = refused(config_from(&gone, Vec::new()));
    assert!(error.starts_with("from") && error.contains("no such folder"), "{error}");
}

#[test]
fn frozen_parameters_stay_and_the_others_move() {
    let dir = tempfile::tempdir().unwrap();
    let patterns = ["down_blocks", "*.norm1.*"].map(|pattern| Value::String(pattern.into()));
    let flags = vec![("train.freeze", Value::Array(patterns.to_vec()))];
    let (run, data) = (dir.path().join("run"), splits(1, 8, &["left", "right"]));
    let config = config_from(trained(), flags).unwrap();
    let mut session = Session::start(config, data, &run, Device::Cpu).unwrap();
    while !session.is_done() {
        session.step().unwrap();
    }
    let model = Model::open(trained(), &Device::Cpu).unwrap();
    for (name, var) in session.trainer().parameters().iter() {
        let stays = name.starts_with("down_blocks.") || name.contains(".norm1.");
        assert_eq!(values(var) == values(model.loaded.parameters.get(name).unwrap()), stays, "{name}");
    }
}

#[test]
fn a_run_that_was_stopped_before_its_first_checkpoint_begins_from_the_same_model() {
    let (dir, source) = own_run();
    let data = splits(1, 8, &["left", "other"]);
    let whole = dir.path().join("whole");
    let stopped = dir.path().join("stopped");
    let start = |folder: &Path| {
        let config = config_from(&source, vec![("save.save_every", Value::Integer(3))]).unwrap();
        Session::start(config, data.clone(), folder, Device::Cpu).unwrap()
    };
    let finish = |mut session: Session| {
        while !session.is_done() {
            session.step().unwrap();
        }
        session.finish().unwrap();
    };
    finish(start(&whole));
    start(&stopped).step().unwrap();
    let restart = Resume { restart: true, ..Resume::default() };
    finish(Session::resume_with(&stopped, data.clone(), &restart, Device::Cpu).unwrap());
    let checkpoint = "checkpoints/step-000003";
    assert_eq!(files(&whole.join(checkpoint)), files(&stopped.join(checkpoint)));
    let told: Transfer = serde_json::from_slice(&std::fs::read(stopped.join(TRANSFER)).unwrap()).unwrap();
    assert_eq!(told.classes.new, ["other"]);

    // Another model in its place, or none, is not what the run began from.
    let third = dir.path().join("third");
    start(&third).step().unwrap();
    let weights = source.join("checkpoints/step-000060/unet/diffusion_pytorch_model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    let error = refused(Session::resume_with(&third, data.clone(), &restart, Device::Cpu));
    assert!(error.contains("from"), "{error}");
    // A run with a checkpoint needs the model no more.
    Session::resume_with(&whole, data, &Resume::default(), Device::Cpu).unwrap();
}

#[test]
fn a_model_with_another_hash_than_the_noted_one_is_refused() {
    let flags = vec![("from.hash", Value::String("0123".into()))];
    let config = config_from(trained(), flags).unwrap();
    let data = splits(1, 8, &["left", "right"]);
    let error = refused(NewRun::new(config, data.clone(), Device::Cpu).map(drop));
    assert!(error.contains("0123") && error.contains("leave `hash` out"), "{error}");
    // A file's hash is of the file's model, not of the flag's.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("old.toml");
    std::fs::write(&file, "[from]\nmodel = \"elsewhere\"\nhash = \"0123\"\n").unwrap();
    let flag = ("from.model", Value::String(trained().display().to_string()));
    let config = RunConfig::resolve("digits", Some(&file), vec![flag]).unwrap();
    NewRun::new(config, data, Device::Cpu).map(drop).unwrap();
    let weights = ("from.weights", Value::String("raw".into()));
    let error = refused(RunConfig::resolve("digits", None, vec![weights]));
    assert!(error.contains("[from] needs `model`"), "{error}");
}
