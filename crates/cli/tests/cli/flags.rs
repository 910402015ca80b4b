//! Whatever is typed, the program answers with an exit code that means something.
use crate::support::{duet, run, train};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::LazyLock;

#[test]
fn shells_and_man_know_every_verb_and_flag() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = run(dir.path(), &["completions", shell], 0);
        assert!(text.contains("reproduce") && text.contains("guidance-schedule"), "{shell}: {text}");
    }
    assert!(run(dir.path(), &["man"], 0).contains("sample"));
    let page = run(dir.path(), &["man", "sample"], 0);
    assert!(page.starts_with(".ie") && page.contains("guidance\\-schedule"), "{page}");
    assert!(run(dir.path(), &["man", "draw"], 2).contains("man draw: there is no such verb"));
}

/// What people type, and what nobody does.
const VALUES: [&str; 36] = [
    "",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-0.5",
    "0.5",
    "1e3",
    "1e308",
    "nan",
    "-inf",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "all",
    "latest",
    "24x40",
    "left",
    "left,right",
    "0-3",
    "3-0",
    "0-18446744073709551615",
    "1,1,1",
    "999,500,0",
    "karras:7",
    "sigmoid:-1",
    "cuda:0",
    "auto",
    "train.steps=7",
    "diffusion.schedule=cosine",
    "sample.steps=[",
    "save.keep=nan",
    "=",
    "--",
    "\u{1f980} ü\n",
];

/// Flags with values, and those without, of each verb. Paths are given apart, where they are good.
const FLAGS: [(&str, &[&str]); 5] = [
    (
        "train",
        &[
            "--preset",
            "--image-size",
            "--channels",
            "--steps",
            "--epochs",
            "--minutes",
            "--batch",
            "--lr",
            "--optimizer",
            "--loss-weighting",
            "--label-dropout",
            "--set",
            "--flip",
            "--augment",
            "--seed",
            "--threads",
            "--device",
            "--save-every",
            "--keep",
            "--sample-every",
        ],
    ),
    (
        "sample",
        &[
            "--class",
            "--guidance",
            "--guidance-schedule",
            "--interval",
            "--rescale",
            "--rule",
            "--history",
            "--guide-with",
            "--clip",
            "--interpolate",
            "--strength",
            "--image",
            "--mask",
            "--invert",
            "--negative",
            "--steps",
            "--sampler",
            "--spacing",
            "--eta",
            "--seeds",
            "--batch",
            "--threads",
            "--device",
            "--scale",
        ],
    ),
    ("verify", &["--run", "--threads"]),
    ("export", &["--name", "--data", "--data-licence"]),
    ("import", &["--classes", "--null-label"]),
];

/// A folder with a trained model.
static PLACE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    train(dir.path(), "run");
    run(dir.path(), &["export", "--run", "run", "--out", "model"], 0);
    let path = dir.path().to_path_buf();
    (dir, path)
});

#[test]
fn help_names_the_defaults_of_the_preset() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["train", "--help"], 0);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let preset: toml::Table = include_str!("../../../../configs/digits.toml").parse().unwrap();
    let keys = [
        ("--steps", "train", "steps"),
        ("--batch", "train", "batch"),
        ("--lr", "train", "learning_rate"),
        ("--optimizer", "train", "optimizer"),
        ("--loss-weighting", "train", "loss_weighting"),
        ("--label-dropout", "train", "label_dropout"),
        ("--seed", "train", "seed"),
        ("--save-every", "save", "save_every"),
        ("--keep", "save", "keep"),
        ("--sample-every", "save", "sample_every"),
        ("--eval-every", "save", "eval_every"),
    ];
    for (flag, table, key) in keys {
        let entry = help.split(&format!("{flag} <")).nth(1).unwrap_or_else(|| panic!("{flag}: {help}"));
        let default = entry.split("[default: ").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
        let number = |text: &str| text.parse::<toml::Value>().ok()?.as_float();
        let expected = &preset[table][key];
        let same = match expected.as_str() {
            Some(text) => text == default,
            None => number(&expected.to_string()) == number(default),
        };
        assert!(same, "{flag}: {default}, not {expected}");
    }
}

fn arguments() -> impl Strategy<Value = Vec<String>> {
    let flags = |verb: usize| {
        let pair = (prop::sample::select(FLAGS[verb].1.to_vec()), prop::sample::select(VALUES.to_vec()));
        (Just(verb), prop::collection::vec((pair, any::<bool>()), 0..4))
    };
    (0..FLAGS.len()).prop_flat_map(flags).prop_map(|(verb, flags)| {
        let base: &[&str] = match FLAGS[verb].0 {
            "train" => &["train", "--config", "tiny.toml", "--data", "data", "--dry-run"],
            "sample" => &["sample", "--run", "run", "--out", "out/x.png"],
            "verify" => &["verify", "run"],
            "export" => &["export", "--run", "run", "--out", "exported"],
            _ => &["import", "model", "--out", "imported"],
        };
        let mut arguments: Vec<String> = base.iter().map(|word| word.to_string()).collect();
        for ((flag, value), joined) in flags {
            match joined {
                true => arguments.push(format!("{flag}={value}")),
                false => arguments.extend([flag.to_string(), value.to_string()]),
            }
        }
        arguments
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 50, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_flags_make_the_program_panic(arguments in arguments()) {
        let dir = &PLACE.1;
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Ended by `timeout` where it hangs, with another exit code than any of ours.
        let program = duet(dir, &words);
        let mut limited = std::process::Command::new("timeout");
        limited.arg("60").arg(program.get_program()).args(program.get_args()).current_dir(dir);
        let output = limited.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        for made in ["exported", "imported", "out"] {
            let _ = std::fs::remove_dir_all(dir.join(made));
        }
        // 3: a learning rate that diverges while steps are timed; 4: images that cannot be read as
        // --channels or --image-size ask.
        // Of `sample`: a picture (4) or a guide (5) that is not there.
        let good = match words[0] {
            "train" => vec![0, 2, 3, 4],
            "sample" => vec![0, 2, 4, 5],
            _ => vec![0, 2],
        };
        prop_assert!(output.status.code().is_some_and(|code| good.contains(&code)), "{words:?}: {:?}\n{text}", output.status);
        prop_assert!(!text.contains("panicked"), "{words:?}\n{text}");
        prop_assert!(output.status.success() || text.contains("error: "), "{words:?}\n{text}");
    }
}
