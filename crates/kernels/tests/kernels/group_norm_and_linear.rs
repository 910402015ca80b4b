//! Group normalisation and the linear layer: f64 through candle's own ops is the reference.
use candle_core::{DType, Device, Result, Tensor, Var};
use duet_kernels::{Activation, GroupNorm, group_norm, linear};
use duet_random::Draws;
use proptest::prelude::*;

fn normals(purpose: &str, shape: &[usize]) -> Tensor {
    let mut values = vec![0f32; shape.iter().product()];
    Draws::new(0, purpose, values.len() as u64).fill_normal(&mut values);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The op's value and its three gradients under the cotangent `grad`, in type `dtype`.
fn run(
    inputs: [&Tensor; 3],
    grad: &Tensor,
    dtype: DType,
    op: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let vars = inputs.map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap());
    let y = op(&vars[0], &vars[1], &vars[2])?;
    let grads = (&y * grad.to_dtype(dtype)?)?.sum_all()?.backward()?;
    let mut out = vec![y.detach()];
    out.extend(vars.iter().map(|v| grads.get(v).expect("a gradient").clone()));
    out.iter().map(|t| t.to_dtype(DType::F64)).collect()
}

fn assert_close(actual: &[Tensor], expected: &[Tensor], bound: f64) {
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let scale = e.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap().max(1.0);
        let difference = (a - e).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(difference < bound * scale, "tensor {i}: {difference:e} of {scale:e}");
    }
}

fn norm_agrees(batch: usize, groups: usize, width: usize, side: usize, activation: Activation) {
    let channels = groups * width;
    let x = (normals("x", &[batch, channels, side, side]) * 2.0).unwrap();
    let (weight, bias) = (normals("weight", &[channels]), normals("bias", &[channels]));
    let grad = normals("grad", &[batch, channels, side, side]);
    let options = GroupNorm { groups, eps: 1e-5, activation };
    let op = |x: &Tensor, w: &Tensor, b: &Tensor| group_norm(x, w, b, options);
    let actual = run([&x, &weight, &bias], &grad, DType::F32, op).unwrap();
    // f64 takes candle's own ops.
    let expected = run([&x, &weight, &bias], &grad, DType::F64, op).unwrap();
    // Groups of one or two values divide by a variance near zero.
    let bound = if width * side * side < 4 { 5e-3 } else { 2e-5 };
    assert_close(&actual, &expected, bound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn group_norm_agrees_with_candle_in_f64(
        batch in 1usize..5, groups in 1usize..5, width in 1usize..5, side in 2usize..12, silu: bool,
    ) {
        norm_agrees(batch, groups, width, side, if silu { Activation::Silu } else { Activation::None });
    }

    #[test]
    fn linear_agrees_with_candle_in_f64(batch in 1usize..6, rows in 1usize..5, inputs in 1usize..40, outputs in 1usize..40) {
        let (x, w, b) = (normals("x", &[batch, rows, inputs]), normals("w", &[outputs, inputs]), normals("b", &[outputs]));
        let grad = normals("grad", &[batch, rows, outputs]);
        let actual = run([&x, &w, &b], &grad, DType::F32, linear).unwrap();
        let expected = run([&x, &w, &b], &grad, DType::F64, linear).unwrap();
        assert_close(&actual, &expected, 1e-5);
    }
}

#[test]
fn group_norm_holds_for_large_groups_and_one_group() {
    norm_agrees(2, 1, 32, 28, Activation::Silu);
    norm_agrees(2, 8, 4, 28, Activation::Silu);
}

#[test]
fn silu_holds_at_extreme_inputs() -> Result<()> {
    let x = Tensor::new(&[[[-1e4f32, -100.0, -20.0, -1e-3, 0.0, 1e-3, 20.0, 1e4]]], &Device::Cpu)?;
    // Two channels so far apart that the normalised values are the given ones times a scale.
    let (w, b) = (Tensor::new(&[50f32], &Device::Cpu)?, Tensor::new(&[0f32], &Device::Cpu)?);
    let options = GroupNorm { groups: 1, eps: 1e-5, activation: Activation::Silu };
    let op = |x: &Tensor, w: &Tensor, b: &Tensor| group_norm(x, w, b, options);
    let grad = x.ones_like()?;
    let actual = run([&x, &w, &b], &grad, DType::F32, op)?;
    let expected = run([&x, &w, &b], &grad, DType::F64, op)?;
    assert_close(&actual, &expected, 1e-5);
    Ok(())
}

#[test]
fn a_nan_is_passed_on() -> Result<()> {
    let x = Tensor::new(&[[[1f32, f32::NAN, 2.0, 3.0]]], &Device::Cpu)?;
    let one = Tensor::new(&[1f32], &Device::Cpu)?;
    let options = GroupNorm { groups: 1, eps: 1e-5, activation: Activation::Silu };
    let y = group_norm(&x, &one, &one, options)?.flatten_all()?.to_vec1::<f32>()?;
    assert!(y.iter().all(|v| v.is_nan()), "{y:?}");
    Ok(())
}

#[test]
fn results_do_not_depend_on_threads_or_batch() -> Result<()> {
    let x = normals("x", &[9, 12, 6, 6]);
    let (w, b) = (normals("w", &[12]), normals("b", &[12]));
    let grad = normals("grad", &[9, 12, 6, 6]);
    let options = GroupNorm { groups: 3, eps: 1e-5, activation: Activation::Silu };
    let op = |x: &Tensor, w: &Tensor, b: &Tensor| group_norm(x, w, b, options);
    let bytes = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let out = pool.install(|| run([&x, &w, &b], &grad, DType::F32, op).unwrap());
        out.iter().map(|t| t.flatten_all().unwrap().to_vec1::<f64>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(bytes(1), bytes(4));
    let rows = normals("rows", &[9, 33]);
    let (weight, bias) = (normals("weight", &[17, 33]), normals("bias", &[17]));
    let all = linear(&rows, &weight, &bias)?.to_vec2::<f32>()?;
    for (i, expected) in all.iter().enumerate() {
        assert_eq!(&linear(&rows.narrow(0, i, 1)?, &weight, &bias)?.to_vec2::<f32>()?[0], expected);
    }
    Ok(())
}
