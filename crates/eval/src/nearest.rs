//! The nearest row of another set.

use crate::error::EvalError;
use crate::features::Features;
use crate::features::check_dims;
use crate::pairs::{SquaredDifference, map_rows};

/// The nearest row and its distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// The row of the other set.
    pub row: usize,
    /// The Euclidean distance to it.
    pub distance: f64,
}

/// For each of `points` (n, d), in order: the nearest row of `set` (m, d). Among equally near rows it is
/// the first.
///
/// Errors: rows of different lengths.
pub fn nearest(points: &Features, set: &Features) -> Result<Vec<Nearest>, EvalError> {
    check_dims(points, set)?;
    let first_of_least = |_: usize, squares: &mut [f64]| {
        let start = Nearest { row: 0, distance: squares[0] };
        let least = squares.iter().enumerate().fold(start, |least, (row, &square)| {
            if square < least.distance { Nearest { row, distance: square } } else { least }
        });
        Nearest { distance: least.distance.sqrt(), ..least }
    };
    Ok(map_rows(points, set, SquaredDifference, first_of_least))
}
