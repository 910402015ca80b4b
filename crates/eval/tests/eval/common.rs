//! Drawn sets of features.

use duet_eval::{EvalError, Features};
use duet_random::Draws;

/// Standard normal features (rows, dims), of the `index`-th set.
pub fn normal(index: u64, rows: usize, dims: usize) -> Features {
    let mut values = vec![0f32; rows * dims];
    Draws::new(11, "features", index).fill_normal(&mut values);
    Features::new(values, dims).unwrap()
}

/// Every row through `change`.
pub fn mapped(features: &Features, change: impl Fn(&[f32]) -> Vec<f32>) -> Features {
    let values: Vec<f32> = features.rows().flat_map(change).collect();
    let dims = values.len() / features.len();
    Features::new(values, dims).unwrap()
}

/// Every value plus `by`.
pub fn shifted(features: &Features, by: f32) -> Features {
    mapped(features, |row| row.iter().map(|value| value + by).collect())
}

/// The rows of both.
pub fn joined(a: &Features, b: &Features) -> Features {
    Features::new([a.values(), b.values()].concat(), a.dims()).unwrap()
}

/// The rows in a random order.
pub fn shuffled(features: &Features) -> Features {
    let order = Draws::new(11, "order", 0).permutation(features.len() as u32);
    features.select(&order.iter().map(|&i| i as usize).collect::<Vec<_>>()).unwrap()
}

/// What `work` gives on one thread and on three.
pub fn on_one_and_three_threads<T: Send>(work: impl Fn() -> Result<T, EvalError> + Sync) -> [T; 2] {
    [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&work).unwrap()
    })
}

/// |a - b| in units of the larger, or of 1e-300.
pub fn relative(a: f64, b: f64) -> f64 {
    (a - b).abs() / a.abs().max(b.abs()).max(1e-300)
}
