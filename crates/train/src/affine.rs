//! Affine maps of the plane, and images under them.

use duet_data::Shape;

/// x ↦ `linear` x + `shift`, for points (x, y) in pixels from the middle of an image, x to the right and y down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The rows of the matrix.
    pub linear: [[f64; 2]; 2],
    /// The image of the middle.
    pub shift: [f64; 2],
}

impl Affine {
    /// Leaves everything where it is.
    pub const IDENTITY: Self = Self::scale(1.0, 1.0);

    /// Stretches by these factors.
    pub const fn scale(x: f64, y: f64) -> Self {
        Self { linear: [[x, 0.0], [0.0, y]], shift: [0.0, 0.0] }
    }

    /// Turns by an angle in radians, from x towards y: clockwise on the screen.
    pub fn rotation(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self { linear: [[cos, -sin], [sin, cos]], shift: [0.0, 0.0] }
    }

    /// Moves by so many pixels.
    pub const fn translation(x: f64, y: f64) -> Self {
        Self { shift: [x, y], ..Self::IDENTITY }
    }

    /// Where a point goes.
    pub fn at(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let row = |i: usize| self.linear[i][0] * x + self.linear[i][1] * y + self.shift[i];
        [row(0), row(1)]
    }

    /// This map, and `next` after it.
    pub fn then(&self, next: &Self) -> Self {
        let entry = |i: usize, j: usize| {
            next.linear[i][0] * self.linear[0][j] + next.linear[i][1] * self.linear[1][j]
        };
        Self { linear: [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]], shift: next.at(self.shift) }
    }

    /// The map back. Its values are not finite where there is none.
    pub fn inverse(&self) -> Self {
        let [[a, b], [c, d]] = self.linear;
        let determinant = a * d - b * c;
        let [a, b, c, d] = [a, b, c, d].map(|entry| entry / determinant);
        let back = Self { linear: [[d, -b], [-c, a]], shift: [0.0, 0.0] };
        let [x, y] = back.at(self.shift);
        Self { shift: [-x, -y], ..back }
    }

    /// The image (C, H, W) under this map. Outside, the image goes on as its mirror images.
    ///
    /// A pixel is the cubic interpolation of Keys (1981) where the map's inverse takes it. Where that makes the
    /// image smaller, the interpolation is over as many more pixels, so that no pattern comes from fine lines.
    /// Mirrored images, those that are moved by whole pixels and those that are turned by right angles therefore
    /// have the same values in other places.
    ///
    /// # Panics
    /// Where the image has another number of values, or the map no finite inverse.
    pub fn of_image(&self, shape: Shape, image: &[f32]) -> Vec<f32> {
        let Shape { height, width, .. } = shape;
        assert_eq!(image.len(), shape.len(), "an image of shape {shape}");
        let back = self.inverse();
        assert!(back.linear.as_flattened().iter().chain(&back.shift).all(|v| v.is_finite()), "no inverse");
        // The square of a pixel of the result covers so much of the image in each axis.
        let [reach_x, reach_y] = back.linear.map(|[x, y]| x.hypot(y).max(1.0));
        let middle = [(width - 1) as f64 / 2.0, (height - 1) as f64 / 2.0];
        let mut result = vec![0f32; image.len()];
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        for y in 0..height {
            for x in 0..width {
                let [from_x, from_y] = back.at([x as f64 - middle[0], y as f64 - middle[1]]);
                taps(from_x + middle[0], reach_x, width, &mut columns);
                taps(from_y + middle[1], reach_y, height, &mut rows);
                let planes = image.chunks_exact(height * width).zip(result.chunks_exact_mut(height * width));
                for (plane, result) in planes {
                    let of_row = |&(row, weight): &(usize, f32)| {
                        let row = &plane[row * width..][..width];
                        weight * columns.iter().map(|&(column, weight)| weight * row[column]).sum::<f32>()
                    };
                    result[y * width + x] = rows.iter().map(of_row).sum();
                }
            }
        }
        result
    }
}

/// The pixels from which the value at a position is interpolated, with their weights, whose sum is 1. `reach` is
/// how many times as wide as usual the interpolation is, at least 1; `count` is the number of pixels.
fn taps(position: f64, reach: f64, count: usize, taps: &mut Vec<(usize, f32)>) {
    taps.clear();
    let first = (position - 2.0 * reach).ceil() as i64;
    let last = (position + 2.0 * reach).floor() as i64;
    let weight = |pixel: i64| cubic((pixel as f64 - position) / reach);
    let sum: f64 = (first..=last).map(weight).sum();
    let tap = |pixel: i64| (mirrored(pixel, count), (weight(pixel) / sum) as f32);
    taps.extend((first..=last).map(tap).filter(|(_, weight)| *weight != 0.0));
}

/// Keys' cubic convolution with a = -1/2: exact for parabolas, 1 at 0, and 0 at the other integers and from 2 on.
fn cubic(distance: f64) -> f64 {
    let d = distance.abs();
    match d {
        _ if d < 1.0 => (1.5 * d - 2.5) * d * d + 1.0,
        _ if d < 2.0 => ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0,
        _ => 0.0,
    }
}

/// The pixel that is seen at a place outside, where the image goes on as its mirror images: … 1 0 | 0 1 2 | 2 1 …
fn mirrored(pixel: i64, count: usize) -> usize {
    let count = count as i64;
    let place = pixel.rem_euclid(2 * count);
    place.min(2 * count - 1 - place) as usize
}
