//! Measures a denoiser on images with known noise.

use crate::error::EvalError;
use candle_core::{Device, Tensor};
use duet_random::Draws;
use duet_schedule::{NoiseSchedule, Prediction};

/// A network as a function: (x_t, t, labels) → prediction, with the shape of x_t (n, C, H, W). `t` and
/// `labels` are (n) u32; an unconditional network gets no labels.
pub type Predict<'a> = dyn FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// A network, and how to read its predictions.
pub struct Denoiser<'a> {
    /// The noise schedule of its training.
    pub schedule: &'a NoiseSchedule,
    /// What it predicts.
    pub prediction: Prediction,
    /// The network.
    pub predict: &'a mut Predict<'a>,
    /// The number of rows in one call, at least 1.
    pub batch: usize,
}

/// Images (n, C, H, W) in [-1, 1], with or without labels.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// (n, C, H, W) f32.
    pub images: &'a Tensor,
    /// One label for each image; none for an unconditional network.
    pub labels: Option<&'a [u32]>,
}

/// A question to the network: image `image` with the noise of timestep `t`, taken from its noise number
/// `draw`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub image: usize,
    pub t: usize,
    pub draw: u64,
    pub label: Option<u32>,
}

/// Squared errors of an answer, summed over the image's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Errors {
    /// ‖ε - ε̂‖².
    pub epsilon: f64,
    /// ‖x_0 - x̂_0‖², where x̂_0 is clipped to [-1, 1], the range of x_0.
    pub x0: f64,
}

impl Denoiser<'_> {
    /// The errors of each row. The noise is a function of (seed, purpose, image, draw). Rows with the same
    /// image and draw share it.
    pub(crate) fn errors(
        &mut self,
        images: &Tensor,
        rows: &[Probe],
        (seed, purpose): (u64, &str),
    ) -> Result<Vec<Errors>, EvalError> {
        let (_, channels, height, width) = images.dims4()?;
        let length = channels * height * width;
        let clean = images.flatten_all()?.to_vec1::<f32>()?;
        let mut errors = Vec::with_capacity(rows.len());
        for rows in rows.chunks(self.batch.max(1)) {
            let mut noises = vec![0f32; rows.len() * length];
            let mut noisy = vec![0f32; rows.len() * length];
            for (k, row) in rows.iter().enumerate() {
                let noise = &mut noises[k * length..][..length];
                let index = (row.image as u64) << 32 | row.draw;
                Draws::new(seed, purpose, index).fill_normal(noise);
                let clean = &clean[row.image * length..][..length];
                self.schedule.x_t(row.t, clean, noise, &mut noisy[k * length..][..length]);
            }
            let x = Tensor::from_vec(noisy, (rows.len(), channels, height, width), &Device::Cpu)?;
            let times: Vec<u32> = rows.iter().map(|row| row.t as u32).collect();
            let times = Tensor::from_vec(times, rows.len(), &Device::Cpu)?;
            let labels: Option<Vec<u32>> = rows.iter().map(|row| row.label).collect();
            let labels =
                labels.map(|labels| Tensor::from_vec(labels, rows.len(), &Device::Cpu)).transpose()?;
            let answer = (self.predict)(&x, &times, labels.as_ref())
                .map_err(|error| EvalError::Denoiser(error.to_string()))?;
            let (x, answer) = (x.flatten_all()?.to_vec1::<f32>()?, answer.flatten_all()?.to_vec1::<f32>()?);
            for (k, row) in rows.iter().enumerate() {
                let range = k * length..(k + 1) * length;
                let clean = &clean[row.image * length..][..length];
                let Some(answer) = answer.get(range.clone()) else {
                    return Err(EvalError::Counts { what: "answers", left: answer.len(), right: range.end });
                };
                errors.push(self.row_errors(row.t, (&x[range.clone()], answer), (clean, &noises[range])));
            }
        }
        Ok(errors)
    }

    fn row_errors(
        &self,
        t: usize,
        (x, answer): (&[f32], &[f32]),
        (clean, noise): (&[f32], &[f32]),
    ) -> Errors {
        let a = self.schedule.alpha_bar(t);
        let (of_x, of_p) = self.prediction.epsilon_coefficients(a);
        let (x0_of_x, x0_of_p) = self.prediction.x0_coefficients(a);
        let mut sums = Errors { epsilon: 0.0, x0: 0.0 };
        for (((&x, &p), &c), &e) in x.iter().zip(answer).zip(clean).zip(noise) {
            let (x, p) = (f64::from(x), f64::from(p));
            sums.epsilon += (f64::from(e) - of_x * x - of_p * p).powi(2);
            sums.x0 += (f64::from(c) - (x0_of_x * x + x0_of_p * p).clamp(-1.0, 1.0)).powi(2);
        }
        sums
    }
}

impl Labelled<'_> {
    pub(crate) fn label(&self, i: usize) -> Option<u32> {
        self.labels.map(|labels| labels[i])
    }

    /// Checks the images and labels, and returns n.
    pub(crate) fn count(&self) -> Result<usize, EvalError> {
        let (images, ..) = self.images.dims4()?;
        let labels = self.labels.map_or(images, <[u32]>::len);
        match images {
            0 => Err(EvalError::TooFew { what: "images", needed: 1, rows: 0 }),
            _ if labels != images => Err(EvalError::Counts { what: "labels", left: labels, right: images }),
            _ => Ok(images),
        }
    }
}
