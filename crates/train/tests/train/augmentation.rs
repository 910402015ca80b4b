//! Mirrored and augmented training images: the maps against closed forms, the draws, and what training makes of them.
use crate::common::{diffusion, network, options, saved, two_sides};
use candle_core::{Device, Tensor};
use duet_data::Shape;
use duet_model::{AUGMENT_EMBEDDING, NetworkInputs};
use duet_random::Draws;
use duet_schedule::Prediction;
use duet_train::{Affine, Augmentation, Batch, Flip, ImageDraws, LossWeighting, TrainOptions, Trainer};
use proptest::prelude::*;
use std::f64::consts::FRAC_PI_2;

const SHAPES: [Shape; 4] = [
    Shape { channels: 1, height: 8, width: 8 },
    Shape { channels: 3, height: 6, width: 11 },
    Shape { channels: 2, height: 9, width: 4 },
    Shape { channels: 4, height: 1, width: 5 },
];

fn noise(shape: Shape) -> Vec<f32> {
    let mut draws = Draws::new(1, "augmentation test", 0);
    (0..shape.len()).map(|_| 2.0 * draws.uniform() as f32 - 1.0).collect()
}

/// An image of a function of channel, row and column.
fn image(shape: Shape, at: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let pixel =
        |i: usize| at(i / (shape.height * shape.width), i / shape.width % shape.height, i % shape.width);
    (0..shape.len()).map(pixel).collect()
}

fn at(shape: Shape, image: &[f32], (channel, row, column): (usize, usize, usize)) -> f32 {
    image[(channel * shape.height + row) * shape.width + column]
}

/// The greatest difference of pixels at least `edge` from every edge.
fn off_within(shape: Shape, edge: usize, a: &[f32], b: &[f32]) -> f32 {
    let inside = |i: usize| {
        let (row, column) = (i / shape.width % shape.height, i % shape.width);
        (edge..shape.height - edge).contains(&row) && (edge..shape.width - edge).contains(&column)
    };
    (0..shape.len()).filter(|&i| inside(i)).fold(0.0, |worst, i| worst.max((a[i] - b[i]).abs()))
}

#[test]
fn the_identity_leaves_every_bit() {
    for shape in SHAPES {
        assert_eq!(Affine::IDENTITY.of_image(shape, &noise(shape)), noise(shape));
    }
}

#[test]
fn mirroring_reverses_rows_or_columns() {
    for shape in SHAPES {
        let before = noise(shape);
        let (rows, columns) = (shape.height - 1, shape.width - 1);
        let in_x = image(shape, |c, y, x| at(shape, &before, (c, y, columns - x)));
        let in_y = image(shape, |c, y, x| at(shape, &before, (c, rows - y, x)));
        assert_eq!(Affine::scale(-1.0, 1.0).of_image(shape, &before), in_x);
        assert_eq!(Affine::scale(1.0, -1.0).of_image(shape, &before), in_y);
    }
}

#[test]
fn whole_pixels_are_moved_and_mirror_images_come_in() {
    for shape in SHAPES {
        let before = noise(shape);
        for (right, down) in [(1, 0), (-2, 0), (0, 3), (2, -1), (40, -17)] {
            // Outside, the image goes on mirrored: … 1 0 | 0 1 2 | 2 1 …
            let mirrored = |place: i64, count: usize| {
                let repeated: Vec<usize> = (0..count).chain((0..count).rev()).collect();
                repeated[place.rem_euclid(2 * count as i64) as usize]
            };
            let moved = image(shape, |c, y, x| {
                let (y, x) = (y as i64 - down, x as i64 - right);
                at(shape, &before, (c, mirrored(y, shape.height), mirrored(x, shape.width)))
            });
            let map = Affine::translation(right as f64, down as f64);
            assert_eq!(map.of_image(shape, &before), moved, "{shape}: {right}, {down}");
        }
    }
}

#[test]
fn a_quarter_turn_takes_the_right_edge_to_the_bottom() {
    let shape = Shape { channels: 2, height: 7, width: 7 };
    let before = noise(shape);
    let turned = image(shape, |c, y, x| at(shape, &before, (c, 6 - x, y)));
    let found = Affine::rotation(FRAC_PI_2).of_image(shape, &before);
    assert!(off_within(shape, 0, &found, &turned) < 1e-6);
    assert_eq!(Affine::rotation(FRAC_PI_2).at([1.0, 0.0])[1], 1.0, "right goes down");
    let four = (0..4).fold(before.clone(), |image, _| Affine::rotation(FRAC_PI_2).of_image(shape, &image));
    assert!(off_within(shape, 0, &four, &before) < 1e-5);
}

/// Two waves across the image, which is long enough that they are smooth.
fn waves(shape: Shape) -> Vec<f32> {
    image(shape, |c, y, x| {
        let (y, x) = (y as f32 / 9.0 + c as f32, x as f32 / 7.0);
        0.5 * (x + 0.3 * y).sin() + 0.4 * (y - 0.2 * x).cos()
    })
}

fn some_map() -> Affine {
    Affine::scale(-1.1, 1.1).then(&Affine::rotation(0.4)).then(&Affine::translation(1.3, -0.6))
}

#[test]
fn a_map_and_its_inverse_give_a_smooth_image_back() {
    let shape = Shape { channels: 2, height: 40, width: 60 };
    let before = waves(shape);
    let back = some_map().inverse().of_image(shape, &some_map().of_image(shape, &before));
    let off = off_within(shape, 14, &back, &before);
    assert!(off < 2e-3, "{off}");
}

/// A map of the plane and the image that it makes are the same thing: a smooth function is sampled where the
/// inverse takes each pixel.
#[test]
fn an_image_under_a_map_is_the_image_where_the_inverse_takes_its_pixels() {
    let shape = Shape { channels: 1, height: 40, width: 60 };
    let parabola = |[x, y]: [f64; 2]| 1e-3 * (x * x + 0.5 * y * y) - 0.02 * x + 0.01 * y;
    let point = |y: usize, x: usize| [x as f64 - 29.5, y as f64 - 19.5];
    let before = image(shape, |_, y, x| parabola(point(y, x)) as f32);
    for map in [some_map(), Affine::rotation(0.2).then(&Affine::translation(0.25, 2.5))] {
        let expected = image(shape, |_, y, x| parabola(map.inverse().at(point(y, x))) as f32);
        let off = off_within(shape, 12, &map.of_image(shape, &before), &expected);
        assert!(off < 1e-5, "{off}");
    }
}

#[test]
fn a_smaller_image_is_averaged_and_no_pattern_comes_from_fine_lines() {
    let shape = Shape { channels: 1, height: 24, width: 24 };
    let stripes = image(shape, |_, _, x| if x % 2 == 0 { 1.0 } else { -1.0 });
    let smaller = Affine::scale(0.5, 0.5).of_image(shape, &stripes);
    // Further out, two stripes of the same value meet where the image is mirrored.
    let most = off_within(shape, 8, &smaller, &vec![0.0; shape.len()]);
    assert!(most < 0.05, "{most}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_comes_out_of_a_flat_image_but_itself_and_the_range_is_kept(
        seed: u64, height in 1usize..20, width in 1usize..20, value in -1f32..1.0,
    ) {
        let shape = Shape { channels: 2, height, width };
        let change = Augmentation::new(seed, 0, 1.0);
        let mut flat = vec![value; shape.len()];
        change.apply(shape, &mut flat);
        prop_assert!(flat.iter().all(|v| (v - value).abs() < 1e-5));
        let mut image: Vec<f32> = noise(shape).iter().map(|v| v.signum()).collect();
        change.apply(shape, &mut image);
        prop_assert!(image.iter().all(|v| (-1.0..=1.0).contains(v)));
    }

    #[test]
    fn maps_are_composed_and_inverted_as_functions(seed: u64, x in -9.0..9.0, y in -9.0..9.0) {
        let map = |index| Augmentation::new(seed, index, 1.0).map(SHAPES[1]);
        let (first, second) = (map(0), map(1));
        let close = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-9;
        prop_assert!(close(first.then(&second).at([x, y]), second.at(first.at([x, y]))));
        prop_assert!(close(first.inverse().at(first.at([x, y])), [x, y]));
    }
}

/// The rows of the paper's table, one at a time: 2^0.2 for scales, an eighth of the sides for moves.
#[test]
fn each_transformation_is_that_of_the_paper() {
    let (shape, none, s) = (Shape { channels: 1, height: 8, width: 16 }, Augmentation::NONE, 0.2f64.exp2());
    let half = 0.5 * (s + 1.0 / s);
    let rest = 0.5 * (s - 1.0 / s);
    let cases = [
        (none, [[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
        (Augmentation { flips: [true, false], ..none }, [[-1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
        (Augmentation { flips: [false, true], ..none }, [[1.0, 0.0], [0.0, -1.0]], [0.0, 0.0]),
        (Augmentation { scale: 1.0, ..none }, [[s, 0.0], [0.0, s]], [0.0, 0.0]),
        (Augmentation { rotation: FRAC_PI_2, ..none }, [[0.0, -1.0], [1.0, 0.0]], [0.0, 0.0]),
        // Stretched along x, along y, and along the diagonal from top left to bottom right.
        (Augmentation { anisotropy: [1.0, 0.0], ..none }, [[s, 0.0], [0.0, 1.0 / s]], [0.0, 0.0]),
        (Augmentation { anisotropy: [-1.0, 0.0], ..none }, [[1.0 / s, 0.0], [0.0, s]], [0.0, 0.0]),
        (Augmentation { anisotropy: [0.0, 1.0], ..none }, [[half, rest], [rest, half]], [0.0, 0.0]),
        (Augmentation { translation: [1.0, -2.0], ..none }, [[1.0, 0.0], [0.0, 1.0]], [2.0, -2.0]),
    ];
    for (change, linear, shift) in cases {
        let map = change.map(shape);
        let found = map.linear.as_flattened().iter().chain(&map.shift);
        for (found, expected) in found.zip(linear.as_flattened().iter().chain(&shift)) {
            assert!((found - expected).abs() < 1e-12, "{change:?}: {map:?}");
        }
    }
}

#[test]
fn all_of_them_follow_each_other_in_the_papers_order() {
    let shape = Shape { channels: 1, height: 8, width: 16 };
    let all = Augmentation {
        flips: [true, false],
        scale: 0.5,
        rotation: 0.7,
        anisotropy: [0.3, -0.8],
        translation: [0.4, 0.9],
    };
    let none = Augmentation::NONE;
    let parts = [
        Augmentation { flips: all.flips, ..none },
        Augmentation { scale: all.scale, ..none },
        Augmentation { rotation: all.rotation, ..none },
        Augmentation { anisotropy: all.anisotropy, ..none },
        Augmentation { translation: all.translation, ..none },
    ];
    let expected = parts.iter().fold([1.5, -2.0], |point, part| part.map(shape).at(point));
    let found = all.map(shape).at([1.5, -2.0]);
    assert!((found[0] - expected[0]).hypot(found[1] - expected[1]) < 1e-12, "{found:?} {expected:?}");
}

/// Means and deviations of 20,000 draws, within six standard errors.
#[test]
fn transformations_come_as_often_as_they_should_and_have_the_papers_distributions() {
    let count = 20_000;
    for probability in [0.12, 1.0] {
        let drawn: Vec<_> = (0..count).map(|i| Augmentation::new(3, i, probability)).collect();
        let share = |is: &dyn Fn(&Augmentation) -> bool| {
            drawn.iter().filter(|change| is(change)).count() as f64 / count as f64
        };
        let about = |what: &str, found: f64, expected: f64| {
            let error = (expected * (1.0 - expected) / count as f64).sqrt();
            assert!((found - expected).abs() <= 6.0 * error, "{what} at {probability}: {found}, {expected}");
        };
        about("flip in x", share(&|change| change.flips[0]), probability / 2.0);
        about("flip in y", share(&|change| change.flips[1]), probability / 2.0);
        about("scale", share(&|change| change.scale != 0.0), probability);
        about("rotation", share(&|change| change.rotation != 0.0), probability);
        about("anisotropy", share(&|change| change.anisotropy != [0.0, 0.0]), probability);
        about("translation", share(&|change| change.translation != [0.0, 0.0]), probability);
        let untouched = (1.0 - probability / 2.0).powi(2) * (1.0 - probability).powi(4);
        about("nothing", share(&|change| *change == Augmentation::NONE), untouched);
    }
    let drawn: Vec<_> = (0..count).map(|i| Augmentation::new(4, i, 1.0)).collect();
    let variance = |of: &dyn Fn(&Augmentation) -> f64| {
        let sum = |power: i32| drawn.iter().map(|change| of(change).powi(power)).sum::<f64>() / count as f64;
        assert!(sum(1).abs() < 0.1, "mean {}", sum(1));
        sum(2)
    };
    let uniform = std::f64::consts::PI.powi(2) / 3.0;
    for (found, expected) in [
        (variance(&|change| change.scale), 1.0),
        (variance(&|change| change.rotation), uniform),
        (variance(&|change| change.anisotropy[0]), 0.5),
        (variance(&|change| change.anisotropy[1]), 0.5),
        (variance(&|change| change.translation[0]), 1.0),
        (variance(&|change| change.translation[1]), 1.0),
    ] {
        assert!((found / expected - 1.0).abs() < 0.06, "{found}, {expected}");
    }
}

#[test]
fn an_images_changes_are_a_function_of_seed_and_index_and_none_at_probability_zero() {
    let forwards: Vec<_> = (0..50).map(|i| Augmentation::new(3, i, 0.5)).collect();
    let mut backwards: Vec<_> = (0..50).rev().map(|i| Augmentation::new(3, i, 0.5)).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert!(forwards != (0..50).map(|i| Augmentation::new(4, i, 0.5)).collect::<Vec<_>>());
    assert!((0..50).all(|i| Augmentation::new(3, i, 0.0) == Augmentation::NONE));
}

#[test]
fn the_network_is_told_zeros_where_nothing_is_done_and_only_there() {
    assert_eq!(Augmentation::NONE.labels(), [0.0; Augmentation::LABELS]);
    for index in 0..2000 {
        let change = Augmentation::new(5, index, 0.12);
        let untold = change.labels() == [0.0; Augmentation::LABELS];
        assert_eq!(untold, change == Augmentation::NONE, "{change:?}");
    }
}

#[test]
fn half_of_the_images_are_mirrored_and_which_is_a_function_of_seed_and_index() {
    let count = |flip: Flip, axes: [bool; 2]| (0..4000).filter(|&i| flip.axes(1, i) == axes).count();
    assert_eq!(count(Flip::Off, [false, false]), 4000);
    assert!(count(Flip::Horizontal, [true, false]).abs_diff(2000) < 200);
    assert_eq!(count(Flip::Horizontal, [false, true]) + count(Flip::Horizontal, [true, true]), 0);
    for axes in [[false, false], [false, true], [true, false], [true, true]] {
        assert!(count(Flip::Both, axes).abs_diff(1000) < 200, "{axes:?}");
    }
    assert!((0..50).any(|i| Flip::Horizontal.axes(1, i) != Flip::Horizontal.axes(2, i)));
}

#[test]
fn flips_are_read_by_the_name_that_they_print() {
    for flip in [Flip::Off, Flip::Horizontal, Flip::Both] {
        assert_eq!(flip.to_string().parse::<Flip>().unwrap(), flip);
        assert_eq!(serde_json::from_value::<Flip>(serde_json::to_value(flip).unwrap()).unwrap(), flip);
    }
    let error = "vertical".parse::<Flip>().unwrap_err();
    assert!(error.contains("\"vertical\"") && error.contains("off, horizontal, both"), "{error}");
}

#[test]
fn a_probability_out_of_its_range_is_refused_with_the_range() {
    for augment in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = TrainOptions { augment, ..options() }.validate().unwrap_err().to_string();
        assert!(error.contains("augment = ") && error.contains("0 to 1"), "{error}");
    }
}

fn batch(dataset: &duet_data::Dataset, indices: &[usize]) -> Batch {
    Batch::from_dataset(dataset, indices, &Device::Cpu).unwrap()
}

fn new(options: &TrainOptions) -> Trainer {
    Trainer::new(&network(false), &diffusion(Prediction::V), options, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The same draws on images that are mirrored before: a flip is nothing else.
#[test]
fn training_with_flips_is_training_on_the_images_that_flips_make() {
    let dataset = two_sides(8);
    for flip in [Flip::Horizontal, Flip::Both] {
        let mut flips = new(&TrainOptions { flip, ..options() });
        let mut by_hand = new(&options());
        for step in 0..2u64 {
            let batches = [batch(&dataset, &[0, 1, 2]), batch(&dataset, &[3, 4, 5])];
            let mirrored: Vec<Batch> = (0..)
                .zip(&batches)
                .map(|(i, batch)| {
                    let rows = (0..3u64).map(|j| {
                        let [in_x, in_y] = flip.axes(7, 6 * step + 3 * i + j);
                        let mut image = values(&batch.images.get(j as usize).unwrap());
                        let shape = dataset.shape();
                        let turn = |x: bool, side: usize, at: usize| if x { side - 1 - at } else { at };
                        let before = image.clone();
                        for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
                            image[y * 8 + x] = at(shape, &before, (0, turn(in_y, 8, y), turn(in_x, 8, x)));
                        }
                        image
                    });
                    let images =
                        Tensor::from_vec(rows.flatten().collect::<Vec<_>>(), (3, 1, 8, 8), &Device::Cpu);
                    Batch { images: images.unwrap(), labels: batch.labels.clone() }
                })
                .collect();
            assert_eq!(flips.step(&batches).unwrap(), by_hand.step(&mirrored).unwrap());
        }
        assert!(saved(&flips) == saved(&by_hand));
    }
}

/// By the public parts: the images after their changes, noise, the network that is told, the mean square.
#[test]
fn the_loss_is_that_of_changed_images_of_which_the_network_is_told() {
    let options = TrainOptions {
        augment: 0.8,
        loss_weighting: LossWeighting::Uniform,
        label_dropout: 0.0,
        accumulate: 1,
        batch: 6,
        ..options()
    };
    let mut trainer = new(&options);
    let dataset = two_sides(8);
    let (batch, schedule) = (batch(&dataset, &[0, 1, 2, 3, 4, 5]), trainer.schedule().clone());
    let mut sum = 0.0;
    for i in 0..6u64 {
        let mut x_0 = values(&batch.images.get(i as usize).unwrap());
        let change = Augmentation::new(7, i, 0.8);
        change.apply(dataset.shape(), &mut x_0);
        let t = ImageDraws::new(7, i, 1000, 0.0).timestep;
        let mut noise = vec![0f32; x_0.len()];
        ImageDraws::noise(7, i, &mut noise);
        let (mut x_t, mut target) = (noise.clone(), noise.clone());
        schedule.x_t(t, &x_0, &noise, &mut x_t);
        Prediction::V.target((&schedule, t), &x_0, &noise, &mut target);
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, (1, 1, 8, 8), &Device::Cpu).unwrap();
        let inputs = NetworkInputs {
            x: &tensor(x_t),
            t: &Tensor::new(&[t as u32], &Device::Cpu).unwrap(),
            labels: Some(&Tensor::new(&[batch.labels[i as usize]], &Device::Cpu).unwrap()),
            augment_labels: Some(&Tensor::new(&[change.labels()], &Device::Cpu).unwrap()),
        };
        let error = (trainer.unet().forward_of(&inputs).unwrap() - tensor(target)).unwrap();
        sum += f64::from(error.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap());
    }
    let loss = trainer.step(&[batch]).unwrap().loss;
    assert!((loss / (sum / 6.0) - 1.0).abs() < 1e-5, "{loss}, by hand {}", sum / 6.0);
}

#[test]
fn the_model_of_an_augmented_training_has_the_parameters_that_diffusers_knows() {
    let mut augmented = new(&TrainOptions { augment: 0.5, ..options() });
    let mut plain = new(&options());
    let dataset = two_sides(8);
    let batches = [batch(&dataset, &[0, 1, 2]), batch(&dataset, &[3, 4, 5])];
    augmented.step(&batches).unwrap();
    plain.step(&batches).unwrap();
    let (augmented_files, plain_files) = (saved(&augmented), saved(&plain));
    let names = |files: &std::collections::BTreeMap<String, Vec<u8>>, file: &str| {
        let tensors = candle_core::safetensors::load_buffer(&files[file], &Device::Cpu).unwrap();
        tensors.into_keys().collect::<std::collections::BTreeSet<_>>()
    };
    let unet = "unet/diffusion_pytorch_model.safetensors";
    assert_eq!(names(&augmented_files, unet), names(&plain_files, unet));
    assert_eq!(augmented_files["unet/config.json"], plain_files["unet/config.json"]);
    let state = "training_state.safetensors";
    let more = names(&augmented_files, state);
    let more: Vec<_> = more.difference(&names(&plain_files, state)).cloned().collect();
    let expected = ["adam_m", "adam_v", "weights"].map(|prefix| format!("{prefix}.{AUGMENT_EMBEDDING}"));
    assert_eq!(more, expected, "for the resume alone");
    assert!(!augmented.power_averages().keys().any(|name| name.contains("augment")));
    assert!(augmented.ema_parameters().iter().count() + 1 == augmented.parameters().len());
}
