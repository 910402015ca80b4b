//! The questions to a network in a step: rows of (image, label). The result is one answer for each image.

use crate::error::SampleError;
use crate::labels::Labels;
use crate::per_image::column;
use candle_core::Tensor;

/// A network as a function: (x_t, t, labels) → prediction, which has the shape of x_t (n, C, H, W). `t` and
/// `labels` are (n) u32; an unconditional network gets no labels.
pub type Denoise<'a> = dyn FnMut(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, SampleError> + 'a;

/// The networks of a step.
pub struct Networks<'a> {
    /// The network that draws.
    pub denoise: &'a mut Denoise<'a>,
    /// The weaker network that guidance pushes away from, if there is one.
    pub guide: Option<&'a mut Denoise<'a>>,
}

/// Asks for a prediction for some images of a batch.
#[derive(Default)]
pub(crate) struct Question {
    rows: Vec<Row>,
    images: usize,
}

struct Row {
    image: u32,
    label: Option<u32>,
    share: f64,
    /// The image's place in the answer.
    place: u32,
}

impl Question {
    /// Asks for these images with their labels, or without labels if there are none.
    pub fn of_labels(images: &[u32], labels: Option<&Labels>) -> Self {
        let mut question = Self::default();
        for &image in images {
            match labels {
                Some(labels) => {
                    let parts = labels.parts(image as usize).iter();
                    question.push(image, parts.map(|&(label, share)| (Some(label), share)));
                }
                None => question.push(image, std::iter::once((None, 1.0))),
            }
        }
        question
    }

    /// Asks for each of these images with one label.
    pub fn of_label(images: &[u32], label: impl Fn(usize) -> u32) -> Self {
        let mut question = Self::default();
        for &image in images {
            question.push(image, std::iter::once((Some(label(image as usize)), 1.0)));
        }
        question
    }

    fn push(&mut self, image: u32, parts: impl Iterator<Item = (Option<u32>, f64)>) {
        let place = self.images as u32;
        self.rows.extend(parts.map(|(label, share)| Row { image, label, share, place }));
        self.images += 1;
    }

    /// The sum of the predictions of each image's rows, times their shares.
    fn answer(&self, predictions: Tensor) -> Result<Tensor, SampleError> {
        if self.rows.len() == self.images {
            return Ok(predictions);
        }
        let shares: Vec<f64> = self.rows.iter().map(|row| row.share).collect();
        let places: Vec<u32> = self.rows.iter().map(|row| row.place).collect();
        let places = Tensor::new(places, predictions.device())?;
        let terms = predictions.broadcast_mul(&column(&shares, &predictions)?)?;
        Ok(terms.narrow(0, 0, self.images)?.zeros_like()?.index_add(&places, &terms, 0)?)
    }
}

/// Asks a network several questions with one call, unless there is nothing to ask.
pub(crate) fn ask<const N: usize>(
    questions: [&Question; N],
    (x, timestep): (&Tensor, usize),
    denoise: &mut Denoise<'_>,
) -> Result<[Option<Tensor>; N], SampleError> {
    let mut answers = [const { None }; N];
    let rows: Vec<&Row> = questions.iter().flat_map(|question| &question.rows).collect();
    if rows.is_empty() {
        return Ok(answers);
    }
    let images: Vec<u32> = rows.iter().map(|row| row.image).collect();
    let labels: Option<Vec<u32>> = rows.iter().map(|row| row.label).collect();
    let labels = labels.map(|labels| Tensor::new(labels, x.device())).transpose()?;
    let input = x.index_select(&Tensor::new(images, x.device())?, 0)?;
    let times = Tensor::full(timestep as u32, rows.len(), x.device())?;
    let predictions = denoise(&input, &times, labels.as_ref())?;
    if predictions.dims() != input.dims() {
        let (got, expected) = (predictions.dims(), input.dims());
        return Err(SampleError::Setting(format!("the network answered {got:?} to {expected:?}")));
    }
    let mut first = 0;
    for (question, answer) in questions.iter().zip(&mut answers) {
        let count = question.rows.len();
        if count > 0 {
            *answer = Some(question.answer(predictions.narrow(0, first, count)?)?);
        }
        first += count;
    }
    Ok(answers)
}
