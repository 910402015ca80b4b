//! Models in and out: starting noise, `import` and `export`.
use crate::support::{assert_reproduces, drawing, drawn, files, heard, off, refused, rows, text, trained};
use candle_core::{DType, Device, Tensor};
use duet_diffusion::{About, Drawing, Import, Imported, Model, NullLabel, Plan, export, import};
use duet_model::{UNetConfig, weights_to_bytes};
use duet_schedule::Solver;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn write(path: &Path, tensors: &[(&str, Tensor)]) {
    let tensors: BTreeMap<_, _> =
        tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
    std::fs::write(path, weights_to_bytes(&tensors).unwrap()).unwrap();
}

fn labels(labels: &[i64]) -> Tensor {
    Tensor::new(labels, &Device::Cpu).unwrap()
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn model() -> Model {
    Model::open(trained().to_str().unwrap(), &Device::Cpu).unwrap()
}

/// The trained model's images from the noise in a file.
fn from_noise(path: &Path, batch: usize) -> duet_diffusion::Result<(Vec<Vec<f32>>, Vec<usize>)> {
    let (model, device) = (model(), Device::Cpu);
    let drawing = drawing(|d| (d.noise, d.guidance) = (Some(path.into()), vec![3.0]));
    let plan = Plan::new(&drawing, &model, batch, &device)?;
    let images = plan.draw(|_| Ok(()))?.images;
    Ok((rows(&images), images.dims().to_vec()))
}

#[test]
fn saved_noise_draws_the_same_images() {
    let dir = tempfile::tempdir().unwrap();
    let (model, device) = (model(), Device::Cpu);
    let six = drawing(|d| {
        (d.class, d.seeds, d.guidance) = ("1,0".into(), "4-6".parse().unwrap(), vec![3.0]);
    });
    let plan = Plan::new(&six, &model, 64, &device).unwrap();
    let noise = plan.sampling.starting_noise().unwrap();
    assert_eq!(noise.dims(), [6, 1, 8, 8]);
    let seeds = labels(&[4, 5, 6, 4, 5, 6]);
    let path = dir.path().join("noise.safetensors");
    write(&path, &[("noise", noise), ("labels", labels(&[1, 1, 1, 0, 0, 0])), ("seeds", seeds)]);
    let values: Vec<_> = drawn(&six).into_iter().map(|(_, values)| values).collect();
    assert_eq!(from_noise(&path, 4).unwrap().0, values);
    // Larger images than the folder says, and the null label as a label.
    write(&path, &[("noise", zeros(&[2, 1, 12, 16])), ("labels", labels(&[2, 0]))]);
    assert_eq!(from_noise(&path, 64).unwrap().1, [2, 1, 12, 16]);
}

#[test]
fn wrong_noise_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = || ("noise", zeros(&[2, 1, 8, 8]));
    let cases: [(&[(&str, Tensor)], &str); 10] = [
        (&[("labels", labels(&[0, 1]))], "has no tensor noise"),
        (&[good()], "has no tensor labels"),
        (&[good(), ("labels", labels(&[0]))], "labels are [1]"),
        (&[good(), ("labels", labels(&[0, 3]))], "label 3"),
        (&[good(), ("labels", labels(&[0, -1]))], "label -1"),
        (&[good(), ("labels", zeros(&[2]))], "labels are [2] F32"),
        (&[("noise", zeros(&[2, 3, 8, 8])), ("labels", labels(&[0, 1]))], "noise is [2, 3, 8, 8]"),
        (&[("noise", zeros(&[2, 1, 7, 8])), ("labels", labels(&[0, 1]))], "7×8"),
        (&[good(), ("labels", labels(&[0, 1])), ("mask", labels(&[1]))], "has a tensor mask"),
        (&[good(), ("labels", labels(&[0, 1])), ("seeds", labels(&[1]))], "seeds are [1] I64, expected [2]"),
    ];
    let path = dir.path().join("bad.safetensors");
    for (tensors, expected) in cases {
        write(&path, tensors);
        let error = refused(from_noise(&path, 64));
        assert!(error.contains(expected) && error.contains("bad.safetensors"), "{expected}: {error}");
    }
    let nowhere = dir.path().join("nowhere.safetensors");
    assert!(refused(from_noise(&nowhere, 64)).contains("nowhere.safetensors"));
}

/// One image of a model by DDIM alone, whatever its run likes.
fn plain_image(run: &Path, class: &str, guidance: f64) -> Vec<f32> {
    let drawing = drawing(|d| {
        d.run = run.display().to_string();
        (d.class, d.seeds, d.steps) = (class.into(), "3".parse().unwrap(), Some(4));
        (d.sampler, d.interval, d.history) = (text("ddim"), text("all"), text("0"));
        d.guidance = vec![guidance];
    });
    drawn(&drawing).remove(0).1
}

fn exported(dir: &Path) -> PathBuf {
    let out = dir.join("shared/model");
    let about = About { data_licence: Some("CC0".into()), ..About::default() };
    export(&model(), about, &out).unwrap();
    out
}

#[test]
fn an_export_samples_as_its_run_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let out = exported(dir.path());
    let made = files(&out);
    let names: Vec<_> = made.keys().map(|path| path.to_str().unwrap().replace('\\', "/")).collect();
    let expected = [
        "README.md",
        "curves.svg",
        "model_index.json",
        "samples.png",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ];
    assert_eq!(names, expected);
    let card = String::from_utf8(made[Path::new("README.md")].clone()).unwrap();
    for word in
        ["# model", "left, right", "CC0", "from_pretrained", "block_out_channels", "60 steps, held-out"]
    {
        assert!(card.contains(word), "{word} not in:\n{card}");
    }
    for here in [dir.path(), trained().parent().unwrap()] {
        let here = here.to_str().unwrap();
        assert!(!card.contains(here), "a path of this machine in:\n{card}");
        let picture = &made[Path::new("samples.png")];
        assert!(!picture.windows(here.len()).any(|part| part == here.as_bytes()));
    }
    assert_reproduces(&out.join("samples.png"));
    // An export keeps the network and not how its run likes to draw.
    assert_eq!(plain_image(&out, "right", 2.0), plain_image(trained(), "right", 2.0));
    let error = refused(export(&model(), About::default(), &out));
    assert!(error.contains("something already"), "{error}");
    assert_eq!(files(&dir.path().join("shared")).len(), expected.len(), "nothing is left behind");
}

/// An import of this source under these names.
fn taken(source: &Path, scheduler: Option<PathBuf>, names: &[&str], null: Option<NullLabel>) -> Import {
    let classes = Some(names.iter().map(|name| name.to_string()).collect()).filter(|_| !names.is_empty());
    Import { source: source.into(), scheduler, classes, null_label: null }
}

#[test]
fn an_import_takes_bare_files_and_other_labels() {
    let dir = tempfile::tempdir().unwrap();
    let shared = exported(dir.path());
    let (unet, bare) = (shared.join("unet"), dir.path().join("bare"));
    std::fs::create_dir(&bare).unwrap();
    let net = bare.join("net.safetensors");
    std::fs::copy(unet.join("diffusion_pytorch_model.safetensors"), &net).unwrap();
    let config = UNetConfig::from_json(&std::fs::read_to_string(unet.join("config.json")).unwrap()).unwrap();
    std::fs::write(bare.join("config.json"), config.to_json(&Default::default()).unwrap()).unwrap();
    let scheduler = Some(shared.join("scheduler/scheduler_config.json"));
    let out = |name: &str| dir.path().join(name);
    let known = |found: &Imported| (found.classes.as_ref().map(Vec::len), found.null_label);

    let named = taken(&net, scheduler.clone(), &["dark left", "dark right"], None);
    let found = import(named, &out("imported")).unwrap();
    assert_eq!(known(&found), (Some(2), Some(2)));
    assert_eq!(plain_image(&out("imported"), "dark right", 2.0), plain_image(trained(), "right", 2.0));
    // Names skip a null row that is not the last: "a" is row 1, and its neighbours are led away from row 0.
    let first = taken(&bare, scheduler, &["a", "b"], Some(NullLabel::Row(0)));
    let found = import(first, &out("first")).unwrap();
    assert_eq!(known(&found), (Some(2), Some(0)));
    assert_eq!(plain_image(&out("first"), "a", 1.0), plain_image(trained(), "right", 1.0));
    // A folder with one file of weights under any name; no scheduler is worth a warning.
    let unnamed = taken(&bare, None, &[], Some(NullLabel::None));
    let (found, said) = heard(|| import(unnamed, &out("plain")).unwrap());
    assert_eq!(known(&found), (Some(3), None));
    assert!(said.contains("no scheduler_config.json"), "{said}");
    a_model_without_a_null_label_draws_without_guidance(&out("plain"), &out("plain-exported"));
    the_folders_own_scheduler_decides(&out("imported"));

    let not_a_scheduler = Some(bare.join("config.json"));
    for (import_of, expected) in [
        (taken(&bare, None, &[], Some(NullLabel::Row(3))), "_duet_null_label"),
        (taken(&bare, None, &["a", "b", "c", "d"], None), "_duet_classes"),
        (taken(&out("nowhere"), None, &[], None), "nowhere"),
        (taken(&bare, not_a_scheduler, &[], None), "_class_name"),
    ] {
        let error = refused(import(import_of, &out("no")));
        assert!(error.contains(expected), "{expected} not in: {error}");
        assert!(!out("no").exists());
    }
    assert!(refused("last".parse::<NullLabel>()).contains("null-label last"));
}

/// There is nothing to be led away from, unless guidance is asked for.
fn a_model_without_a_null_label_draws_without_guidance(folder: &Path, out: &Path) {
    let (device, drawing) = (Device::Cpu, Drawing { steps: Some(2), ..Drawing::default() });
    let model = Model::open(folder.to_str().unwrap(), &device).unwrap();
    let plan = Plan::new(&drawing, &model, 64, &device).unwrap();
    assert!(plan.summary().starts_with("w 1,"), "{}", plan.summary());
    plan.draw(|_| Ok(())).unwrap();
    let one = Drawing { class: "2".into(), ..drawing.clone() };
    Plan::new(&one, &model, 64, &device).unwrap().draw(|_| Ok(())).unwrap();
    let guided = Drawing { guidance: vec![2.0], ..drawing };
    let draw = Plan::new(&guided, &model, 64, &device).and_then(|plan| plan.draw(|_| Ok(())));
    assert!(refused(draw).contains("no null label"));
    export(&model, About::default(), out).unwrap();
    assert!(out.join("samples.png").is_file());
}

/// Where no option does.
fn the_folders_own_scheduler_decides(folder: &Path) {
    let one = |run: &Path, sampler: Option<&str>| {
        drawn(&drawing(|d| {
            d.run = run.display().to_string();
            (d.seeds, d.steps, d.sampler) = ("1".parse().unwrap(), Some(4), sampler.and_then(text));
        }))
    };
    let path = folder.join("scheduler/scheduler_config.json");
    let text_of = std::fs::read_to_string(&path).unwrap();
    let mut keys: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text_of).unwrap();
    keys.retain(|key, _| !["clip_sample", "clip_sample_range", "set_alpha_to_one"].contains(&key.as_str()));
    keys.insert("_class_name".into(), "DPMSolverMultistepScheduler".into());
    std::fs::write(&path, serde_json::to_string(&keys).unwrap()).unwrap();
    assert!(off(&one(folder, None)[0].1, &one(trained(), Some("ddim"))[0].1) > 0.0);
}

#[test]
fn every_sampler_draws_its_own_images() {
    let with = |sampler: &&str| {
        drawn(&drawing(|d| (d.seeds, d.steps, d.sampler) = ("1".parse().unwrap(), Some(4), text(sampler))))
    };
    let all: Vec<_> = ["ddim", "ddpm", "dpmpp-2m", "dpmpp-2m-sde"].iter().map(with).collect();
    for (i, images) in all.iter().enumerate() {
        assert!(images.iter().flat_map(|(_, values)| values).all(|value| value.is_finite()));
        assert!(all[..i].iter().all(|other| other != images), "sampler {i}");
    }
    let model = model();
    for name in Solver::names().into_iter().filter(|name| *name != "ddim") {
        let wrong = drawing(|d| (d.sampler, d.eta) = (text(name), Some(0.5)));
        let error = refused(Plan::new(&wrong, &model, 64, &Device::Cpu));
        assert!(error.contains(&format!("eta 0.5: only ddim has it, not {name}")), "{error}");
    }
}
