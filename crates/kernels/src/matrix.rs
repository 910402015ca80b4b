//! Products of strided matrices on one thread, by the `gemm` crate.

/// A read-only matrix: element (i, j) is `values[i * row + j * column]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after another, `row` values apart.
    pub fn rows(values: &'a [f32], row: usize) -> Self {
        Self { values, row, column: 1 }
    }

    pub fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }
}

/// out (m, n) = [out +] a (m, k) · b (k, n), where row i of `out` begins at `i * out_row`.
pub(crate) fn multiply(
    (m, n, k): (usize, usize, usize),
    a: Matrix,
    b: Matrix,
    out: &mut [f32],
    out_row: usize,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    let last =
        |rows: usize, columns: usize, row: usize, column: usize| (rows - 1) * row + (columns - 1) * column;
    assert!(n <= out_row || m == 1, "rows of the product overlap");
    assert!(last(m, n, out_row, 1) < out.len(), "product outside its matrix");
    if k > 0 {
        assert!(last(m, k, a.row, a.column) < a.values.len(), "left factor too short");
        assert!(last(k, n, b.row, b.column) < b.values.len(), "right factor too short");
    }
    // SAFETY: the largest index that each strided view reaches was just checked against the
    // length of its slice, strides are not negative, rows of `out` do not overlap, and `out` is
    // borrowed mutably, so it aliases neither factor.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_row as isize,
            accumulate,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
