//! What can go wrong while measuring.

/// Why features, labels or settings were refused. Each message has the wrong values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// No values, or not a whole number of rows.
    #[error("{values} values do not make one or more rows of {dims}")]
    Shape {
        /// How many values there are.
        values: usize,
        /// The length of a row.
        dims: usize,
    },
    /// A feature that is not a number, or too large to be squared in f32.
    #[error("feature {column} of row {row} is {value}: must be within ±{limit}")]
    Feature {
        /// Its row.
        row: usize,
        /// Its place in the row.
        column: usize,
        /// Its value.
        value: f32,
        /// The largest that a feature may be.
        limit: f32,
    },
    /// Two sets of features whose rows have different lengths.
    #[error("rows of {left} features cannot be compared with rows of {right}")]
    Dims {
        /// The length of a row of the first.
        left: usize,
        /// The length of a row of the second.
        right: usize,
    },
    /// A set with too few rows.
    #[error("{what} needs {needed} rows or more, not {rows}")]
    TooFew {
        /// The function that needs more rows.
        what: &'static str,
        /// How many rows it needs.
        needed: usize,
        /// How many there are.
        rows: usize,
    },
    /// The index of a row that is not there.
    #[error("there is no row {row} among {rows}")]
    Row {
        /// The index.
        row: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// A number outside its range, or NaN.
    #[error("{name} = {value} must be {range}")]
    OutOfRange {
        /// The name of the number.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Where it may lie.
        range: &'static str,
    },
    /// Two lists that should be equally long.
    #[error("{left} {what} for {right}: there must be one for each")]
    Counts {
        /// What is counted.
        what: &'static str,
        /// The length of the first.
        left: usize,
        /// The length of the second.
        right: usize,
    },
    /// A label beyond the classes.
    #[error("label {label} at place {place} is none of the {classes} classes, 0 to {classes} - 1")]
    Label {
        /// Its place in the list.
        place: usize,
        /// The label.
        label: u32,
        /// How many classes there are.
        classes: u32,
    },
    /// An eigenvalue or singular value that no iteration found.
    #[error("the {0} did not converge")]
    NoConvergence(&'static str),
    /// An error of the network.
    #[error("the denoiser: {0}")]
    Denoiser(String),
    /// An error of candle.
    #[error("{0}")]
    Tensor(String),
}

impl From<candle_core::Error> for EvalError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error.to_string())
    }
}
