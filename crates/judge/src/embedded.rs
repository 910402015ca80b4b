//! The classifier of the embedded digits.

use crate::classifier::Classifier;
use crate::classifier_error::ClassifierError;

static DIGITS: &[u8] = include_bytes!("../weights/digits.safetensors");

impl Classifier {
    /// The classifier of [`duet_data::digits`], whose weights (0.22 M numbers, 441 kB) are compiled
    /// into the crate.
    ///
    /// It is right on 99.00 % of the 2,000 held-out digits, and on 99.29 % of all 10,000 test images
    /// of MNIST. It was trained on the 10,000 training images alone, in 8½ minutes of processor
    /// time, with [`TrainingOptions::digits`](crate::TrainingOptions::digits). Network and
    /// augmentation were chosen by the accuracy on a fifth of the training images held back
    /// (`--fold 0`), not on the test images: there, after 20 epochs, this network reached 99.20 %
    /// (batches of 64), one with a residual block at full resolution 98.85 % (batches of 50), and
    /// this one with strokes made thicker and thinner at random 98.95 % (batches of 64). 2,000
    /// images hardly tell these apart, so the cheapest was taken. The weights, and the first figure,
    /// again:
    ///
    /// ```sh
    /// cargo run --release -p duet-judge --example train_judge -- --out crates/judge/weights/digits.safetensors
    /// ```
    ///
    /// The second: `cargo test --release -p duet-judge -- --nocapture mnist`, where `DUET_MNIST` names
    /// the folder of MNIST's files.
    pub fn digits() -> Result<Self, ClassifierError> {
        Self::from_bytes(DIGITS)
    }
}
