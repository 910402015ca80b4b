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

use super::sizes::{Epilogue, Sizes};
use crate::buffer::Buffer;
use crate::chunks::taps_first;
use crate::product::{Matrix, Product, StartValues};
use crate::profile::{self, Work};
use crate::simd::{dispatch, for_each_register, load, mul_add, registers, store};
use pulp::{Simd, WithSimd};

/// Outputs along a tile's side, inputs along it, and products a tile.
const OUT: usize = 4;
const IN: usize = 6;
pub(crate) const PLACES: usize = IN * IN;

/// Whether this algorithm computes the convolution with fewer multiplications than the direct sum.
pub(crate) fn applies(sizes: &Sizes) -> bool {
    let (height, width) = sizes.out();
    let tiles = height.div_ceil(OUT) * width.div_ceil(OUT);
    sizes.kernel == (3, 3)
        && sizes.stride == 1
        && sizes.channels >= 4
        && sizes.outputs >= 4
        && PLACES * tiles < 9 * height * width
}

/// Bᵀ d along one axis.
#[inline(always)]
fn input_transform<S: Simd>(s: S, d: [S::f32s; IN]) -> [S::f32s; IN] {
    let (two, four) = (s.splat_f32s(2.0), s.splat_f32s(4.0));
    let (minus_four, minus_five) = (s.splat_f32s(-4.0), s.splat_f32s(-5.0));
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
fn input_adjoint<S: Simd>(s: S, v: [S::f32s; IN]) -> [S::f32s; IN] {
    let (two, four) = (s.splat_f32s(2.0), s.splat_f32s(4.0));
    let minus_five = s.splat_f32s(-5.0);
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
fn output_transform<S: Simd>(s: S, m: [S::f32s; IN]) -> [S::f32s; OUT] {
    let (two, four, eight) = (s.splat_f32s(2.0), s.splat_f32s(4.0), s.splat_f32s(8.0));
    let (sum12, dif12) = (s.add_f32s(m[1], m[2]), s.sub_f32s(m[1], m[2]));
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
fn output_adjoint<S: Simd>(s: S, y: [S::f32s; OUT]) -> [S::f32s; IN] {
    let (two, four) = (s.splat_f32s(2.0), s.splat_f32s(4.0));
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

/// A linear map along the columns of what `read` gives for (i, j), then along the rows, each of which `write`
/// gets. (A macro: closures are not inlined into functions with other instruction sets.)
macro_rules! in_two_axes {
    ($simd:expr, $map:path, $from:ident, $to:ident, |$i:ident, $j:ident| $read:expr, |$row:ident, $values:ident| $write:expr) => {{
        let mut columns = [[$simd.splat_f32s(0.0); $from]; $to];
        for $j in 0..$from {
            let mut column = [$simd.splat_f32s(0.0); $from];
            for $i in 0..$from {
                column[$i] = $read;
            }
            let mapped = $map($simd, column);
            for i in 0..$to {
                columns[i][$j] = mapped[i];
            }
        }
        for $row in 0..$to {
            let $values = $map($simd, columns[$row]);
            $write;
        }
    }};
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
    /// (36, C, O)
    forward: Buffer,
    /// (36, O, C); empty if no gradients are wanted.
    backward: Buffer,
}

impl WinogradWeights {
    pub fn new(weight: &[f32], outputs: usize, channels: usize, forms: Forms) -> Self {
        let _span = profile::span(Work::Weights);
        let transformed = |taps: &[f32]| {
            let mut places = Buffer::scratch(PLACES * outputs * channels);
            dispatch(KernelTransform { taps, places: &mut places, count: outputs * channels });
            places
        };
        let backward = || {
            let mut taps = Buffer::scratch(weight.len());
            for (i, kernel) in weight.chunks_exact(9).enumerate() {
                kernel.iter().enumerate().for_each(|(tap, &w)| taps[tap * outputs * channels + i] = w);
            }
            transformed(&taps)
        };
        Self {
            forward: match forms {
                Forms::Backward => Buffer::scratch(0),
                _ => transformed(&taps_first(weight, 9, channels, outputs)),
            },
            backward: match forms {
                Forms::Forward => Buffer::scratch(0),
                _ => backward(),
            },
        }
    }
}

/// G g Gᵀ of `count` kernels side by side: (9, count) → (36, count).
struct KernelTransform<'a> {
    taps: &'a [f32],
    places: &'a mut [f32],
    count: usize,
}

impl WithSimd for KernelTransform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { taps, places, count } = self;
        for (first, lanes) in registers::<S>(count) {
            let mut g = [[s.splat_f32s(0.0); 3]; 3];
            for u in 0..3 {
                for v in 0..3 {
                    g[v][u] = s.partial_load_f32s(&taps[(u * 3 + v) * count + first..][..lanes]);
                }
            }
            for (i, row) in G.iter().enumerate() {
                let along = [dot3(s, row, g[0]), dot3(s, row, g[1]), dot3(s, row, g[2])];
                for (j, column) in G.iter().enumerate() {
                    let out = &mut places[(i * IN + j) * count + first..][..lanes];
                    s.partial_store_f32s(out, dot3(s, column, along));
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

/// Adds Gᵀ M G of the products' gradients (36, C, O) to `grad` (9, C, O).
pub(crate) fn add_weight_gradient(places: &[f32], grad: &mut [f32]) {
    let count = grad.len() / 9;
    assert!(places.len() == PLACES * count && grad.len() == 9 * count);
    let _span = profile::span(Work::Weights).over((PLACES + 2 * 9) * count);
    dispatch(KernelAdjoint { places, taps: grad, count });
}

/// Gᵀ m G side by side, (36, count) → (9, count), added to what is there.
struct KernelAdjoint<'a> {
    places: &'a [f32],
    taps: &'a mut [f32],
    count: usize,
}

impl WithSimd for KernelAdjoint<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { places, taps, count } = self;
        for (first, lanes) in registers::<S>(count) {
            let mut along = [[s.splat_f32s(0.0); 3]; IN];
            for (i, along) in along.iter_mut().enumerate() {
                for (j, g) in G.iter().enumerate() {
                    let m = s.partial_load_f32s(&places[(i * IN + j) * count + first..][..lanes]);
                    for v in 0..3 {
                        along[v] = mul_add(s, s.splat_f32s(g[v]), m, along[v]);
                    }
                }
            }
            for u in 0..3 {
                for v in 0..3 {
                    let mut sum = s.splat_f32s(0.0);
                    for (i, g) in G.iter().enumerate() {
                        sum = mul_add(s, s.splat_f32s(g[u]), along[i][v], sum);
                    }
                    let tap = &mut taps[(u * 3 + v) * count + first..][..lanes];
                    s.partial_store_f32s(tap, s.add_f32s(s.partial_load_f32s(tap), sum));
                }
            }
        }
    }
}

/// All tiles of a batch, and how many are worked on at a time.
#[derive(Clone, Copy)]
struct Tiles {
    sizes: Sizes,
    down: usize,
    across: usize,
    count: usize,
    block: usize,
}

/// A tile's place: image, first output row and column.
#[derive(Clone, Copy)]
struct Tile {
    image: usize,
    row: usize,
    column: usize,
}

impl Tiles {
    fn new(sizes: Sizes, batch: usize) -> Self {
        let (height, width) = sizes.out();
        let (down, across) = (height.div_ceil(OUT), width.div_ceil(OUT));
        let count = batch * down * across;
        // Both transformed sides of a block fill about 768 KiB, a part of the second-level cache;
        // or as much as the weights, which each block reads once.
        let (c, o) = (sizes.channels, sizes.outputs);
        let most = (196_608 / (PLACES * (c + o))).max(c * o / (c + o)).clamp(24, 96);
        let blocks = count.div_ceil(most).max(1);
        let block = count.div_ceil(blocks).next_multiple_of(2);
        Self { sizes, down, across, count, block: block.min(count.max(1)) }
    }

    /// The transform of a block: an image's side of a tile, and the products' side of it.
    fn span(&self, count: usize, channels: usize) -> profile::Span {
        profile::span(Work::Transforms).over((PLACES + OUT * OUT) * count * channels)
    }

    fn products(&self, count: usize) -> profile::Span {
        let (c, o) = (self.sizes.channels, self.sizes.outputs);
        profile::products(PLACES * count * c * o, PLACES * (count * (c + o) + c * o))
    }

    fn batch(&self) -> usize {
        self.count / (self.down * self.across).max(1)
    }

    fn at(&self, tile: usize) -> Tile {
        let (image, place) = (tile / (self.down * self.across), tile % (self.down * self.across));
        Tile { image, row: place / self.across * OUT, column: place % self.across * OUT }
    }

    /// Values from one place to the next in a block's (36, tiles, channels): a cache line more
    /// than needed, so that the 36 do not compete for the same lines of the cache.
    fn stride(&self, channels: usize) -> usize {
        (self.block * channels).next_multiple_of(16) + 16
    }

    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self { block, count, .. } = *self;
        (0..count).step_by(block.max(1)).map(move |first| (first, block.min(count - first)))
    }
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
    assert_eq!(weights.forward.len(), PLACES * sizes.channels * sizes.outputs);
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
        let (v_stride, m_stride) = (tiles.stride(c), tiles.stride(o));
        let mut v = Buffer::scratch(PLACES * v_stride);
        let mut m = Buffer::scratch(PLACES * m_stride);
        for (first, count) in tiles.blocks() {
            let span = tiles.span(count, c);
            simd.vectorize(PlacesBlock {
                transform: OfInputs,
                tiles,
                first,
                count,
                images: x,
                places: &mut v,
            });
            drop(span);
            let span = tiles.products(count);
            for place in 0..PLACES {
                simd.vectorize(Product {
                    sizes: (count, o, c),
                    left: Matrix::rows(&v[place * v_stride..], c),
                    right: &weights.forward[place * c * o..],
                    right_row: o,
                    out: &mut m[place * m_stride..],
                    out_row: o,
                    start: StartValues::Zero,
                });
            }
            drop(span);
            let _span = tiles.span(count, o);
            simd.vectorize(OutputBlock { tiles, first, count, m: &m, epilogue, y });
        }
    }
}

/// The gradients that are wanted.
pub(crate) struct Grads<'a> {
    /// x's (B, H, W, C), to which is added.
    pub x: Option<&'a mut [f32]>,
    /// That of the products' weights (36, C, O).
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
        assert_eq!(weights.backward.len(), PLACES * sizes.channels * sizes.outputs);
    }
    if let Some(places) = &grads.places {
        assert_eq!(places.len(), PLACES * sizes.channels * sizes.outputs);
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
        for (first, count) in tiles.blocks() {
            let span = tiles.span(count, o);
            simd.vectorize(PlacesBlock {
                transform: OfGradients,
                tiles,
                first,
                count,
                images: grad,
                places: &mut m,
            });
            drop(span);
            if let Some(grad_places) = grad_places.as_deref_mut() {
                let span = tiles.span(count, c);
                simd.vectorize(PlacesBlock {
                    transform: OfInputs,
                    tiles,
                    first,
                    count,
                    images: x,
                    places: &mut v,
                });
                drop(span);
                let _span = tiles.products(count);
                for place in 0..PLACES {
                    simd.vectorize(Product {
                        sizes: (c, o, count),
                        left: Matrix::rows(&v[place * v_stride..], c).transposed(),
                        right: &m[place * m_stride..],
                        right_row: o,
                        out: &mut grad_places[place * c * o..],
                        out_row: o,
                        start: if first == 0 && places_are_new {
                            StartValues::Zero
                        } else {
                            StartValues::Out
                        },
                    });
                }
            }
            if let Some(grad_x) = grad_x.as_deref_mut() {
                let span = tiles.products(count);
                for place in 0..PLACES {
                    simd.vectorize(Product {
                        sizes: (count, c, o),
                        left: Matrix::rows(&m[place * m_stride..], o),
                        right: &weights.backward[place * c * o..],
                        right_row: c,
                        out: &mut v[place * v_stride..],
                        out_row: c,
                        start: StartValues::Zero,
                    });
                }
                drop(span);
                let _span = tiles.span(count, c);
                simd.vectorize(InputAdjointBlock { tiles, first, count, v: &v, grad_x });
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
        let along = |first: isize, side: usize| {
            let mut places = [None; SIDE];
            for (i, place) in places.iter_mut().enumerate() {
                let at = first + i as isize;
                *place = (at >= 0 && (at as usize) < side).then_some(at as usize >> self.halved);
            }
            places
        };
        let (rows, columns) = (along(self.row, self.height), along(self.column, self.width));
        let mut pixels = [[outside; SIDE]; SIDE];
        for (pixels, row) in pixels.iter_mut().zip(rows) {
            let Some(row) = row else { continue };
            let row = image.wrapping_add(row * (self.width >> self.halved) * channels);
            for (pixel, column) in pixels.iter_mut().zip(columns) {
                if let Some(column) = column {
                    *pixel = row.wrapping_add(column * channels);
                }
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

/// Calls a function of pixels with those of a window. (A macro: closures are not inlined into functions
/// with other instruction sets.)
macro_rules! with_pixels {
    ($window:expr, $side:ident, $image:expr, $channels:expr, $outside:expr, |$pixels:ident| $call:expr) => {
        match $window.inside::<$side>($image, $channels) {
            Some($pixels) => $call,
            None => {
                let $pixels = &$window.listed::<$side>($image, $channels, $outside);
                $call
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
    /// Along one axis.
    fn map<S: Simd>(simd: S, pixels: [S::f32s; SIDE]) -> [S::f32s; IN];
    /// Channels, and values of an image.
    fn sizes(&self, sizes: &Sizes) -> (usize, usize);
    fn window(&self, sizes: &Sizes, tile: Tile) -> Window;
}

/// Bᵀ d B of x, (36, tiles, C).
struct OfInputs;

impl IntoPlaces<IN> for OfInputs {
    #[inline(always)]
    fn map<S: Simd>(simd: S, pixels: [S::f32s; IN]) -> [S::f32s; IN] {
        input_transform(simd, pixels)
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
    fn map<S: Simd>(simd: S, pixels: [S::f32s; OUT]) -> [S::f32s; IN] {
        output_adjoint(simd, pixels)
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
    first: usize,
    count: usize,
    images: &'a [f32],
    places: &'a mut [f32],
}

impl<T: IntoPlaces<SIDE>, const SIDE: usize> WithSimd for PlacesBlock<'_, T, SIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let sizes = self.tiles.sizes;
        let (channels, image) = self.transform.sizes(&sizes);
        assert!(self.count <= self.tiles.block && self.places.len() >= PLACES * self.tiles.stride(channels));
        let mut zeros = Buffer::zeros(channels);
        for t in 0..self.count {
            let tile = self.tiles.at(self.first + t);
            let image = self.images[tile.image * image..][..image].as_ptr().cast_mut();
            // SAFETY: the image and the zeros have `channels` values a pixel, and are only read.
            #[allow(unsafe_code)]
            unsafe {
                let window = self.transform.window(&sizes, tile);
                with_pixels!(window, SIDE, image, channels, zeros.as_mut_ptr(), |pixels| self
                    .tile(simd, pixels, t));
            }
        }
    }
}

impl<T: IntoPlaces<SIDE>, const SIDE: usize> PlacesBlock<'_, T, SIDE> {
    /// # Safety
    /// The block has a tile t, and the pixels have values for all channels.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tile<S: Simd>(&mut self, simd: S, pixels: impl Pixels, t: usize) {
        let (channels, _) = self.transform.sizes(&self.tiles.sizes);
        let stride = self.tiles.stride(channels);
        // SAFETY: as asked, and the block has room for its tiles at each place.
        for_each_register!(channels, |c, lanes| unsafe {
            let places = self.places.as_mut_ptr().add(t * channels + c);
            in_two_axes!(
                simd,
                T::map,
                SIDE,
                IN,
                |i, j| load(simd, pixels.at(i, j).add(c), lanes),
                |i, values| write_places(simd, i, values, places, stride, lanes)
            );
        });
    }
}

/// Writes a row of places.
///
/// # Safety
/// `lanes` values can be written at each of the 36 places, `stride` values apart.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn write_places<S: Simd>(
    simd: S,
    row: usize,
    values: [S::f32s; IN],
    to: *mut f32,
    stride: usize,
    lanes: usize,
) {
    for (j, value) in values.into_iter().enumerate() {
        // SAFETY: as asked.
        unsafe { store(simd, to.add((row * IN + j) * stride), lanes, value) };
    }
}

/// Aᵀ m A of a block's tiles, with the epilogue, into y.
struct OutputBlock<'a, 'b> {
    tiles: Tiles,
    first: usize,
    count: usize,
    m: &'a [f32],
    epilogue: Epilogue<'b>,
    y: &'a mut [f32],
}

impl WithSimd for OutputBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (sizes, outputs) = (self.tiles.sizes, self.tiles.sizes.outputs);
        let image = sizes.out_image();
        assert!(self.count <= self.tiles.block && self.m.len() >= PLACES * self.tiles.stride(outputs));
        let batch = self.tiles.batch();
        let copies = sizes.copies(batch, self.y.len());
        let (mut zeros, mut nowhere) = (Buffer::zeros(outputs), Buffer::scratch(outputs));
        for t in 0..self.count {
            let tile = self.tiles.at(self.first + t);
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
                            self.tile(simd, y, Some(residual), bias, t);
                        }
                        None => with_pixels!(window, OUT, y, outputs, nowhere.as_mut_ptr(), |pixels| self
                            .tile(simd, pixels, None::<Inside>, bias, t)),
                    }
                }
            }
        }
    }
}

impl OutputBlock<'_, '_> {
    /// # Safety
    /// The block has a tile t. The pixels and the bias have values for all outputs; those of y are not
    /// read elsewhere.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tile<S: Simd>(
        &self,
        simd: S,
        y: impl Pixels,
        residual: Option<impl Pixels>,
        bias: &[f32],
        t: usize,
    ) {
        let outputs = self.tiles.sizes.outputs;
        let stride = self.tiles.stride(outputs);
        let scale = simd.splat_f32s(self.epilogue.scale);
        // SAFETY: as asked.
        for_each_register!(outputs, |o, lanes| unsafe {
            let bias = load(simd, bias[o..][..lanes].as_ptr(), lanes);
            let m = self.m.as_ptr().add(t * outputs + o);
            in_two_axes!(
                simd,
                output_transform,
                IN,
                OUT,
                |i, j| load(simd, m.add((i * IN + j) * stride), lanes),
                |i, values| for (j, value) in values.into_iter().enumerate() {
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
    first: usize,
    count: usize,
    v: &'a [f32],
    grad_x: &'a mut [f32],
}

impl WithSimd for InputAdjointBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (sizes, channels) = (self.tiles.sizes, self.tiles.sizes.channels);
        assert!(self.count <= self.tiles.block && self.v.len() >= PLACES * self.tiles.stride(channels));
        let mut nowhere = Buffer::zeros(channels);
        for t in 0..self.count {
            let tile = self.tiles.at(self.first + t);
            let image = self.grad_x[tile.image * sizes.image()..][..sizes.image()].as_mut_ptr();
            // SAFETY: the image and what stands for the outside have `channels` values a pixel.
            #[allow(unsafe_code)]
            unsafe {
                let window = Window::input(&sizes, tile);
                with_pixels!(window, IN, image, channels, nowhere.as_mut_ptr(), |pixels| self
                    .tile(simd, pixels, t));
            }
        }
    }
}

impl InputAdjointBlock<'_> {
    /// # Safety
    /// The block has a tile t. The pixels have values for all channels, which are not read elsewhere.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn tile<S: Simd>(&self, simd: S, pixels: impl Pixels, t: usize) {
        let channels = self.tiles.sizes.channels;
        let stride = self.tiles.stride(channels);
        // SAFETY: as asked.
        for_each_register!(channels, |c, lanes| unsafe {
            let v = self.v.as_ptr().add(t * channels + c);
            in_two_axes!(
                simd,
                input_adjoint,
                IN,
                IN,
                |i, j| load(simd, v.add((i * IN + j) * stride), lanes),
                |i, values| for (j, value) in values.into_iter().enumerate() {
                    let at = pixels.at(i, j).add(c);
                    store(simd, at, lanes, simd.add_f32s(load(simd, at, lanes), value));
                }
            );
        });
    }
}
