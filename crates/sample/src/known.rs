//! Inpainting: a part of each image is known.

use crate::error::SampleError;
use crate::estimate::Estimate;
use candle_core::{DType, Tensor};

/// Images, and which of their pixels stay.
///
/// In the known part, each step replaces x̂_0 by the image and derives ε̂ from x again. Every sampler then
/// moves the known part along the noise of its own seed, as in Song et al. 2021b (appendix I.2) and Lugmayr
/// et al. 2022 (equation 8). At the end the known part is unchanged.
#[derive(Debug, Clone)]
pub struct Known {
    images: Tensor,
    unknown: Tensor,
}

impl Known {
    /// `images` (n, C, H, W) are in [-1, 1]. The mask `unknown` (n, C, H, W) is 1 for pixels to draw and 0
    /// for known pixels; values between give a soft edge.
    ///
    /// Errors: shapes that differ; a mask with values outside 0 to 1.
    pub fn new(images: Tensor, unknown: Tensor) -> Result<Self, SampleError> {
        if images.dims() != unknown.dims() {
            let (images, unknown) = (images.dims(), unknown.dims());
            return Err(SampleError::Setting(format!("images {images:?} and mask {unknown:?} differ")));
        }
        let values = unknown.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            Some(value) => Err(SampleError::Setting(format!("mask {value}: must be 0 to 1"))),
            None => Ok(Self { images, unknown }),
        }
    }

    pub(crate) fn images(&self) -> &Tensor {
        &self.images
    }

    /// The known images of a part of the batch.
    pub fn of_images(&self, range: std::ops::Range<usize>) -> Result<Self, SampleError> {
        let part = |all: &Tensor| all.narrow(0, range.start, range.len());
        Ok(Self { images: part(&self.images)?, unknown: part(&self.unknown)? })
    }

    pub(crate) fn put_into(
        &self,
        estimate: Estimate,
        x: &Tensor,
        alpha_bar: f64,
    ) -> Result<Estimate, SampleError> {
        // ε = (x - √ᾱ x_0)/√(1-ᾱ)
        let epsilon = ((x - (&self.images * alpha_bar.sqrt())?)? / (1.0 - alpha_bar).sqrt())?;
        let mix = |drawn: &Tensor, known: &Tensor| known + ((drawn - known)? * &self.unknown)?;
        Ok(Estimate { x0: mix(&estimate.x0, &self.images)?, epsilon: mix(&estimate.epsilon, &epsilon)? })
    }
}
