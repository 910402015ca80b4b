//! The update of one parameter by an optimiser. (The tests of `duet-optim` compare whole steps of AdamW and
//! Muon with torch's.)

use candle_core::{DType, Device, Tensor, Var};
use duet_kernels::optimise::{MuonStep, is_finite, muon, orthogonal};
use duet_kernels::{InstructionSet, with_instruction_set};
use proptest::prelude::*;

fn matrix(rows: usize, columns: usize, seed: u64) -> Tensor {
    let mut values = vec![0f32; rows * columns];
    duet_random::Draws::new(seed, "matrix", 0).fill_normal(&mut values);
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn largest(x: &Tensor) -> f64 {
    let values = x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert!(values.iter().all(|v| v.is_finite()));
    values.into_iter().fold(0.0, |largest, v| largest.max(v.abs()))
}

/// The kernel in f32, and the iteration as it is written, on the long side too, in f64.
fn difference(x: &Tensor) -> f64 {
    let plain = orthogonal(&x.to_dtype(DType::F64).unwrap()).unwrap();
    largest(&(orthogonal(x).unwrap().to_dtype(DType::F64).unwrap() - plain).unwrap())
}

proptest! {
    #[test]
    fn the_iteration_on_gram_matrices_is_the_plain_one(
        rows in 1usize..70, columns in 1usize..200, seed: u64, scale in -20i32..20,
    ) {
        let x = (matrix(rows, columns, seed) * 10f64.powi(scale)).unwrap();
        let difference = difference(&x);
        prop_assert!(difference <= 1e-4, "{difference:e}");
    }

    #[test]
    fn directions_with_next_to_nothing_stay_bounded(
        rows in 8usize..64, columns in 8usize..200, rank in 1usize..8, seed: u64, noise in -9i32..-2,
    ) {
        let x = matrix(rows, rank, seed).matmul(&matrix(rank, columns, seed ^ 1)).unwrap();
        let x = (x + (matrix(rows, columns, seed ^ 2) * 10f64.powi(noise)).unwrap()).unwrap();
        let y = orthogonal(&x).unwrap().to_dtype(DType::F64).unwrap();
        // The largest singular value, by its power iteration.
        let mut vector = Tensor::ones((columns, 1), DType::F64, &Device::Cpu).unwrap();
        for _ in 0..50 {
            let next = y.t().unwrap().matmul(&y.matmul(&vector).unwrap()).unwrap();
            vector = (&next / largest(&next)).unwrap();
        }
        let norm = |x: Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
        let singular = norm(y.matmul(&vector).unwrap()) / norm(vector);
        prop_assert!(singular <= 1.3, "{singular}");
    }
}

#[test]
fn singular_values_come_near_one() {
    let x = Tensor::new(&[[3f32, 0.0, 0.0], [0.0, -1.0, 0.0]], &Device::Cpu).unwrap();
    let y = orthogonal(&x).unwrap().to_vec2::<f32>().unwrap();
    assert!((0.68..1.3).contains(&y[0][0]) && (-1.3..-0.68).contains(&y[1][1]), "{y:?}");
    assert!(y[0][1].abs() + y[1][0].abs() + y[0][2].abs() + y[1][2].abs() < 1e-6, "{y:?}");
}

#[test]
fn shapes_stay_and_empty_matrices_are_left_alone() {
    for shape in [&[6, 2, 3, 3][..], &[3, 6], &[0, 4], &[4, 0]] {
        for dtype in [DType::F32, DType::F64] {
            let x = Tensor::ones(shape, dtype, &Device::Cpu).unwrap();
            assert_eq!(orthogonal(&x).unwrap().dims(), shape);
        }
    }
}

#[test]
fn a_step_in_f64_is_the_step_in_f32_and_strides_do_not_matter() {
    let (parameter, momentum, gradient) = (matrix(9, 20, 1), matrix(9, 20, 2), matrix(20, 9, 3));
    let step = MuonStep { momentum: 0.95, keep: 0.99, rate: 0.1 };
    let run = |dtype: DType| {
        let var = |x: &Tensor| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
        let (parameter, momentum) = (var(&parameter), var(&momentum));
        muon(&parameter, &momentum, &gradient.to_dtype(dtype).unwrap().t().unwrap(), step).unwrap();
        [parameter, momentum].map(|var| var.to_dtype(DType::F64).unwrap())
    };
    for (single, double) in run(DType::F32).iter().zip(&run(DType::F64)) {
        assert!(largest(&(single - double).unwrap()) <= 1e-5);
    }
}

#[test]
fn a_huge_matrix_is_scaled_and_nan_is_not_hidden() {
    let huge = (matrix(4, 6, 1) * 5e37).unwrap();
    let difference = (orthogonal(&huge).unwrap() - orthogonal(&matrix(4, 6, 1)).unwrap()).unwrap();
    assert!(largest(&difference.to_dtype(DType::F64).unwrap()) <= 1e-4);
    let nan = Tensor::new(&[[f32::NAN, 1.0], [0.0, 1.0]], &Device::Cpu).unwrap();
    assert!(orthogonal(&nan).unwrap().to_vec2::<f32>().unwrap().concat().iter().any(|v| v.is_nan()));
}

#[test]
fn instruction_sets_differ_by_rounding() {
    let x = matrix(48, 131, 5);
    let plain = with_instruction_set(InstructionSet::Portable, || orthogonal(&x).unwrap());
    let difference = (orthogonal(&x).unwrap() - plain).unwrap().to_dtype(DType::F64).unwrap();
    assert!(largest(&difference) <= 1e-4, "{}", largest(&difference));
}

#[test]
fn one_value_that_is_not_finite_is_found_wherever_it_is() {
    for len in [1, 7, 64, 1000] {
        let mut values = vec![f32::MAX; len];
        let finite = |values: &[f32]| is_finite(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
        assert!(finite(&values));
        for i in [0, len / 2, len - 1] {
            for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let right = std::mem::replace(&mut values[i], wrong);
                assert!(!finite(&values), "{wrong} at {i} of {len}");
                values[i] = right;
            }
        }
    }
}
