//! How good sampled images are: fidelity, variety, obedience to the label, and honesty.
//!
//! Every metric is a pure function of [`Features`], one row an image: what a network sees in it,
//! or its pixels. [`frechet_distance`] and [`kernel_distance`] are one number for two sets,
//! [`precision_recall`] and [`density_coverage`] tell fidelity from variety, [`memorisation`] tells
//! samples from copies, [`Confusion`] counts which class was seen for which was asked, and
//! [`Bootstrap`] says how far any of them is to be trusted.
//!
//! Of a denoiser itself, [`denoising_loss`] tells the error by timestep, [`bits_per_dimension`] bounds
//! the likelihood, and [`classify_by_denoising`] asks it for the class.
//!
//! No result depends on the number of threads, bit for bit, nor on the order of the rows but for
//! the last digits of a sum.
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
mod confusion;
mod denoiser;
mod denoising;
mod density_coverage;
mod diffusion_classifier;
mod error;
mod features;
mod frechet;
mod kernel_distance;
mod likelihood;
mod manifold;
mod memorisation;
mod nearest;
mod pairs;
mod precision_recall;
mod quantile;

pub use bootstrap::{Bootstrap, ConfidenceInterval};
pub use confusion::{Confused, Confusion};
pub use denoiser::{Denoiser, Labelled, Predict};
pub use denoising::{TimestepLoss, denoising_loss};
pub use density_coverage::{DensityCoverage, density_coverage};
pub use diffusion_classifier::{Classified, classify_by_denoising};
pub use error::EvalError;
pub use features::{Features, LARGEST_FEATURE};
pub use frechet::{Gaussian, frechet_distance};
pub use kernel_distance::kernel_distance;
pub use likelihood::{Bits, bits_per_dimension};
pub use manifold::{DENSITY_COVERAGE_K, Manifold, PRECISION_RECALL_K};
pub use memorisation::{Classed, Honest, Memorisation, SamplePair, memorisation};
pub use nearest::{Nearest, nearest};
pub use precision_recall::{PrecisionRecall, precision_recall};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
