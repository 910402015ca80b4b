//! How good sampled images are: fidelity, variety, obedience to the label, and honesty.
//!
//! Every metric is a pure function of [`Features`], one row an image: what a classifier says of it,
//! or its pixels. [`frechet_distance`] and [`kernel_distance`] are one number for two sets,
//! [`precision_recall`] and [`density_coverage`] tell fidelity from variety, [`memorisation`] tells
//! samples from copies, [`Confusion`] counts which class was seen for which was asked, and
//! [`Bootstrap`] says how far any of them is to be trusted.
//!
//! No result depends on the number of threads, bit for bit, nor on the order of the rows but for
//! the last digits of a sum.
//!
//! ```
//! use duet_eval::{Features, Gaussian, Manifold, density_coverage, frechet_distance};
//! use duet_random::Draws;
//!
//! let drawn = |index: u64| {
//!     let mut values = vec![0f32; 500 * 8];
//!     Draws::new(0, "features", index).fill_normal(&mut values);
//!     Features::new(values, 8)
//! };
//! let (real, samples) = (drawn(0)?, drawn(1)?);
//! let distance = frechet_distance(&Gaussian::fit(&real)?, &Gaussian::fit(&samples)?)?;
//! assert!(distance < 0.2);
//! let coverage = density_coverage(&Manifold::new(&real, 5)?, &samples)?.coverage;
//! assert!(coverage > 0.9);
//! # Ok::<(), duet_eval::EvalError>(())
//! ```

mod bootstrap;
mod confusion;
mod density_coverage;
mod error;
mod features;
mod frechet;
mod kernel_distance;
mod manifold;
mod memorisation;
mod nearest;
mod pairs;
mod precision_recall;
mod quantile;

pub use bootstrap::{Bootstrap, Interval};
pub use confusion::{Confused, Confusion};
pub use density_coverage::{DensityCoverage, density_coverage};
pub use error::EvalError;
pub use features::{Features, LARGEST_FEATURE};
pub use frechet::{Gaussian, frechet_distance};
pub use kernel_distance::kernel_distance;
pub use manifold::{DENSITY_COVERAGE_K, Manifold, PRECISION_RECALL_K};
pub use memorisation::{Memorisation, Pair, memorisation};
pub use nearest::{Nearest, nearest};
pub use precision_recall::{PrecisionRecall, precision_recall};
