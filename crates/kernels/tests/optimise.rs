//! What an optimiser does to a parameter. (AdamW's and Muon's whole steps are compared with torch's in
//! `duet-train`.)

use candle_core::{DType, Device, Tensor};
use duet_kernels::{InstructionSet, optimise::orthogonal, with_instruction_set};
use proptest::prelude::*;

fn matrix(rows: usize, columns: usize, seed: u64) -> Tensor {
    let mut values = vec![0f32; rows * columns];
    duet_random::Draws::new(seed, "matrix", 0).fill_normal(&mut values);
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
}

fn largest(x: &Tensor) -> f64 {
    x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap()
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
        prop_assert!(difference <= 1e-4 || scale < -6, "{difference:e}");
    }

    #[test]
    fn directions_with_next_to_nothing_stay_bounded(
        rows in 8usize..64, columns in 8usize..200, rank in 1usize..8, seed: u64, noise in -9i32..-2,
    ) {
        let x = matrix(rows, rank, seed).matmul(&matrix(rank, columns, seed ^ 1)).unwrap();
        let x = (x + (matrix(rows, columns, seed ^ 2) * 10f64.powi(noise)).unwrap()).unwrap();
        let y = orthogonal(&x).unwrap().to_dtype(DType::F64).unwrap();
        // No row of a matrix is longer than its largest singular value.
        prop_assert!(largest(&y) <= 1.3, "{}", largest(&y));
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
fn instruction_sets_differ_by_rounding() {
    let x = matrix(48, 131, 5);
    let plain = with_instruction_set(InstructionSet::Portable, || orthogonal(&x).unwrap());
    let difference = (orthogonal(&x).unwrap() - plain).unwrap().to_dtype(DType::F64).unwrap();
    assert!(largest(&difference) <= 1e-4, "{}", largest(&difference));
}
