//! Checkpoints: an exact resume, a model folder for others, and damage that is noticed.
use crate::common::{classes, diffusion, files, network, options, save, saved, trainer, two_sides};
use candle_core::{Device, Tensor};
use duet_model::{UNet, UNetConfig, load_folder};
use duet_schedule::{BetaSchedule, DiffusersScheduler, Prediction, Spacing};
use duet_train::{
    DataOrder, Diffusion, FileEntry, Flip, MANIFEST_FILE, Manifest, Optimizer, StepReport, TrainError,
    TrainOptions, Trainer, checkpoint,
};
use std::fs;
use std::path::{Path, PathBuf};

const STATE: &str = "training_state.safetensors";

/// Takes steps until `end` on seven images, so that epochs begin within batches.
fn train(trainer: &mut Trainer, end: u64) -> Vec<StepReport> {
    let dataset = two_sides(7);
    let mut order = DataOrder::of(trainer.options(), &dataset);
    (trainer.steps()..end).map(|_| trainer.step_on(&dataset, &mut order).unwrap()).collect()
}

fn new(attention: bool, options: &TrainOptions) -> Trainer {
    Trainer::new(&network(attention), &diffusion(Prediction::V), options, &Device::Cpu).unwrap()
}

/// A trainer's checkpoints after the given steps, in one folder.
fn checkpoints(steps: &[u64]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let parent = tempfile::tempdir().unwrap();
    let mut trainer = trainer(&TrainOptions { batch: 1, accumulate: 1, ..options() });
    let at = |&step: &u64| {
        train(&mut trainer, step);
        save(&trainer, parent.path())
    };
    let folders = steps.iter().map(at).collect();
    (parent, folders)
}

fn names(parent: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(parent).unwrap().map(name).collect();
    names.sort();
    names
}

fn flip_a_bit(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 1 << (position % 8);
    fs::write(path, bytes).unwrap();
}

fn reason(folder: &Path) -> String {
    let error = Manifest::verify(folder).expect_err("the checkpoint should be refused");
    assert!(matches!(error, TrainError::Checkpoint { .. }));
    error.to_string()
}

#[test]
fn a_run_resumed_twice_equals_an_unbroken_one_bit_for_bit() {
    let small_set = TrainOptions { balance: true, flip: Flip::Both, augment: 0.4, ..options() };
    for (attention, optimizer, options) in [
        (false, Optimizer::Muon, options()),
        (true, Optimizer::Muon, options()),
        (false, Optimizer::AdamW, options()),
        (false, Optimizer::Muon, small_set.clone()),
        (true, Optimizer::AdamW, small_set),
    ] {
        let options = TrainOptions { optimizer, ..options };
        let parent = tempfile::tempdir().unwrap();
        let mut unbroken = new(attention, &options);
        let reports = train(&mut unbroken, 12);
        let mut resumed = new(attention, &options);
        let mut resumed_reports = train(&mut resumed, 5);
        for (saved_at, end) in [(5, 9), (9, 12)] {
            let folder = save(&resumed, parent.path());
            resumed = new(attention, &options);
            let manifest = checkpoint::load(&mut resumed, &folder, &Device::Cpu).unwrap();
            assert_eq!(
                (manifest.step, resumed.steps(), resumed.images_seen()),
                (saved_at, saved_at, 6 * saved_at)
            );
            resumed_reports.extend(train(&mut resumed, end));
        }
        assert_eq!(resumed_reports, reports);
        let (expected, found) = (saved(&unbroken), saved(&resumed));
        assert!(expected.keys().eq(found.keys()));
        for (name, bytes) in expected {
            assert!(bytes == found[&name], "{name} differs (attention: {attention}, {optimizer:?})");
        }
    }
}

#[test]
fn a_checkpoint_of_the_other_optimizer_is_refused_by_a_moment_that_is_missing() {
    for (saved_by, loaded_by, missing) in
        [(Optimizer::Muon, Optimizer::AdamW, "adam_m."), (Optimizer::AdamW, Optimizer::Muon, "muon_m.")]
    {
        let parent = tempfile::tempdir().unwrap();
        let folder = save(&trainer(&TrainOptions { optimizer: saved_by, ..options() }), parent.path());
        let mut other = trainer(&TrainOptions { optimizer: loaded_by, ..options() });
        let error = checkpoint::load(&mut other, &folder, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("is missing"), "{error}");
    }
}

/// The first value of each is another one in a trainer of another seed.
#[test]
fn loading_replaces_every_value_of_another_trainer() {
    let mut first = trainer(&options());
    train(&mut first, 2);
    let parent = tempfile::tempdir().unwrap();
    let folder = save(&first, parent.path());
    let mut other = trainer(&TrainOptions { seed: 8, ..options() });
    train(&mut other, 3);
    checkpoint::load(&mut other, &folder, &Device::Cpu).unwrap();
    assert!(saved(&other) == saved(&first));
}

#[test]
fn a_checkpoint_holds_the_files_of_a_diffusers_folder_and_no_others() {
    let (parent, folders) = checkpoints(&[0]);
    assert_eq!(names(parent.path()), ["step-000000"]);
    let files = files(&folders[0]);
    let expected = [
        "manifest.json",
        "model_index.json",
        "run_config.toml",
        "scheduler/scheduler_config.json",
        "training_state.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ];
    assert!(files.keys().eq(expected.iter()), "{:?}", files.keys());
    let manifest = Manifest::verify(&folders[0]).unwrap();
    let others = expected.iter().filter(|name| **name != MANIFEST_FILE);
    assert!(manifest.files.keys().eq(others), "the manifest lists every other file");
    assert!(manifest.files.iter().all(|(name, entry)| *entry == FileEntry::of(&files[name])));
    assert_eq!(manifest.config_hash, checkpoint::config_hash("seed = 7\n"));
    let index: serde_json::Value = serde_json::from_slice(&files["model_index.json"]).unwrap();
    assert_eq!(index["unet"], serde_json::json!(["diffusers", "UNet2DModel"]));
    assert_eq!(index["scheduler"], serde_json::json!(["diffusers", "DDIMScheduler"]));
}

#[test]
fn the_model_in_a_checkpoint_has_the_averaged_weights() {
    let mut trainer = new(true, &options());
    train(&mut trainer, 3);
    let parent = tempfile::tempdir().unwrap();
    let model = load_folder(&save(&trainer, parent.path()), &Device::Cpu).unwrap();
    assert_eq!(model.unet.config(), &network(true));
    assert_eq!(model.notes["_duet_classes"], serde_json::json!(classes()));
    assert_eq!(model.notes["_duet_null_label"], serde_json::json!(2));
    let predict = |unet: &UNet| {
        let x = Tensor::arange(0f32, 64.0, &Device::Cpu).unwrap().reshape((1, 1, 8, 8)).unwrap();
        let [t, label] = [300u32, 1].map(|value| Tensor::new(&[value], &Device::Cpu).unwrap());
        let out = unet.forward(&x, &t, Some(&label)).unwrap();
        out.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(predict(&model.unet), predict(trainer.ema_unet()));
    assert_ne!(predict(&model.unet), predict(trainer.unet()));
}

#[test]
fn a_model_that_saw_every_label_claims_no_null_label() {
    let options = TrainOptions { label_dropout: 0.0, ..options() };
    let mut trainer = new(true, &options);
    train(&mut trainer, 1);
    let parent = tempfile::tempdir().unwrap();
    let model = load_folder(&save(&trainer, parent.path()), &Device::Cpu).unwrap();
    // Without the key, the last row would count as the null label.
    assert_eq!(model.notes["_duet_null_label"], serde_json::Value::Null);
}

#[test]
fn the_scheduler_in_a_checkpoint_has_the_range_of_betas() {
    let diffusion =
        Diffusion { beta_start: Some(2e-4), beta_end: Some(0.03), ..diffusion(Prediction::Epsilon) };
    let trainer = Trainer::new(&network(false), &diffusion, &options(), &Device::Cpu).unwrap();
    let scheduler = checkpoint::scheduler(&trainer, &Spacing::Trailing).unwrap();
    let read = DiffusersScheduler::from_json(&scheduler.to_json()).unwrap();
    assert_eq!(&read.noise_schedule().unwrap(), trainer.schedule());
    let betas = trainer.schedule().betas();
    assert!((betas[0] - 2e-4).abs() < 1e-12 && (betas[999] - 0.03).abs() < 1e-12);
}

#[test]
fn the_scheduler_in_a_checkpoint_is_that_of_the_training() {
    let kinds = [
        BetaSchedule::Linear,
        BetaSchedule::ScaledLinear,
        BetaSchedule::Cosine,
        BetaSchedule::Sigmoid,
        BetaSchedule::Betas((1..=100).map(|i| f64::from(i) / 200.0).collect()),
    ];
    let cases = kinds.iter().flat_map(|kind| [(kind, false), (kind, true)]);
    for (schedule, zero_terminal_snr, snr_scale) in
        cases.flat_map(|(kind, zero)| [None, Some(0.25)].map(|scale| (kind, zero, scale)))
    {
        let diffusion = Diffusion {
            timesteps: 100,
            schedule: schedule.clone(),
            beta_start: None,
            beta_end: None,
            snr_scale,
            zero_terminal_snr,
            prediction: Prediction::X0,
        };
        let trainer = Trainer::new(&network(false), &diffusion, &options(), &Device::Cpu).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let spacing = Spacing::Sigmoid { sharpness: 4.0 };
        let labels = checkpoint::Annotations { classes: &classes(), config: "", spacing: &spacing };
        let folder = checkpoint::save(&trainer, labels, parent.path()).unwrap();
        let json = fs::read_to_string(folder.join("scheduler/scheduler_config.json")).unwrap();
        let scheduler = DiffusersScheduler::from_json(&json).unwrap();
        assert_eq!(&scheduler.noise_schedule().unwrap(), trainer.schedule(), "{schedule}");
        assert_eq!(scheduler.prediction().unwrap(), Prediction::X0);
        assert_eq!(scheduler.spacing().unwrap(), spacing);
    }
}

#[test]
fn a_flipped_bit_in_any_file_is_detected() {
    let (_parent, folders) = checkpoints(&[0]);
    for (name, bytes) in files(&folders[0]).iter().filter(|(name, _)| *name != MANIFEST_FILE) {
        let path = folders[0].join(name);
        for position in [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            flip_a_bit(&path, position);
            let reason = reason(&folders[0]);
            assert!(reason.contains("damaged") && reason.contains(path.to_str().unwrap()), "{reason}");
            flip_a_bit(&path, position);
            Manifest::verify(&folders[0]).unwrap();
        }
    }
}

#[test]
fn a_truncated_or_missing_file_is_detected_and_not_loaded() {
    let (_parent, folders) = checkpoints(&[0]);
    for (name, bytes) in files(&folders[0]) {
        let path = folders[0].join(&name);
        for length in [0, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(Manifest::verify(&folders[0]).is_err(), "{name} cut to {length}");
        }
        fs::remove_file(&path).unwrap();
        assert!(reason(&folders[0]).contains(&name));
        let loaded = checkpoint::load(&mut trainer(&options()), &folders[0], &Device::Cpu);
        assert!(matches!(loaded, Err(TrainError::Checkpoint { .. })), "{name}");
        fs::write(&path, &bytes).unwrap();
    }
    Manifest::verify(&folders[0]).unwrap();
}

/// Writes the manifest of a checkpoint anew after a change to its text, as one of version 1, which
/// had no checksum that would tell.
fn rewrite_manifest(folder: &Path, from: &str, to: &str) {
    let path = folder.join(MANIFEST_FILE);
    let mut manifest = Manifest::read(folder).unwrap();
    (manifest.format_version, manifest.checksum) = (1, String::new());
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Every how many bits and lengths are tried: all in the long test, `DUET_LONG=1`.
fn stride(everyday: usize) -> usize {
    if std::env::var_os("DUET_LONG").is_some() { 1 } else { everyday }
}

/// Cut off anywhere, and with every single bit flipped.
#[test]
fn a_manifest_with_one_wrong_bit_is_refused() {
    let (_parent, folders) = checkpoints(&[3]);
    let path = folders[0].join(MANIFEST_FILE);
    let good = fs::read(&path).unwrap();
    for bit in (0..8 * good.len()).step_by(stride(5)) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        assert!(Manifest::verify(&folders[0]).is_err(), "bit {bit}: {}", String::from_utf8_lossy(&bytes));
    }
    for length in (0..good.len()).step_by(stride(5)) {
        fs::write(&path, &good[..length]).unwrap();
        assert!(Manifest::verify(&folders[0]).is_err(), "cut to {length}");
    }
    fs::write(&path, &good).unwrap();
    Manifest::verify(&folders[0]).unwrap();
}

/// Every bit of the headers, 10,000 bits of the data, and 1,000 lengths.
#[test]
fn every_wrong_bit_and_length_of_a_checkpoints_files_is_detected() {
    let (_parent, folders) = checkpoints(&[1]);
    for (name, good) in files(&folders[0]).iter().filter(|(name, _)| *name != MANIFEST_FILE) {
        let path = folders[0].join(name);
        let entry = &Manifest::read(&folders[0]).unwrap().files[name];
        let header = match name.ends_with(".safetensors") {
            true => 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize,
            false => good.len(),
        };
        let data = 8 * (good.len() - header);
        let count = data.min(10_000 / stride(10));
        let in_data = (0..count).map(|i| 8 * header + i * (data / count));
        let bits = (0..8 * header).step_by(stride(29)).chain(in_data);
        let mut bytes = good.clone();
        for bit in bits {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(FileEntry::of(&bytes), *entry, "{name}: bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        // Through the files themselves: that the hash is compared at all.
        let (few, many) = (stride(64), 1000 / stride(20));
        let lengths = (0..good.len().min(4096)).step_by(few).chain((0..many).map(|i| i * good.len() / many));
        for length in lengths {
            fs::write(&path, &good[..length]).unwrap();
            assert!(reason(&folders[0]).contains("damaged"), "{name} cut to {length}");
        }
        fs::write(&path, good).unwrap();
    }
    Manifest::verify(&folders[0]).unwrap();
}

#[test]
fn a_manifest_that_names_too_few_files_is_refused() {
    let (_parent, folders) = checkpoints(&[0]);
    let mut manifest = Manifest::read(&folders[0]).unwrap();
    manifest.files.clear();
    (manifest.format_version, manifest.checksum) = (1, String::new());
    fs::write(folders[0].join(MANIFEST_FILE), serde_json::to_string(&manifest).unwrap()).unwrap();
    assert!(reason(&folders[0]).contains("does not name unet/config.json"));
}

#[test]
fn weights_that_are_not_finite_are_not_saved() {
    let parent = tempfile::tempdir().unwrap();
    for (what, bad) in [("weights", f32::NAN), ("averages", f32::INFINITY)] {
        let mut trainer = trainer(&options());
        train(&mut trainer, 1);
        let parameters = if what == "weights" { trainer.parameters() } else { trainer.ema_parameters() };
        let bias = parameters.get("conv_out.bias").unwrap();
        bias.set(&Tensor::new(&[bad], &Device::Cpu).unwrap()).unwrap();
        let labels = checkpoint::Annotations { classes: &classes(), config: "", spacing: &Spacing::Trailing };
        let error = checkpoint::save(&trainer, labels, parent.path()).unwrap_err();
        assert!(error.to_string().contains("not finite"), "{what}: {error}");
        let mut order = DataOrder::new(7, 7);
        let error = trainer.step_on(&two_sides(7), &mut order).unwrap_err();
        assert!(matches!(error, TrainError::Diverged { .. }), "{what}: {error}");
    }
    assert_eq!(names(parent.path()), Vec::<String>::new());
}

#[test]
fn a_manifest_that_names_a_file_outside_its_folder_is_refused() {
    let outside = ["../x", "/etc/hostname", "unet/../../x", "unet//x", "..", "a\\\\b", ""];
    for name in outside {
        let (parent, folders) = checkpoints(&[0]);
        fs::write(parent.path().join("x"), fs::read(folders[0].join("model_index.json")).unwrap()).unwrap();
        rewrite_manifest(&folders[0], "\"model_index.json\"", &format!("\"{name}\""));
        assert!(reason(&folders[0]).contains("outside"), "{name}");
    }
}

#[test]
fn a_manifest_of_another_version_with_unknown_keys_or_absurd_size_is_refused() {
    let refused = |from: &str, to: &str, expected: &str| {
        let (_parent, folders) = checkpoints(&[0]);
        rewrite_manifest(&folders[0], from, to);
        let reason = reason(&folders[0]);
        assert!(reason.contains(expected), "{reason}");
    };
    refused("\"format_version\": 1", "\"format_version\": 3", "format version 3");
    refused("\"format_version\": 1", "\"format_version\": 2", "checksum");
    refused("\"step\": 0", "\"step\": 0, \"stop\": 1", "stop");
    refused("\"step\": 0", "\"step\": -1", "not a manifest");
    refused("{", &format!("{}{{", " ".repeat(1 << 20)), "more than the 1048576 bytes");
}

#[test]
fn the_latest_checkpoint_is_the_newest_that_is_undamaged() {
    let (parent, folders) = checkpoints(&[1, 2, 10]);
    let latest = || {
        let (found, damaged) = checkpoint::latest(parent.path()).unwrap();
        (found, damaged.iter().map(TrainError::to_string).collect::<Vec<_>>())
    };
    assert_eq!(latest(), (Some(folders[2].clone()), vec![]));
    flip_a_bit(&folders[2].join(STATE), 1000);
    let (found, damaged) = latest();
    assert_eq!(found.as_ref(), Some(&folders[1]));
    assert!(damaged.len() == 1 && damaged[0].contains("step-000010"), "{damaged:?}");
    fs::remove_file(folders[1].join(MANIFEST_FILE)).unwrap();
    assert_eq!(latest().0.as_ref(), Some(&folders[0]));
    fs::write(folders[0].join("unet/config.json"), "{}").unwrap();
    let (found, damaged) = latest();
    assert_eq!((found, damaged.len()), (None, 3));
    assert!(checkpoint::latest(&parent.path().join("absent")).unwrap().0.is_none());
}

#[test]
fn checkpoints_are_listed_by_number_and_other_names_are_not() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["step-000010", "step-000009", "step-1000000", "step-", "step-x", ".saving-a", "best"] {
        fs::create_dir(parent.path().join(name)).unwrap();
    }
    let steps: Vec<u64> =
        checkpoint::list(parent.path()).unwrap().into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [9, 10, 1_000_000]);
    assert_eq!(checkpoint::list(&parent.path().join("absent")).unwrap(), []);
}

#[test]
fn pruning_keeps_the_newest_and_removes_what_a_broken_save_left() {
    let (parent, _) = checkpoints(&[1, 2, 3, 10]);
    fs::create_dir_all(parent.path().join(".saving-step-000011/unet")).unwrap();
    fs::write(parent.path().join("notes.txt"), "mine").unwrap();
    checkpoint::prune(parent.path(), 10, 2).unwrap();
    assert_eq!(names(parent.path()), ["notes.txt", "step-000003", "step-000010"]);
    checkpoint::prune(parent.path(), 10, 5).unwrap();
    assert_eq!(names(parent.path()), ["notes.txt", "step-000003", "step-000010"]);
    checkpoint::prune(parent.path(), 10, 0).unwrap();
    assert_eq!(names(parent.path()), ["notes.txt", "step-000010"], "the newest is always kept");
}

#[test]
fn pruning_also_keeps_the_newest_whole_checkpoint_up_to_a_step() {
    let left = |damaged: Option<usize>, keep: usize, also: u64| {
        let (parent, folders) = checkpoints(&[3, 5, 7, 9]);
        if let Some(i) = damaged {
            flip_a_bit(&folders[i].join(STATE), 1000);
        }
        checkpoint::prune_but(parent.path(), 10, keep, Some(also)).unwrap();
        checkpoint::list(parent.path()).unwrap().into_iter().map(|(step, _)| step).collect::<Vec<_>>()
    };
    assert_eq!(left(None, 1, 6), [5, 9]);
    assert_eq!(left(None, 1, 5), [5, 9]);
    assert_eq!(left(None, 1, 9), [9]);
    assert_eq!(left(None, 2, 8), [7, 9]);
    assert_eq!(left(None, 2, 4), [3, 7, 9]);
    assert_eq!(left(None, 1, 2), [9], "none is that old");
    assert_eq!(left(Some(1), 1, 6), [3, 9], "a damaged one is not the best");
}

/// A run that fell back to step 5 and saved step 7 must not lose both to a damaged step 9.
#[test]
fn pruning_never_counts_a_damaged_checkpoint_as_one_to_keep() {
    let (parent, folders) = checkpoints(&[5, 7, 9]);
    flip_a_bit(&folders[2].join(STATE), 1000);
    checkpoint::prune(parent.path(), 10, 1).unwrap();
    assert_eq!(checkpoint::latest(parent.path()).unwrap().0, Some(folders[1].clone()));
    assert!(!folders[0].exists());
    flip_a_bit(&folders[1].join(STATE), 1000);
    let before = names(parent.path());
    checkpoint::prune(parent.path(), 10, 1).unwrap();
    assert_eq!(names(parent.path()), before, "where none is whole, none is removed");
}

#[test]
fn a_save_at_the_same_step_replaces_the_folder() {
    let (parent, folders) = checkpoints(&[2]);
    fs::write(folders[0].join("leftover"), "x").unwrap();
    flip_a_bit(&folders[0].join(STATE), 1000);
    let mut other = trainer(&TrainOptions { seed: 8, ..options() });
    train(&mut other, 2);
    assert_eq!(save(&other, parent.path()), folders[0]);
    assert_eq!(names(parent.path()), ["step-000002"]);
    assert!(files(&folders[0]) == saved(&other));
}

#[test]
fn a_failed_save_names_the_file_and_leaves_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let trainer = trainer(&options());
    let save = |parent: &Path, spacing: &Spacing| {
        let labels = checkpoint::Annotations { classes: &classes(), config: "", spacing };
        checkpoint::save(&trainer, labels, parent).unwrap_err().to_string()
    };
    let file = parent.path().join("file");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("inner")] {
        let error = save(&path, &Spacing::Trailing);
        assert!(error.contains("cannot write") && error.contains(path.to_str().unwrap()), "{error}");
    }
    // A list that does not fit the schedule is found out after the save has begun.
    save(parent.path(), &Spacing::List(vec![5000]));
    // A file stands where the folder should be.
    fs::write(parent.path().join("step-000000"), "mine").unwrap();
    let error = save(parent.path(), &Spacing::Trailing);
    assert!(error.contains("step-000000"), "{error}");
    assert_eq!(names(parent.path()), ["file", "step-000000"]);
    assert_eq!(fs::read(parent.path().join("step-000000")).unwrap(), b"mine");
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_the_tensor_that_differs() {
    let mut wide = network(false);
    wide.block_out_channels = vec![8, 24];
    let unconditional = UNetConfig { num_class_embeds: None, ..network(false) };
    let configs = [network(false), network(true), wide, unconditional];
    for (i, from) in configs.iter().enumerate() {
        let make =
            |config| Trainer::new(config, &diffusion(Prediction::V), &options(), &Device::Cpu).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let folder = save(&make(from), parent.path());
        for (j, into) in configs.iter().enumerate() {
            let loaded = checkpoint::load(&mut make(into), &folder, &Device::Cpu);
            match loaded {
                Ok(_) => assert_eq!(i, j, "network {i} was loaded into network {j}"),
                Err(error) => {
                    assert_ne!(i, j, "{error}");
                    let message = error.to_string();
                    let named = [".weight", ".bias"].iter().any(|end| message.contains(end));
                    assert!(named && message.contains(STATE), "{message}");
                }
            }
        }
    }
}

/// Others may read a checkpoint as they may read any file: no private temporary folder is left.
#[cfg(unix)]
#[test]
fn a_checkpoint_has_the_permissions_of_any_new_folder() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, folders) = checkpoints(&[0]);
    let ordinary = parent.path().join("ordinary");
    fs::create_dir(&ordinary).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folders[0]), mode(&ordinary));
    assert_eq!(mode(&folders[0].join("unet")), mode(&ordinary));
}
