//! A set of images as rows of features.

use crate::error::EvalError;

/// The largest magnitude of a feature: distances square it in f32.
pub const LARGEST_FEATURE: f32 = 1e15;

/// n ≥ 1 rows of d ≥ 1 features, f32, all finite and within ±[`LARGEST_FEATURE`].
///
/// Each row is one image: the features that a classifier gives it, or its pixels. Metrics compare sets with
/// the same d; distances are Euclidean.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    dims: usize,
}

impl Features {
    /// Makes a set from values (n, d), row after row.
    ///
    /// Errors: no values; a length that is not a multiple of d; a value that is NaN or too large.
    pub fn new(values: Vec<f32>, dims: usize) -> Result<Self, EvalError> {
        if values.is_empty() || dims == 0 || !values.len().is_multiple_of(dims) {
            return Err(EvalError::Shape { values: values.len(), dims });
        }
        // A comparison with NaN is false.
        let fits = |value: &f32| value.abs() <= LARGEST_FEATURE;
        match values.iter().position(|value| !fits(value)) {
            Some(i) => Err(EvalError::Feature {
                row: i / dims,
                column: i % dims,
                value: values[i],
                limit: LARGEST_FEATURE,
            }),
            None => Ok(Self { values, dims }),
        }
    }

    /// n, the number of rows.
    #[expect(clippy::len_without_is_empty, reason = "there is always a row")]
    pub fn len(&self) -> usize {
        self.values.len() / self.dims
    }

    /// d, the length of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// All values (n, d), row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Row `i` < n, d values.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dims..][..self.dims]
    }

    /// The rows in order, d values each.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dims)
    }

    /// The rows with the given indices, in this order; an index may appear several times.
    ///
    /// Errors: no index, or one that is not below n.
    pub fn select(&self, indices: &[usize]) -> Result<Self, EvalError> {
        let rows = self.len();
        if let Some(&row) = indices.iter().find(|&&i| i >= rows) {
            return Err(EvalError::Row { row, rows });
        }
        if indices.is_empty() {
            return Err(EvalError::TooFew { what: "a selection", needed: 1, rows: 0 });
        }
        Ok(Self { values: indices.iter().flat_map(|&i| self.row(i)).copied().collect(), dims: self.dims })
    }

    /// The rows of one class, given the label of each row (n).
    ///
    /// Errors: not one label for each row; no row of this class.
    pub fn of_class(&self, labels: &[u32], class: u32) -> Result<Self, EvalError> {
        if labels.len() != self.len() {
            return Err(EvalError::Counts { what: "labels", left: labels.len(), right: self.len() });
        }
        let indices: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        self.select(&indices)
    }
}

/// Errors: the rows of two sets have different lengths.
pub(crate) fn check_dims(a: &Features, b: &Features) -> Result<(), EvalError> {
    match a.dims == b.dims {
        true => Ok(()),
        false => Err(EvalError::Dims { left: a.dims, right: b.dims }),
    }
}

/// Errors: a set has fewer rows than `what` needs.
pub(crate) fn check_rows(set: &Features, what: &'static str, needed: usize) -> Result<(), EvalError> {
    match set.len() >= needed {
        true => Ok(()),
        false => Err(EvalError::TooFew { what, needed, rows: set.len() }),
    }
}
