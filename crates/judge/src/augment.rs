//! Random changes of a training image that keep its class.

use duet_data::Shape;
use duet_random::Draws;

/// The random changes of a training image each time it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augmentation {
    /// No changes.
    None,
    /// For photographs: a shift by up to an eighth of the sides, in whole pixels, with the border repeated;
    /// and a mirror image (left and right exchanged) half of the time.
    Shift,
    /// For writing on black: the image is turned, scaled, sheared, shifted and bent smoothly (Simard et al.
    /// 2003).
    Digits,
}

/// The largest rotation of a digit, in radians.
const TURN: f64 = 0.25;
/// The largest change of its size along each axis, as a share.
const SCALE: f64 = 0.15;
/// The largest shear, as a tangent.
const SHEAR: f64 = 0.2;
/// The largest shift along each axis, as a share of the side.
const SHIFT: f64 = 0.08;
/// The root mean square of a pixel's displacement along each axis, as a share of the side.
const BEND: f64 = 0.045;
/// Standard deviation of the Gaussian that smooths the displacements, as a share of the side.
const SMOOTH: f64 = 0.14;

impl Augmentation {
    /// `image` (C, H, W) after its random changes, written to `out` (C, H, W).
    pub(crate) fn apply(self, image: &[f32], shape: Shape, draws: &mut Draws, out: &mut [f32]) {
        match self {
            Self::None => out.copy_from_slice(image),
            Self::Shift => shift(image, shape, draws, out),
            Self::Digits => bend(image, shape, draws, out),
        }
    }
}

fn shift(image: &[f32], shape: Shape, draws: &mut Draws, out: &mut [f32]) {
    let Shape { height, width, .. } = shape;
    let mut within = |limit: usize| draws.below(2 * limit as u64 + 1) as isize - limit as isize;
    let (down, right) = (within(height / 8), within(width / 8));
    let mirrored = draws.below(2) == 1;
    let clamped = |place: usize, by: isize, side: usize| place.saturating_add_signed(-by).min(side - 1);
    let pixels = height * width;
    for (image, out) in image.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels)) {
        for (p, out) in out.iter_mut().enumerate() {
            let (y, x) = (clamped(p / width, down, height), clamped(p % width, right, width));
            *out = image[y * width + if mirrored { width - 1 - x } else { x }];
        }
    }
}

/// Reads each pixel p from A·(p - middle) + middle - shift + displacement(p).
fn bend(image: &[f32], shape: Shape, draws: &mut Draws, out: &mut [f32]) {
    let Shape { height, width, .. } = shape;
    let mut within = |limit: f64| limit * (2.0 * draws.uniform() - 1.0);
    let (sin, cos) = within(TURN).sin_cos();
    let (tall, wide, lean) = (1.0 + within(SCALE), 1.0 + within(SCALE), within(SHEAR));
    let (down, right) = (within(SHIFT) * height as f64, within(SHIFT) * width as f64);
    let (dy, dx) = (displacements(shape, height, draws), displacements(shape, width, draws));
    let (middle_y, middle_x) = ((height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0);
    let pixels = height * width;
    for p in 0..pixels {
        let (y, x) = ((p / width) as f64 - middle_y, (p % width) as f64 - middle_x);
        let (y, x) = (tall * y, wide * (x + lean * y));
        let (y, x) = (cos * y + sin * x + middle_y - down, cos * x - sin * y + middle_x - right);
        let (y, x) = (y + f64::from(dy[p]), x + f64::from(dx[p]));
        for (image, out) in image.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels)) {
            out[p] = between_pixels(image, (height, width), y, x);
        }
    }
}

/// Displacements (H, W) along an axis of length `side`: uniform noise, smoothed by a Gaussian that
/// wraps around, and scaled to their root mean square.
fn displacements(shape: Shape, side: usize, draws: &mut Draws) -> Vec<f32> {
    let Shape { height, width, .. } = shape;
    let noise: Vec<f32> = (0..height * width).map(|_| (2.0 * draws.uniform() - 1.0) as f32).collect();
    let (down, along) = (gaussian(height), gaussian(width));
    let power = |kernel: &[f32]| kernel.iter().map(|v| v * v).sum::<f32>();
    // A value uniform in [-1, 1] has variance 1/3.
    let scale = (BEND * side as f64) as f32 * (3.0 / (power(&down) * power(&along))).sqrt();
    let rows = smoothed_rows(&noise, width, &along);
    let columns = smoothed_rows(&transposed(&rows, width), height, &down);
    transposed(&columns, height).into_iter().map(|value| scale * value).collect()
}

/// A Gaussian kernel up to 2.5 standard deviations, and at most as wide as the image.
fn gaussian(side: usize) -> Vec<f32> {
    let sigma = SMOOTH * side as f64;
    let radius = ((2.5 * sigma) as i64).min((side as i64 - 1) / 2);
    let kernel: Vec<f64> = (-radius..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = kernel.iter().sum();
    kernel.into_iter().map(|value| (value / sum) as f32).collect()
}

/// Correlates each row of (rows, width) with a kernel; the rows wrap around.
fn smoothed_rows(values: &[f32], width: usize, kernel: &[f32]) -> Vec<f32> {
    let mut smooth = vec![0.0; values.len()];
    let radius = kernel.len() / 2;
    for (row, out) in values.chunks_exact(width).zip(smooth.chunks_exact_mut(width)) {
        let around: Vec<f32> =
            row[width - radius..].iter().chain(row).chain(&row[..radius]).copied().collect();
        for (tap, &factor) in kernel.iter().enumerate() {
            out.iter_mut().zip(&around[tap..]).for_each(|(out, value)| *out += factor * value);
        }
    }
    smooth
}

/// (rows, width) → (width, rows).
fn transposed(values: &[f32], width: usize) -> Vec<f32> {
    let rows = values.len() / width;
    (0..values.len()).map(|i| values[(i % rows) * width + i / rows]).collect()
}

/// The value of an image (H, W) at row y and column x, bilinear; black, -1, outside.
fn between_pixels(image: &[f32], (height, width): (usize, usize), y: f64, x: f64) -> f32 {
    let at = |y: f64, x: f64| {
        let inside = (0.0..height as f64).contains(&y) && (0.0..width as f64).contains(&x);
        if inside { image[y as usize * width + x as usize] } else { -1.0 }
    };
    let (top, left) = (y.floor(), x.floor());
    let (v, u) = ((y - top) as f32, (x - left) as f32);
    let upper = (1.0 - u) * at(top, left) + u * at(top, left + 1.0);
    let lower = (1.0 - u) * at(top + 1.0, left) + u * at(top + 1.0, left + 1.0);
    (1.0 - v) * upper + v * lower
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGIT: Shape = Shape { channels: 1, height: 28, width: 20 };

    #[test]
    fn displacements_have_their_root_mean_square() {
        let mut sum = 0.0;
        for index in 0..200 {
            let mut draws = Draws::new(0, "displacements", index);
            let field = displacements(DIGIT, 28, &mut draws);
            assert_eq!(field.len(), 28 * 20);
            sum += field.iter().map(|v| f64::from(v * v)).sum::<f64>() / field.len() as f64;
        }
        let found = (sum / 200.0).sqrt();
        assert!((found / (28.0 * BEND) - 1.0).abs() < 0.05, "{found} for {}", 28.0 * BEND);
    }

    #[test]
    fn displacements_are_smooth() {
        let field = displacements(DIGIT, 28, &mut Draws::new(0, "displacements", 0));
        let steps =
            field.chunks_exact(20).flat_map(|row| row.windows(2).map(|pair| (pair[1] - pair[0]).abs()));
        let largest = steps.fold(0.0, f32::max);
        assert!(largest < 1.0, "neighbours move apart by {largest} pixels");
    }

    #[test]
    fn a_bent_digit_keeps_most_of_its_ink_and_its_range() {
        let digits = duet_data::digits().unwrap().train;
        let ink = |image: &[f32]| image.iter().map(|v| f64::from(v + 1.0)).sum::<f64>();
        let (mut before, mut after) = (0.0, 0.0);
        let (mut image, mut out) = (vec![0.0; 784], vec![0.0; 784]);
        for i in 0..200 {
            digits.image(i, &mut image);
            let mut draws = Draws::new(0, "augmentation", i as u64);
            Augmentation::Digits.apply(&image, digits.shape(), &mut draws, &mut out);
            assert_ne!(image, out);
            assert!(out.iter().all(|v| (-1.0..=1.0).contains(v)));
            (before, after) = (before + ink(&image), after + ink(&out));
        }
        assert!((after / before - 1.0).abs() < 0.1, "{after} for {before}");
    }

    #[test]
    fn a_shift_moves_all_channels_alike() {
        let shape = Shape { channels: 3, height: 8, width: 16 };
        let image: Vec<f32> = (0..shape.len()).map(|i| (i % 128) as f32).collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut out = vec![0.0; shape.len()];
        for index in 0..200 {
            Augmentation::Shift.apply(&image, shape, &mut Draws::new(0, "shift", index), &mut out);
            assert!(out[..128] == out[128..256] && out[..128] == out[256..]);
            seen.insert(out.iter().map(|&v| v as u32).collect::<Vec<_>>());
        }
        // -1 to 1 down, -2 to 2 along, mirrored or not.
        assert_eq!(seen.len(), 3 * 5 * 2);
    }
}
