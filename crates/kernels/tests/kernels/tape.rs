//! The tape's operations and their gradients against the naive loops, with each instruction set.
use duet_kernels::reference::{self, ConvShape, NormShape};
use duet_kernels::tape::{Images, Tape};
use duet_kernels::{Activation, Conv2d, InstructionSet, Padding, with_instruction_set};
use duet_kernels::{ConvWeights, NormWeights, Sum};
use duet_random::Draws;
use proptest::prelude::*;
use std::sync::Arc;

const SETS: [InstructionSet; 3] = [InstructionSet::Portable, InstructionSet::Vector, InstructionSet::Widest];

fn normals(purpose: &str, n: usize) -> Vec<f32> {
    let mut values = vec![0f32; n];
    Draws::new(0, purpose, n as u64).fill_normal(&mut values);
    values
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Largest difference, relative to the largest magnitude of the expected values (at least 1).
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let scale = expected.iter().fold(1f64, |m, v| m.max(v.abs()));
    actual.iter().zip(expected).fold(0f64, |m, (&a, &e)| m.max((f64::from(a) - e).abs())) / scale
}

fn dot(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a * f64::from(b)).sum()
}

/// (batch, a, b) as (batch, b, a).
fn swapped<T: Copy>(values: &[T], (batch, a, b): (usize, usize, usize)) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for image in 0..batch {
        for j in 0..b {
            for i in 0..a {
                out.push(values[(image * a + i) * b + j]);
            }
        }
    }
    out
}

/// Compares a gradient with central differences of a function in f64, at up to 24 places.
fn agrees_with_differences(what: &str, gradient: &[f32], at: &[f32], f: impl Fn(&[f64]) -> f64) {
    let at = f64s(at);
    let step = 1e-5;
    let stride = at.len().div_ceil(24);
    let mut expected = Vec::new();
    let mut actual = Vec::new();
    for i in (0..at.len()).step_by(stride) {
        let (mut more, mut less) = (at.clone(), at.clone());
        more[i] += step;
        less[i] -= step;
        expected.push((f(&more) - f(&less)) / (2.0 * step));
        actual.push(gradient[i]);
    }
    let worst = error(&actual, &expected);
    assert!(worst < 1e-4, "{what}: {worst}");
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let channels = || prop_oneof![1usize..24, Just(32), Just(40)];
    let kernel =
        prop_oneof![Just((1, 1)), Just((3, 3)), Just((3, 3)), Just((3, 3)), Just((2, 3)), Just((5, 1))];
    let padding = (0usize..3, 0usize..3, 0usize..3, 0usize..3);
    ((1usize..4, channels(), 1usize..14, 1usize..14, channels()), kernel, 1usize..3, padding).prop_filter_map(
        "a kernel larger than its input",
        |((batch, channels, height, width, outputs), kernel, stride, p)| {
            let padding = Padding { top: p.0, bottom: p.1, left: p.2, right: p.3 };
            let fits = height + p.0 + p.1 >= kernel.0 && width + p.2 + p.3 >= kernel.1;
            let options = Conv2d { stride, padding };
            fits.then_some(ConvShape { batch, channels, height, width, outputs, kernel, options })
        },
    )
}

/// (conv(x, w) + bias + time + residual) · scale and all its gradients.
fn convolution_agrees(s: &ConvShape) {
    let scale = 0.5f32;
    let (height, width) = s.out();
    let (pixels, taps) = (height * width, s.kernel.0 * s.kernel.1);
    let x = normals("x", s.batch * s.channels * s.height * s.width);
    let w = normals("w", s.outputs * s.channels * taps);
    let (bias, time) = (normals("bias", s.outputs), normals("time", s.batch * s.outputs));
    let (residual, grad) =
        (normals("residual", s.batch * s.outputs * pixels), normals("grad", s.batch * s.outputs * pixels));
    // The naive loops want channels first.
    let first = |values: &[f32], pixels: usize, channels: usize| swapped(values, (s.batch, pixels, channels));
    let x_first = first(&x, s.height * s.width, s.channels);
    let scaled: Vec<f32> = grad.iter().map(|g| g * scale).collect();
    let mut y = swapped(&reference::conv2d(s, &x_first, &w), (s.batch, s.outputs, pixels));
    for (i, y) in y.iter_mut().enumerate() {
        let (image, o) = (i / (s.outputs * pixels), i % s.outputs);
        let sum = *y + f64::from(bias[o]) + f64::from(time[image * s.outputs + o]) + f64::from(residual[i]);
        *y = sum * f64::from(scale);
    }
    let (grad_x, grad_w) = reference::conv2d_gradients(s, &x_first, &w, &first(&scaled, pixels, s.outputs));
    let grad_x = swapped(&grad_x, (s.batch, s.channels, s.height * s.width));
    let (mut grad_time, mut grad_bias) = (vec![0f64; time.len()], vec![0f64; s.outputs]);
    for (i, &g) in scaled.iter().enumerate() {
        let (image, o) = (i / (s.outputs * pixels), i % s.outputs);
        grad_time[image * s.outputs + o] += f64::from(g);
        grad_bias[o] += f64::from(g);
    }

    for set in SETS {
        with_instruction_set(set, || {
            let weights = Arc::new(ConvWeights::new("conv", &w, &bias, s.channels, s.kernel, true));
            let mut tape = Tape::recording();
            let x = tape.variable("x", &Images::new([s.batch, s.height, s.width, s.channels], &x));
            let time = tape.variable("time", &Images::new([s.batch, 1, 1, s.outputs], &time));
            let residual =
                tape.variable("residual", &Images::new([s.batch, height, width, s.outputs], &residual));
            let sum = Sum { time: Some(&time), residual: Some(&residual), scale };
            let out = tape.conv(&x, &weights, s.options.stride, s.options.padding, sum);
            assert!(error(out.values(), &y) < 2e-5, "{set:?} forward of {s:?}: {}", error(out.values(), &y));
            let gradients = tape.backward(&out, &grad);
            let expected = [
                ("x", &grad_x),
                ("conv.weight", &grad_w),
                ("conv.bias", &grad_bias),
                ("time", &grad_time),
                ("residual", &f64s(&scaled)),
            ];
            for (name, expected) in expected {
                let worst = error(&gradients.get(name).expect(name), expected);
                assert!(worst < 4e-5, "{set:?} gradient of {name} of {s:?}: {worst}");
            }
            // ⟨conv(x, w), y⟩ = ⟨x, grad_x⟩ = ⟨w, grad_w⟩ needs a convolution without its sum.
            let mut tape = Tape::recording();
            let x = tape.variable("x", &x);
            let bare =
                Arc::new(ConvWeights::new("conv", &w, &vec![0.0; s.outputs], s.channels, s.kernel, true));
            let out = tape.conv(&x, &bare, s.options.stride, s.options.padding, Sum::NOTHING);
            let (forward, values) = (dot(&f64s(out.values()), &grad), x.values().to_vec());
            let gradients = tape.backward(&out, &grad);
            let magnitude = (s.batch * pixels * s.outputs * s.channels * taps) as f64;
            for (name, at) in [("x", &values), ("conv.weight", &w)] {
                let adjoint = dot(&f64s(&gradients.get(name).expect(name)), at);
                assert!(
                    (forward - adjoint).abs() < 1e-5 * magnitude,
                    "{set:?} {name} of {s:?}: {forward} {adjoint}"
                );
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn any_convolution_agrees_with_the_naive_loops(s in shapes()) {
        convolution_agrees(&s);
    }

    #[test]
    fn any_normalisation_agrees_with_the_naive_loops(
        (batch, pixels, groups, width) in (1usize..4, 1usize..150, 1usize..6, 1usize..12),
        silu: bool,
        modulated: bool,
    ) {
        let channels = groups * width;
        let s = NormShape { batch, pixels, channels, groups, eps: 1e-5, silu };
        let x: Vec<f32> = normals("x", batch * pixels * channels).iter().map(|x| 2.0 * x + 3.0).collect();
        let (weight, bias) = (normals("weight", channels), normals("bias", channels));
        let modulation = normals("modulation", batch * 2 * channels);
        let y = |x: &[f64], weight: &[f64], bias: &[f64], modulation: &[f64]| {
            reference::group_norm(&s, x, weight, bias, modulated.then_some(modulation))
        };
        let (w64, b64, m64, x64) = (f64s(&weight), f64s(&bias), f64s(&modulation), f64s(&x));
        let grad = normals("grad", x.len());
        for set in SETS {
            with_instruction_set(set, || {
                let weights = Arc::new(NormWeights::new("norm", &weight, &bias, groups, s.eps));
                let mut tape = Tape::recording();
                let input = tape.variable("x", &Images::new([batch, pixels, 1, channels], &x));
                let factors = tape.variable("modulation", &Images::new([batch, 1, 1, 2 * channels], &modulation));
                let activation = if silu { Activation::Silu } else { Activation::None };
                let out = tape.norm(&input, &weights, activation, modulated.then_some(&factors));
                let worst = error(out.values(), &y(&x64, &w64, &b64, &m64));
                // A group of one value leaves only rounding errors.
                assert!(worst < 2e-5 || pixels * width < 3, "{set:?} {s:?}: {worst}");
                let gradients = tape.backward(&out, &grad);
                let of = |name: &str| gradients.get(name).expect(name);
                if pixels * width >= 8 {
                    agrees_with_differences("x", &of("x"), &x, |x| dot(&y(x, &w64, &b64, &m64), &grad));
                }
                agrees_with_differences("weight", &of("norm.weight"), &weight, |w| dot(&y(&x64, w, &b64, &m64), &grad));
                agrees_with_differences("bias", &of("norm.bias"), &bias, |b| dot(&y(&x64, &w64, b, &m64), &grad));
                if modulated {
                    agrees_with_differences("modulation", &of("modulation"), &modulation, |m| {
                        dot(&y(&x64, &w64, &b64, m), &grad)
                    });
                }
            });
        }
    }

    #[test]
    fn any_attention_agrees_with_the_naive_loops(
        (batch, tokens, heads, width) in (1usize..3, 1usize..30, 1usize..4, 1usize..20),
    ) {
        let n = batch * tokens * heads * width;
        let inputs = [normals("q", n), normals("k", n + 1)[..n].to_vec(), normals("v", n + 2)[..n].to_vec()];
        let [q, k, v] = [0, 1, 2].map(|i| f64s(&inputs[i]));
        let y = |q: &[f64], k: &[f64], v: &[f64]| reference::attention((batch, tokens, heads, width), q, k, v);
        let grad = normals("grad", n);
        for set in SETS {
            with_instruction_set(set, || {
                let mut tape = Tape::recording();
                let mut variable = |name: &str, values: &[f32]| {
                    tape.variable(name, &Images::new([batch, tokens, 1, heads * width], values))
                };
                let images = [variable("q", &inputs[0]), variable("k", &inputs[1]), variable("v", &inputs[2])];
                let out = tape.attention([&images[0], &images[1], &images[2]], heads);
                assert!(error(out.values(), &y(&q, &k, &v)) < 1e-5, "{set:?}");
                let gradients = tape.backward(&out, &grad);
                let of = |name: &str| gradients.get(name).expect(name);
                agrees_with_differences("q", &of("q"), &inputs[0], |q| dot(&y(q, &k, &v), &grad));
                agrees_with_differences("k", &of("k"), &inputs[1], |k| dot(&y(&q, k, &v), &grad));
                agrees_with_differences("v", &of("v"), &inputs[2], |v| dot(&y(&q, &k, v), &grad));
            });
        }
    }
}

/// An attention's result and the gradients of q, k and v; all are (batch, tokens, heads · width).
fn attend(
    (batch, tokens, heads, width): (usize, usize, usize, usize),
    inputs: &[Vec<f32>; 3],
    grad: &[f32],
) -> [Vec<f32>; 4] {
    let mut tape = Tape::recording();
    let mut variable = |name: &str, values: &[f32]| {
        tape.variable(name, &Images::new([batch, tokens, 1, heads * width], values))
    };
    let images = [variable("q", &inputs[0]), variable("k", &inputs[1]), variable("v", &inputs[2])];
    let out = tape.attention([&images[0], &images[1], &images[2]], heads);
    let (values, gradients) = (out.values().to_vec(), tape.backward(&out, grad));
    let of = |name: &str| gradients.get(name).expect(name);
    [values, of("q"), of("k"), of("v")]
}

/// There are more tokens than in a block, and later keys have larger scores: the earlier sums must shrink.
#[test]
fn attention_in_blocks_agrees_with_the_naive_loops() {
    for (tokens, heads, width) in [(97, 2, 5), (256, 1, 32), (257, 2, 8), (530, 1, 64), (784, 1, 17)] {
        for growth in [0.0, 4.0] {
            let sizes = (2, tokens, heads, width);
            let n = 2 * tokens * heads * width;
            let mut inputs = ["q", "k", "v"].map(|name| normals(name, n));
            let image = tokens * heads * width;
            for (i, k) in inputs[1].iter_mut().enumerate() {
                *k *= 1.0 + growth * (i % image) as f32 / image as f32;
            }
            let grad = normals("grad", n);
            let [q, k, v] = inputs.each_ref().map(|values| f64s(values));
            let y = reference::attention(sizes, &q, &k, &v);
            let [grad_q, grad_k, grad_v] = reference::attention_gradients(sizes, [&q, &k, &v], &f64s(&grad));
            let expected = [("y", y), ("q", grad_q), ("k", grad_k), ("v", grad_v)];
            for set in SETS {
                let actual = with_instruction_set(set, || attend(sizes, &inputs, &grad));
                for ((name, expected), actual) in expected.iter().zip(actual) {
                    let worst = error(&actual, expected);
                    assert!(worst < 1e-5, "{set:?} {name} of {sizes:?}, growth {growth}: {worst}");
                }
            }
        }
    }
}

#[test]
fn an_image_attends_alike_alone_and_in_a_batch() {
    let (tokens, heads, width) = (300, 2, 8);
    let image = tokens * heads * width;
    let inputs = ["q", "k", "v"].map(|name| normals(name, 3 * image));
    let grad = normals("grad", 3 * image);
    let together = attend((3, tokens, heads, width), &inputs, &grad);
    for i in 0..3 {
        let own = i * image..(i + 1) * image;
        let alone = inputs.each_ref().map(|values| values[own.clone()].to_vec());
        let alone = attend((1, tokens, heads, width), &alone, &grad[own.clone()]);
        for (together, alone) in together.iter().zip(alone) {
            assert_eq!(together[own.clone()], alone);
        }
    }
}

/// Scores of ±10⁶ leave one key to each query; the others' exponentials are zero, not garbage.
#[test]
fn attention_with_extreme_scores_chooses_one_key() {
    let (tokens, width) = (300, 8);
    let n = tokens * width;
    // Every key is a multiple of the same vector; the last token has the longest key.
    let k: Vec<f32> = (0..n).map(|i| if i % width == 0 { (i / width) as f32 * 100.0 } else { 0.0 }).collect();
    let q: Vec<f32> = (0..n).map(|i| if i % width == 0 { 100.0 } else { 0.0 }).collect();
    let v = normals("v", n);
    for set in SETS {
        let results = with_instruction_set(set, || {
            attend((1, tokens, 1, width), &[q.clone(), k.clone(), v.clone()], &normals("grad", n))
        });
        for row in results[0].chunks(width) {
            assert_eq!(row, &v[n - width..], "{set:?}");
        }
        assert!(results.iter().flatten().all(|value| value.is_finite()), "{set:?}");
    }
}

#[test]
fn attention_passes_on_what_is_no_number() {
    let (tokens, width) = (300, 8);
    for (which, token) in [(0, 3), (1, 0), (1, 290), (2, 17)] {
        let mut inputs = ["q", "k", "v"].map(|name| normals(name, tokens * width));
        inputs[which][token * width] = f32::NAN;
        for set in SETS {
            let [y, ..] = with_instruction_set(set, || {
                attend((1, tokens, 1, width), &inputs, &normals("grad", tokens * width))
            });
            let nan = |row: &[f32]| row.iter().any(|value| value.is_nan());
            let rows = y.chunks(width).filter(|row| nan(row)).count();
            let expected = if which == 0 { 1 } else { tokens };
            assert_eq!(rows, expected, "{set:?}, input {which}, token {token}");
        }
    }
}

/// Doubling, joining, adding and SiLU, each used twice so that gradients must be added.
#[test]
fn the_small_operations_add_their_gradients() {
    let (shape, n) = ([2, 3, 5, 7], 2 * 3 * 5 * 7);
    let (a, b) = (normals("a", n), normals("b", n + 1)[..n].to_vec());
    let silu = |x: f64| x / (1.0 + (-x).exp());
    // y = double(join(silu(a) + b, a)), channel by channel.
    let y = |a: &[f64], b: &[f64]| -> Vec<f64> {
        let at = |image: usize, row: usize, column: usize, c: usize| ((image * 3 + row) * 5 + column) * 7 + c;
        let mut y = Vec::new();
        for image in 0..2 {
            for row in 0..6 {
                for column in 0..10 {
                    for c in 0..14 {
                        let i = at(image, row / 2, column / 2, c % 7);
                        y.push(if c < 7 { silu(a[i]) + b[i] } else { a[i] });
                    }
                }
            }
        }
        y
    };
    let grad = normals("grad", 2 * 6 * 10 * 14);
    for set in SETS {
        with_instruction_set(set, || {
            let mut tape = Tape::recording();
            let (x, z) =
                (tape.variable("a", &Images::new(shape, &a)), tape.variable("b", &Images::new(shape, &b)));
            let activated = tape.activation(&x, Activation::Silu);
            let sum = tape.add(&activated, &z);
            let joined = tape.concat(&sum, &x);
            let out = tape.double(&joined);
            let (a64, b64) = (f64s(&a), f64s(&b));
            assert!(error(out.values(), &y(&a64, &b64)) < 1e-6, "{set:?}");
            let gradients = tape.backward(&out, &grad);
            let of = |name: &str| gradients.get(name).expect(name);
            agrees_with_differences("a", &of("a"), &a, |a| dot(&y(a, &b64), &grad));
            agrees_with_differences("b", &of("b"), &b, |b| dot(&y(&a64, b), &grad));
        });
    }
}

/// Each activation against its formula in f64, at values where the naive formula would overflow too.
#[test]
fn every_activation_and_its_slope_agree_with_the_formulas() {
    type Formula = fn(f64) -> f64;
    let formulas: [(Activation, Formula); 5] = [
        (Activation::None, |x| x),
        (Activation::Silu, |x| x / (1.0 + (-x).exp())),
        (Activation::Relu, |x| x.max(0.0)),
        (Activation::Gelu, |x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))),
        (Activation::Mish, |x| x * x.exp().ln_1p().tanh()),
    ];
    let mut x = normals("x", 200);
    x.iter_mut().for_each(|x| *x *= 4.0);
    for (activation, formula) in formulas {
        let grad = normals("grad", 200);
        for set in SETS {
            with_instruction_set(set, || {
                let mut tape = Tape::recording();
                let input = tape.variable("x", &Images::new([2, 5, 5, 4], &x));
                let out = tape.activation(&input, activation);
                let y = |x: &[f64]| x.iter().map(|&x| formula(x)).collect::<Vec<_>>();
                assert!(error(out.values(), &y(&f64s(&x))) < 1e-6, "{activation:?}");
                let gradients = tape.backward(&out, &grad).get("x").unwrap();
                agrees_with_differences("x", &gradients, &x, |x| dot(&y(x), &grad));
            });
        }
        // candle's own operations, forward and back.
        let tensor = candle_core::Var::new(x.as_slice(), &candle_core::Device::Cpu).unwrap();
        let y = activation.of(&tensor).unwrap();
        let expected: Vec<f64> = f64s(&x).into_iter().map(formula).collect();
        assert!(error(&y.to_vec1::<f32>().unwrap(), &expected) < 1e-6, "{activation:?}");
        let grads = y.sum_all().unwrap().backward().unwrap();
        let grad = grads.get(&tensor).unwrap().to_vec1::<f32>().unwrap();
        agrees_with_differences("candle", &grad, &x, |x| x.iter().map(|&x| formula(x)).sum());
        let mut tape = Tape::forward_only();
        let extreme = [-1e4f32, -100.0, 100.0, 1e4];
        let out = tape.activation(&Images::new([1, 1, 1, 4], &extreme), activation);
        assert!(out.values().iter().all(|y| y.is_finite()), "{activation:?}: {:?}", out.values());
    }
}

#[test]
fn halving_takes_means_and_images_take_their_factors() {
    let (shape, n) = ([3, 4, 6, 5], 3 * 4 * 6 * 5);
    let x = normals("x", n);
    let factors = [0.5f32, -2.0, 3.0];
    let y = |x: &[f64]| -> Vec<f64> {
        let mut y = Vec::new();
        for image in 0..3 {
            for row in 0..2 {
                for column in 0..3 {
                    for c in 0..5 {
                        let at =
                            |i: usize, j: usize| x[((image * 4 + 2 * row + i) * 6 + 2 * column + j) * 5 + c];
                        let mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4.0;
                        y.push(mean * f64::from(factors[image]));
                    }
                }
            }
        }
        y
    };
    let grad = normals("grad", n / 4);
    let mut tape = Tape::recording();
    let input = tape.variable("x", &Images::new(shape, &x));
    let halved = tape.halve(&input);
    let out = tape.scale_images(&halved, &factors);
    assert_eq!(out.shape(), [3, 2, 3, 5]);
    assert!(error(out.values(), &y(&f64s(&x))) < 1e-6);
    let gradient = tape.backward(&out, &grad).get("x").unwrap();
    agrees_with_differences("x", &gradient, &x, |x| dot(&y(x), &grad));
}

#[test]
fn the_mean_over_pixels_and_its_gradient_are_right() {
    let shape @ [batch, height, width, channels] = [3, 5, 2, 7];
    let pixels = height * width;
    let x = normals("x", batch * pixels * channels);
    let y = |x: &[f64]| -> Vec<f64> {
        let mean = |i: usize| {
            let first = i / channels * pixels * channels + i % channels;
            (0..pixels).map(|p| x[first + p * channels]).sum::<f64>() / pixels as f64
        };
        (0..batch * channels).map(mean).collect()
    };
    let grad = normals("grad", batch * channels);
    let mut tape = Tape::recording();
    let input = tape.variable("x", &Images::new(shape, &x));
    let out = tape.mean(&input);
    assert_eq!(out.shape(), [batch, 1, 1, channels]);
    assert!(error(out.values(), &y(&f64s(&x))) < 1e-6);
    let gradient = tape.backward(&out, &grad).get("x").unwrap();
    agrees_with_differences("x", &gradient, &x, |x| dot(&y(x), &grad));
}

/// There are few channels or many, because only Winograd's algorithm doubles images itself.
#[test]
fn a_convolution_of_doubled_images_is_one_after_doubling() {
    for (channels, outputs) in [(2, 3), (20, 18)] {
        let shape = [3, 5, 7, channels];
        let x = Images::new(shape, &normals("x", 3 * 5 * 7 * channels));
        let (w, bias) = (normals("w", outputs * channels * 9), normals("bias", outputs));
        let weights = Arc::new(ConvWeights::new("conv", &w, &bias, channels, (3, 3), true));
        let grad = normals("grad", 3 * 10 * 14 * outputs);
        let run = |at_once: bool| {
            let mut tape = Tape::recording();
            let x = tape.variable("x", &x);
            let y = match at_once {
                true => tape.conv_of_doubled(&x, &weights, Padding::all(1), Sum::NOTHING),
                false => {
                    let doubled = tape.double(&x);
                    tape.conv(&doubled, &weights, 1, Padding::all(1), Sum::NOTHING)
                }
            };
            assert_eq!(y.shape(), [3, 10, 14, outputs]);
            let (values, gradients) = (y.values().to_vec(), tape.backward(&y, &grad));
            let of = |name: &str| gradients.get(name).expect(name);
            [values, of("x"), of("conv.weight"), of("conv.bias")]
        };
        for (at_once, apart) in run(true).iter().zip(&run(false)) {
            assert!(error(at_once, &f64s(apart)) < 1e-6, "{channels} channels");
        }
    }
}

/// A convolution takes normalised images in parts, and sends their gradient on in parts. The same, on two tapes: one from the
/// normalised images on, and one up to them.
#[test]
fn a_gradient_goes_through_a_norm_in_parts_as_at_once() {
    // Images of one part each; several of a part; the last part is smaller.
    for (batch, side, channels) in [(3, 28, 32), (7, 14, 24), (5, 7, 20)] {
        let shape = [batch, side, side, channels];
        let x = Images::new(shape, &normals("x", batch * side * side * channels));
        let scales = normals("modulation", batch * 2 * channels);
        let modulation = Images::new([batch, 1, 1, 2 * channels], &scales);
        let (scale, shift) = (normals("scale", channels), normals("shift", channels));
        let norm = Arc::new(NormWeights::new("norm", &scale, &shift, 4, 1e-5));
        let weights = |name: &str, side: usize| {
            let (w, bias) = (normals(name, 16 * channels * side * side), normals("bias", 16));
            Arc::new(ConvWeights::new(name, &w, &bias, channels, (side, side), true))
        };
        let (conv, linear) = (weights("conv", 3), weights("linear", 1));
        let grad = normals("grad", batch * side * side * 16);
        // With both, the norm gets two gradients: one in parts, and one of all images.
        let after = |tape: &mut Tape, normal: &Images, both: bool| {
            let y = tape.conv(normal, &conv, 1, Padding::all(1), Sum::NOTHING);
            if !both {
                return y;
            }
            let other = tape.linear(normal, &linear, Sum::NOTHING);
            tape.add(&y, &other)
        };
        let begin = |tape: &mut Tape| {
            let (x, modulation) = (tape.variable("x", &x), tape.variable("modulation", &modulation));
            tape.norm(&x, &norm, Activation::Silu, Some(&modulation))
        };
        for both in [false, true] {
            let mut tape = Tape::recording();
            let normal = begin(&mut tape);
            let y = after(&mut tape, &normal, both);
            let actual = tape.backward(&y, &grad);
            let (mut first, mut second) = (Tape::recording(), Tape::recording());
            let normal = begin(&mut first);
            let at = second.variable("normal", &Images::new(shape, normal.values()));
            let y = after(&mut second, &at, both);
            let of_second = second.backward(&y, &grad);
            let of_first = first.backward(&normal, &of_second.get("normal").expect("normal"));
            for name in ["x", "modulation", "norm.weight", "norm.bias", "conv.weight", "conv.bias"] {
                let actual = actual.get(name).expect(name);
                let expected = of_first.get(name).or_else(|| of_second.get(name)).expect(name);
                let error = error(&actual, &f64s(&expected));
                assert!(error < 3e-6, "{batch} images of {side}×{side}, {both}: {error:.1e} in {name}");
            }
        }
    }
}

#[test]
fn rows_of_a_table_gather_the_gradients_of_their_images() {
    let (table, x) = (normals("table", 4 * 3), normals("x", 3 * 3));
    let labels = [2, 0, 2];
    let mut tape = Tape::recording();
    let input = tape.variable("x", &Images::new([3, 1, 1, 3], &x));
    let out = tape.add_rows(&input, "table", &table, &labels);
    for (image, &label) in labels.iter().enumerate() {
        for c in 0..3 {
            assert_eq!(out.values()[image * 3 + c], x[image * 3 + c] + table[label as usize * 3 + c]);
        }
    }
    let gradients = tape.backward(&out, &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 100.0, 200.0, 300.0]);
    assert_eq!(
        gradients.get("table").unwrap(),
        [10.0, 20.0, 30.0, 0.0, 0.0, 0.0, 101.0, 202.0, 303.0, 0.0, 0.0, 0.0]
    );
    assert_eq!(gradients.get("x").unwrap(), [1.0, 2.0, 3.0, 10.0, 20.0, 30.0, 100.0, 200.0, 300.0]);
}

/// docs/design/kernels.md quotes this bound: errors of F(4×4, 3×3) relative to the largest result.
#[test]
fn winograds_error_stays_within_its_bound() {
    for (channels, outputs, side) in [(32, 32, 28), (64, 64, 14), (128, 128, 7), (192, 64, 14), (64, 64, 13)]
    {
        let options = Conv2d { stride: 1, padding: Padding::all(1) };
        let kernel = (3, 3);
        let s = ConvShape { batch: 1, channels, height: side, width: side, outputs, kernel, options };
        let (x, w) = (normals("x", channels * side * side), normals("w", outputs * channels * 9));
        let exact = swapped(
            &reference::conv2d(&s, &swapped(&x, (1, side * side, channels)), &w),
            (1, outputs, side * side),
        );
        for set in SETS {
            with_instruction_set(set, || {
                let weights =
                    Arc::new(ConvWeights::new("conv", &w, &vec![0.0; outputs], channels, kernel, false));
                let x = Images::new([1, side, side, channels], &x);
                let y = Tape::forward_only().conv(&x, &weights, 1, Padding::all(1), Sum::NOTHING);
                let worst = error(y.values(), &exact);
                println!("{channels}→{outputs} at {side}×{side}, {set:?}: {worst:.1e}");
                assert!(worst < 1e-5, "{channels}→{outputs} at {side}×{side}, {set:?}: {worst}");
            });
        }
    }
}

#[test]
fn a_forward_only_tape_computes_the_same_values() {
    let weights = Arc::new(ConvWeights::new("conv", &normals("w", 8 * 8 * 9), &[0.1; 8], 8, (3, 3), true));
    let x = Images::new([2, 9, 9, 8], &normals("x", 2 * 81 * 8));
    let recorded = Tape::recording().conv(&x, &weights, 1, Padding::all(1), Sum::NOTHING);
    let forward = Tape::forward_only().conv(&x, &weights, 1, Padding::all(1), Sum::NOTHING);
    assert_eq!(recorded.values(), forward.values());
}

/// Images that are not on a tape have no place on it for a gradient.
#[test]
fn constants_take_no_gradient_and_disturb_none() {
    let values = normals("x", 2 * 9 * 8);
    let shape = [2, 3, 3, 8];
    let conv = Arc::new(ConvWeights::new("conv", &normals("w", 8 * 8), &[0.0; 8], 8, (1, 1), true));
    let norm = Arc::new(NormWeights::new("norm", &[1.0; 8], &[0.0; 8], 2, 1e-5));
    let gradient_of_x = |with_constants: bool| {
        let mut tape = Tape::recording();
        let x = tape.variable("x", &Images::new(shape, &values));
        let mut y = tape.activation(&x, Activation::Silu);
        if with_constants {
            let constant = Images::new(shape, &values);
            let modulation = Images::new([2, 1, 1, 16], &normals("m", 32));
            let normed = tape.norm(&constant, &norm, Activation::Silu, Some(&modulation));
            let sum = Sum { residual: Some(&constant), ..Sum::NOTHING };
            let convolved = tape.conv(&constant, &conv, 1, Padding::default(), sum);
            let mixed = tape.attention([&constant, &normed, &convolved], 2);
            let joined = tape.add(&mixed, &constant);
            y = tape.add(&y, &joined);
        }
        tape.backward(&y, &vec![1.0; values.len()]).get("x").unwrap()
    };
    assert_eq!(gradient_of_x(true), gradient_of_x(false));
}

/// A clock that goes on by a nanosecond each time it is asked.
fn counting_clock() -> std::time::Duration {
    static ASKED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    std::time::Duration::from_nanos(ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

#[test]
fn a_profile_counts_the_products_that_are_really_done() {
    use duet_kernels::profile::{self, Work};
    let weights =
        Arc::new(ConvWeights::new("profiled", &vec![0.5; 16 * 16 * 9], &[0.0; 16], 16, (3, 3), true));
    profile::start(counting_clock);
    let mut tape = Tape::recording();
    let x = tape.variable("x", &Images::new([2, 8, 8, 16], &vec![1.0; 2 * 8 * 8 * 16]));
    let y = tape.conv(&x, &weights, 1, Padding::all(1), Sum::NOTHING);
    tape.backward(&y, &vec![1.0; 2 * 8 * 8 * 16]);
    let spent = profile::stop();
    // Four tiles of 36 products in each of two images.
    let once = 2 * 4 * 36 * 16 * 16;
    for (backward, times) in [(false, 1), (true, 2)] {
        let products = spent[&("profiled".to_string(), backward, Work::Products)];
        assert_eq!(products.multiply_adds, times * once);
        assert!(!products.time.is_zero() && products.bytes > 0);
        assert!(!spent[&("profiled".to_string(), backward, Work::Transforms)].time.is_zero());
    }
    // Nothing is measured after the end.
    Tape::forward_only().conv(&x, &weights, 1, Padding::all(1), Sum::NOTHING);
    assert!(profile::stop().keys().all(|(layer, _, _)| layer != "profiled"));
}
