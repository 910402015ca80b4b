//! Measures sampled images: fidelity, variety, whether they show the requested class, and whether they copy
//! training images.
//!
//! Every metric is a pure function of [`Features`]. Each row is one image: a network's features of it, or
//! its pixels.
//!
//! - [`frechet_distance`] and [`kernel_distance`] give one number for two sets.
//! - [`precision_recall`], [`density_coverage`] and [`clipped_density_coverage`] measure fidelity and variety separately.
//! - [`two_sample_test`] asks a classifier to tell real images from samples.
//! - [`memorisation`] finds samples that are closer to a training image than held-out images are, and [`copies`]
//!   those that are much closer to one training image than to all others.
//! - [`Confusion`] counts the answered class for each requested class.
//! - [`Bootstrap`] gives the uncertainty of such numbers.
//!
//! Three functions measure a denoiser itself: [`denoising_loss`] gives the error for each timestep,
//! [`bits_per_dimension`] bounds the likelihood, and [`classify_by_denoising`] uses the denoiser as a
//! classifier.
//!
//! Results do not depend on the number of threads, bit for bit. The order of the rows changes only the last
//! digits of a sum.
//!
//! ```
//! use duet_eval::{Features, Gaussian, frechet_distance};
//!
//! // Four images, two features each.
//! let real = Features::new(vec![0.0, 1.0, 1.0, 0.0, 2.0, 2.0, 1.0, 3.0], 2)?;
//! let samples = Features::new(vec![3.0, 1.0, 4.0, 0.0, 5.0, 2.0, 4.0, 3.0], 2)?;
//! let (real, samples) = (Gaussian::fit(&real)?, Gaussian::fit(&samples)?);
//! assert!(frechet_distance(&real, &real)? < 1e-6);
//! // A shift counts its square.
//! assert!((frechet_distance(&real, &samples)? - 9.0).abs() < 1e-6);
//! # Ok::<(), duet_eval::EvalError>(())
//! ```

mod bootstrap;
mod clipped;
mod closeness;
mod confusion;
mod copies;
mod denoiser;
mod denoising;
mod density_coverage;
mod diffusion_classifier;
mod error;
mod features;
mod fisher;
mod frechet;
mod kernel_distance;
mod likelihood;
mod logistic;
mod manifold;
mod memorisation;
mod nearest;
mod pairs;
mod precision_recall;
mod proportion;
mod quantile;
mod two_sample;

pub use bootstrap::{Bootstrap, ConfidenceInterval};
pub use clipped::{ClippedDensityCoverage, clipped_density_coverage};
pub use closeness::Closeness;
pub use confusion::{Confused, Confusion};
pub use copies::{COPY_RATIO, CopyCount, CopyCounts, copies};
pub use denoiser::{Denoiser, Labelled, Predict};
pub use denoising::{TimestepLoss, denoising_loss};
pub use density_coverage::{DensityCoverage, density_coverage};
pub use diffusion_classifier::{Classified, classify_by_denoising};
pub use error::EvalError;
pub use features::{Features, LARGEST_FEATURE};
pub use fisher::{Share, fisher_greater};
pub use frechet::{Gaussian, frechet_distance};
pub use kernel_distance::{KernelDistance, kernel_distance};
pub use likelihood::{Bits, bits_per_dimension};
pub use logistic::Logistic;
pub use manifold::{DENSITY_COVERAGE_K, Manifold, PRECISION_RECALL_K};
pub use memorisation::{Classed, Honest, Memorisation, SamplePair, memorisation, memorisation_beside};
pub use nearest::{Nearest, nearest};
pub use precision_recall::{PrecisionRecall, precision_recall};
pub use proportion::{halves, in_proportion};
pub use two_sample::{TwoSample, two_sample_test};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
