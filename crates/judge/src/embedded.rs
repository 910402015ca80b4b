//! The two classifiers of the embedded digits.

use crate::classifier::Classifier;
use crate::classifier_error::ClassifierError;

static SECOND_DIGITS: &[u8] = include_bytes!("../weights/second-digits.safetensors");
static DIGITS: &[u8] = include_bytes!("../weights/digits.safetensors");

impl Classifier {
    /// The classifier of [`duet_data::digits`]. Its weights (0.22 M numbers, 441 kB) are compiled into the
    /// crate.
    ///
    /// It classifies 99.00 % of the 2,000 held-out digits correctly, and 99.29 % of all 10,000 test images
    /// of MNIST. It was trained on the 10,000 training images alone, in 8½ minutes of processor time, with
    /// [`TrainingOptions::digits`](crate::TrainingOptions::digits).
    ///
    /// Network and augmentation were chosen by the accuracy on a fifth of the training images that was held
    /// back (`--fold 0`), not by the test images. After 20 epochs this network reached 99.20 % there
    /// (batches of 64). A network with a residual block at full resolution reached 98.85 % (batches of 50).
    /// This network with strokes of randomly changed thickness reached 98.95 % (batches of 64). 2,000
    /// images can hardly show a difference between these, so the cheapest was taken.
    ///
    /// This command makes the weights and the first figure again:
    ///
    /// ```sh
    /// cargo run --release -p duet-judge --example train_judge -- --out crates/judge/weights/digits.safetensors
    /// ```
    ///
    /// This one makes the second figure: `cargo test --release -p duet-judge -- --nocapture mnist`.
    /// `DUET_MNIST` names the folder of MNIST's files.
    pub fn digits() -> Result<Self, ClassifierError> {
        Self::from_bytes(DIGITS)
    }

    /// A second classifier of [`duet_data::digits`], which reports beside the first: no preset, setting or checkpoint is
    /// ever chosen by it. Its weights (0.2 M numbers, 405 kB) are compiled into the crate.
    ///
    /// It shares nothing with [`Classifier::digits`]: it is a [`Plain`](crate::Architecture::Plain) network, of another
    /// seed, trained on other images. These are the 50,000 training images of MNIST that are not among the 10,000
    /// embedded ones. So it has seen neither the embedded training digits, nor the 2,000 held-out ones, nor any of
    /// MNIST's test images; the embedded training digits are unknown real images to it. It classifies 99.25 % of the
    /// held-out digits correctly. Options are those of the first, except [`TrainingOptions::second_digits`](crate::TrainingOptions::second_digits);
    /// none was tuned. The training takes six to seven minutes.
    ///
    /// This command makes the weights and the figure again, from a folder of MNIST's four files:
    ///
    /// ```sh
    /// cargo run --release -p duet-judge --example train_judge -- --second MNIST_DIR --out crates/judge/weights/second-digits.safetensors
    /// ```
    pub fn second_digits() -> Result<Self, ClassifierError> {
        Self::from_bytes(SECOND_DIGITS)
    }
}
