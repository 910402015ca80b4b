//! How good sampled images are: fidelity, variety, obedience to the label, and honesty.
//!
//! Every metric is a pure function of [`Features`], one row an image: what a classifier says of it,
//! or its pixels. [`frechet_distance`] and [`kernel_distance`] are one number for two sets,
//! [`precision_recall`] and [`density_coverage`] tell fidelity from variety, [`memorisation`] tells
//! samples from copies, [`Confusion`] counts which class was seen for which was asked, and
//! [`Bootstrap`] says how far any of them is to be trusted.
//!
//! A [`Classifier`] says which class an image is taken for, and maps it to the features that its
//! decision rests on. [`Classifier::digits`] is ready for the embedded digits;
//! [`Classifier::train`] makes one for any labelled images.
//!
//! Of a denoiser itself, [`denoising_loss`] tells the error by timestep, [`bits_per_dimension`] bounds
//! the likelihood, and [`classify_by_denoising`] asks it for the class.
//!
//! No result depends on the number of threads, bit for bit, nor on the order of the rows but for
//! the last digits of a sum.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use duet_eval::{Classifier, Features, Gaussian, frechet_distance};
//!
//! let digits = duet_data::digits()?;
//! let classifier = Classifier::digits()?;
//! let features = |first: usize| {
//!     let mut values = vec![0.0; 300 * 784];
//!     for (i, image) in values.chunks_mut(784).enumerate() {
//!         digits.test.image(first + i, image);
//!     }
//!     let images = Tensor::from_vec(values, (300, 1, 28, 28), &Device::Cpu)?;
//!     let values = classifier.features(&images)?.flatten_all()?.to_vec1()?;
//!     Ok::<_, Box<dyn std::error::Error>>(Features::new(values, Classifier::FEATURES)?)
//! };
//! let (some, others) = (Gaussian::fit(&features(0)?)?, Gaussian::fit(&features(300)?)?);
//! assert!(frechet_distance(&some, &some)? < 1e-6);
//! assert!(frechet_distance(&some, &others)? > 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod augment;
mod bootstrap;
mod classifier;
mod classifier_error;
mod confusion;
mod denoiser;
mod denoising;
mod density_coverage;
mod diffusion_classifier;
mod embedded;
mod error;
mod features;
mod frechet;
mod kernel_distance;
mod likelihood;
mod manifold;
mod memorisation;
mod nearest;
mod network;
mod pairs;
mod precision_recall;
mod quantile;
mod training;
mod weights;

pub use augment::Augmentation;
pub use bootstrap::{Bootstrap, Interval};
pub use classifier::Classifier;
pub use classifier_error::ClassifierError;
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
pub use memorisation::{Classed, Honest, Memorisation, Pair, memorisation};
pub use nearest::{Nearest, nearest};
pub use precision_recall::{PrecisionRecall, precision_recall};
pub use training::TrainingOptions;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
