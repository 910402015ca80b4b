//! Images that are no squares, through every verb.
use crate::support::{config, drawn_again, files, run};
use candle_core::{Device, Tensor};
use duet_data::{Picture, Raster};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Two classes of images of so many rows and columns, bright on the left or on the right.
fn images(dir: &Path, name: &str, (height, width): (usize, usize)) -> PathBuf {
    let root = dir.join(name);
    for (class, name) in ["left", "right"].into_iter().enumerate() {
        std::fs::create_dir_all(root.join(name)).unwrap();
        for i in 0..40u8 {
            let pixel = |p: usize| if (p % width >= width / 2) == (class == 1) { 200 + i } else { 3 * i };
            let picture = Picture::new(1, height, width, (0..height * width).map(pixel).collect()).unwrap();
            picture.write_png(root.join(name).join(format!("{i:02}.png"))).unwrap();
        }
    }
    root
}

fn tensors(dir: &Path, name: &str) -> BTreeMap<String, Tensor> {
    duet_model::read_tensors(&dir.join(name), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Height and width of an image file.
fn sides(path: &Path) -> (usize, usize) {
    let picture = Picture::read(path).unwrap();
    (picture.height, picture.width)
}

#[test]
fn rectangles_go_through_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    images(dir, "wide", (32, 60));
    config(dir);
    let train = ["train", "--config", "tiny.toml", "--data", "wide", "--image-size", "16x24", "--threads"];
    run(dir, &[&train[..], &["1", "--out", "run"]].concat(), 0);
    run(dir, &[&train[..], &["2", "--out", "other"]].concat(), 0);
    assert!(files(&dir.join("run")) == files(&dir.join("other")), "threads change the run");
    let said = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(said.contains("image_size = \"16x24\""), "{said}");
    run(dir, &[&["train", "--resume", "run"][..]].concat(), 0);
    run(dir, &["verify", "run"], 0);
    drawings_have_the_size_and_do_not_depend_on_threads(dir);
    a_picture_and_a_mask_of_any_size_are_fitted(dir);
    they_are_measured_and_classified(dir);
    they_are_exported_and_imported(dir);
}

fn drawings_have_the_size_and_do_not_depend_on_threads(dir: &Path) {
    let sample = |flags: &[&str]| {
        run(dir, &[&["sample", "--run", "run", "--seeds", "0-2", "--steps", "4"], flags].concat(), 0)
    };
    sample(&["--out", "a.safetensors", "--threads", "1", "--save-noise", "noise.safetensors"]);
    sample(&["--out", "b.safetensors", "--threads", "2", "--batch", "1"]);
    let drawn = tensors(dir, "a.safetensors");
    assert_eq!(drawn["images"].dims(), [6, 1, 16, 24]);
    assert_eq!(values(&drawn["images"]), values(&tensors(dir, "b.safetensors")["images"]));
    let noise =
        ["sample", "--run", "run", "--noise", "noise.safetensors", "--steps", "4", "--out", "c.safetensors"];
    run(dir, &noise, 0);
    assert_eq!(values(&drawn["images"]), values(&tensors(dir, "c.safetensors")["images"]));
    sample(&["--out", "each/"]);
    let one = std::fs::read_dir(dir.join("each")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(sides(&one), (16, 24));
    sample(&["--out", "grid.png", "--animate", "way.png"]);
    drawn_again(dir, "grid.png");
    let (height, width) = sides(&dir.join("grid.png"));
    assert!(height > 2 * 16 && width > 3 * 24, "{height}x{width}");
    run(
        dir,
        &["sample", "--run", "run", "--class", "0,1", "--interpolate", "classes:3", "--out", "between.png"],
        0,
    );
    run(
        dir,
        &["sample", "--run", "run", "--seeds", "0,1", "--interpolate", "seeds:3", "--animate", "x.gif"],
        0,
    );
}

fn a_picture_and_a_mask_of_any_size_are_fitted(dir: &Path) {
    // 16 bits, and of another proportion.
    let deep: Vec<u16> = (0..40 * 50).map(|i| 30_000 + i as u16).collect();
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(50, 40, deep).unwrap();
    deep.save(dir.join("deep.png")).unwrap();
    // White in the lower half.
    let mask =
        Picture::new(1, 16, 24, (0..16 * 24).map(|i| if i / 24 < 8 { 0 } else { 255 }).collect()).unwrap();
    mask.write_png(dir.join("mask.png")).unwrap();
    let begin =
        ["sample", "--run", "run", "--seeds", "0", "--class", "left", "--steps", "4", "--image", "deep.png"];
    run(dir, &[&begin[..], &["--mask", "mask.png", "--out", "kept.safetensors"]].concat(), 0);
    let kept = tensors(dir, "kept.safetensors");
    assert_eq!(kept["images"].dims(), [1, 1, 16, 24]);
    let fitted = Raster::read(&dir.join("deep.png")).unwrap().fitted(1, "16x24".parse().unwrap()).unwrap();
    let (found, expected) = (values(&kept["images"]), fitted.to_unit());
    let worst =
        |range: std::ops::Range<usize>| range.map(|i| (found[i] - expected[i]).abs()).fold(0f32, f32::max);
    // Where the mask is black, the picture stays, to less than a step of 8 bits.
    assert!(worst(0..8 * 24) < 1e-4, "{}", worst(0..8 * 24));
    assert!(worst(8 * 24..16 * 24) > 0.05);
    run(dir, &[&begin[..], &["--invert", "2", "--out", "inverted.png"]].concat(), 0);
}

fn they_are_measured_and_classified(dir: &Path) {
    let text = run(dir, &["eval", "--run", "run", "--n", "40", "--classify", "4"], 0);
    assert!(text.contains("training a classifier") && text.contains("class accuracy"), "{text}");
    drawn_again(dir, "run/eval.png");
    run(dir, &["eval", "--run", "run", "--samples", "a.safetensors", "--out", "elsewhere"], 0);
    run(dir, &["classify", "--run", "run", "--n", "4"], 0);
    let text = run(dir, &["classify", "--run", "run", "--image", "wide/left/03.png"], 0);
    assert!(text.contains("left") || text.contains("right"), "{text}");
    run(dir, &["sweep", "--run", "run", "--rows", "guidance=1,2", "--score", "20", "--steps", "4"], 0);
    run(dir, &["report", "run"], 0);
}

fn they_are_exported_and_imported(dir: &Path) {
    run(dir, &["export", "--run", "run", "--out", "model"], 0);
    let unet = std::fs::read_to_string(dir.join("model/unet/config.json")).unwrap();
    let unet: serde_json::Value = serde_json::from_str(&unet).unwrap();
    assert_eq!(unet["sample_size"], serde_json::json!([16, 24]));
    let card = std::fs::read_to_string(dir.join("model/README.md")).unwrap();
    assert!(card.contains("16×24") && card.contains("8, 1, 16, 24"), "{card}");
    run(dir, &["import", "model", "--out", "again"], 0);
    for model in ["model", "again"] {
        run(dir, &["sample", "--run", model, "--seeds", "0", "--steps", "4", "--out", "x.safetensors"], 0);
        assert_eq!(tensors(dir, "x.safetensors")["images"].dims(), [2, 1, 16, 24]);
    }
}

#[test]
fn images_of_one_rectangle_need_no_size_and_others_get_the_nearest_ones() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    images(dir, "tall", (12, 8));
    images(dir, "odd", (9, 13));
    config(dir);
    let train = |flags: &[&str], code| {
        let flags = [&["train", "--config", "tiny.toml", "--steps", "2", "--out", "bad"], flags].concat();
        let text = run(dir, &flags, code);
        assert!(!text.contains("panicked"), "{text}");
        text
    };
    let text = train(&["--data", "odd"], 4);
    assert!(text.contains("odd: images of 9×13") && text.contains("multiples of 2"), "{text}");
    assert!(text.contains("--image-size 8x12 or --image-size 10x14"), "{text}");
    let text = train(&["--data", "tall", "--image-size", "7x12"], 2);
    assert!(
        text.contains("--image-size 7x12") && text.contains("--image-size 6x12 or --image-size 8x12"),
        "{text}"
    );
    let text = train(&["--data", "tall", "--image-size", "1"], 2);
    assert!(text.contains("use --image-size 2,"), "{text}");
    for size in ["0", "x", "8x", "8x0", "16385", "8 x 8", "-8"] {
        let text = train(&["--data", "tall", &format!("--image-size={size}")], 2);
        assert!(text.contains("--image-size"), "{text}");
    }
    std::fs::write(dir.join("size.toml"), "[data]\nimage_size = \"8x\"\n").unwrap();
    let text = run(dir, &["train", "--config", "size.toml", "--data", "tall", "--out", "bad"], 2);
    assert!(text.contains("image_size") && text.contains("24x40"), "{text}");
    assert!(!dir.join("bad").exists());
    let text = train(&["--data", "tall", "--dry-run"], 0);
    assert!(text.contains("1x12x8"), "{text}");
    train(&["--data", "tall"], 0);
    run(dir, &["sample", "--run", "bad", "--seeds", "0", "--out", "x.safetensors"], 0);
    assert_eq!(tensors(dir, "x.safetensors")["images"].dims(), [2, 1, 12, 8]);
    let text = run(dir, &["data", "odd", "--image-size", "4x6", "--out", "sheet.png"], 0);
    assert!(text.contains("1x4x6"), "{text}");
}

/// Which classes differ by no more than the last bits of 16.
#[test]
fn the_last_bits_of_sixteen_reach_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (class, bit) in [("even", 0), ("odd", 1)] {
        std::fs::create_dir_all(dir.join("deep").join(class)).unwrap();
        for i in 0..12u16 {
            let value = 20_000 + 1000 * i + bit;
            let pixels = (0..64).map(|p| value + 512 * (p % 2)).collect();
            let image = image::ImageBuffer::<image::Luma<u16>, Vec<u16>>::from_raw(8, 8, pixels).unwrap();
            image.save(dir.join("deep").join(class).join(format!("{i}.png"))).unwrap();
        }
    }
    let text = run(dir, &["data", "deep"], 0);
    assert!(text.contains("1x8x8 of 16 bits"), "{text}");
    config(dir);
    let train = ["train", "--config", "tiny.toml", "--steps", "3", "--data", "deep", "--out"];
    run(dir, &[&train[..], &["run"]].concat(), 0);
    let metrics = |run: &str| std::fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap();
    let before = metrics("run");
    // One bit of one pixel of every image is another.
    for class in ["even", "odd"] {
        for i in 0..12 {
            let path = dir.join("deep").join(class).join(format!("{i}.png"));
            let mut image = image::open(&path).unwrap().into_luma16();
            image.get_pixel_mut(3, 3).0[0] ^= 1;
            image.save(&path).unwrap();
        }
    }
    run(dir, &[&train[..], &["other"]].concat(), 0);
    assert_ne!(metrics("other"), before);
}
