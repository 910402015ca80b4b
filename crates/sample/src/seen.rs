//! What the networks saw in a step, before guidance made one prediction of it.

use crate::answers::Answers;
use crate::error::SampleError;
use crate::place::Place;
use candle_core::Tensor;
use duet_schedule::Prediction;

/// A step as its networks saw it, from [`Trajectory::step_seen`](crate::Trajectory::step_seen).
#[derive(Debug, Clone)]
pub struct Seen {
    /// The place of the step.
    pub place: Place,
    /// x_t, (n, C, H, W).
    pub x: Tensor,
    /// The guided x̂_0 with which the sampler steps, shape of x_t.
    pub x0: Tensor,
    pub(crate) prediction: Prediction,
    pub(crate) answers: Answers,
}

/// The x̂_0 of each prediction of one image, (C, H, W), not clipped. With the plain rule, before clipping, the guided
/// x̂_0 is free + w · (given - free).
#[derive(Debug, Clone)]
pub struct Views {
    /// What the prediction for the class sees; none where only the other one was asked for, as at w = 0.
    pub given: Option<Tensor>,
    /// What the prediction sees that guidance pushes away from; none where it plays no part, as at w = 1 and
    /// outside the interval of guidance.
    pub free: Option<Tensor>,
}

impl Seen {
    /// What the predictions of image `i` see.
    ///
    /// Errors: those of candle; no image `i`.
    pub fn views(&self, i: usize) -> Result<Views, SampleError> {
        let x = self.x.get(i)?;
        let (of_x, of_p) = self.prediction.x0_coefficients(self.place.alpha_bar);
        let view = |prediction: Tensor| (&x * of_x)? + (prediction * of_p)?;
        let (given, free) = self.answers.of_image(i)?;
        Ok(Views { given: given.map(view).transpose()?, free: free.map(view).transpose()? })
    }
}
