//! Convolution against the naive reference, candle's own op and the adjoint identity.
use candle_core::{DType, Device, Result, Tensor, Var};
use duet_kernels::reference::{self, ConvShape};
use duet_kernels::{Conv2d, Padding, conv2d};
use duet_random::Draws;
use proptest::prelude::*;

fn normals(purpose: &str, n: usize) -> Vec<f32> {
    let mut values = vec![0f32; n];
    Draws::new(0, purpose, n as u64).fill_normal(&mut values);
    values
}

/// Largest difference, relative to the largest magnitude of the expected values (at least 1).
fn error(actual: &Tensor, expected: &[f64]) -> f64 {
    let actual = actual.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(actual.len(), expected.len());
    let scale = expected.iter().fold(1f64, |m, v| m.max(v.abs()));
    let pairs = actual.iter().zip(expected);
    pairs.fold(0f64, |m, (&a, &e)| m.max((f64::from(a) - e).abs())) / scale
}

struct Case {
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    grad: Vec<f32>,
}

struct Outcome {
    y: Tensor,
    grad_x: Tensor,
    grad_w: Tensor,
    grad_bias: Tensor,
}

fn case(s: &ConvShape) -> Case {
    let (out_h, out_w) = s.out();
    Case {
        x: normals("x", s.batch * s.channels * s.height * s.width),
        w: normals("w", s.outputs * s.channels * s.kernel.0 * s.kernel.1),
        bias: normals("bias", s.outputs),
        grad: normals("grad", s.batch * s.outputs * out_h * out_w),
    }
}

fn run(s: &ConvShape, case: &Case) -> Result<Outcome> {
    let cpu = &Device::Cpu;
    let x = Var::from_tensor(&Tensor::from_slice(&case.x, (s.batch, s.channels, s.height, s.width), cpu)?)?;
    let w = Var::from_tensor(&Tensor::from_slice(
        &case.w,
        (s.outputs, s.channels, s.kernel.0, s.kernel.1),
        cpu,
    )?)?;
    let bias = Var::from_tensor(&Tensor::from_slice(&case.bias, s.outputs, cpu)?)?;
    let y = conv2d(&x, &w, &bias, s.options)?;
    let grads = (&y * Tensor::from_slice(&case.grad, y.shape(), cpu)?)?.sum_all()?.backward()?;
    let grad = |v: &Var| grads.get(v).expect("a gradient").clone();
    Ok(Outcome { grad_x: grad(&x), grad_w: grad(&w), grad_bias: grad(&bias), y: y.detach() })
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let sizes = (1usize..4, 1usize..8, 1usize..12, 1usize..12, 1usize..10);
    let kernel = prop_oneof![Just((1, 1)), Just((3, 3)), Just((2, 3)), Just((5, 1))];
    let padding = (0usize..3, 0usize..3, 0usize..3, 0usize..3);
    (sizes, kernel, 1usize..4, padding).prop_filter_map(
        "larger than its input",
        |(sizes, kernel, stride, p)| {
            let (batch, channels, height, width, outputs) = sizes;
            let padding = Padding { top: p.0, bottom: p.1, left: p.2, right: p.3 };
            let fits = height + p.0 + p.1 >= kernel.0 && width + p.2 + p.3 >= kernel.1;
            let options = Conv2d { stride, padding };
            fits.then_some(ConvShape { batch, channels, height, width, outputs, kernel, options })
        },
    )
}

fn square(
    batch: usize,
    channels: usize,
    side: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
) -> ConvShape {
    let options = Conv2d { stride, padding: Padding::all(kernel / 2) };
    ConvShape { batch, channels, height: side, width: side, outputs, kernel: (kernel, kernel), options }
}

fn agrees_with_reference(s: &ConvShape) {
    let case = case(s);
    let outcome = run(s, &case).unwrap();
    let (out_h, out_w) = s.out();
    let mut y = reference::conv2d(s, &case.x, &case.w);
    for (i, y) in y.iter_mut().enumerate() {
        *y += f64::from(case.bias[i / (out_h * out_w) % s.outputs]);
    }
    let (grad_x, grad_w) = reference::conv2d_gradients(s, &case.x, &case.w, &case.grad);
    let mut grad_bias = vec![0f64; s.outputs];
    for (i, &g) in case.grad.iter().enumerate() {
        grad_bias[i / (out_h * out_w) % s.outputs] += f64::from(g);
    }
    assert!(error(&outcome.y, &y) < 1e-5, "forward of {s:?}");
    assert!(error(&outcome.grad_x, &grad_x) < 1e-5, "input gradient of {s:?}");
    assert!(error(&outcome.grad_w, &grad_w) < 1e-5, "weight gradient of {s:?}");
    assert!(error(&outcome.grad_bias, &grad_bias) < 1e-5, "bias gradient of {s:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_shape_agrees_with_the_naive_loops(s in shapes()) {
        agrees_with_reference(&s);
    }

    /// ⟨conv(x, w), y⟩ = ⟨x, grad_x⟩ = ⟨w, grad_w⟩: the op is linear in x and in w.
    #[test]
    fn gradients_are_the_adjoints(s in shapes()) {
        let mut case = case(&s);
        case.bias.fill(0.0);
        let outcome = run(&s, &case).unwrap();
        let dot = |a: &Tensor, b: &[f32]| -> f64 {
            let a = a.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let products = [dot(&outcome.y, &case.grad), dot(&outcome.grad_x, &case.x), dot(&outcome.grad_w, &case.w)];
        let scale = case.grad.len() as f64 * (s.channels * s.kernel.0 * s.kernel.1) as f64;
        prop_assert!((products[0] - products[1]).abs() < 1e-5 * scale, "{products:?}");
        prop_assert!((products[0] - products[2]).abs() < 1e-5 * scale, "{products:?}");
    }
}

#[test]
fn the_networks_shapes_agree_with_the_naive_loops() {
    for s in [
        square(3, 1, 28, 32, 3, 1),
        square(2, 16, 28, 32, 3, 2),
        square(2, 48, 14, 32, 3, 1),
        square(2, 32, 7, 64, 1, 1),
        square(40, 5, 4, 6, 3, 1),
        // Last rows and columns of 1, 2 and 3 outputs, some in more tiles than are worked on at a time.
        ConvShape { height: 57, width: 6, ..square(8, 5, 0, 6, 3, 1) },
        ConvShape { height: 6, width: 55, ..square(8, 5, 0, 6, 3, 1) },
        square(3, 20, 13, 9, 3, 1),
        square(9, 6, 15, 24, 3, 1),
    ] {
        agrees_with_reference(&s);
    }
}

#[test]
fn agrees_with_candles_own_convolution() -> Result<()> {
    let s = square(2, 6, 9, 5, 3, 2);
    let case = case(&s);
    let cpu = &Device::Cpu;
    let x = Tensor::from_slice(&case.x, (2, 6, 9, 9), cpu)?;
    let w = Tensor::from_slice(&case.w, (5, 6, 3, 3), cpu)?;
    let bias = Tensor::from_slice(&case.bias, 5, cpu)?;
    let expected = x.conv2d(&w, 1, 2, 1, 1)?.broadcast_add(&bias.reshape((1, 5, 1, 1))?)?;
    let difference = (conv2d(&x, &w, &bias, s.options)? - expected)?.abs()?.max_all()?;
    assert!(difference.to_scalar::<f32>()? < 1e-5);
    // In f64 the op is candle's own, padded by hand: the two paths agree.
    let wide = [&x, &w, &bias].map(|t| t.to_dtype(DType::F64).unwrap());
    let padding = Padding { top: 0, bottom: 1, left: 2, right: 0 };
    let options = Conv2d { stride: 2, padding };
    let expected = conv2d(&wide[0], &wide[1], &wide[2], options)?.to_dtype(DType::F32)?;
    let difference = (conv2d(&x, &w, &bias, options)? - expected)?.abs()?.max_all()?;
    assert!(difference.to_scalar::<f32>()? < 1e-5);
    Ok(())
}

#[test]
fn results_do_not_depend_on_threads() {
    let s = square(19, 12, 10, 20, 3, 1);
    let case = case(&s);
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let outcome = pool.install(|| run(&s, &case).unwrap());
        [outcome.y, outcome.grad_x, outcome.grad_w, outcome.grad_bias]
            .map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    let one = bytes(1);
    assert_eq!(one, bytes(2));
    assert_eq!(one, bytes(5));
}

#[test]
fn an_image_does_not_depend_on_its_batch() -> Result<()> {
    let s = square(7, 12, 14, 20, 3, 1);
    let case = case(&s);
    let cpu = &Device::Cpu;
    let x = Tensor::from_slice(&case.x, (7, 12, 14, 14), cpu)?;
    let w = Tensor::from_slice(&case.w, (20, 12, 3, 3), cpu)?;
    let bias = Tensor::from_slice(&case.bias, 20, cpu)?;
    let all = conv2d(&x, &w, &bias, s.options)?;
    for i in 0..7 {
        let one = conv2d(&x.narrow(0, i, 1)?, &w, &bias, s.options)?;
        let expected = all.narrow(0, i, 1)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(one.flatten_all()?.to_vec1::<f32>()?, expected);
    }
    Ok(())
}

#[test]
fn wrong_shapes_are_named() -> Result<()> {
    let cpu = &Device::Cpu;
    let x = Tensor::zeros((1, 2, 4, 4), DType::F32, cpu)?;
    let options = Conv2d { stride: 1, padding: Padding::all(0) };
    let message = |w: (usize, usize, usize, usize), bias: usize, options| {
        let w = Tensor::zeros(w, DType::F32, cpu).unwrap();
        let bias = Tensor::zeros(bias, DType::F32, cpu).unwrap();
        conv2d(&x, &w, &bias, options).unwrap_err().to_string()
    };
    assert!(message((3, 5, 3, 3), 3, options).contains("x has 2 channels"));
    assert!(message((3, 2, 3, 3), 4, options).contains("bias is [4]"));
    assert!(message((3, 2, 5, 5), 3, options).contains("larger than the padded x"));
    assert!(message((3, 2, 3, 3), 3, Conv2d { stride: 0, ..options }).contains("stride 0"));
    Ok(())
}
