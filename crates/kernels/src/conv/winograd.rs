//! 3×3 convolution of stride 1 by Winograd's minimal filtering F(4×4, 3×3).
//!
//! Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks": a tile of 4×4 outputs
//! is Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A with the 6×6 inputs d around it and the 3×3 weights g; summed
//! over channels, the 36 places of ⊙ are 36 products of (tiles, C) by (C, O). That is 36
//! multiplications for 16 outputs, where the direct sum takes 144.
//!
//! Gradients are the adjoints of the same three linear maps: with M' = A Y' Aᵀ the gradient before
//! the output transform, the weights' is Gᵀ (V ⊙ M') G and the input's B (U ⊙ M') Bᵀ, added where
//! tiles overlap.
//!
//! Where a side is no multiple of 4, the last tile along it has 3 or 2 outputs: F(3, 3) and F(2, 3), made of the points 0, 1,
//! -1, 2, ∞ and 0, 1, -1, ∞ of F(4, 3). They share G's rows, and so the transformed weights: the factor by which their own G
//! would differ at a point is in Bᵀ. Such a tile has no rows in the products of the points that it does without.

use super::sizes::{Epilogue, Sizes};
use crate::buffer::Buffer;
use crate::product::{Matrix, Product, StartValues};
use crate::profile::{self, Work};
use crate::simd::{dispatch, for_each_register, load, mul_add, prefetch, registers, store};
use crate::tape::WeightGradient;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Outputs along a tile's side, inputs along it, and products a tile.
const OUT: usize = 4;
const IN: usize = 6;
const PLACES: usize = IN * IN;

/// Whether this algorithm computes the convolution with fewer multiplications than the direct sum.
pub(crate) fn applies(sizes: &Sizes) -> bool {
    let (height, width) = sizes.out();
    let tiles = height.div_ceil(OUT) * width.div_ceil(OUT);
    sizes.kernel == (3, 3)
        && sizes.stride == 1
        && sizes.channels >= 4
        && sizes.outputs >= 4
        // Smaller tiles take fewer, but 36 planes of weights all the same.
        && PLACES * tiles < 9 * height * width
}

/// The outputs of the last tile along a side. A single output is computed as the first of a tile of two, of which the second
/// is outside the image.
const fn last(side: usize) -> usize {
    match side % OUT {
        0 => OUT,
        1 => 2,
        outputs => outputs,
    }
}

/// Whether a tile of so many outputs along an axis has this one of the points 0, 1, -1, 2, -2, ∞.
const fn has_point(outputs: usize, point: usize) -> bool {
    match point {
        3 => outputs > 2,
        4 => outputs > 3,
        _ => true,
    }
}

/// Whether a tile of so many outputs along an axis has this input.
const fn has_input(outputs: usize, input: usize) -> bool {
    input < outputs + 2
}

/// Whether a tile of so many outputs along an axis has this one.
const fn has_output(outputs: usize, output: usize) -> bool {
    output < outputs
}

/// Bᵀ d along one axis, for a tile of N outputs. A tile of fewer outputs lacks some points and inputs: this map and the three
/// below do not read them, and give 0 there.
#[inline(always)]
fn input_transform<S: Simd, const N: usize>(s: S, d: [S::f32s; IN]) -> [S::f32s; IN] {
    let (zero, two, four) = (s.splat_f32s(0.0), s.splat_f32s(2.0), s.splat_f32s(4.0));
    let (minus_four, minus_five) = (s.splat_f32s(-4.0), s.splat_f32s(-5.0));
    if N == 3 {
        // d3 - d1, d3 - d2 - 2 d1
        let three = s.splat_f32s(3.0);
        let odd = s.sub_f32s(d[3], d[1]);
        let sum = mul_add(s, s.splat_f32s(-2.0), d[1], s.sub_f32s(d[3], d[2]));
        return [
            mul_add(s, four, s.sub_f32s(d[0], d[2]), s.mul_f32s(two, odd)),
            s.mul_f32s(three, sum),
            mul_add(s, s.splat_f32s(-3.0), d[2], mul_add(s, two, d[1], d[3])),
            s.mul_f32s(four, odd),
            zero,
            mul_add(s, s.splat_f32s(-2.0), odd, s.sub_f32s(d[4], d[2])),
        ];
    }
    if N == 2 {
        let three = s.splat_f32s(3.0);
        return [
            s.mul_f32s(four, s.sub_f32s(d[0], d[2])),
            s.mul_f32s(s.splat_f32s(-3.0), s.add_f32s(d[1], d[2])),
            s.mul_f32s(three, s.sub_f32s(d[1], d[2])),
            zero,
            zero,
            s.sub_f32s(d[3], d[1]),
        ];
    }
    // d4 - 4 d2, d3 - 4 d1, d4 - d2, 2 (d3 - d1)
    let (a, b) = (mul_add(s, minus_four, d[2], d[4]), mul_add(s, minus_four, d[1], d[3]));
    let (c, e) = (s.sub_f32s(d[4], d[2]), s.mul_f32s(two, s.sub_f32s(d[3], d[1])));
    [
        mul_add(s, four, d[0], mul_add(s, minus_five, d[2], d[4])),
        s.add_f32s(a, b),
        s.sub_f32s(a, b),
        s.add_f32s(c, e),
        s.sub_f32s(c, e),
        mul_add(s, four, d[1], mul_add(s, minus_five, d[3], d[5])),
    ]
}

/// B v along one axis: the adjoint of `input_transform`.
#[inline(always)]
fn input_adjoint<S: Simd, const N: usize>(s: S, v: [S::f32s; IN]) -> [S::f32s; IN] {
    let (zero, two, four) = (s.splat_f32s(0.0), s.splat_f32s(2.0), s.splat_f32s(4.0));
    let minus_five = s.splat_f32s(-5.0);
    if N == 3 {
        // 2 v0 + 4 v3 - 2 v5, the share of d3 - d1, and 3 v1.
        let odd = mul_add(s, four, v[3], s.mul_f32s(two, s.sub_f32s(v[0], v[5])));
        let three = s.mul_f32s(s.splat_f32s(3.0), v[1]);
        return [
            s.mul_f32s(four, v[0]),
            s.sub_f32s(s.mul_f32s(two, s.sub_f32s(v[2], three)), odd),
            s.sub_f32s(
                mul_add(s, s.splat_f32s(-4.0), v[0], s.mul_f32s(s.splat_f32s(-3.0), v[2])),
                s.add_f32s(three, v[5]),
            ),
            s.add_f32s(odd, s.add_f32s(three, v[2])),
            v[5],
            zero,
        ];
    }
    if N == 2 {
        let three = s.splat_f32s(3.0);
        let (first, second) = (s.mul_f32s(four, v[0]), s.mul_f32s(three, s.add_f32s(v[1], v[2])));
        return [
            first,
            s.sub_f32s(s.mul_f32s(three, s.sub_f32s(v[2], v[1])), v[5]),
            s.sub_f32s(s.sub_f32s(zero, first), second),
            v[5],
            zero,
            zero,
        ];
    }
    let (sum12, dif12) = (s.add_f32s(v[1], v[2]), s.sub_f32s(v[1], v[2]));
    let (sum34, dif34) = (s.add_f32s(v[3], v[4]), s.mul_f32s(two, s.sub_f32s(v[3], v[4])));
    [
        s.mul_f32s(four, v[0]),
        s.sub_f32s(s.mul_f32s(four, s.sub_f32s(v[5], dif12)), dif34),
        s.sub_f32s(mul_add(s, minus_five, v[0], s.mul_f32s(s.splat_f32s(-4.0), sum12)), sum34),
        mul_add(s, minus_five, v[5], s.add_f32s(dif12, dif34)),
        s.add_f32s(v[0], s.add_f32s(sum12, sum34)),
        v[5],
    ]
}

/// Aᵀ m along one axis.
#[inline(always)]
fn output_transform<S: Simd, const N: usize>(s: S, m: [S::f32s; IN]) -> [S::f32s; OUT] {
    let (two, four, eight) = (s.splat_f32s(2.0), s.splat_f32s(4.0), s.splat_f32s(8.0));
    let (sum12, dif12) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
    let zero = s.splat_f32s(0.0);
    if N == 3 {
        return [
            s.add_f32s(m[0], s.add_f32s(sum12, m[3])),
            mul_add(s, two, m[3], dif12),
            s.add_f32s(mul_add(s, four, m[3], sum12), m[5]),
            zero,
        ];
    }
    if N == 2 {
        return [s.add_f32s(m[0], sum12), s.add_f32s(dif12, m[5]), zero, zero];
    }
    let (sum34, dif34) = (s.add_f32s(m[3], m[4]), s.sub_f32s(m[3], m[4]));
    [
        s.add_f32s(m[0], s.add_f32s(sum12, sum34)),
        mul_add(s, two, dif34, dif12),
        mul_add(s, four, sum34, sum12),
        s.add_f32s(mul_add(s, eight, dif34, dif12), m[5]),
    ]
}

/// A y along one axis: the adjoint of `output_transform`.
#[inline(always)]
fn output_adjoint<S: Simd, const N: usize>(s: S, y: [S::f32s; OUT]) -> [S::f32s; IN] {
    let (zero, two, four) = (s.splat_f32s(0.0), s.splat_f32s(2.0), s.splat_f32s(4.0));
    if N == 3 {
        let even = s.add_f32s(y[0], y[2]);
        return [
            y[0],
            s.add_f32s(even, y[1]),
            s.sub_f32s(even, y[1]),
            mul_add(s, two, y[1], mul_add(s, four, y[2], y[0])),
            zero,
            y[2],
        ];
    }
    if N == 2 {
        return [y[0], s.add_f32s(y[0], y[1]), s.sub_f32s(y[0], y[1]), zero, zero, y[1]];
    }
    let (even, odd) = (s.add_f32s(y[0], y[2]), s.add_f32s(y[1], y[3]));
    let even2 = mul_add(s, four, y[2], y[0]);
    let odd2 = s.mul_f32s(two, mul_add(s, four, y[3], y[1]));
    [
        y[0],
        s.add_f32s(even, odd),
        s.sub_f32s(even, odd),
        s.add_f32s(even2, odd2),
        s.sub_f32s(even2, odd2),
        y[3],
    ]
}

/// A linear map along the columns of what `read` gives for (i, j), then along the rows, of which `write` gets each value.
/// The `map`s are the maps down and across. `has` says whether a tile of so many outputs has a place.
/// (A macro: closures are not inlined into functions with other instruction sets.)
macro_rules! in_two_axes {
    (
        $simd:expr, [$down:ident, $across:ident], [$map_down:expr, $map_across:expr],
        [$from:ident, $has_from:path], [$to:ident, $has_to:path],
        |$i:ident, $j:ident| $read:expr, |$row:ident, $column:ident, $value:ident| $write:expr
    ) => {{
        let mut columns = [[$simd.splat_f32s(0.0); $from]; $to];
        for $j in 0..$from {
            if $has_from($across, $j) {
                let mut column = [$simd.splat_f32s(0.0); $from];
                for $i in 0..$from {
                    if $has_from($down, $i) {
                        column[$i] = $read;
                    }
                }
                let mapped = $map_down($simd, column);
                for i in 0..$to {
                    columns[i][$j] = mapped[i];
                }
            }
        }
        for $row in 0..$to {
            if $has_to($down, $row) {
                let values = $map_across($simd, columns[$row]);
                for ($column, $value) in values.into_iter().enumerate() {
                    if $has_to($across, $column) {
                        $write;
                    }
                }
            }
        }
    }};
}

/// Calls a function of a tile's outputs down and across, as constants.
macro_rules! with_outputs {
    ($tile:expr, |$down:ident, $across:ident| $call:expr) => {
        with_outputs!(@ $tile, $down, $across, $call, [(4, 4), (4, 3), (4, 2), (3, 4), (3, 3), (3, 2), (2, 4), (2, 3), (2, 2)])
    };
    (@ $tile:expr, $down:ident, $across:ident, $call:expr, [$(($rows:literal, $columns:literal)),*]) => {
        match $tile.outputs {
            $(($rows, $columns) => {
                const $down: usize = $rows;
                const $across: usize = $columns;
                $call
            })*
            _ => unreachable!("a tile of other outputs"),
        }
    };
}

/// G, in the order of `output_transform`'s points 0, 1, -1, 2, -2, ∞.
const G: [[f32; 3]; IN] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// The forms of the weights that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forms {
    Forward,
    Backward,
    Both,
}

/// The weights (O, C, 3, 3) in the two forms that products need.
pub(crate) struct WinogradWeights {
    /// 36 [planes](plane) (C, O)
    forward: Buffer,
    /// 36 planes (O, C); empty if no gradients are wanted.
    backward: Buffer,
}

/// Values from one plane of 36 to the next, for weights of so many kernels: a cache line more than needed, so that the 36 do
/// not compete for the same lines of the cache.
const fn plane(kernels: usize) -> usize {
    kernels + 16
}

/// Values of all 36 planes.
pub(crate) const fn planes(kernels: usize) -> usize {
    PLACES * plane(kernels)
}

impl WinogradWeights {
    pub fn new(weight: &[f32], outputs: usize, channels: usize, forms: Forms) -> Self {
        let _span = profile::span(Work::Weights);
        let form = |is_wanted: bool, rows: usize, row_step: usize, step: usize| {
            let mut places = Buffer::scratch(if is_wanted { planes(channels * outputs) } else { 0 });
            if is_wanted {
                dispatch(KernelTransform { weight, places: &mut places, rows, row_step, step });
            }
            places
        };
        Self {
            forward: form(forms != Forms::Backward, channels, 1, channels),
            backward: form(forms != Forms::Forward, outputs, channels, 1),
        }
    }
}

/// G g Gᵀ of all kernels, 36 planes (rows, columns).
struct KernelTransform<'a> {
    /// 3×3 kernels. From one row to the next are `row_step` of them, and from one column to the next `step`.
    weight: &'a [f32],
    places: &'a mut [f32],
    rows: usize,
    row_step: usize,
    step: usize,
}

impl WithSimd for KernelTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        /// The lanes of any register.
        const MOST: usize = 64;
        let Self { weight, places, rows, row_step, step } = self;
        let columns = weight.len() / 9 / rows.max(1);
        let plane = plane(rows * columns);
        let mut taps = [[0f32; MOST]; 9];
        for row in 0..rows {
            for (first, lanes) in registers::<S>(columns) {
                for lane in 0..lanes {
                    let kernel = &weight[9 * (row * row_step + (first + lane) * step)..][..9];
                    for (taps, value) in taps.iter_mut().zip(kernel) {
                        taps[lane] = *value;
                    }
                }
                let mut g = [[s.splat_f32s(0.0); 3]; 3];
                for u in 0..3 {
                    for v in 0..3 {
                        g[v][u] = s.partial_load_f32s(&taps[u * 3 + v][..lanes]);
                    }
                }
                for (i, along) in G.iter().enumerate() {
                    let along = [dot3(s, along, g[0]), dot3(s, along, g[1]), dot3(s, along, g[2])];
                    for (j, column) in G.iter().enumerate() {
                        let out = &mut places[(i * IN + j) * plane + row * columns + first..][..lanes];
                        s.partial_store_f32s(out, dot3(s, column, along));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn dot3<S: Simd>(s: S, row: &[f32; 3], g: [S::f32s; 3]) -> S::f32s {
    let first = s.mul_f32s(s.splat_f32s(row[0]), g[0]);
    mul_add(s, s.splat_f32s(row[2]), g[2], mul_add(s, s.splat_f32s(row[1]), g[1], first))
}

/// Adds Gᵀ M G of the products' gradients, 36 [planes](plane) (C, O), to `grad` (9, C, O).
pub(crate) fn add_weight_gradient(places: &[f32], grad: WeightGradient) {
    let WeightGradient { values: taps, is_new } = grad;
    let count = taps.len() / 9;
    assert!(places.len() == planes(count) && taps.len() == 9 * count);
    let _span = profile::span(Work::Weights).over((PLACES + if is_new { 9 } else { 2 * 9 }) * count);
    dispatch(KernelAdjoint { places, taps, count, is_new });
}

/// How many values before their use those of a plane of the gradient are fetched.
const AHEAD: usize = 64;

/// Gᵀ m G side by side, 36 planes (count) → (9, count), added to what is there, unless the taps are new.
struct KernelAdjoint<'a> {
    places: &'a [f32],
    taps: &'a mut [f32],
    count: usize,
    is_new: bool,
}

impl WithSimd for KernelAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { places, taps, count, is_new } = self;
        assert!(places.len() >= planes(count) && taps.len() >= 9 * count);
        for_each_register!(count, |first, lanes| {
            // SAFETY: 36 planes and 9 taps have so many values, and `lanes` of them from `first` on.
            #[allow(unsafe_code)]
            unsafe {
                let places = places.as_ptr().add(first);
                let taps = taps.as_mut_ptr().add(first);
                let mut sums = [[s.splat_f32s(0.0); 3]; 3];
                for (i, down) in G.iter().enumerate() {
                    let mut along = [s.splat_f32s(0.0); 3];
                    for (j, across) in G.iter().enumerate() {
                        let at = places.add((i * IN + j) * plane(count));
                        prefetch(at.wrapping_add(AHEAD));
                        let m = load(s, at, lanes);
                        for v in 0..3 {
                            along[v] = mul_add(s, s.splat_f32s(across[v]), m, along[v]);
                        }
                    }
                    for u in 0..3 {
                        for v in 0..3 {
                            sums[u][v] = mul_add(s, s.splat_f32s(down[u]), along[v], sums[u][v]);
                        }
                    }
                }
                for (tap, sum) in sums.into_iter().flatten().enumerate() {
                    let tap = taps.add(tap * count);
                    let before = if is_new { s.splat_f32s(0.0) } else { load(s, tap, lanes) };
                    store(s, tap, lanes, s.add_f32s(before, sum));
                }
            }
        });
    }
}

/// All tiles of a batch, and how many are worked on at a time.
///
/// First come the tiles of a last column with fewer outputs; then those with all outputs; then the rest of a last row with
/// fewer outputs; at the end the corner, which is in both. So the tiles that have a point, down and across, are neighbours.
#[derive(Clone, Copy)]
struct Tiles {
    sizes: Sizes,
    /// Rows and columns of tiles with all outputs.
    whole: (usize, usize),
    /// The outputs of the last tile down and across.
    last: (usize, usize),
    batch: usize,
    /// Where each of these four kinds ends.
    ends: [usize; 4],
    block: usize,
}

/// A tile's place: image, first output row and column; and its outputs down and across.
#[derive(Clone, Copy)]
struct Tile {
    image: usize,
    row: usize,
    column: usize,
    outputs: (usize, usize),
}

/// Some tiles, one after the other.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    count: usize,
}

impl Block {
    /// Which of the block's tiles, counted from its first, are among these.
    fn within(self, tiles: Range<usize>) -> Range<usize> {
        let within = |tile: usize| tile.clamp(self.first, self.first + self.count) - self.first;
        within(tiles.start)..within(tiles.end)
    }
}

impl Tiles {
    fn new(sizes: Sizes, batch: usize) -> Self {
        let (height, width) = sizes.out();
        let last = (last(height), last(width));
        let whole = (height / OUT, width / OUT);
        let (down, across) = (height.div_ceil(OUT), width.div_ceil(OUT));
        let (rows, columns) = (down - whole.0, across - whole.1);
        let mut ends =
            [whole.0 * columns, whole.0 * whole.1, rows * whole.1, rows * columns].map(|n| batch * n);
        (1..ends.len()).for_each(|i| ends[i] += ends[i - 1]);
        let count = batch * down * across;
        // Both transformed sides of a block fill about 768 KiB, a part of the second-level cache;
        // or as much as the weights, which each block reads once.
        let (c, o) = (sizes.channels, sizes.outputs);
        let most = (196_608 / (PLACES * (c + o))).max(c * o / (c + o)).clamp(24, 96);
        let blocks = count.div_ceil(most).max(1);
        let block = count.div_ceil(blocks).next_multiple_of(2);
        Self { sizes, whole, last, batch, ends, block: block.min(count.max(1)) }
    }

    /// The transform of a block: an image's side of a tile, and the products' side of it.
    fn span(&self, block: Block, channels: usize) -> profile::Span {
        let (rows, pixels) = self.extent(block);
        profile::span(Work::Transforms).over((rows + pixels) * channels)
    }

    /// So many products of each place.
    fn products(&self, block: Block, each: usize) -> profile::Span {
        let (c, o) = (self.sizes.channels, self.sizes.outputs);
        let planes = (0..PLACES).filter(|place| !self.with_place(block, *place).is_empty()).count();
        let (rows, _) = self.extent(block);
        profile::products(each * rows * c * o, each * (rows * (c + o) + planes * c * o))
    }

    /// The rows of all products of a block, and the outputs of its tiles.
    fn extent(&self, block: Block) -> (usize, usize) {
        let (mut rows, mut pixels, mut first) = (0, 0, 0);
        for (end, (down, across)) in self.ends.into_iter().zip(self.outputs()) {
            let count = block.within(first..end).len();
            rows += count * (down + 2) * (across + 2);
            pixels += count * down * across;
            first = end;
        }
        (rows, pixels)
    }

    /// The outputs down and across of a tile of each kind.
    fn outputs(&self) -> [(usize, usize); 4] {
        let (down, across) = self.last;
        [(OUT, across), (OUT, OUT), (down, OUT), (down, across)]
    }

    /// Which of a block's tiles have this place.
    fn with_place(&self, block: Block, place: usize) -> Range<usize> {
        let [columns, whole, rows, all] = self.ends;
        let tiles = match (has_point(self.last.0, place / IN), has_point(self.last.1, place % IN)) {
            (true, true) => 0..all,
            (false, true) => 0..whole,
            (true, false) => columns..rows,
            (false, false) => columns..whole,
        };
        block.within(tiles)
    }

    fn at(&self, tile: usize) -> Tile {
        let [columns, whole, rows, _] = self.ends;
        let ((down, across), [of_columns, of_whole, of_rows, of_corner]) = (self.whole, self.outputs());
        // The number among its own kind, how many an image has, where they begin, and their outputs.
        let (number, each, first, outputs) = match tile {
            _ if tile < columns => (tile, (down, 1), (0, across), of_columns),
            _ if tile < whole => (tile - columns, (down, across), (0, 0), of_whole),
            _ if tile < rows => (tile - whole, (1, across), (down, 0), of_rows),
            _ => (tile - rows, (1, 1), (down, across), of_corner),
        };
        let (image, place) = (number / (each.0 * each.1), number % (each.0 * each.1));
        let (row, column) = (first.0 + place / each.1, first.1 + place % each.1);
        Tile { image, row: row * OUT, column: column * OUT, outputs }
    }

    /// How many tiles from this one on are neighbours in a row.
    fn neighbours(&self, tile: Tile) -> usize {
        if tile.outputs == (OUT, OUT) { self.whole.1 - tile.column / OUT } else { 1 }
    }

    /// Values from one place to the next in a block's (36, tiles, channels): a cache line more
    /// than needed, so that the 36 do not compete for the same lines of the cache.
    fn stride(&self, channels: usize) -> usize {
        (self.block * channels).next_multiple_of(16) + 16
    }

    fn blocks(&self) -> impl Iterator<Item = Block> + use<> {
        let (most, all) = (self.block, self.ends[3]);
        (0..all).step_by(most.max(1)).map(move |first| Block { first, count: most.min(all - first) })
    }
}

/// Runs code for each tile of a block: its number in the block, and the tile. Nothing is divided from neighbour to neighbour.
macro_rules! for_each_tile {
    ($tiles:expr, $block:expr, |$t:ident, $tile:ident| $call:expr) => {{
        let (tiles, Block { first, count }) = ($tiles, $block);
        let mut done = 0;
        while done < count {
            let begin = tiles.at(first + done);
            let run = tiles.neighbours(begin).min(count - done);
            for i in 0..run {
                let ($t, $tile) = (done + i, Tile { column: begin.column + i * OUT, ..begin });
                $call;
            }
            done += run;
        }
    }};
}

/// y = conv(x, w), with what the epilogue adds. `y` may have several results for each image, one after the other: they
/// differ by the epilogue alone.
pub(crate) fn forward(
    sizes: &Sizes,
    batch: usize,
    x: &[f32],
    weights: &WinogradWeights,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let (height, width) = sizes.out();
    assert_eq!(x.len(), batch * sizes.image());
    let copies = sizes.copies(batch, y.len());
    assert_eq!(y.len(), copies * batch * height * width * sizes.outputs);
    assert_eq!(weights.forward.len(), planes(sizes.channels * sizes.outputs));
    epilogue.check(copies * batch, y.len(), sizes.outputs);
    dispatch(WinogradForward { tiles: Tiles::new(*sizes, batch), x, weights, epilogue, y });
}

struct WinogradForward<'a> {
    tiles: Tiles,
    x: &'a [f32],
    weights: &'a WinogradWeights,
    epilogue: Epilogue<'a>,
    y: &'a mut [f32],
}

impl WithSimd for WinogradForward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, x, weights, epilogue, y } = self;
        let (c, o) = (tiles.sizes.channels, tiles.sizes.outputs);
        let stride = tiles.stride(c.max(o));
        // A place's products go where the place before it had its inputs: both sides take half as much of the cache.
        let mut places = Buffer::scratch((PLACES + 1) * stride);
        for block in tiles.blocks() {
            let span = tiles.span(block, c);
            let inputs = &mut places[stride..];
            simd.vectorize(PlacesBlock {
                transform: OfInputs,
                tiles,
                block,
                images: x,
                places: inputs,
                stride,
            });
            drop(span);
            let span = tiles.products(block, 1);
            for place in 0..PLACES {
                let rows = tiles.with_place(block, place);
                let (products, inputs) = places[place * stride..].split_at_mut(stride);
                simd.vectorize(Product {
                    sizes: (rows.len(), o, c),
                    left: Matrix::rows(&inputs[rows.start * c..], c),
                    right: &weights.forward[place * plane(c * o)..],
                    next_right: weights.forward.get((place + 1) * plane(c * o)..).unwrap_or_default(),
                    right_row: o,
                    out: &mut products[rows.start * o..],
                    out_row: o,
                    start: StartValues::Zero,
                });
            }
            drop(span);
            let _span = tiles.span(block, o);
            simd.vectorize(OutputBlock { tiles, block, m: &places, stride, epilogue, y });
        }
    }
}

/// The gradients that are wanted.
pub(crate) struct Grads<'a> {
    /// x's (B, H, W, C), to which is added.
    pub x: Option<&'a mut [f32]>,
    /// That of the products' weights, 36 planes (C, O).
    pub places: Option<&'a mut [f32]>,
    /// Whether the latter is written, and not added to.
    pub places_are_new: bool,
}

/// The gradients' way back.
pub(crate) fn backward(
    sizes: &Sizes,
    batch: usize,
    x: &[f32],
    grad: &[f32],
    weights: &WinogradWeights,
    grads: Grads,
) {
    let (height, width) = sizes.out();
    assert_eq!(x.len(), batch * sizes.image());
    assert_eq!(grad.len(), batch * height * width * sizes.outputs);
    if let Some(grad_x) = &grads.x {
        assert_eq!(grad_x.len(), x.len());
        assert_eq!(weights.backward.len(), planes(sizes.channels * sizes.outputs));
    }
    if let Some(places) = &grads.places {
        assert_eq!(places.len(), planes(sizes.channels * sizes.outputs));
    }
    dispatch(WinogradBackward { tiles: Tiles::new(*sizes, batch), x, grad, weights, grads });
}

struct WinogradBackward<'a> {
    tiles: Tiles,
    x: &'a [f32],
    grad: &'a [f32],
    weights: &'a WinogradWeights,
    grads: Grads<'a>,
}

impl WithSimd for WinogradBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { tiles, x, grad, weights, grads } = self;
        let Grads { x: mut grad_x, places: mut grad_places, places_are_new } = grads;
        let (c, o) = (tiles.sizes.channels, tiles.sizes.outputs);
        let (v_stride, m_stride) = (tiles.stride(c), tiles.stride(o));
        let mut v = Buffer::scratch(PLACES * v_stride);
        let mut m = Buffer::scratch(PLACES * m_stride);
        for block in tiles.blocks() {
            let span = tiles.span(block, o);
            simd.vectorize(PlacesBlock {
                transform: OfGradients,
                tiles,
                block,
                images: grad,
                places: &mut m,
                stride: m_stride,
            });
            drop(span);
            if grad_places.is_some() {
                let _span = tiles.span(block, c);
                simd.vectorize(PlacesBlock {
                    transform: OfInputs,
                    tiles,
                    block,
                    images: x,
                    places: &mut v,
                    stride: v_stride,
                });
            }
            let gradients = usize::from(grad_places.is_some()) + usize::from(grad_x.is_some());
            let span = tiles.products(block, gradients);
            for place in 0..PLACES {
                let rows = tiles.with_place(block, place);
                let v = &mut v[place * v_stride + rows.start * c..];
                let m = &m[place * m_stride + rows.start * o..];
                if let Some(grad_places) = grad_places.as_deref_mut() {
                    let is_new = block.first == 0 && places_are_new;
                    simd.vectorize(Product {
                        sizes: (c, o, rows.len()),
                        left: Matrix::rows(v, c).transposed(),
                        right: m,
                        next_right: &[],
                        right_row: o,
                        out: &mut grad_places[place * plane(c * o)..],
                        out_row: o,
                        start: if is_new { StartValues::Zero } else { StartValues::Out },
                    });
                }
                // The inputs of this place are not needed any more: their gradient takes their place.
                if grad_x.is_some() {
                    simd.vectorize(Product {
                        sizes: (rows.len(), c, o),
                        left: Matrix::rows(m, o),
                        right: &weights.backward[place * plane(c * o)..],
                        next_right: weights.backward.get((place + 1) * plane(c * o)..).unwrap_or_default(),
                        right_row: c,
                        out: v,
                        out_row: c,
                        start: StartValues::Zero,
                    });
                }
            }
            drop(span);
            if let Some(grad_x) = grad_x.as_deref_mut() {
                let _span = tiles.span(block, c);
                simd.vectorize(InputAdjointBlock { tiles, block, v: &v, grad_x });
            }
        }
    }
}

/// The part of an image that a tile's window sees.
#[derive(Clone, Copy)]
struct Window {
    height: usize,
    width: usize,
    row: isize,
    column: isize,
    /// Binary digits that an image's rows and columns have fewer than the window's.
    halved: u32,
}

impl Window {
    /// The 6×6 inputs of a tile.
    fn input(sizes: &Sizes, tile: Tile) -> Self {
        Self {
            height: sizes.height,
            width: sizes.width,
            row: tile.row as isize - sizes.padding.top as isize,
            column: tile.column as isize - sizes.padding.left as isize,
            halved: u32::from(sizes.doubled),
        }
    }

    /// The 4×4 outputs of a tile.
    fn output(sizes: &Sizes, tile: Tile) -> Self {
        let (height, width) = sizes.out();
        Self { height, width, row: tile.row as isize, column: tile.column as isize, halved: 0 }
    }

    /// The pixels of a window that is wholly inside an image of so many channels, if it is.
    #[inline(always)]
    fn inside<const SIDE: usize>(&self, image: *mut f32, channels: usize) -> Option<Inside> {
        let fits = |first: isize, side: usize| first >= 0 && first as usize + SIDE <= side;
        if self.halved > 0 || !fits(self.row, self.height) || !fits(self.column, self.width) {
            return None;
        }
        let first = (self.row as usize * self.width + self.column as usize) * channels;
        Some(Inside { first: image.wrapping_add(first), row: self.width * channels, channels })
    }

    /// The pixels of any window. Those outside the image are all at `outside`.
    #[inline(always)]
    fn listed<const SIDE: usize>(&self, image: *mut f32, channels: usize, outside: *mut f32) -> Listed<SIDE> {
        // A negative number is a very large one here.
        let along = |first: isize, i: usize, side: usize, step: usize| {
            let at = first.wrapping_add_unsigned(i) as usize;
            (at < side, (at >> self.halved).wrapping_mul(step))
        };
        let row_step = (self.width >> self.halved) * channels;
        let mut columns = [(false, 0); SIDE];
        for (j, column) in columns.iter_mut().enumerate() {
            *column = along(self.column, j, self.width, channels);
        }
        let mut pixels = [[outside; SIDE]; SIDE];
        for (i, pixels) in pixels.iter_mut().enumerate() {
            let (has_row, row) = along(self.row, i, self.height, row_step);
            for (pixel, (has_column, column)) in pixels.iter_mut().zip(columns) {
                let inside = image.wrapping_add(row.wrapping_add(column));
                *pixel = if has_row & has_column { inside } else { outside };
            }
        }
        Listed(pixels)
    }
}

/// Where a window's pixels begin in memory.
trait Pixels: Copy {
    fn at(&self, i: usize, j: usize) -> *mut f32;
}

/// Neighbours in an image.
#[derive(Clone, Copy)]
struct Inside {
    first: *mut f32,
    row: usize,
    channels: usize,
}

impl Pixels for Inside {
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> *mut f32 {
        self.first.wrapping_add(i * self.row + j * self.channels)
    }
}

/// Any places.
#[derive(Clone, Copy)]
struct Listed<const SIDE: usize>([[*mut f32; SIDE]; SIDE]);

impl<const SIDE: usize> Pixels for Listed<SIDE> {
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> *mut f32 {
        self.0[i][j]
    }
}

/// Calls a function of a tile's outputs down and across and of pixels, with those of a window. (A macro: closures are not inlined into functions
/// with other instruction sets.)
macro_rules! with_pixels {
    (
        $tile:expr, $window:expr, $side:ident, $image:expr, $channels:expr, $outside:expr,
        |$down:ident, $across:ident, $pixels:ident| $call:expr
    ) => {
        match $window.inside::<$side>($image, $channels).filter(|_| $tile.outputs == (OUT, OUT)) {
            Some($pixels) => {
                const $down: usize = OUT;
                const $across: usize = OUT;
                $call
            }
            None => {
                let $pixels = &$window.listed::<$side>($image, $channels, $outside);
                with_outputs!($tile, |$down, $across| $call)
            }
        }
    };
}

impl<P: Pixels> Pixels for &P {
    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> *mut f32 {
        (*self).at(i, j)
    }
}

/// A transform of SIDE×SIDE pixels of an image into a tile's 36 places.
trait IntoPlaces<const SIDE: usize> {
    /// Along one axis, for a tile of N outputs.
    fn map<S: Simd, const N: usize>(simd: S, pixels: [S::f32s; SIDE]) -> [S::f32s; IN];
    /// Whether a tile of so many outputs along an axis has this pixel.
    fn has(outputs: usize, pixel: usize) -> bool;
    /// Channels, and values of an image.
    fn sizes(&self, sizes: &Sizes) -> (usize, usize);
    fn window(&self, sizes: &Sizes, tile: Tile) -> Window;
}

/// Bᵀ d B of x, (36, tiles, C).
struct OfInputs;

impl IntoPlaces<IN> for OfInputs {
    #[inline(always)]
    fn map<S: Simd, const N: usize>(simd: S, pixels: [S::f32s; IN]) -> [S::f32s; IN] {
        input_transform::<S, N>(simd, pixels)
    }

    #[inline(always)]
    fn has(outputs: usize, pixel: usize) -> bool {
        has_input(outputs, pixel)
    }

    fn sizes(&self, sizes: &Sizes) -> (usize, usize) {
        (sizes.channels, sizes.image())
    }

    fn window(&self, sizes: &Sizes, tile: Tile) -> Window {
        Window::input(sizes, tile)
    }
}

/// A y' Aᵀ of the result's gradient, (36, tiles, O).
struct OfGradients;

impl IntoPlaces<OUT> for OfGradients {
    #[inline(always)]
    fn map<S: Simd, const N: usize>(simd: S, pixels: [S::f32s; OUT]) -> [S::f32s; IN] {
        output_adjoint::<S, N>(simd, pixels)
    }

    #[inline(always)]
    fn has(outputs: usize, pixel: usize) -> bool {
        has_output(outputs, pixel)
    }

    fn sizes(&self, sizes: &Sizes) -> (usize, usize) {
        (sizes.outputs, sizes.out_image())
    }

    fn window(&self, sizes: &Sizes, tile: Tile) -> Window {
        Window::output(sizes, tile)
    }
}

/// A transform of a block's tiles.
struct PlacesBlock<'a, T, const SIDE: usize> {
    transform: T,
    tiles: Tiles,
    block: Block,
    images: &'a [f32],
    places: &'a mut [f32],
    /// Values from one place to the next.
    stride: usize,
}

impl<T: IntoPlaces<SIDE>, const SIDE: usize> WithSimd for PlacesBlock<'_, T, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let sizes = self.tiles.sizes;
        let (channels, image) = self.transform.sizes(&sizes);
        assert!(self.block.count <= self.tiles.block && self.stride >= self.block.count * channels);
        assert!(self.places.len() >= PLACES * self.stride);
        let mut zeros = Buffer::zeros(channels);
        for_each_tile!(self.tiles, self.block, |t, tile| {
            let image = self.images[tile.image * image..][..image].as_ptr().cast_mut();
            // SAFETY: the image and the zeros have `channels` values a pixel, and are only read.
            #[allow(unsafe_code)]
            unsafe {
                let window = self.transform.window(&sizes, tile);
                with_pixels!(tile, window, SIDE, image, channels, zeros.as_mut_ptr(), |D, A, pixels| self
                    .tile::<S, D, A>(simd, pixels, t));
            }
        });
    }
}

impl<T: IntoPlaces<SIDE>, const SIDE: usize> PlacesBlock<'_, T, SIDE> {
    /// # Safety
    /// The block has a tile t, and the pixels have values for all channels.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tile<S: Simd, const D: usize, const A: usize>(
        &mut self,
        simd: S,
        pixels: impl Pixels,
        t: usize,
    ) {
        let (channels, _) = self.transform.sizes(&self.tiles.sizes);
        let stride = self.stride;
        // SAFETY: as asked, and the block has room for its tiles at each place.
        for_each_register!(channels, |c, lanes| unsafe {
            let places = self.places.as_mut_ptr().add(t * channels + c);
            in_two_axes!(
                simd,
                [D, A],
                [T::map::<S, D>, T::map::<S, A>],
                [SIDE, T::has],
                [IN, has_point],
                |i, j| {
                    let at = pixels.at(i, j).add(c);
                    // The next tile to the right begins four pixels further.
                    if j >= SIDE - OUT {
                        prefetch(at.wrapping_add(OUT * channels));
                    }
                    load(simd, at, lanes)
                },
                |i, j, value| store(simd, places.add((i * IN + j) * stride), lanes, value)
            );
        });
    }
}

/// Aᵀ m A of a block's tiles, with the epilogue, into y.
struct OutputBlock<'a, 'b> {
    tiles: Tiles,
    block: Block,
    m: &'a [f32],
    /// Values from one place to the next.
    stride: usize,
    epilogue: Epilogue<'b>,
    y: &'a mut [f32],
}

impl WithSimd for OutputBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (sizes, outputs) = (self.tiles.sizes, self.tiles.sizes.outputs);
        let image = sizes.out_image();
        assert!(self.stride >= self.block.count * outputs && self.m.len() >= PLACES * self.stride);
        let batch = self.tiles.batch;
        let copies = sizes.copies(batch, self.y.len());
        let (mut zeros, mut nowhere) = (Buffer::zeros(outputs), Buffer::scratch(outputs));
        for_each_tile!(self.tiles, self.block, |t, tile| {
            let window = Window::output(&sizes, tile);
            for number in (0..copies).map(|copy| copy * batch + tile.image) {
                let y = self.y[number * image..][..image].as_mut_ptr();
                let bias = self.epilogue.bias_of(number, outputs);
                let residual = self.epilogue.residual.map(|residual| &residual[number * image..][..image]);
                // SAFETY: the images and what stands for the outside have `outputs` values a pixel. The
                // residual and the zeros are only read.
                #[allow(unsafe_code)]
                unsafe {
                    match residual.map(|residual| residual.as_ptr().cast_mut()) {
                        Some(residual) => {
                            let residual = &window.listed::<OUT>(residual, outputs, zeros.as_mut_ptr());
                            let y = &window.listed::<OUT>(y, outputs, nowhere.as_mut_ptr());
                            with_outputs!(tile, |D, A| self.tile::<S, D, A>(
                                simd,
                                y,
                                Some(residual),
                                bias,
                                t
                            ));
                        }
                        None => {
                            with_pixels!(
                                tile,
                                window,
                                OUT,
                                y,
                                outputs,
                                nowhere.as_mut_ptr(),
                                |D, A, pixels| self.tile::<S, D, A>(simd, pixels, None::<Inside>, bias, t)
                            )
                        }
                    }
                }
            }
        });
    }
}

impl OutputBlock<'_, '_> {
    /// # Safety
    /// The block has a tile t. The pixels and the bias have values for all outputs; those of y are not
    /// read elsewhere.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tile<S: Simd, const D: usize, const A: usize>(
        &self,
        simd: S,
        y: impl Pixels,
        residual: Option<impl Pixels>,
        bias: &[f32],
        t: usize,
    ) {
        let outputs = self.tiles.sizes.outputs;
        let stride = self.stride;
        let scale = simd.splat_f32s(self.epilogue.scale);
        // SAFETY: as asked.
        for_each_register!(outputs, |o, lanes| unsafe {
            let bias = load(simd, bias[o..][..lanes].as_ptr(), lanes);
            let m = self.m.as_ptr().add(t * outputs + o);
            in_two_axes!(
                simd,
                [D, A],
                [output_transform::<S, D>, output_transform::<S, A>],
                [IN, has_point],
                [OUT, has_output],
                |i, j| load(simd, m.add((i * IN + j) * stride), lanes),
                |i, j, value| {
                    let mut value = simd.add_f32s(value, bias);
                    if let Some(residual) = residual {
                        value = simd.add_f32s(value, load(simd, residual.at(i, j).add(o), lanes));
                    }
                    store(simd, y.at(i, j).add(o), lanes, simd.mul_f32s(value, scale));
                }
            );
        });
    }
}

/// B v' Bᵀ of a block's tiles, added to x's gradient.
struct InputAdjointBlock<'a> {
    tiles: Tiles,
    block: Block,
    v: &'a [f32],
    grad_x: &'a mut [f32],
}

impl WithSimd for InputAdjointBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (sizes, channels) = (self.tiles.sizes, self.tiles.sizes.channels);
        assert!(self.block.count <= self.tiles.block && self.v.len() >= PLACES * self.tiles.stride(channels));
        let mut nowhere = Buffer::zeros(channels);
        for_each_tile!(self.tiles, self.block, |t, tile| {
            let image = self.grad_x[tile.image * sizes.image()..][..sizes.image()].as_mut_ptr();
            // SAFETY: the image and what stands for the outside have `channels` values a pixel.
            #[allow(unsafe_code)]
            unsafe {
                let window = Window::input(&sizes, tile);
                with_pixels!(tile, window, IN, image, channels, nowhere.as_mut_ptr(), |D, A, pixels| self
                    .tile::<S, D, A>(simd, pixels, t));
            }
        });
    }
}

impl InputAdjointBlock<'_> {
    /// # Safety
    /// The block has a tile t. The pixels have values for all channels, which are not read elsewhere.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tile<S: Simd, const D: usize, const A: usize>(&self, simd: S, pixels: impl Pixels, t: usize) {
        let channels = self.tiles.sizes.channels;
        let stride = self.tiles.stride(channels);
        // SAFETY: as asked.
        for_each_register!(channels, |c, lanes| unsafe {
            let v = self.v.as_ptr().add(t * channels + c);
            in_two_axes!(
                simd,
                [D, A],
                [input_adjoint::<S, D>, input_adjoint::<S, A>],
                [IN, has_point],
                [IN, has_input],
                |i, j| load(simd, v.add((i * IN + j) * stride), lanes),
                |i, j, value| {
                    let at = pixels.at(i, j).add(c);
                    store(simd, at, lanes, simd.add_f32s(load(simd, at, lanes), value));
                }
            );
        });
    }
}
