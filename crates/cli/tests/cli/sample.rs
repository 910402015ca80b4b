//! Sampling by the command line: what is written and printed, and what is refused.
use crate::support::{drawn_again, files, run, train};
use std::path::Path;

#[test]
fn sampling_writes_what_its_flags_say_or_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, "run");
    every_form_of_output_is_written(dir);
    what_it_took_is_printed(dir);
    every_png_is_made_again_byte_for_byte(dir);
    bad_flags_are_refused_with_their_code_and_reason(dir);
}

fn every_form_of_output_is_written(dir: &Path) {
    let base = ["sample", "--run", "run", "--steps", "3", "--seeds", "0-2"];
    run(dir, &[&base[..], &["--out", "new/grid.png", "--animate", "new/way.png"]].concat(), 0);
    run(dir, &[&base[..], &["--out", "new/single/", "--animate", "new/way.gif"]].concat(), 0);
    let made = files(&dir.join("new"));
    let names: Vec<_> = made.keys().map(|path| path.to_str().unwrap().replace('\\', "/")).collect();
    let single =
        ["left", "right"].map(|class| [0, 1, 2].map(|seed| format!("single/class-{class}_seed-{seed}.png")));
    let around = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let expected = [around(&["grid.png"]), single.concat(), around(&["way.gif", "way.png"])].concat();
    assert_eq!(names, expected);
    assert!(made[Path::new("way.gif")].starts_with(b"GIF89a"));
    let apng = &made[Path::new("way.png")];
    assert!(apng.windows(4).filter(|w| w == b"fcTL").count() == 4, "noise and three steps");
    run(dir, &[&base[..], &["--guidance", "0.5,2", "--out", "sheet/"]].concat(), 0);
    assert!(dir.join("sheet/class-right_w-0.5_seed-1.png").is_file());
}

fn what_it_took_is_printed(dir: &Path) {
    let base = ["sample", "--run", "run", "--class", "left", "--seeds", "0-3", "--out", "s.safetensors"];
    let flags = ["--sampler", "heun", "--steps", "10", "--guidance", "1"];
    let text = run(dir, &[&base[..], &flags].concat(), 0);
    assert!(text.contains("4 images of run/checkpoints/step-000060: s.safetensors"), "{text}");
    assert!(text.contains("heun, 10 steps") && text.contains(" img/s"), "{text}");
    assert!(text.contains("32 network evaluations, 8.0 an image"), "{text}");
}

fn every_png_is_made_again_byte_for_byte(dir: &Path) {
    let half = (0..64).map(|p| if p % 8 < 4 { 255 } else { 0 }).collect();
    duet_data::Picture::new(1, 8, 8, half).unwrap().write_png(dir.join("mask.png")).unwrap();
    let base = ["sample", "--run", "run", "--seeds", "0-2", "--steps", "3"];
    let forms: [&[&str]; 4] = [
        &["--out", "again/a.png", "--animate", "again/way.png", "--guidance", "1,2", "--sampler", "unipc"],
        &["--out", "again/b/", "--class", "left+right", "--no-captions"],
        &["--out", "again/c/", "--noise", "again/noise.safetensors", "--eta", "1"],
        &[
            "--out",
            "again/d.png",
            "--image",
            "again/a.png",
            "--mask",
            "mask.png",
            "--guide-with",
            "step-000050",
        ],
    ];
    run(
        dir,
        &[&base[..], &["--out", "again/x.safetensors", "--save-noise", "again/noise.safetensors"]].concat(),
        0,
    );
    for form in forms {
        let base = if form.contains(&"--noise") { [&base[..3], &base[5..]].concat() } else { base.to_vec() };
        run(dir, &[&base[..], form].concat(), 0);
    }
    let names = ["a.png", "way.png", "b/class-0x0.5+1x0.5_seed-2.png", "c/class-right_noise-4.png", "d.png"];
    for name in names {
        let path = format!("again/{name}");
        drawn_again(dir, &path);
        let texts = duet_data::texts_of_png(&std::fs::read(dir.join(&path)).unwrap()).unwrap();
        assert_eq!(
            texts.iter().map(|(keyword, _)| keyword.as_str()).collect::<Vec<_>>(),
            ["Title", "Description", "Software", "duet"]
        );
    }
    // Another model, other files, no note: each is told apart.
    let other = ["reproduce", "again/a.png", "--run", "run/checkpoints/step-000050"];
    assert!(run(dir, &other, 2).contains("not the model that drew this picture"));
    std::fs::copy(dir.join("mask.png"), dir.join("again/a.png")).unwrap();
    assert!(run(dir, &["reproduce", "again/d.png"], 2).contains("again/a.png: not what it was"));
    assert!(run(dir, &["reproduce", "mask.png"], 4).contains("does not say how it was made"));
    assert!(run(dir, &["reproduce", "again/x.safetensors"], 4).contains("does not begin as one"));
}

fn bad_flags_are_refused_with_their_code_and_reason(dir: &Path) {
    std::fs::create_dir_all(dir.join("empty")).unwrap();
    let cases: [(&[&str], i32, &[&str]); 47] = [
        (&["--class", "up"], 2, &["--class up", "0 (left)", "1 (right)"]),
        (&["--class", "2"], 2, &["--class 2", "no such class"]),
        (&["--class", "0,-1"], 2, &["--class -1"]),
        (&["--steps", "1001"], 2, &["--steps", "1001", "1000"]),
        (&["--steps", "0"], 2, &["--steps"]),
        (&["--seeds", "5-3"], 2, &["--seeds 5-3"]),
        (&["--seeds", "0-99999999999"], 2, &["--seeds", "at most"]),
        (&["--eta", "2"], 2, &["eta 2"]),
        (&["--guidance", "inf"], 2, &["guidance inf"]),
        (&["--guidance", ""], 2, &["--guidance"]),
        (&["--guidance-schedule", "up"], 2, &["--guidance-schedule up"]),
        (&["--guidance-schedule", "1,2"], 2, &["2 guidance weights for 4 steps"]),
        (&["--interval", "5:1"], 2, &["--interval", "5 to 1"]),
        (&["--interval", "5"], 2, &["--interval 5"]),
        (&["--rescale", "2"], 2, &["rescale 2"]),
        (&["--rule", "apg:7"], 2, &["--rule apg:7"]),
        (&["--history", "much"], 2, &["--history much"]),
        (&["--history=-1"], 2, &["--history", "history -1: must be 0 or more"]),
        (&["--history", "1:3:0.3"], 2, &["--history", "3 to 0.3"]),
        (&["--cfg-plus-plus", "--guidance", "2"], 2, &["--guidance 2: with --cfg-plus-plus it is 0 to 1"]),
        (&["--negative", "all"], 2, &["--negative all"]),
        (&["--sampler", "plms"], 2, &["--sampler plms", "unipc"]),
        (&["--spacing", "even"], 2, &["--spacing even: expected leading"]),
        (&["--spacing", "karras:0"], 2, &["--spacing karras:0: rho = 0 must be positive"]),
        (&["--sampler", "dpmpp-2m", "--eta", "0.5"], 2, &["--eta 0.5: only ddim has it, not dpmpp-2m"]),
        (&["--interval", "9t:2t"], 2, &["--interval", "9 to 2"]),
        (&["--class", "left:0.5+right:0.6"], 2, &["left:0.5+right:0.6", "sum to 1.1"]),
        (&["--class", "left:x+right"], 2, &["left:x is no class with a share"]),
        (&["--class", "left+up"], 2, &["--class up", "no such class"]),
        (&["--clip", "dynamic:2"], 2, &["--clip dynamic:2"]),
        (&["--guide-with", "step-7"], 5, &["--guide-with step-7", "no such folder"]),
        (&["--guide-null"], 2, &["--guide-with"]),
        (&["--interpolate", "seeds:1"], 2, &["--interpolate seeds:1"]),
        (&["--interpolate", "seeds:5"], 2, &["--seeds 0-7: two are needed"]),
        (&["--interpolate", "classes:5", "--class", "left"], 2, &["--class left: two are needed"]),
        (&["--strength", "0.5"], 2, &["--image"]),
        (&["--image", "mask.png", "--strength", "0"], 2, &["--strength 0"]),
        (&["--image", "nowhere.png"], 4, &["nowhere.png"]),
        (&["--image", "again/x.safetensors"], 4, &["x.safetensors", "no PNG, JPEG"]),
        (&["--image", "mask.png", "--invert", "0"], 2, &["0 iterations"]),
        (&["--image", "mask.png", "--invert", "1", "--invert-class", "all"], 2, &["--invert-class all"]),
        (&["--cfg-plus-plus", "--guidance", "0.5", "--sampler", "heun"], 2, &["--cfg-plus-plus"]),
        (&["--out", "mask.png/x.png"], 6, &["cannot write mask.png: not a directory"]),
        (&["--out", "x.bmp"], 2, &["--out x.bmp", "x.safetensors"]),
        (&["--preset", "cats"], 2, &["--preset cats: there are digits, digits-long, original, colour"]),
        (&["--run", "empty"], 5, &["empty", "neither a run"]),
        (&["--run", "nowhere"], 5, &["nowhere", "no such folder"]),
    ];
    for (flags, code, words) in cases {
        let base: &[&str] = if flags[0] == "--run" { &[] } else { &["--run", "run"] };
        let text = run(dir, &[&["sample"], base, flags].concat(), code);
        for word in words {
            assert!(text.contains(word), "{flags:?}: {word} not in:\n{text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
    let weights = dir.join("run/checkpoints/step-000060/unet/diffusion_pytorch_model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    let text = run(dir, &["sample", "--run", "run/checkpoints/step-000060"], 5);
    assert!(text.contains("diffusion_pytorch_model.safetensors: damaged"), "{text}");
}
