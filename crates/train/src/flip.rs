//! Mirror images of the training images.

use duet_data::Shape;
use duet_random::Draws;

/// Whether training mirrors images at random. The network is not told, so mirror images are drawn too; they must
/// mean the same as the images. Those of letters and digits do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flip {
    /// Never.
    #[default]
    Off,
    /// Left and right are exchanged for half of the images.
    Horizontal,
    /// The same, and independently top and bottom for half of them.
    Both,
}

const NAMES: [(&str, Flip); 3] = [("off", Flip::Off), ("horizontal", Flip::Horizontal), ("both", Flip::Both)];

impl Flip {
    /// Whether the `index`-th image seen under `seed` is mirrored in x, and whether in y.
    pub fn axes(self, seed: u64, index: u64) -> [bool; 2] {
        let mut draws = Draws::new(seed, "flip", index);
        let mut half = || draws.uniform() < 0.5;
        match self {
            Self::Off => [false, false],
            Self::Horizontal => [half(), false],
            Self::Both => [half(), half()],
        }
    }
}

/// Mirrors an image (C, H, W) in x, in y, or in both. Panics unless it has the shape's number of values.
pub fn mirror(shape: Shape, [in_x, in_y]: [bool; 2], image: &mut [f32]) {
    assert_eq!(image.len(), shape.len(), "an image of shape {shape}");
    for plane in image.chunks_exact_mut(shape.height * shape.width) {
        match (in_x, in_y) {
            (false, false) => {}
            (true, false) => plane.chunks_exact_mut(shape.width).for_each(<[f32]>::reverse),
            (true, true) => plane.reverse(),
            (false, true) => {
                plane.reverse();
                plane.chunks_exact_mut(shape.width).for_each(<[f32]>::reverse);
            }
        }
    }
}

duet_schedule::names_as_text!(Flip, "flip", NAMES);
