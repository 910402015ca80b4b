//! Products of small matrices that stay in cache, on one thread.
//!
//! Every element of a product is one chain of fused multiply-adds over the depth, in order. It does not
//! depend on the number of rows or columns. (A general library chooses the order by the sizes.)

use crate::simd::{load, load_row, mul_add, prefetch, prefetch_later, store};
use pulp::{Simd, WithSimd};

/// A read-only matrix: element (i, j) is `values[i * row + j * column]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows begin `row` values apart.
    pub fn rows(values: &'a [f32], row: usize) -> Self {
        Self { values, row, column: 1 }
    }

    pub fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }
}

/// out (m, n) = [out +] left (m, k) · right (k, n). Rows of `right` and `out` are contiguous, and
/// begin `right_row` and `out_row` values apart.
pub(crate) struct Product<'a> {
    pub sizes: (usize, usize, usize),
    pub left: Matrix<'a>,
    pub right: &'a [f32],
    pub right_row: usize,
    pub out: &'a mut [f32],
    pub out_row: usize,
    pub start: StartValues<'a>,
    /// A matrix of the same sizes as `right`, which the next product will read: it is fetched meanwhile. It may be empty.
    pub next_right: &'a [f32],
}

/// The values to which a product is added.
#[derive(Clone, Copy)]
pub(crate) enum StartValues<'a> {
    Zero,
    /// The same values (n) in each row.
    Row(&'a [f32]),
    /// The values already in `out`.
    Out,
}

/// The depth of one pass. This many rows of `right` stay in the first-level cache.
const DEPTH: usize = 256;

/// The values of a cache line.
const LINE: usize = 16;

/// Steps of the depth that are unrolled.
const STEPS: usize = 4;

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (m, n, k) = self.sizes;
        if m == 0 || n == 0 {
            return;
        }
        let last = |rows: usize, columns: usize, row: usize, column: usize| {
            (rows - 1) * row + (columns - 1) * column
        };
        assert!(n <= self.out_row || m == 1, "rows of the product overlap");
        assert!(last(m, n, self.out_row, 1) < self.out.len(), "product outside its matrix");
        if k == 0 {
            for row in self.out.chunks_mut(self.out_row.max(1)).take(m) {
                match self.start {
                    StartValues::Zero => row[..n].fill(0.0),
                    StartValues::Row(start) => row[..n].copy_from_slice(start),
                    StartValues::Out => {}
                }
            }
            return;
        }
        assert!(
            last(m, k, self.left.row, self.left.column) < self.left.values.len(),
            "left factor too short"
        );
        assert!(last(k, n, self.right_row, 1) < self.right.len(), "right factor too short");
        let row = match self.start {
            StartValues::Row(start) => {
                assert_eq!(start.len(), n, "the row to start with");
                start.as_ptr()
            }
            _ => std::ptr::null(),
        };
        for first in (0..k).step_by(DEPTH) {
            let pass = DepthPass {
                left: self.left.values[first * self.left.column..].as_ptr(),
                left_row: self.left.row,
                left_column: self.left.column,
                right: self.right[first * self.right_row..].as_ptr(),
                right_row: self.right_row,
                next: match self.right.get((first + DEPTH) * self.right_row..) {
                    Some(next) if first + DEPTH < k => next.as_ptr(),
                    _ if self.next_right.is_empty() => std::ptr::null(),
                    _ => self.next_right.as_ptr(),
                },
                out: self.out.as_mut_ptr(),
                out_row: self.out_row,
                depth: DEPTH.min(k - first),
                start: if first == 0 { row } else { std::ptr::null() },
                accumulate: first > 0 || matches!(self.start, StartValues::Out),
            };
            // SAFETY: the assertions above hold for the last element of each matrix and of the row,
            // every index below is smaller, and `out` is borrowed mutably, so it aliases neither factor.
            #[allow(unsafe_code)]
            unsafe {
                pass.panels(simd, m, n);
            }
        }
    }
}

/// One range of the depth, as pointers whose reach `Product` has checked.
#[derive(Clone, Copy)]
struct DepthPass {
    left: *const f32,
    left_row: usize,
    left_column: usize,
    right: *const f32,
    right_row: usize,
    /// The rows of `right` that are read next and fetched meanwhile, or null: after these panels, after this panel, and by this
    /// tile.
    next: *const f32,
    out: *mut f32,
    out_row: usize,
    depth: usize,
    /// A row to start with, or null.
    start: *const f32,
    accumulate: bool,
}

#[allow(unsafe_code)]
impl DepthPass {
    /// All columns, in panels of as many registers as leave room for enough rows.
    ///
    /// # Safety
    /// The pointers reach m rows, n columns and the pass's depth.
    #[inline(always)]
    unsafe fn panels<S: Simd>(self, simd: S, m: usize, n: usize) {
        let lanes = S::F32_LANES;
        let mut first = 0;
        while first < n {
            let panel =
                // SAFETY: `first` is smaller than n.
                unsafe { Self { right: self.right.add(first), out: self.out.add(first), start: offset(self.start, first), ..self } };
            let registers = (n - first) / lanes;
            let most = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
            let next = first + lanes * registers.clamp(1, most);
            let panel = if next < n { Self { next: self.right.wrapping_add(next), ..panel } } else { panel };
            // SAFETY: the panel's columns lie inside the matrix, as far as its registers reach.
            first += unsafe {
                match (S::REGISTER_COUNT >= 32, registers) {
                    (true, 4..) => panel.rows6::<S, 4>(simd, m),
                    (true, 3) => panel.rows8::<S, 3>(simd, m),
                    (true, 2) => panel.rows8::<S, 2>(simd, m),
                    (false, 2..) => panel.rows6::<S, 2>(simd, m),
                    (_, 0) => panel.rest(simd, m, n - first),
                    _ => panel.rows8::<S, 1>(simd, m),
                }
            };
        }
    }

    /// # Safety
    /// As [`DepthPass::panels`], for N registers of columns.
    #[inline(always)]
    unsafe fn rows6<S: Simd, const N: usize>(self, simd: S, m: usize) -> usize {
        let mut i = 0;
        // Each tile fetches a row of the next factor in four steps.
        let (mut next, mut fetched) = (self.next, 0);
        // SAFETY: i + the rows of each call are at most m.
        unsafe {
            while i + 6 <= m {
                Self { next, ..self.at_row(i) }.tile::<S, 6, N>(simd, S::F32_LANES);
                fetched += self.depth / STEPS;
                next = if fetched < self.depth {
                    offset(next, self.depth / STEPS * self.right_row)
                } else {
                    std::ptr::null()
                };
                i += 6;
            }
            self.remaining_rows::<S, N>(simd, i, m);
        }
        N * S::F32_LANES
    }

    /// # Safety
    /// As [`DepthPass::panels`], for N registers of columns.
    #[inline(always)]
    unsafe fn rows8<S: Simd, const N: usize>(self, simd: S, m: usize) -> usize {
        let mut i = 0;
        // SAFETY: i + the rows of each call are at most m.
        unsafe {
            while i + 8 <= m {
                self.at_row(i).tile::<S, 8, N>(simd, S::F32_LANES);
                i += 8;
            }
            self.remaining_rows::<S, N>(simd, i, m);
        }
        N * S::F32_LANES
    }

    /// # Safety
    /// As [`DepthPass::panels`], for N registers of columns.
    #[inline(always)]
    unsafe fn remaining_rows<S: Simd, const N: usize>(self, simd: S, mut i: usize, m: usize) {
        // SAFETY: i + the rows of each call are at most m.
        unsafe {
            if i + 4 <= m {
                self.at_row(i).tile::<S, 4, N>(simd, S::F32_LANES);
                i += 4;
            }
            if i + 2 <= m {
                self.at_row(i).tile::<S, 2, N>(simd, S::F32_LANES);
                i += 2;
            }
            if i < m {
                self.at_row(i).tile::<S, 1, N>(simd, S::F32_LANES);
            }
        }
    }

    /// The last columns, fewer than a register's lanes.
    ///
    /// # Safety
    /// As [`DepthPass::panels`], for this many columns.
    #[inline(always)]
    unsafe fn rest<S: Simd>(self, simd: S, m: usize, columns: usize) -> usize {
        let mut i = 0;
        // SAFETY: i + the rows of each call are at most m.
        unsafe {
            while i + 8 <= m {
                self.at_row(i).tile::<S, 8, 1>(simd, columns);
                i += 8;
            }
            while i < m {
                self.at_row(i).tile::<S, 1, 1>(simd, columns);
                i += 1;
            }
        }
        columns
    }

    /// # Safety
    /// The matrices have a row i.
    #[inline(always)]
    unsafe fn at_row(self, i: usize) -> Self {
        // SAFETY: as asked.
        unsafe {
            Self { left: self.left.add(i * self.left_row), out: self.out.add(i * self.out_row), ..self }
        }
    }

    /// Adds the products of a tile whose left rows are contiguous.
    ///
    /// # Safety
    /// As [`DepthPass::tile`].
    #[inline(always)]
    unsafe fn add_along_rows<S: Simd, const M: usize, const N: usize>(
        self,
        simd: S,
        lanes: usize,
        sums: &mut [[S::f32s; N]; M],
    ) {
        let row = self.left_row;
        // Three rows each can be addressed from one pointer.
        let mut threes = [self.left; 3];
        for (i, three) in threes.iter_mut().enumerate() {
            *three = self.left.wrapping_add(3 * i * row);
        }
        let (mut right, mut next) = (self.right, self.next);
        // SAFETY: M is at most 8; rows, columns and depth are in reach.
        unsafe {
            for quarter in 0..self.depth / STEPS {
                // The next rows' lines of the left factor.
                let row_of_next = (M + quarter % 4 * M.div_ceil(4)) * row;
                for i in 0..M.div_ceil(4) {
                    prefetch(threes[0].wrapping_add(row_of_next + i * row));
                }
                if !next.is_null() {
                    for j in (0..N).step_by((LINE / S::F32_LANES).max(1)) {
                        prefetch_later(next.wrapping_add(j * S::F32_LANES));
                    }
                    next = next.wrapping_add(self.right_row);
                }
                for step in 0..STEPS {
                    let right_row = load_row::<S, N>(simd, right.add(step * self.right_row), lanes);
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let left = *threes[i / 3].add(i % 3 * row + step);
                        add_row(simd, left, right_row, sums);
                    }
                }
                for three in &mut threes[..M.div_ceil(3)] {
                    *three = opaque(three.wrapping_add(STEPS));
                }
                right = opaque(right.wrapping_add(STEPS * self.right_row));
            }
            let rest = Self { left: threes[0], right, ..self };
            rest.add_at(simd, lanes, sums, row, 1, self.depth % STEPS);
        }
    }

    /// Adds the products of a tile, for `depth` steps of the depth.
    ///
    /// # Safety
    /// As [`DepthPass::tile`].
    #[inline(always)]
    unsafe fn add_at<S: Simd, const M: usize, const N: usize>(
        self,
        simd: S,
        lanes: usize,
        sums: &mut [[S::f32s; N]; M],
        row: usize,
        column: usize,
        depth: usize,
    ) {
        let (mut left, mut right) = (self.left, self.right);
        // SAFETY: rows, columns and depth are in reach.
        unsafe {
            for _ in 0..depth {
                let right_row = load_row::<S, N>(simd, right, lanes);
                for (i, sums) in sums.iter_mut().enumerate() {
                    add_row(simd, *left.add(i * row), right_row, sums);
                }
                left = left.wrapping_add(column);
                right = right.wrapping_add(self.right_row);
            }
        }
    }

    /// M rows and N registers of columns, of which the last has `lanes` columns.
    ///
    /// # Safety
    /// The pointers reach that far.
    #[inline(always)]
    unsafe fn tile<S: Simd, const M: usize, const N: usize>(self, simd: S, lanes: usize) {
        let mut sums = [[simd.splat_f32s(0.0); N]; M];
        for i in 0..M {
            for j in (0..N).step_by((LINE / S::F32_LANES).max(1)) {
                prefetch(self.out.wrapping_add(i * self.out_row + j * S::F32_LANES));
            }
        }
        if !self.start.is_null() {
            for j in 0..N {
                let lanes = if j + 1 == N { lanes } else { S::F32_LANES };
                // SAFETY: the row has a value for each column.
                let start = unsafe { load(simd, self.start.add(j * S::F32_LANES), lanes) };
                sums.iter_mut().for_each(|sums| sums[j] = start);
            }
        }
        // SAFETY: rows, columns and depth are in reach, as this function asks.
        unsafe {
            // In the second case the compiler knows the distance from row to row.
            match (self.left_column, self.left_row) {
                (1, _) => self.add_along_rows(simd, lanes, &mut sums),
                (column, 1) => self.add_at(simd, lanes, &mut sums, 1, column, self.depth),
                (column, row) => self.add_at(simd, lanes, &mut sums, row, column, self.depth),
            }
            for (i, sums) in sums.iter().enumerate() {
                for (j, &sum) in sums.iter().enumerate() {
                    let lanes = if j + 1 == N { lanes } else { S::F32_LANES };
                    let out = self.out.add(i * self.out_row + j * S::F32_LANES);
                    let sum = if self.accumulate { simd.add_f32s(load(simd, out, lanes), sum) } else { sum };
                    store(simd, out, lanes, sum);
                }
            }
        }
    }
}

/// sums += left · right.
#[inline(always)]
fn add_row<S: Simd, const N: usize>(simd: S, left: f32, right: [S::f32s; N], sums: &mut [S::f32s; N]) {
    let left = simd.splat_f32s(left);
    for j in 0..N {
        sums[j] = mul_add(simd, left, right[j], sums[j]);
    }
}

/// The pointer, of which the compiler knows nothing more. Otherwise it computes one address of an unrolled
/// loop from the other, and these additions take the place of multiply-adds.
#[inline(always)]
#[allow(unsafe_code, clippy::pointers_in_nomem_asm_block)]
fn opaque(pointer: *const f32) -> *const f32 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut pointer = pointer;
        // SAFETY: no instruction.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
        }
        pointer
    }
    #[cfg(not(target_arch = "x86_64"))]
    pointer
}

/// The pointer moved by `by`, unless it is null.
fn offset(pointer: *const f32, by: usize) -> *const f32 {
    if pointer.is_null() { pointer } else { pointer.wrapping_add(by) }
}
