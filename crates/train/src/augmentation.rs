//! Non-leaky augmentation (Karras et al. 2022, appendix F.2 and table 6): training images are changed at random,
//! and the network is told how, so that it does not draw changed images when it is told of no change.

use crate::affine::Affine;
use duet_data::Shape;
use duet_random::Draws;
use std::f64::consts::PI;

/// What is done to one training image, by the paper's letters.
///
/// The paper mirrors every image in x with probability 1/2. Here, that too has the probability of the other
/// transformations, because half of all digits would be mirrored; [`Flip`](crate::Flip) is for images that mean
/// the same when they are mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// a_0 and a_1: whether the image is mirrored in x, and whether in y.
    pub flips: [bool; 2],
    /// a_2: it is enlarged by A_scale^a_2.
    pub scale: f64,
    /// a_3: it is turned by this angle, in -π to π.
    pub rotation: f64,
    /// a_5 (cos 2a_4, sin 2a_4): it is stretched by A_aniso^a_5 in the direction a_4, and shrunk across it. The
    /// paper tells the network a_5 (cos a_4, sin a_4), which is the same for a stretch and for a shrinking; with
    /// twice the angle, no two stretches have the same two numbers.
    pub anisotropy: [f64; 2],
    /// a_6 and a_7: it is moved by A_trans · a_6 of its width and A_trans · a_7 of its height.
    pub translation: [f64; 2],
}

/// A_scale and A_aniso are 2 to this power.
const LOG_SCALE: f64 = 0.2;
/// A_trans.
const TRANSLATION: f64 = 0.125;

impl Augmentation {
    /// How many numbers tell the network of a change.
    pub const LABELS: usize = 9;
    /// No change at all.
    pub const NONE: Self = Self {
        flips: [false, false],
        scale: 0.0,
        rotation: 0.0,
        anisotropy: [0.0, 0.0],
        translation: [0.0, 0.0],
    };

    /// What is done to the `index`-th image seen under `seed`: each of the six transformations with this
    /// probability, in 0 to 1.
    pub fn new(seed: u64, index: u64, probability: f64) -> Self {
        let mut draws = Draws::new(seed, "augmentation", index);
        // Everything is drawn, so that what is done of one kind does not depend on the others.
        let [flip_x, flip_y, scaled, turned, stretched, moved] =
            std::array::from_fn(|_| draws.uniform() < probability);
        let flips = [draws.uniform() < 0.5, draws.uniform() < 0.5];
        let angle = |draws: &mut Draws| (2.0 * draws.uniform() - 1.0) * PI;
        let (scale, rotation) = (draws.normal(), angle(&mut draws));
        let (direction, stretch) = (angle(&mut draws), draws.normal());
        let translation = [draws.normal(), draws.normal()];
        let kept = |happens: bool, value: f64| if happens { value } else { 0.0 };
        Self {
            flips: [flip_x && flips[0], flip_y && flips[1]],
            scale: kept(scaled, scale),
            rotation: kept(turned, rotation),
            anisotropy: [(2.0 * direction).cos(), (2.0 * direction).sin()]
                .map(|part| kept(stretched, stretch * part)),
            translation: translation.map(|part| kept(moved, part)),
        }
    }

    /// What the network is told, the last but one column of the paper's table; all are 0 where nothing is done.
    pub fn labels(&self) -> [f32; Self::LABELS] {
        let [flip_x, flip_y] = self.flips.map(|flips| f64::from(u8::from(flips)));
        let (sin, cos) = self.rotation.sin_cos();
        let [cos_part, sin_part] = self.anisotropy;
        let [x, y] = self.translation;
        [flip_x, flip_y, self.scale, cos - 1.0, sin, cos_part, sin_part, x, y].map(|label| label as f32)
    }

    /// The map of an image of this shape: mirrored, enlarged, turned, stretched and moved, in this order.
    pub fn map(&self, shape: Shape) -> Affine {
        let [x, y] = self.flips.map(|flips| if flips { -1.0 } else { 1.0 });
        let enlarged = (LOG_SCALE * self.scale).exp2();
        let [cos_part, sin_part] = self.anisotropy;
        let (direction, stretch) =
            (0.5 * sin_part.atan2(cos_part), (LOG_SCALE * cos_part.hypot(sin_part)).exp2());
        let [right, down] = self.translation;
        let [width, height] = [shape.width, shape.height].map(|side| side as f64);
        Affine::scale(x * enlarged, y * enlarged)
            .then(&Affine::rotation(self.rotation))
            .then(&Affine::rotation(-direction))
            .then(&Affine::scale(stretch, 1.0 / stretch))
            .then(&Affine::rotation(direction))
            .then(&Affine::translation(TRANSLATION * right * width, TRANSLATION * down * height))
    }

    /// Changes an image (C, H, W) of values in [-1, 1], which stay there.
    ///
    /// # Panics
    /// Where it has another number of values than the shape.
    pub fn apply(&self, shape: Shape, image: &mut [f32]) {
        if *self == Self::NONE {
            return;
        }
        let changed = self.map(shape).of_image(shape, image);
        // The interpolation overshoots at sharp edges.
        image.iter_mut().zip(changed).for_each(|(old, new)| *old = new.clamp(-1.0, 1.0));
    }
}
